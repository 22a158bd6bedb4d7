//! TLS on the listener: real sockets, an authority of our own, certificates that are replaced.

use futures_util::{SinkExt as _, StreamExt as _};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use wardroom::Limit;
use wardroom_tests::binary::Invocation;
use wardroom_tests::{Plugin, TestServer, WAIT, http};

/// An authority, and the files of what it issued last.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let authority = Self {
            issuer: Issuer::new(params, key),
            certificate,
            folder: TempDir::new().unwrap(),
        };
        authority.issue();
        authority
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes another certificate and its key; returns the certificate.
    fn issue(&self) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.file("certificate.pem"), certificate.pem()).unwrap();
        std::fs::write(self.file("key.pem"), key.serialize_pem()).unwrap();
        certificate.der().clone()
    }

    fn serve(&self, limit: Option<(&str, &str)>) -> TestServer {
        let start = TestServer::start(&[Plugin::built("echo")], |config| {
            config.tls_certificate = Some(self.file("certificate.pem"));
            config.tls_key = Some(self.file("key.pem"));
            if let Some((key, value)) = limit {
                config.set(key, value).unwrap();
            }
        });
        start.unwrap()
    }

    async fn secure(
        &self,
        address: SocketAddr,
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let protocols = protocols.iter();
        config.alpn_protocols = protocols.map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, stream).await
    }

    async fn connect(&self, server: &TestServer) -> Secured {
        let stream = self.secure(server.address, &["http/1.1"]).await.unwrap();
        let request = format!("wss://localhost:{}/ws", server.address.port());
        let handshake = tokio_tungstenite::client_async(request, stream);
        let socket = tokio::time::timeout(WAIT, handshake).await.unwrap();
        Secured(socket.unwrap().0)
    }
}

/// A connection by TLS.
struct Secured(WebSocketStream<TlsStream<TcpStream>>);

impl Secured {
    async fn echo(&mut self, text: &str) {
        let message = json!({ "event": "echo", "path": "/echo", "data": text, "id": 1 });
        self.0
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
        let reply = tokio::time::timeout(WAIT, self.0.next()).await.unwrap();
        let reply = reply.unwrap().unwrap();
        let expected = json!({ "id": 1, "data": text });
        let reply: serde_json::Value = serde_json::from_str(reply.to_text().unwrap()).unwrap();
        assert_eq!(reply, expected);
    }

    fn certificate(&self) -> CertificateDer<'static> {
        let (_, connection) = self.0.get_ref().get_ref();
        connection.peer_certificates().unwrap()[0]
            .clone()
            .into_owned()
    }
}

#[tokio::test]
async fn a_replaced_certificate_is_for_those_who_come_after() {
    let authority = Authority::new();
    let first = authority.issue();
    let server = authority.serve(None);
    let mut early = authority.connect(&server).await;
    early.echo("early").await;
    assert_eq!(early.certificate(), first);
    let second = authority.issue();
    let deadline = Instant::now() + WAIT;
    let mut looks = tokio::time::interval(Duration::from_millis(50));
    loop {
        looks.tick().await;
        let mut late = authority.connect(&server).await;
        late.echo("late").await;
        if late.certificate() == second {
            break;
        }
        assert!(Instant::now() < deadline, "{}", server.log.text());
    }
    early.echo("still here").await;

    // Half of a pair is none: what there was stays.
    std::fs::write(
        authority.file("key.pem"),
        KeyPair::generate().unwrap().serialize_pem(),
    )
    .unwrap();
    let parts = [
        "ERROR",
        "key.pem",
        "is not the key of the certificate",
        "what was read before stays",
    ];
    let logged = server.log.line_with(&parts);
    let trying = async {
        loop {
            looks.tick().await;
            let other = authority.connect(&server).await;
            assert_eq!(other.certificate(), second);
        }
    };
    tokio::select! {
        waited = tokio::time::timeout(WAIT, logged) => { waited.expect("it is logged"); }
        () = trying => {}
    }
    early.echo("still here").await;
}

#[tokio::test]
async fn an_answer_and_a_connection_end_as_tls_wants_it() {
    let authority = Authority::new();
    let server = authority.serve(None);
    let mut stream = authority.secure(server.address, &[]).await.unwrap();
    let request = b"GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    // It would be an error if the other end had just gone.
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");

    let mut client = authority.connect(&server).await;
    client.echo("x").await;
    client.0.close(None).await.unwrap();
    while let Some(message) = client.0.next().await {
        message.unwrap();
    }
    let mut rest = Vec::new();
    client.0.get_mut().read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "{rest:?}");
}

#[tokio::test]
async fn a_page_of_this_host_came_by_tls() {
    let authority = Authority::new();
    let server = authority.serve(None);
    for (scheme, status) in [("https", "101"), ("http", "403")] {
        let mut stream = authority
            .secure(server.address, &["http/1.1"])
            .await
            .unwrap();
        let origin = format!("Origin: {scheme}://localhost");
        let request =
            http::upgrade("/ws").replace("Connection:", &format!("{origin}\r\nConnection:"));
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(
            String::from_utf8_lossy(&answer),
            format!("HTTP/1.1 {status}"),
            "{scheme}"
        );
    }
}

#[tokio::test]
async fn who_speaks_no_tls_or_no_http_gets_nowhere() {
    let authority = Authority::new();
    let server = authority.serve(None);
    let mut plain = TcpStream::connect(server.address).await.unwrap();
    plain
        .write_all(http::upgrade("/ws").as_bytes())
        .await
        .unwrap();
    let mut answer = Vec::new();
    // An alert, or a reset: in any case no HTTP.
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    let error = authority.secure(server.address, &["h2"]).await.unwrap_err();
    assert!(
        error.to_string().contains("NoApplicationProtocol"),
        "{error}"
    );
    let stranger = Authority::new();
    let error = stranger.secure(server.address, &[]).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    authority.connect(&server).await.echo("x").await;
}

#[tokio::test]
async fn the_tls_handshake_has_the_time_and_the_number_of_all_handshakes() {
    let authority = Authority::new();
    let server = authority.serve(Some(("limits.handshake_timeout", "300ms")));
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let read = tokio::time::timeout(WAIT, silent.read(&mut [0; 16])).await;
    assert_eq!(read.unwrap().unwrap(), 0);
    server.reaches(Limit::HandshakeTimeout, 1).await.unwrap();

    let server = authority.serve(Some(("limits.handshakes_max", "1")));
    let _silent = TcpStream::connect(server.address).await.unwrap();
    let mut second = TcpStream::connect(server.address).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(WAIT, second.read_to_end(&mut answer)).await;
    // What was not read of it may be answered with a reset.
    let _ = read.unwrap();
    assert!(answer.is_empty(), "it could not read {answer:?}");
    server.reaches(Limit::HandshakesMax, 1).await.unwrap();
}

#[tokio::test]
async fn files_that_are_wrong_keep_it_from_starting() {
    let (authority, other) = (Authority::new(), Authority::new());
    let folder = authority.folder.path();
    let key = |file: PathBuf| std::fs::read_to_string(file).unwrap();
    let good = key(authority.file("key.pem"));
    for (name, text, problem) in [
        (
            "key.pem",
            key(other.file("key.pem")),
            "tls.key: key.pem: is not the key of the certificate",
        ),
        (
            "key.pem",
            String::new(),
            "tls.key: key.pem: has no private key in PEM",
        ),
        (
            "certificate.pem",
            good,
            "tls.certificate: certificate.pem: has no certificate in PEM",
        ),
        (
            "keys.json",
            "{}".to_owned(),
            "auth.jwt.jwks_file: keys.json: is no JSON Web Key Set",
        ),
    ] {
        let before = std::fs::read(authority.file(name)).ok();
        std::fs::write(authority.file(name), text).unwrap();
        let mut config = "listen = \"127.0.0.1:0\"\nplugins = \".\"\n".to_owned();
        config.push_str("[tls]\ncertificate = \"certificate.pem\"\nkey = \"key.pem\"\n");
        if name == "keys.json" {
            config.push_str(
                "[auth.jwt]\njwks_file = \"keys.json\"\naudience = \"a\"\nissuer = \"b\"\n",
            );
        }
        std::fs::write(folder.join("wardroom.toml"), config).unwrap();
        for command in ["serve", "check"] {
            let built = env!("CARGO_BIN_EXE_wardroom-tested");
            let program = std::env::var("WARDROOM").unwrap_or_else(|_| built.to_owned());
            let output = Invocation::new(&program, &[command])
                .within(folder)
                .run()
                .await;
            let output = output.unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(64), "{command}: {errors}");
            assert!(errors.contains(problem), "{command}: {problem}\n{errors}");
            assert!(output.stdout.is_empty());
        }
        match before {
            Some(before) => std::fs::write(authority.file(name), before).unwrap(),
            None => std::fs::remove_file(authority.file(name)).unwrap(),
        }
    }
}
