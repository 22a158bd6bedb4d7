//! Keys and tokens, made for one test.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey, Header};
use rcgen::{KeyPair, SignatureAlgorithm};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// A pair of keys.
#[derive(Debug)]
pub struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
    /// The public key in PEM; of a secret, the secret.
    pub public: String,
}

impl Signer {
    /// One that signs with RSA. Made once for each test program: it takes a while.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn rsa(algorithm: Algorithm) -> Self {
        static PAIR: std::sync::LazyLock<KeyPair> = std::sync::LazyLock::new(|| {
            let size = rcgen::RsaKeySize::_2048;
            KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size).expect("a key of that size")
        });
        let key = EncodingKey::from_rsa_pem(PAIR.serialize_pem().as_bytes());
        Self {
            algorithm,
            key: key.expect("it was just written"),
            public: PAIR.public_key_pem(),
        }
    }

    /// One that signs with a curve.
    ///
    /// # Panics
    /// When there is no key for the algorithm.
    #[must_use]
    pub fn curve(algorithm: Algorithm) -> Self {
        let kind: &SignatureAlgorithm = match algorithm {
            Algorithm::ES256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Algorithm::ES384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            _ => &rcgen::PKCS_ED25519,
        };
        let pair = KeyPair::generate_for(kind).expect("each kind can be made");
        let pem = pair.serialize_pem();
        let key = match algorithm {
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem.as_bytes()),
            _ => EncodingKey::from_ec_pem(pem.as_bytes()),
        };
        Self {
            algorithm,
            key: key.expect("it was just written"),
            public: pair.public_key_pem(),
        }
    }

    /// One that signs with a shared secret.
    #[must_use]
    pub fn secret(algorithm: Algorithm, secret: &str) -> Self {
        Self {
            algorithm,
            key: EncodingKey::from_secret(secret.as_bytes()),
            public: secret.to_owned(),
        }
    }

    /// The public key for a set, under this name.
    ///
    /// # Panics
    /// When there is no such form of it.
    #[must_use]
    pub fn jwk(&self, id: &str) -> Value {
        let public = self.public.as_bytes();
        let key = match self.algorithm.family() {
            AlgorithmFamily::Hmac => Ok(DecodingKey::from_secret(public)),
            AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(public),
            AlgorithmFamily::Ec => DecodingKey::from_ec_pem(public),
            AlgorithmFamily::Ed => DecodingKey::from_ed_pem(public),
        };
        let key = key.expect("it was just written");
        let mut jwk = Jwk::from_decoding_key(&key, Some(self.algorithm)).expect("it has a form");
        jwk.common.key_id = Some(id.to_owned());
        serde_json::to_value(jwk).expect("it is JSON")
    }

    /// A token with these claims; `id` names the key.
    ///
    /// # Panics
    /// When it cannot be signed.
    #[must_use]
    pub fn token(&self, id: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = id.map(ToOwned::to_owned);
        self.sign(&serde_json::to_value(header).expect("it is JSON"), claims)
    }

    /// A token with any header, whatever it says of the algorithm.
    ///
    /// # Panics
    /// When it cannot be signed.
    #[must_use]
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encoded(header), encoded(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm);
        format!("{message}.{}", signature.expect("the key is for it"))
    }
}

/// A part of a token.
#[must_use]
pub fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

/// Claims that are good for an hour, for the audience `chat` and by the issuer `tests`.
#[must_use]
pub fn claims() -> Value {
    json!({ "sub": "ann", "aud": "chat", "iss": "tests", "exp": seconds_from_now(3_600) })
}

/// A time as tokens have it.
///
/// # Panics
/// When the clock stands before 1970.
#[must_use]
pub fn seconds_from_now(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("it is later than that").as_secs();
    i64::try_from(now).expect("and not that much") + seconds
}
