//! Who gets in to which of several tenants: each has its own pages and its own tokens, and what is good at one is worth
//! nothing at another.

use crate::configuration::{configure, folder, puppet, serve, wardroom};
use crate::tokens::with;
use jsonwebtoken::Algorithm;
use serde_json::json;
use tempfile::TempDir;
use wardroom_tests::binary::Program;
use wardroom_tests::http::{ask, upgrade};
use wardroom_tests::token::Signer;
use wardroom_tests::{Client, Refusal};

/// Two at one path, which their hosts tell apart, with other keys for the same audience; one with the first one's key
/// for another audience; and one that asks for nothing.
const TENANTS: &str = "
    [tenants.acme]
    plugins = \"plugins\"
    hosts   = [\"acme.example.com\"]
    origins = \"https://acme.example.com\"
    auth    = { jwt = { key_file = \"acme.pem\", audience = \"chat\", issuer = \"tests\" } }

    [tenants.umbra]
    plugins = \"plugins\"
    hosts   = [\"umbra.example.com\"]
    origins = [\"https://umbra.example.com\", \"https://*.umbra.example.com\"]
    [tenants.umbra.auth.jwt]
    key_file = \"umbra.pem\"
    audience = \"chat\"
    issuer   = \"tests\"

    [tenants.twin]
    plugins = \"plugins\"
    path    = \"/twin\"
    auth.jwt.key_file = \"acme.pem\"
    auth.jwt.audience = \"game\"
    auth.jwt.issuer   = \"tests\"

    [tenants.open]
    plugins = \"plugins\"
    path    = \"/open\"
";

/// Where each of them is: its path, and a name of the host.
const ACME: (&str, &str) = ("/ws", "acme.example.com");
const UMBRA: (&str, &str) = ("/ws", "umbra.example.com");
const TWIN: (&str, &str) = ("/twin", "example.com");
const OPEN: (&str, &str) = ("/open", "example.com");

/// A host with them, its folder, and who signs for two of them.
struct Gates {
    program: Program,
    folder: TempDir,
    acme: Signer,
    umbra: Signer,
}

impl Gates {
    async fn start() -> Self {
        let (acme, umbra) = (
            Signer::curve(Algorithm::ES256),
            Signer::curve(Algorithm::ES256),
        );
        let folder = folder(&[puppet("puppet")], TENANTS);
        for (name, signer) in [("acme.pem", &acme), ("umbra.pem", &umbra)] {
            std::fs::write(folder.path().join(name), &signer.public).unwrap();
        }
        Self {
            program: serve(&folder).await,
            folder,
            acme,
            umbra,
        }
    }

    async fn connect(
        &self,
        place: (&str, &str),
        headers: &[(&str, &str)],
    ) -> Result<Client, Refusal> {
        let (path, host) = place;
        let headers = [&[("host", host)], headers].concat();
        let connected = Client::connect(host, self.program.address, path, &headers).await;
        connected.unwrap()
    }

    async fn bring(&self, place: (&str, &str), token: &str) -> Result<Client, Refusal> {
        let header = format!("Bearer {token}");
        self.connect(place, &[("authorization", &header)]).await
    }

    async fn reload(&self, config: &str) {
        configure(&self.folder, config);
        self.program.signal("HUP").await.unwrap();
    }
}

#[tokio::test]
async fn a_token_of_one_tenant_is_worth_nothing_at_another() {
    let gates = Gates::start().await;
    let for_chat = gates.acme.token(None, &with("aud", "chat"));
    let for_game = gates.acme.token(None, &with("aud", "game"));
    let for_both = gates
        .acme
        .token(None, &with("aud", json!(["chat", "game"])));
    let by_umbra = gates.umbra.token(None, &with("aud", "chat"));
    let signature = "the token's signature is wrong";
    let audience = "the token is for another audience";
    for (what, token, place, refused) in [
        ("acme's at acme", &for_chat, ACME, None),
        (
            "acme's at umbra, other keys",
            &for_chat,
            UMBRA,
            Some(signature),
        ),
        (
            "acme's at twin, other audience",
            &for_chat,
            TWIN,
            Some(audience),
        ),
        ("umbra's at umbra", &by_umbra, UMBRA, None),
        (
            "umbra's at acme, other keys",
            &by_umbra,
            ACME,
            Some(signature),
        ),
        (
            "umbra's at twin, other keys",
            &by_umbra,
            TWIN,
            Some(signature),
        ),
        ("twin's at twin", &for_game, TWIN, None),
        (
            "twin's at acme, other audience",
            &for_game,
            ACME,
            Some(audience),
        ),
        (
            "twin's at umbra, other keys",
            &for_game,
            UMBRA,
            Some(signature),
        ),
        ("for both at acme", &for_both, ACME, None),
        ("for both at twin", &for_both, TWIN, None),
        ("for both at umbra", &for_both, UMBRA, Some(signature)),
        ("umbra's where none is asked for", &by_umbra, OPEN, None),
    ] {
        let status = gates.bring(place, token).await.err();
        let status = status.map(|refusal| refusal.status);
        println!("{what:<34} {}", status.unwrap_or(101));
        assert_eq!(status, refused.map(|_| 401), "{what}");
        if let Some(reason) = refused {
            gates.program.logged(&["not let in", reason]).await.unwrap();
        }
    }
    let logged = ["tenant=umbra", signature];
    gates.program.logged(&logged).await.unwrap();
}

#[tokio::test]
async fn the_name_that_counts_for_the_tenant_counts_for_its_token() {
    let gates = Gates::start().await;
    let token = gates.acme.token(None, &with("aud", "chat"));
    let path = format!("/ws?token={token}");
    for (target, host, status) in [
        (path.clone(), "acme.example.com", 101),
        (path.clone(), "umbra.example.com", 401),
        (path.clone(), "acme.example.com.umbra.example.com", 404),
        // The header is another tenant's, and the target goes before it.
        (
            format!("http://umbra.example.com{path}"),
            "acme.example.com",
            401,
        ),
        (
            format!("http://acme.example.com{path}"),
            "umbra.example.com",
            101,
        ),
        (
            format!("http://acme.example.com@umbra.example.com{path}"),
            "acme.example.com",
            404,
        ),
    ] {
        let request = upgrade(&target).replace("localhost", host);
        let answer = ask(gates.program.address, &request).await.unwrap();
        assert_eq!(answer.status, status, "{target} at {host}: {answer:?}");
    }
}

#[tokio::test]
async fn each_tenant_has_its_own_pages() {
    let gates = Gates::start().await;
    let acme = format!("Bearer {}", gates.acme.token(None, &with("aud", "chat")));
    let umbra = format!("Bearer {}", gates.umbra.token(None, &with("aud", "chat")));
    for (place, token, origin, status) in [
        (ACME, &acme, "https://acme.example.com", None),
        (ACME, &acme, "https://umbra.example.com", Some(403)),
        // A list is all there is: this host's own page is not in it.
        (ACME, &acme, "http://acme.example.com", Some(403)),
        (UMBRA, &umbra, "https://chat.umbra.example.com", None),
        (UMBRA, &umbra, "https://acme.example.com", Some(403)),
        // From a page that may not connect, a token is not even looked at.
        (UMBRA, &acme, "https://acme.example.com", Some(403)),
        (UMBRA, &acme, "https://umbra.example.com", Some(401)),
        (OPEN, &acme, "http://example.com", None),
        (OPEN, &acme, "https://acme.example.com", Some(403)),
    ] {
        let headers = [("origin", origin), ("authorization", token.as_str())];
        let refusal = gates.connect(place, &headers).await.err();
        let found = refusal.map(|refusal| refusal.status);
        assert_eq!(found, status, "{origin} at {place:?}");
    }
    let logged = ["not let in", "tenant=umbra", "origin=\"https://acme"];
    gates.program.logged(&logged).await.unwrap();
}

#[tokio::test]
async fn a_reload_changes_one_gate_and_no_connection() {
    let gates = Gates::start().await;
    let token = gates.acme.token(None, &with("aud", "chat"));
    let by_umbra = gates.umbra.token(None, &with("aud", "chat"));
    let mut near = gates.bring(ACME, &token).await.unwrap();
    let mut far = gates.bring(UMBRA, &by_umbra).await.unwrap();

    let next = Signer::curve(Algorithm::ES256);
    std::fs::write(gates.folder.path().join("next.pem"), &next.public).unwrap();
    let config = TENANTS.replacen("acme.pem", "next.pem", 1).replacen(
        "https://acme.example.com",
        "https://next.example.com",
        1,
    );
    gates.reload(&config).await;
    let line = gates.program.logged(&["configuration reloaded"]).await;
    let line = line.unwrap();
    assert!(line.contains("changed=\"tenant acme\""), "{line}");

    let refusal = gates.bring(ACME, &token).await.err().unwrap();
    assert_eq!(refusal.status, 401);
    let by_next = next.token(None, &with("aud", "chat"));
    let header = format!("Bearer {by_next}");
    for (origin, status) in [
        ("https://next.example.com", None),
        ("https://acme.example.com", Some(403)),
    ] {
        let headers = [("origin", origin), ("authorization", header.as_str())];
        let refusal = gates.connect(ACME, &headers).await.err();
        assert_eq!(refusal.map(|refusal| refusal.status), status, "{origin}");
    }
    // The others go on as before, and so does who was in.
    assert!(gates.bring(UMBRA, &by_umbra).await.is_ok());
    let for_game = gates.acme.token(None, &with("aud", "game"));
    assert!(gates.bring(TWIN, &for_game).await.is_ok());
    near.barrier().await.unwrap();
    far.barrier().await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_one_is_said_by_its_name_and_changes_none() {
    let gates = Gates::start().await;
    let token = gates.acme.token(None, &with("aud", "chat"));
    std::fs::write(gates.folder.path().join("bad.pem"), "no key").unwrap();
    let config = TENANTS
        .replacen("umbra.pem", "bad.pem", 1)
        .replacen("acme.pem", "umbra.pem", 1);
    gates.reload(&config).await;
    let parts = [
        "configuration not reloaded",
        "tenants.umbra.auth.jwt.key_file: ",
        "bad.pem: has no PUBLIC KEY in PEM",
    ];
    gates.program.logged(&parts).await.unwrap();
    assert!(gates.bring(ACME, &token).await.is_ok());
    // Nor does it start.
    let serve = wardroom(gates.folder.path(), &["serve", "--listen", "127.0.0.1:0"]);
    let output = serve.run().await.unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains(parts[1]), "{errors}");
    assert!(output.stdout.is_empty(), "it is never ready");
}

#[tokio::test]
async fn a_flood_at_one_gate_takes_no_line_of_another() {
    let gates = Gates::start().await;
    for _ in 0..100 {
        let refusal = gates.connect(ACME, &[]).await.err().unwrap();
        assert_eq!(refusal.status, 401);
    }
    gates.bring(TWIN, "x").await.err().unwrap();
    let parts = ["not let in", "tenant=twin", "malformed"];
    gates.program.logged(&parts).await.unwrap();
}
