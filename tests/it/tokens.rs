//! Tokens: which are good, which are not, what plugins learn of them, and what happens when they expire.

use crate::configuration::{configure, folder, puppet, serve};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wardroom::Config;
use wardroom_tests::token::{Signer, claims, seconds_from_now};
use wardroom_tests::{Client, Plugin, Refusal, TestServer, WAIT};

const SECRET: &str = "a secret that is long enough for all of them, even for the longest: 64";

/// A host that wants tokens, and the folder of its keys.
pub(crate) struct Guarded {
    pub(crate) server: TestServer,
    folder: TempDir,
}

impl Guarded {
    /// One with a set of keys.
    pub(crate) fn with_set(keys: &[Value]) -> Self {
        Self::start(&json!({ "keys": keys }).to_string(), |config, file| {
            config.jwt.jwks_file = Some(file.to_owned());
        })
    }

    fn start(keys: &str, configure: impl FnOnce(&mut Config, &Path)) -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("keys");
        std::fs::write(&file, keys).unwrap();
        let puppet = Plugin::puppet(&json!({ "name": "puppet", "routes": [["do", "/do"]],
            "hooks": ["upgrade"], "headers": ["authorization", "x-request-id"] }));
        let server = TestServer::start(&[puppet], |config| {
            config.jwt.audience = vec!["game".to_owned(), "chat".to_owned()];
            config.jwt.issuer = vec!["tests".to_owned()];
            configure(config, &file);
        });
        let server = server.unwrap();
        Self { server, folder }
    }

    fn write(&self, keys: &[Value]) {
        // As one that does it well: no reader sees half of it.
        let (file, new) = (
            self.folder.path().join("keys"),
            self.folder.path().join("new"),
        );
        std::fs::write(&new, json!({ "keys": keys }).to_string()).unwrap();
        std::fs::rename(new, file).unwrap();
    }

    pub(crate) async fn connect(&self, token: &str) -> Result<Client, Refusal> {
        let header = format!("Bearer {token}");
        let headers = [("authorization", header.as_str())];
        self.server.connect_at("A", "/ws", &headers).await.unwrap()
    }

    /// Waits until a token is good, or is not.
    async fn becomes(&self, token: &str, is_good: bool) {
        let deadline = Instant::now() + WAIT;
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        while self.connect(token).await.is_ok() != is_good {
            assert!(Instant::now() < deadline, "{}", self.server.log.text());
            looks.tick().await;
        }
    }
}

/// The claims, but for one.
pub(crate) fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

pub(crate) fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn signature(token: &str) -> &str {
    token.rsplit('.').next().unwrap()
}

#[tokio::test]
async fn the_log_says_why_and_the_answer_does_not() {
    let rsa = Signer::rsa(Algorithm::RS256);
    let guarded = Guarded::with_set(&[rsa.jwk("rsa")]);
    for (token, reason) in [
        (
            rsa.token(Some("\u{1b}[31m\nx"), &claims()),
            "the token's kid \"\\u{1b}[31m\\nx\" is that of no key",
        ),
        (rsa.token(None, &with("exp", 5)), "the token has expired"),
        (
            rsa.token(None, &with("aud", "x")),
            "the token is for another audience",
        ),
        (
            rsa.token(None, &with("iss", "x")),
            "the token is by another issuer",
        ),
        (rsa.token(None, &without("exp")), "the token has no exp"),
        (
            rsa.sign(&json!({ "alg": "HS256" }), &claims()),
            "the token's algorithm is not its key's",
        ),
    ] {
        let refusal = guarded.connect(&token).await.err().unwrap();
        assert_eq!(refusal.body, "the token is not valid\n");
        let parts = ["INFO", "not let in", reason, "peer=127.0.0.1:"];
        guarded.server.logged(&parts).await.unwrap();
    }
    // Whoever tries on fills no disk.
    for _ in 0..100 {
        guarded.connect("x").await.err().unwrap();
    }
    let lines = guarded.server.log.lines_with(&["not let in"]).len();
    assert!(lines < 100, "{lines} lines");
}

#[tokio::test]
async fn good_tokens_of_every_kind_get_in() {
    use Algorithm::{
        ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512,
    };
    let rsa = [RS256, RS384, RS512, PS256, PS384, PS512]
        .map(|algorithm| (algorithm, Signer::rsa(algorithm)));
    let curves = [ES256, ES384, EdDSA].map(|algorithm| (algorithm, Signer::curve(algorithm)));
    let secrets =
        [HS256, HS384, HS512].map(|algorithm| (algorithm, Signer::secret(algorithm, SECRET)));
    let all: Vec<_> = rsa.into_iter().chain(curves).chain(secrets).collect();
    let keys: Vec<_> = all
        .iter()
        .map(|(algorithm, signer)| signer.jwk(&format!("{algorithm:?}")))
        .collect();
    let set = Guarded::with_set(&keys);
    for (algorithm, signer) in &all {
        let id = format!("{algorithm:?}");
        let connected = set.connect(&signer.token(Some(&id), &claims())).await;
        assert!(connected.is_ok(), "{algorithm:?} of a set: {connected:?}");
        let alone = Guarded::start(&signer.public, |config, file| {
            let is_secret = matches!(algorithm, HS256 | HS384 | HS512);
            let place = if is_secret {
                &mut config.jwt.secret_file
            } else {
                &mut config.jwt.key_file
            };
            *place = Some(file.to_owned());
        });
        for id in [None, Some("whatever")] {
            let connected = alone.connect(&signer.token(id, &claims())).await;
            assert!(connected.is_ok(), "{algorithm:?} alone: {connected:?}");
        }
    }
    // A clock may be ten seconds off.
    let (_, signer) = &all[0];
    for (name, seconds) in [("exp", -5), ("nbf", 5)] {
        let token = signer.token(Some("RS256"), &with(name, seconds_from_now(seconds)));
        assert!(set.connect(&token).await.is_ok(), "{name}");
    }
}

#[tokio::test]
async fn plugins_get_the_claims_and_never_the_token() {
    let ed = Signer::curve(Algorithm::EdDSA);
    let guarded = Guarded::with_set(&[ed.jwk("a")]);
    let claims = with("roles", json!(["a", 1.50, null]));
    let token = ed.token(None, &claims);
    let header = format!("Bearer {token}");
    let headers = [("authorization", header.as_str()), ("x-request-id", "7")];
    for (path, headers) in [
        ("/ws?a=1&b=2", &headers[..]),
        (&format!("/ws?a=1&token={token}&b=2"), &[]),
    ] {
        let client = guarded.server.connect_at("A", path, headers).await.unwrap();
        let mut client = client.unwrap();
        let seen = client.run("/do", json!([["request"]])).await.unwrap();
        assert!(!seen.to_string().contains(signature(&token)), "{seen}");
        assert_eq!(seen[0]["claims"], claims);
        assert_eq!(seen[0]["query"], "a=1&b=2");
        let expected = if headers.is_empty() {
            json!([])
        } else {
            json!([["x-request-id", "7"]])
        };
        assert_eq!(seen[0]["headers"], expected);
    }
    // An upgrade hook comes after it, and may say something else.
    let path = format!("/ws?token={token}&upgrade=[[%22claims%22,{{%22was%22:%22$claims%22}}]]");
    let client = guarded.server.connect_at("A", &path, &[]).await.unwrap();
    let seen = client
        .unwrap()
        .run("/do", json!([["request"]]))
        .await
        .unwrap();
    assert_eq!(seen[0]["claims"]["was"], claims, "{seen}");
}

#[tokio::test]
async fn without_tokens_a_query_is_the_plugins_own() {
    let puppet = Plugin::puppet(&json!({ "name": "puppet", "routes": [["do", "/do"]] }));
    let server = TestServer::start(&[puppet], |_| {}).unwrap();
    let client = server.connect_at("A", "/ws?token=mine", &[]).await.unwrap();
    let seen = client
        .unwrap()
        .run("/do", json!([["request"]]))
        .await
        .unwrap();
    assert_eq!(seen[0]["query"], "token=mine");
    assert_eq!(seen[0]["claims"], Value::Null);
}

#[tokio::test]
async fn keys_rotate_when_their_file_is_replaced() {
    let (old, new) = (
        Signer::curve(Algorithm::ES256),
        Signer::curve(Algorithm::ES256),
    );
    let guarded = Guarded::with_set(&[old.jwk("old")]);
    let by_old = old.token(Some("old"), &claims());
    let by_new = new.token(Some("new"), &claims());
    assert!(guarded.connect(&by_new).await.is_err());
    let mut open = guarded.connect(&by_old).await.unwrap();
    guarded.write(&[old.jwk("old"), new.jwk("new")]);
    guarded.becomes(&by_new, true).await;
    assert!(guarded.connect(&by_old).await.is_ok());
    guarded.write(&[new.jwk("new")]);
    guarded.becomes(&by_old, false).await;
    // A broken set changes nothing.
    guarded.write(&[json!({ "kty": "oct", "kid": "new", "k": "c2hvcnQ" })]);
    let parts = [
        "ERROR",
        "keys",
        "what was read before stays",
        "must have 32 bytes",
    ];
    let logged = guarded.server.log.line_with(&parts);
    let trying = async {
        loop {
            assert!(guarded.connect(&by_new).await.is_ok());
        }
    };
    tokio::select! {
        _ = tokio::time::timeout(WAIT, logged) => {}
        () = trying => {}
    }
    assert_eq!(guarded.server.log.lines_with(&parts).len(), 1);
    open.barrier().await.unwrap();
}

#[tokio::test]
async fn a_connection_ends_with_its_token() {
    let ed = Signer::curve(Algorithm::EdDSA);
    let guarded = Guarded::with_set(&[ed.jwk("a")]);
    // The ten seconds by which clocks may differ, less two.
    let token = ed.token(None, &with("exp", seconds_from_now(-8)));
    let mut short = guarded.connect(&token).await.unwrap();
    let mut long = guarded.connect(&ed.token(None, &claims())).await.unwrap();
    let close = short.receive_close().await.unwrap();
    assert_eq!(
        (close.code, close.reason.as_str()),
        (Some(3502), "token expired")
    );
    assert!(guarded.connect(&token).await.is_err());
    long.barrier().await.unwrap();
}

#[tokio::test]
async fn a_reload_asks_for_tokens_and_one_with_broken_keys_changes_nothing() {
    let ed = Signer::curve(Algorithm::EdDSA);
    let folder = folder(&[puppet("puppet")], "");
    let program = serve(&folder).await;
    let mut early = program.connect("early").await.unwrap();

    let write = |text: &str| std::fs::write(folder.path().join("key.pem"), text).unwrap();
    write(&ed.public);
    let by_key = "[auth.jwt]\nkey_file = \"key.pem\"\naudience = \"chat\"\nissuer = \"tests\"\n";
    configure(&folder, by_key);
    program.signal("HUP").await.unwrap();
    let parts = ["configuration reloaded", "auth.jwt.key_file"];
    program.logged(&parts).await.unwrap();
    let header = format!("Bearer {}", ed.token(None, &claims()));
    let connect = async |headers: &[(&str, &str)]| {
        let connected = Client::connect("A", program.address, "/ws", headers).await;
        connected.unwrap()
    };
    assert_eq!(connect(&[]).await.err().unwrap().status, 401);
    assert!(connect(&[("authorization", &header)]).await.is_ok());
    early.barrier().await.unwrap();

    write("broken");
    configure(&folder, &format!("origins = \"*\"\n{by_key}"));
    program.signal("HUP").await.unwrap();
    let line = program.logged(&["configuration not reloaded"]).await;
    let problem = "key.pem: has no PUBLIC KEY in PEM";
    let line = line.unwrap();
    assert!(
        line.contains("auth.jwt.key_file: ") && line.contains(problem),
        "{line}"
    );
    let elsewhere = [("authorization", header.as_str()), ("origin", "https://x")];
    assert_eq!(connect(&elsewhere).await.err().unwrap().status, 403);
    assert!(connect(&elsewhere[..1]).await.is_ok());
}
