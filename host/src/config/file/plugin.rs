//! The tables `plugin.NAME`: what one plugin is given, secrets from elsewhere included.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use serde_json::{Number, Value as Json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{File, not_a_table, tables_in};
use crate::config::fault::Origin;
use crate::config::plugin::{CONFIG, PLUGIN, table_of};
use crate::config::sources::Reading;
use crate::config::{PluginKey, PluginName, Secret, Setting, TenantName};

/// Of a file with a secret: keys and certificates are shorter.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// The keys of a table that stands for a secret.
const FILE: &str = "file";
const VARIABLE: &str = "env";

impl File<'_> {
    /// Takes over what a tenant's table says of its plugins; the host's own where there is no tenant.
    pub(super) fn read_plugins(
        &self,
        tenant: Option<&TenantName>,
        table: &DeTable<'_>,
        reading: &mut Reading,
    ) {
        for (name, plugin) in tables_in(table, PLUGIN) {
            let origin = self.origin_of(name);
            let whole = table_of(tenant, name.get_ref());
            match (
                name.get_ref().parse::<PluginName>(),
                plugin.get_ref().as_table(),
            ) {
                (Ok(name), Some(table)) => {
                    // Also when the table says nothing.
                    reading.plugin(tenant, &name);
                    reading.note(whole, Ok(()), origin);
                    self.read_plugin(tenant, &name, table, reading);
                }
                (Err(error), _) => reading.fault(Some(whole), Some(origin), error.to_string()),
                (_, None) => not_a_table(&whole, plugin, origin, reading),
            }
        }
    }

    fn read_plugin(
        &self,
        tenant: Option<&TenantName>,
        plugin: &PluginName,
        table: &DeTable<'_>,
        reading: &mut Reading,
    ) {
        let whole = table_of(tenant, plugin.as_str());
        let known = PluginKey::ALL.map(|key| (format!("{whole}.{key}"), key));
        self.table(
            &format!("{whole}."),
            &[CONFIG],
            table,
            &known,
            reading,
            &mut |reading, key, given, origin| {
                let read = key.read(reading.plugin(tenant, plugin), given);
                reading.note(format!("{whole}.{key}"), read, origin);
            },
        );
        for (name, value) in tables_in(table, CONFIG) {
            let key = format!("{whole}.{CONFIG}.{}", name.get_ref());
            let origin = self.origin_of(name);
            let given = Value { value, key, origin };
            if let Some(setting) = self.setting(&given, reading) {
                let config = &mut reading.plugin(tenant, plugin).config;
                config.insert(name.get_ref().to_string(), setting);
                reading.note(given.key, Ok(()), given.origin);
            }
        }
    }

    /// Reads a value for a plugin; if it can be none, that has been said.
    fn setting(&self, given: &Value<'_, '_>, reading: &mut Reading) -> Option<Setting> {
        let read = match given.value.get_ref() {
            DeValue::String(text) => Ok(Json::from(text.as_ref())),
            DeValue::Boolean(on) => Ok(Json::from(*on)),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map(Json::from)
                .map_err(|_| "must be a whole number of 64 bits".to_owned()),
            DeValue::Float(number) => {
                let number = number.as_str().parse().ok().and_then(Number::from_f64);
                number
                    .map(Json::Number)
                    .ok_or_else(|| "must be a number that has an end".to_owned())
            }
            DeValue::Datetime(_) => Err(
                "must be a text, a number, true or false, an array or a table, not a date or a time of day; put it in quotes"
                    .to_owned(),
            ),
            DeValue::Array(entries) => {
                let settings = entries.iter().map(|value| self.setting(&given.inner(value), reading));
                return all(settings).map(Setting::list);
            }
            DeValue::Table(table) => match self.secret(table) {
                None => return self.settings(table, given, reading),
                Some(Ok(secret)) => return Some(secret.into()),
                Some(Err(problem)) => Err(problem),
            },
        };
        let (key, origin) = (given.key.clone(), given.origin.clone());
        let said = read.map_err(|problem| reading.fault(Some(key), Some(origin), problem));
        said.ok().map(Setting::from)
    }

    fn settings(
        &self,
        table: &DeTable<'_>,
        given: &Value<'_, '_>,
        reading: &mut Reading,
    ) -> Option<Setting> {
        let settings = table.iter().map(|(name, value)| {
            let given = Value {
                value,
                key: format!("{}.{}", given.key, name.get_ref()),
                origin: self.origin_of(name),
            };
            let setting = self.setting(&given, reading)?;
            Some((name.get_ref().to_string(), setting))
        });
        all(settings).map(Setting::table)
    }

    /// The secret that a table stands for, or why there is none; `None` for a table that is one.
    fn secret(&self, table: &DeTable<'_>) -> Option<Result<Secret, String>> {
        let mut entries = table.iter();
        let (Some((name, value)), None) = (entries.next(), entries.next()) else {
            return None;
        };
        let is_file = match name.get_ref().as_ref() {
            FILE => true,
            VARIABLE => false,
            _ => return None,
        };
        let Some(from) = value.get_ref().as_str().filter(|from| !from.is_empty()) else {
            return Some(Err(format!(
                "a table with nothing but {FILE} or {VARIABLE} is a secret: must be {{ {FILE} = \"path\" }} or {{ {VARIABLE} = \"NAME\" }}"
            )));
        };
        let text = if is_file {
            let folder = self.file.parent().unwrap_or(Path::new(""));
            secret_in(&folder.join(from))
        } else {
            self.variable(from)
        };
        Some(text.map(Secret::new))
    }

    fn variable(&self, name: &str) -> Result<String, String> {
        let found = self.environment.iter().find(|(known, _)| known == name);
        let (_, value) = found.ok_or_else(|| format!("the variable {name} is not set"))?;
        let text = value.to_str().map(ToOwned::to_owned);
        text.ok_or_else(|| format!("the variable {name} must be UTF-8"))
    }
}

/// All of them, if each is there: every one is looked at, so that all that is wrong is said.
fn all<T>(settings: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let settings: Vec<_> = settings.collect();
    settings.into_iter().collect()
}

/// A value in the file.
struct Value<'t, 'a> {
    value: &'t Spanned<DeValue<'a>>,
    key: String,
    origin: Origin,
}

impl<'t, 'a> Value<'t, 'a> {
    /// One of its array.
    fn inner(&self, value: &'t Spanned<DeValue<'a>>) -> Self {
        Self {
            value,
            key: self.key.clone(),
            origin: self.origin.clone(),
        }
    }
}

/// What is in a file, less the end of its last line, which editors add.
fn secret_in(file: &Path) -> Result<String, String> {
    let shown = file.display();
    let mut bytes = Vec::new();
    fs::File::open(file)
        .and_then(|opened| opened.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("the file {shown} cannot be read: {error}"))?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(format!(
            "the file {shown} must have at most {SECRET_BYTES_MAX} bytes"
        ));
    }
    let mut text =
        String::from_utf8(bytes).map_err(|_| format!("the file {shown} must be UTF-8"))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}
