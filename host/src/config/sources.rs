//! Where the configuration comes from, and who overrules whom: the command line the environment, the environment the
//! file, the file the defaults.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::fault::{ConfigError, Fault, Origin};
use super::unit::Given;
use super::{Config, Effective, Key, environment, file};

/// The file that is looked for when none is named.
const DEFAULT_FILE: &str = "wardroom.toml";

/// Where a configuration comes from.
///
/// ```
/// use wardroom::config::{ConfigFile, Flags, Sources};
///
/// let sources = Sources {
///     file: ConfigFile::None,
///     environment: vec![("WARDROOM_LIMITS_EVENT_CPU_MAX".into(), "20ms".into())],
///     flags: Flags::default(),
/// };
/// let config = sources.load()?.config;
/// assert_eq!(config.limits.event_cpu_max.as_millis(), 20);
/// # Ok::<(), wardroom::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sources {
    /// The file, and whether it has to be there.
    pub file: ConfigFile,
    /// The whole environment: variables that are not meant for us are left alone.
    pub environment: Vec<(OsString, OsString)>,
    /// What the command line says.
    pub flags: Flags,
}

/// Which file to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigFile {
    /// None, whatever there is.
    None,
    /// The one that `WARDROOM_CONFIG` names; else `wardroom.toml` in the current folder, if there is one.
    Search,
    /// This one, which has to be there.
    Named(PathBuf),
}

/// What the command line may say about the configuration.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--listen`.
    pub listen: Option<SocketAddr>,
    /// `--admin`.
    pub admin: Option<SocketAddr>,
    /// `--plugins`.
    pub plugins: Option<PathBuf>,
}

impl Sources {
    /// Reads all of them and checks what comes of it. The file is read anew each time.
    ///
    /// # Errors
    /// Everything that is wrong, with where it stands. What depends on several keys is looked at only when each by
    /// itself is right.
    pub fn load(&self) -> Result<Effective, ConfigError> {
        let mut reading = Reading::default();
        let file = self.read_file(&mut reading);
        environment::read(&self.environment, &mut reading);
        self.flags.apply(&mut reading);
        let Reading {
            config,
            origins,
            faults,
        } = reading;
        ConfigError::of(faults)?;
        if let Err(mut error) = config.validate() {
            for fault in &mut error.faults {
                let key = Key::all().find(|key| fault.key.as_ref() == Some(&key.to_string()));
                fault.origin = key.and_then(|key| origins.get(&key).cloned());
            }
            return Err(error);
        }
        Ok(Effective {
            config,
            file,
            origins,
        })
    }

    fn read_file(&self, reading: &mut Reading) -> Option<PathBuf> {
        let (file, must_exist) = match (&self.file, environment::file(&self.environment)) {
            (ConfigFile::None, _) => return None,
            (ConfigFile::Named(file), _) => (file.as_path(), true),
            (ConfigFile::Search, Some(file)) => (Path::new(file), true),
            (ConfigFile::Search, None) => (Path::new(DEFAULT_FILE), false),
        };
        match std::fs::read_to_string(file) {
            Ok(text) => file::read(file, &text, reading),
            Err(error) if error.kind() == ErrorKind::NotFound && !must_exist => return None,
            Err(error) => {
                let origin = Origin::File {
                    file: file.to_owned(),
                    line: None,
                };
                reading.fault(None, Some(origin), format!("cannot be read: {error}"));
            }
        }
        Some(file.to_owned())
    }
}

impl Flags {
    fn apply(&self, reading: &mut Reading) {
        let Self {
            listen,
            admin,
            plugins,
        } = self;
        if let Some(listen) = *listen {
            reading.config.listen = listen;
            reading.flag(Key::Listen, "--listen");
        }
        if admin.is_some() {
            reading.config.admin = *admin;
            reading.flag(Key::Admin, "--admin");
        }
        if let Some(plugins) = plugins {
            reading.config.plugins.clone_from(plugins);
            reading.flag(Key::Plugins, "--plugins");
        }
    }
}

/// A configuration while it is being read: what was read so far, from where, and what was wrong with it.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) config: Config,
    origins: BTreeMap<Key, Origin>,
    faults: Vec<Fault>,
}

impl Reading {
    /// Takes what a source gives for a key.
    pub(super) fn take(&mut self, key: Key, given: Given<'_>, origin: Origin) {
        match key.read(&mut self.config, given) {
            Ok(()) => {
                self.origins.insert(key, origin);
            }
            Err(problem) => self.fault(Some(key.to_string()), Some(origin), problem),
        }
    }

    pub(super) fn fault(&mut self, key: Option<String>, origin: Option<Origin>, problem: String) {
        self.faults.push(Fault {
            key,
            origin,
            problem,
        });
    }

    /// Those of a file by line: the parser hands its tables over by name.
    pub(super) fn sort_faults(&mut self) {
        self.faults.sort_by_key(|fault| match fault.origin {
            Some(Origin::File { line, .. }) => line,
            _ => None,
        });
    }

    fn flag(&mut self, key: Key, name: &'static str) {
        self.origins.insert(key, Origin::Flag(name));
    }
}
