//! Tokens that nobody who may sign has signed like that: all of them are answered 401, before there is a connection.

use crate::tokens::{Guarded, with, without};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use wardroom_tests::Refusal;
use wardroom_tests::token::{Signer, claims, encoded, seconds_from_now};

/// What is wrong, and a token of which that is wrong.
type Forgery = (&'static str, String);

/// The keys of a host, which are called `rsa` and `ec`.
struct Signers {
    rsa: Signer,
    ec: Signer,
}

impl Signers {
    fn good(&self) -> String {
        self.rsa.token(Some("rsa"), &claims())
    }

    /// With these claims.
    fn saying(&self, claims: &Value) -> String {
        self.rsa.token(Some("rsa"), claims)
    }

    /// With this header, whatever it was signed by.
    fn headed(&self, header: &Value) -> String {
        self.rsa.sign(header, &claims())
    }

    fn by_algorithm(&self) -> Vec<Forgery> {
        let unsigned = |algorithm: &str| {
            let header = json!({ "typ": "JWT", "alg": algorithm, "kid": "rsa" });
            format!("{}.{}.", encoded(&header), encoded(&claims()))
        };
        let named = |algorithm: &str| self.headed(&json!({ "alg": algorithm, "kid": "rsa" }));
        let by_public_key = Signer::secret(Algorithm::HS256, &self.rsa.public);
        vec![
            ("alg none, no signature", unsigned("none")),
            ("alg nOnE, no signature", unsigned("nOnE")),
            ("alg RS256, no signature", unsigned("RS256")),
            ("alg none over a good signature", named("none")),
            ("alg RS384 over one of RS256", named("RS384")),
            ("alg PS256 over one of RS256", named("PS256")),
            ("alg ES256 for an RSA key", named("ES256")),
            ("alg HS256 for an RSA key", named("HS256")),
            ("no alg", self.headed(&json!({ "kid": "rsa" }))),
            (
                "HS256 by the RSA public key's PEM",
                by_public_key.token(Some("rsa"), &claims()),
            ),
        ]
    }

    fn by_claims(&self) -> Vec<Forgery> {
        let list = json!([seconds_from_now(60), null, null, "tests", "chat"]);
        vec![
            ("expired", self.saying(&with("exp", seconds_from_now(-11)))),
            ("exp is a text", self.saying(&with("exp", "4102444800"))),
            ("exp is negative", self.saying(&with("exp", -1))),
            ("no exp", self.saying(&without("exp"))),
            (
                "not yet valid",
                self.saying(&with("nbf", seconds_from_now(60))),
            ),
            ("nbf is a text", self.saying(&with("nbf", "0"))),
            ("another audience", self.saying(&with("aud", "chatter"))),
            (
                "other audiences",
                self.saying(&with("aud", json!(["a", "b"]))),
            ),
            (
                "no audience in the list",
                self.saying(&with("aud", json!([]))),
            ),
            ("no aud", self.saying(&without("aud"))),
            ("another issuer", self.saying(&with("iss", "test"))),
            ("no iss", self.saying(&without("iss"))),
            ("claims are an array", self.saying(&list)),
        ]
    }

    fn by_key(&self) -> Vec<Forgery> {
        let named = |id: &str| self.rsa.token(Some(id), &claims());
        let other = Signer::curve(Algorithm::ES256);
        let own_key = json!({ "alg": "ES256", "kid": "ec", "jwk": other.jwk("ec") });
        vec![
            ("unknown kid", named("rsb")),
            ("no kid, with two keys", self.rsa.token(None, &claims())),
            ("kid is a path", named("../../keys")),
            ("kid is /dev/null", named("/dev/null")),
            ("kid is empty", named("")),
            ("kid is SQL", named("x' UNION SELECT 'rsa")),
            (
                "kid is an array",
                self.headed(&json!({ "alg": "RS256", "kid": ["rsa"] })),
            ),
            (
                "kid is a number",
                self.headed(&json!({ "alg": "RS256", "kid": 0 })),
            ),
            (
                "by the key of another kid",
                self.ec.token(Some("rsa"), &claims()),
            ),
            (
                "by another key of that kind",
                other.token(Some("ec"), &claims()),
            ),
            ("brings its own key", other.sign(&own_key, &claims())),
        ]
    }

    fn by_shape(&self) -> Vec<Forgery> {
        let good = self.good();
        let (start, signature) = good.rsplit_once('.').unwrap();
        let (header, _) = start.split_once('.').unwrap();
        let swapped = encoded(&with("sub", "root"));
        let critical = json!({ "alg": "RS256", "kid": "rsa", "crit": ["b64"], "b64": false });
        let huge = with("sub", "x".repeat(40_000));
        vec![
            ("others' claims", format!("{header}.{swapped}.{signature}")),
            ("a critical extension", self.headed(&critical)),
            ("cut in the signature", good[..good.len() - 4].to_owned()),
            ("cut before the signature", start.to_owned()),
            ("cut in the claims", good[..header.len() + 9].to_owned()),
            ("a part too many", format!("{good}.{signature}")),
            ("padded", format!("{good}==")),
            ("no base64", "!!.$$.**".to_owned()),
            ("garbage in base64", ["Z2FyYmFnZQ"; 3].join(".")),
            ("dots alone", "..".to_owned()),
            ("huge", self.saying(&huge)),
        ]
    }
}

fn start() -> (Guarded, Signers) {
    let signers = Signers {
        rsa: Signer::rsa(Algorithm::RS256),
        ec: Signer::curve(Algorithm::ES256),
    };
    let keys = [signers.rsa.jwk("rsa"), signers.ec.jwk("ec")];
    (Guarded::with_set(&keys), signers)
}

fn challenge(refusal: &Refusal) -> Option<&str> {
    let mut headers = refusal.headers.iter();
    let found = headers.find(|(name, _)| name == "www-authenticate");
    found.map(|(_, value)| value.as_str())
}

const INVALID: &str = "Bearer error=\"invalid_token\"";

#[tokio::test]
async fn forgeries_are_answered_401() {
    let (guarded, signers) = start();
    let kinds = [
        signers.by_algorithm(),
        signers.by_claims(),
        signers.by_key(),
        signers.by_shape(),
    ];
    for (what, token) in kinds.concat() {
        let path = format!("/ws?token={token}");
        let by_query = guarded.server.connect_at("A", &path, &[]).await.unwrap();
        let by_header = guarded.connect(&token).await;
        for (way, connected) in [("header", by_header), ("query", by_query)] {
            let Err(refusal) = connected else {
                panic!("{what} gets in by the {way}");
            };
            println!("{what:<34} {way:<6} {}", refusal.status);
            assert_eq!(refusal.status, 401, "{what} by the {way}");
            // Which of them it was helps nobody else.
            assert_eq!(refusal.body, "the token is not valid\n", "{what}");
            assert_eq!(challenge(&refusal), Some(INVALID), "{what}");
        }
    }
    assert!(guarded.connect(&signers.good()).await.is_ok());
    let log = guarded.server.log.text();
    let good = signers.good();
    let (_, signature) = good.rsplit_once('.').unwrap();
    assert!(!log.contains(signature), "{log}");
}

#[tokio::test]
async fn one_token_is_wanted_neither_none_nor_two() {
    let (guarded, signers) = start();
    let good = signers.good();
    let header = format!("Bearer {good}");
    let other = format!("Bearer {}", signers.saying(&with("sub", "bob")));
    let path = format!("/ws?token={good}");
    let twice = format!("{path}&token=x");
    for (what, path, headers, expected) in [
        ("no token", "/ws", vec![], "Bearer"),
        ("another scheme", "/ws", vec!["Basic eDp5"], "Bearer"),
        ("an empty one", "/ws", vec!["Bearer "], "Bearer"),
        ("an empty one in the query", "/ws?token=", vec![], INVALID),
        ("another in the query", &path, vec![other.as_str()], INVALID),
        ("two headers", "/ws", vec![&header, &other], INVALID),
        ("two in the query", &twice, vec![], INVALID),
    ] {
        let headers: Vec<_> = headers
            .into_iter()
            .map(|value| ("authorization", value))
            .collect();
        let connected = guarded.server.connect_at("A", path, &headers).await;
        let refusal = connected.unwrap().err().unwrap();
        println!("{what:<34}        {}", refusal.status);
        assert_eq!(
            (refusal.status, challenge(&refusal)),
            (401, Some(expected)),
            "{what}"
        );
    }
    let same = guarded
        .server
        .connect_at("A", &path, &[("authorization", &header)])
        .await;
    assert!(same.unwrap().is_ok(), "the same one twice is one");
}
