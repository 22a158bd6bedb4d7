//! The file: TOML, each value with the line on which it stands.

mod plugin;

use std::ffi::OsString;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::fault::Origin;
use super::key::nearest;
use super::plugin::PLUGIN;
use super::sources::Reading;
use super::tenant::TENANTS;
use super::unit::Given;
use super::{Key, TenantKey, TenantName};

/// A file that is TOML, or nothing at all.
pub(super) struct File<'a> {
    file: &'a Path,
    text: &'a str,
    table: DeTable<'a>,
    /// Which may have secrets that the file names.
    environment: &'a [(OsString, OsString)],
}

impl<'a> File<'a> {
    /// Reads the text of a file.
    pub(super) fn parse(
        file: &'a Path,
        text: &'a str,
        environment: &'a [(OsString, OsString)],
        reading: &mut Reading,
    ) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        let is_whole = errors.is_empty();
        let parsed = Self {
            file,
            text,
            // What is left of a broken file would look wrong in more ways than it is.
            table: if is_whole {
                table.into_inner()
            } else {
                DeTable::new()
            },
            environment,
        };
        for error in &errors {
            // Not the whole of what the parser says: it quotes the line, and that may have a secret in it.
            let line = error.span().map(|span| parsed.line(span.start));
            reading.fault(None, Some(parsed.origin(line)), error.message().to_owned());
        }
        parsed
    }

    /// Takes over all but the tenants.
    pub(super) fn read_host(&self, reading: &mut Reading) {
        let known = Vec::from_iter(Key::all().map(|key| (key.to_string(), key)));
        self.table(
            "",
            &[PLUGIN, TENANTS],
            &self.table,
            &known,
            reading,
            &mut |reading, key, given, origin| {
                reading.take(key, given, origin);
                if let Some(folder) = self.file.parent() {
                    key.resolve(&mut reading.config, folder);
                }
            },
        );
        self.read_plugins(None, &self.table, reading);
    }

    /// Takes over the tenants.
    pub(super) fn read_tenants(&self, reading: &mut Reading) {
        for (name, tenant) in tables_in(&self.table, TENANTS) {
            let origin = self.origin_of(name);
            let whole = format!("{TENANTS}.{}", name.get_ref());
            match (
                name.get_ref().parse::<TenantName>(),
                tenant.get_ref().as_table(),
            ) {
                (Ok(name), Some(table)) => self.read_tenant(&name, table, reading),
                (Err(error), _) => {
                    reading.fault(Some(whole), Some(origin), error.to_string());
                }
                (_, None) => not_a_table(&whole, tenant, origin, reading),
            }
        }
    }

    fn read_tenant(&self, name: &TenantName, table: &DeTable<'_>, reading: &mut Reading) {
        let folder = self.file.parent().unwrap_or(Path::new(""));
        // Also when the table says nothing.
        TenantKey::Plugins.resolve(reading.tenant(name), folder);
        let prefix = format!("{TENANTS}.{name}.");
        let known = Vec::from_iter(TenantKey::known().map(|key| (key.of(name), key)));
        self.table(
            &prefix,
            &[PLUGIN],
            table,
            &known,
            reading,
            &mut |reading, key, given, origin| {
                reading.take_for(name, key, given, origin);
                key.resolve(reading.tenant(name), folder);
            },
        );
        self.read_plugins(Some(name), table, reading);
    }

    /// Hands the keys of a table to `take`, and those of the tables in it, but for `others`: these are left to who knows
    /// them.
    fn table<K: Copy>(
        &self,
        prefix: &str,
        others: &[&str],
        table: &DeTable<'_>,
        known: &[(String, K)],
        reading: &mut Reading,
        take: &mut dyn FnMut(&mut Reading, K, Given<'_>, Origin),
    ) {
        for (name, value) in table {
            let origin = self.origin_of(name);
            let is_other = others.iter().any(|other| *other == name.get_ref());
            let name = format!("{prefix}{}", name.get_ref());
            let key = known.iter().find(|(known, _)| *known == name);
            let below = format!("{name}.");
            if let Some((_, key)) = key {
                given(value, |given| take(reading, *key, given, origin));
            } else if is_other {
                if !value.get_ref().is_table() {
                    not_a_table(&name, value, origin, reading);
                }
            } else if known.iter().any(|(known, _)| known.starts_with(&below)) {
                match value.get_ref().as_table() {
                    Some(table) => self.table(&below, &[], table, known, reading, take),
                    None => not_a_table(&name, value, origin, reading),
                }
            } else {
                let known = known.iter().map(|(known, _)| known.as_str());
                let problem = if value.get_ref().is_table() {
                    let others = others.iter().map(|other| format!("{prefix}{other}"));
                    let nearest = nearest(&name, tables(known).chain(others));
                    format!("there is no such table; the nearest is [{nearest}]")
                } else {
                    let nearest = nearest(&name, known.map(ToOwned::to_owned));
                    format!("there is no such key; the nearest is {nearest}")
                };
                reading.fault(Some(name), Some(origin), problem);
            }
        }
    }

    fn line(&self, start: usize) -> usize {
        let before = self.text.bytes().take(start);
        1 + before.filter(|byte| *byte == b'\n').count()
    }

    fn origin_of(&self, name: &Spanned<DeString<'_>>) -> Origin {
        self.origin(Some(self.line(name.span().start)))
    }

    fn origin(&self, line: Option<usize>) -> Origin {
        Origin::File {
            file: self.file.to_owned(),
            line,
        }
    }
}

/// The tables in which keys are.
fn tables<'a>(known: impl Iterator<Item = &'a str>) -> impl Iterator<Item = String> {
    let tables = known.filter_map(|key| key.rsplit_once('.').map(|(table, _)| table));
    tables.map(ToOwned::to_owned)
}

/// What is in a table of this name; if it is none, that has been said.
fn tables_in<'t, 'a>(
    table: &'t DeTable<'a>,
    name: &str,
) -> impl Iterator<Item = (&'t Spanned<DeString<'a>>, &'t Spanned<DeValue<'a>>)> {
    let mut entries = table.iter();
    let found = entries.find(|(known, _)| known.get_ref() == name);
    let inner = found.and_then(|(_, inner)| inner.get_ref().as_table());
    inner.into_iter().flat_map(DeTable::iter)
}

fn not_a_table(name: &str, value: &Spanned<DeValue<'_>>, origin: Origin, reading: &mut Reading) {
    given(value, |given| {
        let problem = format!("must be a table, not {given}");
        reading.fault(Some(name.to_owned()), Some(origin), problem);
    });
}

/// Says what stands in a file.
fn given<R>(value: &Spanned<DeValue<'_>>, say: impl FnOnce(Given<'_>) -> R) -> R {
    let list;
    say(match value.get_ref() {
        DeValue::String(text) => Given::Text(text),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_or(Given::Other("a number without end"), Given::Integer),
        DeValue::Boolean(on) => Given::Switch(*on),
        DeValue::Float(_) => Given::Other("a number with a fraction"),
        DeValue::Datetime(_) => Given::Other("a date or a time of day"),
        DeValue::Array(entries) => {
            let texts = entries.iter().map(|entry| entry.get_ref().as_str());
            list = texts.collect::<Option<Vec<_>>>();
            list.as_deref()
                .map_or(Given::Other("an array"), Given::Texts)
        }
        DeValue::Table(_) => Given::Other("a table"),
    })
}
