//! TLS with a server whose certificate nobody but the test believes.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;

/// For `api.example`, until 2126, signed by itself.
const CERTIFICATE: &[u8] = b"\
-----BEGIN CERTIFICATE-----
MIIBmDCCAT6gAwIBAgIUe97ab9yWPKA9E/alyL/EzYv9MDEwCgYIKoZIzj0EAwIw
FjEUMBIGA1UEAwwLYXBpLmV4YW1wbGUwIBcNMjYxMTIzMDc1MjE4WhgPMjEyNjEw
MzAwNzUyMThaMBYxFDASBgNVBAMMC2FwaS5leGFtcGxlMFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAEgZRkg2bgGE6mibh16Pa/a3g9wboV0DVBFJBkOh/3E61mKvpz
YPk7LHldKbmq7sNGVLK0I3pnbzSfjNKz03sOXaNoMGYwHQYDVR0OBBYEFJAb3AE2
fP5OtReru/HNKSVvrpofMB8GA1UdIwQYMBaAFJAb3AE2fP5OtReru/HNKSVvrpof
MBYGA1UdEQQPMA2CC2FwaS5leGFtcGxlMAwGA1UdEwEB/wQCMAAwCgYIKoZIzj0E
AwIDSAAwRQIgBSGHH+T8NT7g9YQ855lvIIkDj/NNRMYzUsOVZKLyCdcCIQCTgYUf
fgGKi89/KbF7yowA4JFW1d/mJIHaj7Nw1t4B2w==
-----END CERTIFICATE-----
";

/// It opens nothing but this test.
const KEY: &[u8] = b"\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgO++D/uAUKccX7alG
8gy/iSpgh9YBbhZwzZse3sfeKxehRANCAASBlGSDZuAYTqaJuHXo9r9reD3BuhXQ
NUEUkGQ6H/cTrWYq+nNg+TsseV0puaruw0ZUsrQjemdvNJ+M0rPTew5d
-----END PRIVATE KEY-----
";

/// Connects to the server, says something, and returns what comes back: who the server was told to be.
async fn talk(tls: &TlsConnector, name: &str) -> Result<String, Error> {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        // A client that does not believe it goes away.
        let Ok(mut stream) = acceptor.accept(stream).await else {
            return;
        };
        let (_, connection) = stream.get_ref();
        let protocol = String::from_utf8_lossy(connection.alpn_protocol().unwrap_or_default());
        let told = format!(
            "{} {protocol}",
            connection.server_name().unwrap_or_default()
        );
        stream.write_all(told.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let stream = TcpStream::connect(address).await.unwrap();
    let host = HostName::Name(name.to_owned());
    let mut stream = secure(tls, &host, stream).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    Ok(answer)
}

fn believing() -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    roots.add(certificate).unwrap();
    connector(roots)
}

#[tokio::test]
async fn who_is_believed_is_told_its_name_and_speaks_http_1() {
    let answer = talk(&believing(), "api.example").await.unwrap();
    assert_eq!(answer, "api.example http/1.1");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let refused = talk(&believing(), "other.example").await.unwrap_err();
    assert!(matches!(refused, Error::TlsCertificateError), "{refused}");
}

#[tokio::test]
async fn a_certificate_that_nobody_believes_is_refused() {
    let refused = talk(&TLS, "api.example").await.unwrap_err();
    assert!(matches!(refused, Error::TlsCertificateError), "{refused}");
}
