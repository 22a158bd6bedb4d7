//! What comes of all sources together, to be run and to be shown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};

use super::fault::Origin;
use super::plugin::{self, CONFIG};
use super::{
    Config, Key, PluginConfig, PluginKey, PluginName, TenantKey, TenantName, Value, value,
};

/// A checked configuration that knows where each of its values comes from.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The configuration.
    pub config: Config,
    pub(super) file: Option<PathBuf>,
    /// By the whole name of the key.
    pub(super) origins: BTreeMap<String, Origin>,
}

impl Effective {
    /// The file that was read, if one was.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Where a value comes from; `None` when it is the default that nobody overruled.
    #[must_use]
    pub fn origin(&self, key: Key) -> Option<&Origin> {
        self.origins.get(&key.to_string())
    }

    /// As a file that says all of it. What differs from the default has a comment that says where it was given.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut table = String::new();
        for entry in self.entries() {
            if entry.table != table {
                text.push_str(&format!("\n[{}]\n", entry.table));
                table.clone_from(&entry.table);
            }
            let name = value::name(&entry.name);
            match entry.value.to_toml() {
                Some(value) => text.push_str(&format!("{name} = {value}")),
                None => text.push_str(&format!("# {name} is not set")),
            }
            if let Some(origin) = &entry.from {
                // A comment may hold no control characters; a file's name may.
                text.push_str(&format!(" # {}", origin.replace(char::is_control, "?")));
            }
            text.push('\n');
        }
        text
    }

    /// For programs: `configuration` has the values, `from` where those were given that differ from the default.
    #[must_use]
    pub fn to_json(&self) -> Map<String, Json> {
        let (mut top, mut given) = (Map::new(), Map::new());
        for entry in self.entries() {
            if let Some(origin) = &entry.from {
                given.insert(entry.key(), origin.clone().into());
            }
            let mut table = &mut top;
            for name in entry.table.split('.').filter(|name| !name.is_empty()) {
                let inner = table.entry(name).or_insert_with(|| Map::new().into());
                let Json::Object(inner) = inner else {
                    // No key has the name of a table.
                    return top;
                };
                table = inner;
            }
            table.insert(entry.name, entry.value.to_json());
        }
        Map::from_iter([
            ("configuration".to_owned(), top.into()),
            ("from".to_owned(), given.into()),
        ])
    }

    /// All that there is to be said, in the order of a file.
    fn entries(&self) -> Vec<Entry> {
        let default = Config::default();
        let has_tenants = !self.config.tenants.is_empty();
        // What the one tenant has where none is named.
        let is_said = |key: &Key| !has_tenants || !key.is_of_default_tenant();
        let host = Key::all().filter(is_said).map(|key| {
            let value = key.get(&self.config);
            let differs = value != key.get(&default);
            self.entry(&key.to_string(), value, differs)
        });
        let mut entries: Vec<_> = host.collect();
        entries.extend(self.entries_of(None, &self.config.plugin));
        for (tenant, config) in &self.config.tenants {
            for key in TenantKey::all() {
                let value = key.get(config);
                // Limits that are the host's are said there.
                let is_own = match key {
                    TenantKey::Limit(limit) => value != self.config.limits.get(limit),
                    _ => true,
                };
                if is_own {
                    entries.push(self.entry(&key.of(tenant), value, true));
                }
            }
            entries.extend(self.entries_of(Some(tenant), &config.plugin));
        }
        entries
    }

    /// What there is to be said of a tenant's plugins.
    fn entries_of(
        &self,
        tenant: Option<&TenantName>,
        plugins: &BTreeMap<PluginName, PluginConfig>,
    ) -> Vec<Entry> {
        let entries = plugins.iter().flat_map(|(plugin, given)| {
            let table = plugin::table_of(tenant, plugin.as_str());
            let config = format!("{table}.{CONFIG}");
            let keys = PluginKey::ALL.into_iter();
            let keys = keys.map(move |key| (table.clone(), key.to_string(), key.get(given)));
            let values = given.config.iter();
            let values = values.map(move |(name, setting)| {
                (
                    config.clone(),
                    name.clone(),
                    Value::Setting(setting.clone()),
                )
            });
            keys.chain(values)
        });
        let entries = entries.map(|(table, name, value)| self.entry_in(table, name, value, true));
        entries.collect()
    }

    fn entry(&self, key: &str, value: Value, differs: bool) -> Entry {
        let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
        self.entry_in(table.to_owned(), name.to_owned(), value, differs)
    }

    fn entry_in(&self, table: String, name: String, value: Value, differs: bool) -> Entry {
        let mut entry = Entry {
            table,
            name,
            value,
            from: None,
        };
        let origin = self.origins.get(&entry.key()).filter(|_| differs);
        entry.from = origin.map(ToString::to_string);
        entry
    }
}

/// A key, its value, and where that was given if it differs from the default.
struct Entry {
    table: String,
    name: String,
    value: Value,
    from: Option<String>,
}

impl Entry {
    /// The whole of its name.
    fn key(&self) -> String {
        let Self { table, name, .. } = self;
        match table.as_str() {
            "" => name.clone(),
            table => format!("{table}.{name}"),
        }
    }
}
