//! Checks JSON Web Tokens (RFC 7519), as RFC 8725 wants it done: the algorithm comes from the key, never from the
//! token, and a token says for whom it is, by whom, and until when.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::keys::Keys;
use crate::protocol::check_json;
use crate::reread::{BadFile, Reread};

/// How much later than ours the clock of who signs may be, or earlier: a token counts for so long beside its `nbf` and
/// its `exp`.
const LEEWAY: Duration = Duration::from_secs(10);
/// Without these a token would be good for ever, for everyone or from anyone.
const REQUIRED: [&str; 3] = ["exp", "aud", "iss"];

/// Which tokens are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtConfig {
    /// What they are signed with.
    pub key: KeySource,
    /// Each has to be for one of these.
    pub audience: Vec<String>,
    /// Each has to be by one of these.
    pub issuer: Vec<String>,
}

/// Where the key is, or the keys are.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A shared secret.
    Secret(String),
    /// A shared secret in a file.
    SecretFile(PathBuf),
    /// A public key in PEM.
    KeyFile(PathBuf),
    /// A JSON Web Key Set.
    JwksFile(PathBuf),
}

/// The secret is not shown.
impl fmt::Debug for KeySource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(_) => formatter.write_str("Secret"),
            Self::SecretFile(file) => formatter.debug_tuple("SecretFile").field(file).finish(),
            Self::KeyFile(file) => formatter.debug_tuple("KeyFile").field(file).finish(),
            Self::JwksFile(file) => formatter.debug_tuple("JwksFile").field(file).finish(),
        }
    }
}

impl JwtConfig {
    /// Puts together what was given of it; `None` for nothing at all.
    ///
    /// # Errors
    /// What is missing, or too much.
    pub fn of(
        keys: Vec<KeySource>,
        audience: Vec<String>,
        issuer: Vec<String>,
    ) -> Result<Option<Self>, String> {
        if keys.is_empty() && audience.is_empty() && issuer.is_empty() {
            return Ok(None);
        }
        let [key] = <[KeySource; 1]>::try_from(keys).map_err(
            |_| "needs one of secret, secret_file, key_file and jwks_file, and not two of them",
        )?;
        if audience.is_empty() || issuer.is_empty() {
            return Err(
                "needs audience and issuer: a token for another service must not do here".into(),
            );
        }
        if let KeySource::Secret(secret) = &key {
            Keys::of_secret(secret.as_bytes()).map_err(|problem| format!("secret {problem}"))?;
        }
        Ok(Some(Self {
            key,
            audience,
            issuer,
        }))
    }
}

/// Why a token is not good. The client is not told which: it would help nobody but who forges one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// There is none.
    #[error("there is no bearer token, neither in a header nor in the query")]
    Missing,
    /// There are several.
    #[error("there are two tokens, and they differ")]
    Several,
    /// It is longer than any.
    #[error("the token is too long")]
    TooLong,
    /// It cannot be read.
    #[error("the token is malformed, or of an algorithm that is not known")]
    Malformed,
    /// It wants to be understood in a way that nobody here knows (RFC 7515, 4.1.11).
    #[error("the token has a critical extension")]
    Critical,
    /// It names no key, and there are several.
    #[error("the token has no kid, and there are several keys")]
    NoKeyNamed,
    /// It names one that there is not.
    #[error("the token's kid {0:?} is that of no key")]
    UnknownKey(String),
    /// Its key says no, or its claims do.
    #[error("{0}")]
    Invalid(String),
}

/// What is known of a client whose token is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The claims: a JSON object, as it was signed.
    pub claims: String,
    /// When it stops being good, leeway included.
    pub expires_at: SystemTime,
}

/// Checks tokens with the keys as they are now.
#[derive(Debug)]
pub struct Jwt {
    keys: Reread<Keys>,
    config: JwtConfig,
}

#[derive(Deserialize)]
struct Expiry {
    exp: serde_json::Number,
}

impl Jwt {
    /// Reads the keys.
    ///
    /// # Errors
    /// [`BadFile`].
    pub fn open(config: JwtConfig) -> Result<Self, BadFile> {
        let one = |file: &PathBuf, read: fn(&[u8]) -> Result<Keys, String>| {
            let make = move |contents: &[Vec<u8>]| {
                let content = contents.first().map(Vec::as_slice);
                read(content.unwrap_or_default()).map_err(|problem| (0, problem))
            };
            Reread::open(vec![file.clone()], make)
        };
        let keys = match &config.key {
            KeySource::Secret(secret) => {
                let secret = secret.clone();
                let make = move |_: &[Vec<u8>]| {
                    Keys::of_secret(secret.as_bytes()).map_err(|problem| (0, problem))
                };
                Reread::open(vec![], make)
            }
            KeySource::SecretFile(file) => one(file, Keys::of_secret),
            KeySource::KeyFile(file) => one(file, Keys::of_pem),
            KeySource::JwksFile(file) => one(file, Keys::of_jwks),
        }?;
        Ok(Self { keys, config })
    }

    /// Checks a token.
    ///
    /// # Errors
    /// [`TokenRefused`].
    pub async fn verify(&self, token: &str) -> Result<Verified, TokenRefused> {
        let keys: Arc<Keys> = self.keys.current().await;
        let header = decode_header(token).map_err(|_| TokenRefused::Malformed)?;
        if header.crit.is_some() {
            return Err(TokenRefused::Critical);
        }
        let key = keys.find(header.kid.as_deref())?;
        let mut validation = Validation::default();
        validation.algorithms.clone_from(&key.algorithms);
        validation.set_required_spec_claims(&REQUIRED);
        validation.set_audience(&self.config.audience);
        validation.set_issuer(&self.config.issuer);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY.as_secs();
        // Also in the second of its end it is over (RFC 7519, 4.1.4): who was closed then would get in again otherwise.
        validation.reject_tokens_expiring_in_less_than = 1;
        let decoded = decode::<Box<RawValue>>(token, &key.key, &validation);
        let claims = decoded.map_err(|error| refused(&error))?.claims;
        let claims = check_json(claims.get()).map_err(|_| TokenRefused::Malformed)?;
        let expires_at = expires_at(claims).ok_or(TokenRefused::Malformed)?;
        Ok(Verified {
            claims: claims.to_owned(),
            expires_at,
        })
    }
}

/// The end of a token that was found good. As a fraction, it is rounded as it was when it was judged.
fn expires_at(claims: &str) -> Option<SystemTime> {
    let Expiry { exp } = serde_json::from_str(claims)
        .ok()
        .filter(|_| claims.starts_with('{'))?;
    let seconds = exp.as_u64().map_or_else(
        || Duration::try_from_secs_f64(exp.as_f64()?.round()).ok(),
        |exp| Some(Duration::from_secs(exp)),
    );
    let end = seconds?.saturating_add(LEEWAY);
    // A time that the system cannot say is far enough away.
    let far = UNIX_EPOCH + Duration::from_secs(u64::from(u32::MAX) * 2);
    Some(UNIX_EPOCH.checked_add(end).unwrap_or(far))
}

/// In words of ours: what the parsers say quotes the token.
fn refused(error: &Error) -> TokenRefused {
    let problem = match error.kind() {
        ErrorKind::InvalidAlgorithm => "the token's algorithm is not its key's".to_owned(),
        ErrorKind::InvalidSignature => "the token's signature is wrong".to_owned(),
        ErrorKind::ExpiredSignature => "the token has expired".to_owned(),
        ErrorKind::ImmatureSignature => "the token is not valid yet".to_owned(),
        ErrorKind::InvalidAudience => "the token is for another audience".to_owned(),
        ErrorKind::InvalidIssuer => "the token is by another issuer".to_owned(),
        // They are among those that are required here.
        ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => {
            format!("the token has no {claim}, or one that cannot be read")
        }
        _ => return TokenRefused::Malformed,
    };
    TokenRefused::Invalid(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_whole_or_nothing() {
        let secret = |length| KeySource::Secret("s".repeat(length));
        let one = || vec!["a".to_owned()];
        assert_eq!(JwtConfig::of(vec![], vec![], vec![]), Ok(None));
        let config = JwtConfig::of(vec![secret(32)], one(), one()).unwrap();
        assert!(config.is_some());
        assert!(!format!("{config:?}").contains("sss"), "{config:?}");
        for (keys, audience, issuer) in [
            (vec![], one(), one()),
            (vec![secret(32), secret(32)], one(), one()),
            (vec![secret(32)], vec![], one()),
            (vec![secret(32)], one(), vec![]),
            (vec![secret(31)], one(), one()),
        ] {
            assert!(JwtConfig::of(keys, audience, issuer).is_err());
        }
    }

    #[test]
    fn the_end_is_the_expiry_and_the_leeway() {
        let end = |exp: &str| {
            let end = expires_at(&format!("{{\"exp\":{exp}}}"))?;
            Some(end.duration_since(UNIX_EPOCH).unwrap().as_secs())
        };
        assert_eq!(end("1000"), Some(1010));
        assert_eq!(end("1000.6"), Some(1011));
        assert_eq!(end("-1.5"), None);
        assert!(end("18446744073709551615") > Some(8_000_000_000));
        assert_eq!(expires_at("[1000]"), None, "no object");
    }
}
