//! Keys about who gets in: the table `auth.jwt`, the host's and each tenant's, and what only makes sense together.

use std::path::{Path, PathBuf};

use super::tenant::OF_NONE;
use super::unit::{FileName, Given, Text, Texts, Unit};
use super::{Config, Fault, Key, Secret, Value, fault};
use crate::auth::{JwtConfig, KeySource};

/// The table.
pub(super) const JWT: &str = "auth.jwt";

/// Makes the struct of the table and the enum of its keys of one list: the variant, the field, its type, the [`Unit`]
/// in which it is written.
macro_rules! jwt_keys {
    ($($(#[doc = $about:literal])+ $variant:ident $field:ident: $type:ty as $unit:ident;)+) => {
        /// Which tokens are good: the table `auth.jwt`. When nothing is in it, none is asked for.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct JwtTable {
            $($(#[doc = $about])+ pub $field: $type,)+
        }

        /// A key of the table `auth.jwt`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum JwtKey {
            $($(#[doc = $about])+ $variant,)+
        }

        impl JwtKey {
            /// All of them, in the order in which they are documented.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its field of [`JwtTable`], and its name in the table.
            #[must_use]
            pub const fn key(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($field),)+
                }
            }
        }

        impl JwtTable {
            /// The value of one of them.
            #[must_use]
            pub fn get(&self, key: JwtKey) -> Value {
                match key {
                    $(JwtKey::$variant => <$unit as Unit<$type>>::show(&self.$field),)+
                }
            }

            /// Takes what is given for one of them, or says what would be right.
            pub(super) fn read(&mut self, key: JwtKey, given: Given<'_>) -> Result<(), String> {
                match key {
                    $(JwtKey::$variant => self.$field = <$unit as Unit<$type>>::read(given)?,)+
                }
                Ok(())
            }
        }
    };
}

jwt_keys! {
    /// The secret that tokens are signed with. One of the four sources of keys, or none of them: see
    /// [`JwtTable::config`].
    Secret secret: Option<Secret> as Text;

    /// A file with that secret.
    SecretFile secret_file: Option<PathBuf> as FileName;

    /// A file with the public key, in PEM.
    KeyFile key_file: Option<PathBuf> as FileName;

    /// A file with the public keys, a JSON Web Key Set.
    JwksFile jwks_file: Option<PathBuf> as FileName;

    /// A token has to be for one of these.
    Audience audience: Vec<String> as Texts;

    /// A token has to be by one of these.
    Issuer issuer: Vec<String> as Texts;
}

impl JwtKey {
    /// The one that says where the key is, or the keys are.
    #[must_use]
    pub fn of(source: &KeySource) -> Self {
        match source {
            KeySource::Secret(_) => Self::Secret,
            KeySource::SecretFile(_) => Self::SecretFile,
            KeySource::KeyFile(_) => Self::KeyFile,
            KeySource::JwksFile(_) => Self::JwksFile,
        }
    }
}

impl JwtTable {
    /// Which tokens are good; `None` when none is asked for.
    ///
    /// # Errors
    /// What is missing of it, or too much.
    pub fn config(&self) -> Result<Option<JwtConfig>, String> {
        let Self {
            secret,
            secret_file,
            key_file,
            jwks_file,
            audience,
            issuer,
        } = self;
        let secret = secret.as_ref().map(|secret| secret.expose().to_owned());
        let sources = [
            secret.map(KeySource::Secret),
            secret_file.clone().map(KeySource::SecretFile),
            key_file.clone().map(KeySource::KeyFile),
            jwks_file.clone().map(KeySource::JwksFile),
        ];
        let keys = sources.into_iter().flatten().collect();
        JwtConfig::of(keys, audience.clone(), issuer.clone())
    }

    /// Says what is wrong with it beside its types. `name` is the whole of its own.
    pub(super) fn validate(&self, name: &str, faults: &mut Vec<Fault>) {
        if let Err(problem) = self.config() {
            faults.push(fault(name, problem));
        }
    }

    /// Makes a relative file one that is relative to this folder.
    pub(super) fn resolve(&mut self, key: JwtKey, folder: &Path) {
        let file = match key {
            JwtKey::SecretFile => &mut self.secret_file,
            JwtKey::KeyFile => &mut self.key_file,
            JwtKey::JwksFile => &mut self.jwks_file,
            JwtKey::Secret | JwtKey::Audience | JwtKey::Issuer => return,
        };
        if let Some(file) = file {
            *file = folder.join(&*file);
        }
    }
}

impl Config {
    pub(super) fn validate_access(&self, faults: &mut Vec<Fault>) {
        self.jwt.validate(JWT, faults);
        if !self.tenants.is_empty() {
            // Sources refuse it too. Who gets it past them must not believe that these guard anything.
            let guards = JwtKey::ALL.iter().copied().map(Key::Jwt);
            let default = Self::default();
            for key in guards.chain([Key::Origins]) {
                if key.get(self) != key.get(&default) {
                    faults.push(fault(&key.to_string(), OF_NONE.to_owned()));
                }
            }
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
        let jwt = effective.config.jwt.config().unwrap().unwrap();
        assert_eq!(jwt.key, KeySource::Secret(SECRET.to_owned()));
        assert_eq!(jwt.audience, ["chat", "game"]);
        let shown = effective.to_toml();
        for line in [
            "origins = [\"https://a.com\", \"https://b.com\"] # WARDROOM_ORIGINS",
            "[auth.jwt]",
            "secret = \"(set)\" # WARDROOM_AUTH_JWT_SECRET",
            "[tls]",
            "key = \"b.pem\" # WARDROOM_TLS_KEY",
            "trusted_proxies = []",
        ] {
            assert!(shown.lines().any(|found| found == line), "{line}\n{shown}");
        }
        assert!(!format!("{shown}{effective:?}{jwt:?}").contains(SECRET));
    }

    #[test]
    fn what_would_guard_no_tenant_is_refused() {
        let mut config = Config {
            jwt: JwtTable {
                audience: vec!["chat".to_owned()],
                ..JwtTable::default()
            },
            ..Config::default()
        };
        config.set("origins", "https://a.com").unwrap();
        let tenant = config.mounted();
        config.tenants = tenant;
        let faults = config.validate().unwrap_err().faults;
        for name in ["auth.jwt.audience", "origins"] {
            let found = faults.iter().any(|fault| {
                fault.key.as_deref() == Some(name) && fault.problem.contains("[tenants]")
            });
            assert!(found, "{name}: {faults:?}");
        }
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
