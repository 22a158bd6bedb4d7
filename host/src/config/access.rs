//! Keys about who gets in that only make sense together.

use super::{Config, ConfigError, Fault, Key, fault};
use crate::auth::{JwtConfig, KeySource};

impl Config {
    /// Which tokens are good; `None` when none is asked for.
    ///
    /// # Errors
    /// What is missing of it, or too much.
    pub fn jwt(&self) -> Result<Option<JwtConfig>, ConfigError> {
        let jwt = JwtConfig::of(
            self.jwt_keys(),
            self.jwt_audience.clone(),
            self.jwt_issuer.clone(),
        );
        jwt.map_err(|problem| ConfigError {
            faults: vec![fault("auth.jwt", problem)],
        })
    }

    fn jwt_keys(&self) -> Vec<KeySource> {
        let secret = self
            .jwt_secret
            .as_ref()
            .map(|secret| secret.expose().to_owned());
        let sources = [
            secret.map(KeySource::Secret),
            self.jwt_secret_file.clone().map(KeySource::SecretFile),
            self.jwt_key_file.clone().map(KeySource::KeyFile),
            self.jwt_jwks_file.clone().map(KeySource::JwksFile),
        ];
        sources.into_iter().flatten().collect()
    }

    pub(super) fn validate_access(&self, faults: &mut Vec<Fault>) {
        if let Err(error) = self.jwt() {
            faults.extend(error.faults);
        }
        let problem = match (&self.tls_certificate, &self.tls_key) {
            (Some(_), None) => Some((Key::TlsCertificate, Key::TlsKey)),
            (None, Some(_)) => Some((Key::TlsKey, Key::TlsCertificate)),
            _ => None,
        };
        if let Some((given, missing)) = problem {
            faults.push(fault(
                &given.to_string(),
                format!("needs {missing} beside it"),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigFile, Effective, Flags, Sources};

    const SECRET: &str = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0";

    fn load(variables: &[(&str, &str)]) -> Result<Effective, String> {
        let sources = Sources {
            file: ConfigFile::None,
            environment: variables
                .iter()
                .map(|(name, value)| (format!("WARDROOM_{name}").into(), value.into()))
                .collect(),
            flags: Flags::default(),
        };
        sources.load().map_err(|error| error.to_string())
    }

    #[test]
    fn the_environment_may_say_everything() {
        let effective = load(&[
            ("AUTH_JWT_SECRET", SECRET),
            ("AUTH_JWT_AUDIENCE", "chat, game"),
            ("AUTH_JWT_ISSUER", "https://id.example.com"),
            ("TLS_CERTIFICATE", "a.pem"),
            ("TLS_KEY", "b.pem"),
            ("ORIGINS", "https://a.com,https://b.com"),
        ])
        .unwrap();
        let jwt = effective.config.jwt().unwrap().unwrap();
        assert_eq!(jwt.key, KeySource::Secret(SECRET.to_owned()));
        assert_eq!(jwt.audience, ["chat", "game"]);
        let shown = effective.to_toml();
        for line in [
            "origins = [\"https://a.com\", \"https://b.com\"] # WARDROOM_ORIGINS",
            "auth.jwt.secret = \"(set)\" # WARDROOM_AUTH_JWT_SECRET",
            "tls.key = \"b.pem\" # WARDROOM_TLS_KEY",
            "trusted_proxies = []",
        ] {
            assert!(shown.lines().any(|found| found == line), "{line}\n{shown}");
        }
        assert!(!format!("{shown}{effective:?}{jwt:?}").contains(SECRET));
    }

    #[test]
    fn what_does_not_go_together_is_said_before_anything_is_read() {
        for (variables, problem) in [
            (
                &[("TLS_KEY", "k")][..],
                "WARDROOM_TLS_KEY: needs tls.certificate beside it",
            ),
            (
                &[("TLS_CERTIFICATE", "c")],
                "WARDROOM_TLS_CERTIFICATE: needs tls.key beside it",
            ),
            (
                &[("AUTH_JWT_AUDIENCE", "a")],
                "auth.jwt: needs one of secret",
            ),
            (
                &[("AUTH_JWT_KEY_FILE", "k")],
                "auth.jwt: needs audience and issuer",
            ),
            (
                &[
                    ("AUTH_JWT_SECRET", "too short"),
                    ("AUTH_JWT_AUDIENCE", "a"),
                    ("AUTH_JWT_ISSUER", "a"),
                ],
                "auth.jwt: secret must have 32 bytes or more",
            ),
            (
                &[("ORIGINS", "acme.com")],
                "WARDROOM_ORIGINS: \"acme.com\" is no origin",
            ),
            (
                &[("TRUSTED_PROXIES", "proxy")],
                "WARDROOM_TRUSTED_PROXIES: \"proxy\" is no network",
            ),
        ] {
            let error = load(variables).unwrap_err();
            assert!(error.starts_with(problem), "{problem}\n{error}");
        }
    }
}
