//! The keys that tokens are checked with, and which of them a token is for.

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};

use super::TokenRefused;

/// RFC 7518, 3.2: a shorter one is guessed sooner than the shortest signature is forged.
const SECRET_BYTES_MIN: usize = 32;
/// What PEM begins with.
const PEM: &[u8] = b"-----BEGIN ";
/// What PEM says of keys that only who signs may have.
const PRIVATE: &str = "PRIVATE KEY-----";

/// All keys of a source.
#[derive(Debug)]
pub(super) struct Keys {
    keys: Vec<Key>,
    /// Whether keys have names, as they have in a set. A file of one key says no name for it.
    are_named: bool,
}

/// A key, and what it may be used for. That is never asked of the token: one that names another algorithm is forged.
#[derive(Debug)]
pub(super) struct Key {
    id: Option<String>,
    pub(super) key: DecodingKey,
    pub(super) algorithms: Vec<Algorithm>,
}

impl Keys {
    /// A shared secret. One line end at its end is taken for the editor's.
    pub(super) fn of_secret(secret: &[u8]) -> Result<Self, String> {
        let secret = secret.strip_suffix(b"\n").unwrap_or(secret);
        let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
        Key::of_secret(secret).map(Self::alone)
    }

    /// A public key in PEM.
    pub(super) fn of_pem(pem: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(pem).map_err(|_| "is no PEM")?;
        if text.contains(PRIVATE) {
            return Err("is a private key; the host needs the public one alone".to_owned());
        }
        if !text.contains("PUBLIC KEY-----") {
            return Err("has no PUBLIC KEY in PEM".to_owned());
        }
        let ec = || {
            DecodingKey::from_ec_pem(pem)
                .ok()
                .and_then(|key| Key::of_ec(None, key))
        };
        let ed = || {
            let key = DecodingKey::from_ed_pem(pem).ok();
            key.map(|key| Key::of_family(None, key))
        };
        let rsa = || {
            let key = DecodingKey::from_rsa_pem(pem).ok();
            key.map(|key| Key::of_family(None, key))
        };
        let key = ec().or_else(ed).or_else(rsa);
        let key = key.ok_or("is no RSA, P-256, P-384 or Ed25519 key")?;
        Ok(Self::alone(key))
    }

    /// A JSON Web Key Set (RFC 7517). Keys that are for something else, or of a kind that is not known here, are left
    /// out: a set may be shared.
    pub(super) fn of_jwks(json: &[u8]) -> Result<Self, String> {
        // Not all that the parser says: it may quote what is a secret.
        let set: JwkSet = serde_json::from_slice(json)
            .map_err(|error| format!("is no JSON Web Key Set (line {})", error.line()))?;
        let mut keys: Vec<Key> = Vec::new();
        for jwk in &set.keys {
            let Some(key) = Key::of_jwk(jwk)? else {
                continue;
            };
            if key.id.is_some() && keys.iter().any(|other| other.id == key.id) {
                let id = key.id.unwrap_or_default();
                return Err(format!("has two keys with the kid {id:?}"));
            }
            keys.push(key);
        }
        if keys.is_empty() {
            return Err("has no key to check a signature with".to_owned());
        }
        Ok(Self {
            keys,
            are_named: true,
        })
    }

    fn alone(key: Key) -> Self {
        Self {
            keys: vec![key],
            are_named: false,
        }
    }

    /// The key that a token with this `kid` is for. It is compared with names alone, whatever it looks like.
    pub(super) fn find(&self, id: Option<&str>) -> Result<&Key, TokenRefused> {
        let (Some(id), true) = (id, self.are_named) else {
            return match self.keys.as_slice() {
                [key] => Ok(key),
                _ => Err(TokenRefused::NoKeyNamed),
            };
        };
        let named = self.keys.iter().find(|key| key.id.as_deref() == Some(id));
        named.ok_or_else(|| TokenRefused::UnknownKey(id.chars().take(64).collect()))
    }
}

impl Key {
    fn of_secret(secret: &[u8]) -> Result<Self, String> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(format!("must have {SECRET_BYTES_MIN} bytes or more"));
        }
        // Everyone may know a public key, and so everyone could sign with it.
        if secret.trim_ascii_start().starts_with(PEM) {
            return Err("is a key in PEM and no secret; key_file is for those".to_owned());
        }
        Ok(Self::of_family(None, DecodingKey::from_secret(secret)))
    }

    /// One that may be used for whatever its kind is for.
    fn of_family(id: Option<String>, key: DecodingKey) -> Self {
        let algorithms = key.family().algorithms().to_vec();
        Self {
            id,
            key,
            algorithms,
        }
    }

    /// A point of a curve that there is an algorithm for, uncompressed.
    fn of_ec(id: Option<String>, key: DecodingKey) -> Option<Self> {
        let algorithm = match key.try_get_as_bytes().ok()?.len() {
            65 => Algorithm::ES256,
            97 => Algorithm::ES384,
            _ => return None,
        };
        Some(Self {
            id,
            key,
            algorithms: vec![algorithm],
        })
    }

    /// `None` for a key that is not to be used here.
    fn of_jwk(jwk: &Jwk) -> Result<Option<Self>, String> {
        let common = &jwk.common;
        let is_for_signatures = common
            .public_key_use
            .as_ref()
            .is_none_or(|usage| *usage == PublicKeyUse::Signature);
        let may_verify = common
            .key_operations
            .as_ref()
            .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        let is_known = match &jwk.algorithm {
            AlgorithmParameters::EllipticCurve(parameters) => {
                matches!(parameters.curve, EllipticCurve::P256 | EllipticCurve::P384)
            }
            AlgorithmParameters::OctetKeyPair(parameters) => {
                parameters.curve == EllipticCurve::Ed25519
            }
            AlgorithmParameters::RSA(_) | AlgorithmParameters::OctetKey(_) => true,
            // Of a kind that came later.
            _ => false,
        };
        if !is_for_signatures || !may_verify || !is_known {
            return Ok(None);
        }
        let id = common.key_id.clone();
        let named = format!(
            "the key with the kid {:?}",
            id.as_deref().unwrap_or_default()
        );
        let malformed = || format!("{named} is malformed");
        let key = DecodingKey::from_jwk(jwk).map_err(|_| malformed())?;
        let mut key = match key.family() {
            AlgorithmFamily::Ec => Self::of_ec(id, key).ok_or_else(malformed)?,
            AlgorithmFamily::Hmac => {
                let secret = key.try_get_as_bytes().map_err(|_| malformed())?;
                let key =
                    Self::of_secret(secret).map_err(|problem| format!("{named} {problem}"))?;
                Self { id, ..key }
            }
            AlgorithmFamily::Rsa | AlgorithmFamily::Ed => Self::of_family(id, key),
        };
        if let Some(said) = common.key_algorithm {
            let said = Algorithm::try_from(said).ok();
            key.algorithms.retain(|algorithm| Some(*algorithm) == said);
        }
        Ok((!key.algorithms.is_empty()).then_some(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(keys: &serde_json::Value) -> Result<Keys, String> {
        Keys::of_jwks(json!({ "keys": keys }).to_string().as_bytes())
    }

    fn secret(id: &str) -> serde_json::Value {
        json!({ "kty": "oct", "kid": id, "k": "c".repeat(64) })
    }

    #[test]
    fn a_key_says_what_it_is_for() {
        let mut only = secret("a");
        only["alg"] = "HS384".into();
        let keys = set(&json!([only])).unwrap();
        assert_eq!(keys.find(None).unwrap().algorithms, [Algorithm::HS384]);
        let keys = set(&json!([secret("a")])).unwrap();
        assert_eq!(keys.find(None).unwrap().algorithms.len(), 3);
        let point =
            json!({ "kty": "EC", "crv": "P-384", "x": "A".repeat(64), "y": "A".repeat(64) });
        let keys = set(&json!([point])).unwrap();
        assert_eq!(keys.find(None).unwrap().algorithms, [Algorithm::ES384]);
    }

    #[test]
    fn what_is_for_something_else_is_left_out() {
        let with = |name: &str, value: serde_json::Value| {
            let mut key = secret("a");
            key[name] = value;
            key
        };
        for other in [
            with("use", "enc".into()),
            with("key_ops", json!(["sign"])),
            with("alg", "RS256".into()),
            with("alg", "dir".into()),
            with("kty", "new".into()),
            json!({ "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA" }),
        ] {
            let keys = set(&json!([other, secret("b")])).unwrap();
            assert_eq!(keys.keys.len(), 1, "{other}");
            let alone = set(&json!([other]));
            assert_eq!(alone.unwrap_err(), "has no key to check a signature with");
        }
    }

    #[test]
    fn what_is_broken_is_said() {
        let short = json!({ "kty": "oct", "kid": "a", "k": "c2VjcmV0" });
        let error = set(&json!([short])).unwrap_err();
        assert_eq!(
            error,
            "the key with the kid \"a\" must have 32 bytes or more"
        );
        let error = set(&json!([secret("a"), secret("a")])).unwrap_err();
        assert_eq!(error, "has two keys with the kid \"a\"");
        let error = Keys::of_jwks(b"{\n\"keys\": \"c2VjcmV0\"}").unwrap_err();
        assert_eq!(error, "is no JSON Web Key Set (line 2)");
        let error = Keys::of_secret(b"short\n").unwrap_err();
        assert_eq!(error, "must have 32 bytes or more");
        let public = b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----";
        let error = Keys::of_secret(public).unwrap_err();
        assert!(
            error.starts_with("is a key in PEM and no secret"),
            "{error}"
        );
        for (pem, problem) in [
            ("", "has no PUBLIC KEY in PEM"),
            (
                "-----BEGIN RSA PRIVATE KEY-----",
                "is a private key; the host needs the public one alone",
            ),
            (
                "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
                "is no RSA, P-256, P-384 or Ed25519 key",
            ),
        ] {
            assert_eq!(Keys::of_pem(pem.as_bytes()).unwrap_err(), problem);
        }
    }

    #[test]
    fn a_kid_is_a_name_and_nothing_else() {
        let keys = set(&json!([secret("a"), secret("")])).unwrap();
        assert_eq!(keys.find(Some("a")).unwrap().id.as_deref(), Some("a"));
        assert_eq!(keys.find(Some("")).unwrap().id.as_deref(), Some(""));
        assert_eq!(keys.find(None).unwrap_err(), TokenRefused::NoKeyNamed);
        let unknown = keys.find(Some("../a")).unwrap_err();
        assert_eq!(unknown, TokenRefused::UnknownKey("../a".to_owned()));
        let alone = Keys::of_secret(&[b'x'; 32]).unwrap();
        assert!(alone.find(Some("whatever")).is_ok() && alone.find(None).is_ok());
    }
}
