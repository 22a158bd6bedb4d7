//! Where the configuration comes from, and who overrules whom: the command line the environment, the environment the
//! file, the file the defaults.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::fault::{ConfigError, Fault, Origin};
use super::file::File;
use super::tenant::OF_NONE;
use super::unit::Given;
use super::{
    Config, Effective, Key, PluginConfig, PluginName, TenantConfig, TenantKey, TenantName,
    environment, plugin,
};

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
    /// The whole environment: variables that are neither meant for us nor named by the file are left alone.
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
    /// `--node`.
    pub node: Option<String>,
    /// `--cluster`: the key `cluster.url`.
    pub cluster: Option<String>,
}

impl Sources {
    /// Reads all of them and checks what comes of it. The file is read anew each time.
    ///
    /// # Errors
    /// Everything that is wrong, with where it stands. What depends on several keys is looked at only when each by
    /// itself is right.
    pub fn load(&self) -> Result<Effective, ConfigError> {
        let mut reading = Reading::default();
        let (file, text) = self.read_file(&mut reading);
        let parsed = file.as_deref().zip(text.as_deref());
        let parsed =
            parsed.map(|(file, text)| File::parse(file, text, &self.environment, &mut reading));
        if let Some(parsed) = &parsed {
            parsed.read_host(&mut reading);
        }
        environment::read(&self.environment, &mut reading);
        self.flags.apply(&mut reading);
        // The last, because what they do not say is as it is for the host in the end.
        if let Some(parsed) = &parsed {
            parsed.read_tenants(&mut reading);
        }
        reading.check_default_tenant();
        reading.sort_faults();
        let Reading {
            mut config,
            origins,
            faults,
        } = reading;
        ConfigError::of(faults)?;
        config.settle_state();
        if let Err(mut error) = config.validate() {
            for fault in &mut error.faults {
                let key = fault.key.as_deref().unwrap_or_default();
                fault.origin = origins.get(key).cloned();
            }
            return Err(error);
        }
        Ok(Effective {
            config,
            file,
            origins,
        })
    }

    /// The file that there is, and what is in it.
    fn read_file(&self, reading: &mut Reading) -> (Option<PathBuf>, Option<String>) {
        let (file, must_exist) = match (&self.file, environment::file(&self.environment)) {
            (ConfigFile::None, _) => return (None, None),
            (ConfigFile::Named(file), _) => (file.as_path(), true),
            (ConfigFile::Search, Some(file)) => (Path::new(file), true),
            (ConfigFile::Search, None) => (Path::new(DEFAULT_FILE), false),
        };
        let text = match std::fs::read_to_string(file) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == ErrorKind::NotFound && !must_exist => {
                return (None, None);
            }
            Err(error) => {
                let origin = Origin::File {
                    file: file.to_owned(),
                    line: None,
                };
                reading.fault(None, Some(origin), format!("cannot be read: {error}"));
                None
            }
        };
        (Some(file.to_owned()), text)
    }
}

impl Flags {
    fn apply(&self, reading: &mut Reading) {
        let Self {
            listen,
            admin,
            plugins,
            node,
            cluster,
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
        for (key, name, given) in [
            (Key::Node, "--node", node),
            (Key::ClusterUrl, "--cluster", cluster),
        ] {
            if let Some(text) = given {
                reading.take(key, Given::Text(text), Origin::Flag(name));
            }
        }
    }
}

/// A configuration while it is being read: what was read so far, from where, and what was wrong with it.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) config: Config,
    /// By the whole name of the key.
    origins: BTreeMap<String, Origin>,
    faults: Vec<Fault>,
}

impl Reading {
    /// Takes what a source gives for a key.
    pub(super) fn take(&mut self, key: Key, given: Given<'_>, origin: Origin) {
        let read = key.read(&mut self.config, given);
        self.note(key.to_string(), read, origin);
    }

    /// Takes what a source gives for a key of a tenant.
    pub(super) fn take_for(
        &mut self,
        tenant: &TenantName,
        key: TenantKey,
        given: Given<'_>,
        origin: Origin,
    ) {
        let read = key.read(self.tenant(tenant), given);
        self.note(key.of(tenant), read, origin);
    }

    /// What is read of a tenant so far.
    pub(super) fn tenant(&mut self, name: &TenantName) -> &mut TenantConfig {
        let Config {
            tenants, limits, ..
        } = &mut self.config;
        let tenant = tenants.entry(name.clone());
        tenant.or_insert_with(|| TenantConfig::unread(name, limits))
    }

    /// What is read so far of a plugin of a tenant; of the host, where there is none.
    pub(super) fn plugin(
        &mut self,
        tenant: Option<&TenantName>,
        name: &PluginName,
    ) -> &mut PluginConfig {
        let plugins = match tenant {
            Some(tenant) => &mut self.tenant(tenant).plugin,
            None => &mut self.config.plugin,
        };
        plugins.entry(name.clone()).or_default()
    }

    /// Takes down where a key was given that was read, or why it was not.
    pub(super) fn note(&mut self, key: String, read: Result<(), String>, origin: Origin) {
        match read {
            Ok(()) => {
                self.origins.insert(key, origin);
            }
            Err(problem) => self.fault(Some(key), Some(origin), problem),
        }
    }

    /// What is said of the default tenant would be said to nobody where there are others.
    fn check_default_tenant(&mut self) {
        if self.config.tenants.is_empty() {
            return;
        }
        let keys = Key::all().filter(|key| key.is_of_default_tenant());
        let keys = keys.map(|key| key.to_string());
        let plugins = self.config.plugin.keys();
        let plugins = plugins.map(|name| plugin::table_of(None, name.as_str()));
        for name in keys.chain(plugins).collect::<Vec<_>>() {
            if let Some(origin) = self.origins.get(&name).cloned() {
                self.fault(Some(name), Some(origin), OF_NONE.to_owned());
            }
        }
    }

    pub(super) fn fault(&mut self, key: Option<String>, origin: Option<Origin>, problem: String) {
        self.faults.push(Fault {
            key,
            origin,
            problem,
        });
    }

    /// Those of the file first, by line: the parser hands its tables over by name.
    fn sort_faults(&mut self) {
        self.faults.sort_by_key(|fault| match fault.origin {
            Some(Origin::File { line, .. }) => (false, line),
            _ => (true, None),
        });
    }

    fn flag(&mut self, key: Key, name: &'static str) {
        self.origins.insert(key.to_string(), Origin::Flag(name));
    }
}
