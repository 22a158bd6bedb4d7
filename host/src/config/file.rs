//! The file: TOML, each value with the line on which it stands.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Key;
use super::fault::Origin;
use super::key::{TABLES, nearest};
use super::sources::Reading;
use super::unit::Given;

/// Reads a file's text into the configuration.
pub(super) fn read(file: &Path, text: &str, reading: &mut Reading) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let file = File { file, text };
    for error in &errors {
        // Not the whole of what the parser says: it quotes the line, and that may have a secret in it.
        let line = error.span().map(|span| file.line(span.start));
        reading.fault(None, Some(file.origin(line)), error.message().to_owned());
    }
    // What is left of a broken file would look wrong in more ways than it is.
    if errors.is_empty() {
        let known = Vec::from_iter(Key::all().map(|key| (key.to_string(), key)));
        file.table("", table.get_ref(), &known, reading);
    }
    reading.sort_faults();
}

struct File<'a> {
    file: &'a Path,
    text: &'a str,
}

impl File<'_> {
    fn line(&self, start: usize) -> usize {
        let before = self.text.bytes().take(start);
        1 + before.filter(|byte| *byte == b'\n').count()
    }

    fn origin(&self, line: Option<usize>) -> Origin {
        Origin::File {
            file: self.file.to_owned(),
            line,
        }
    }

    fn table(
        &self,
        prefix: &str,
        table: &DeTable<'_>,
        known: &[(String, Key)],
        reading: &mut Reading,
    ) {
        for (name, value) in table {
            let origin = self.origin(Some(self.line(name.span().start)));
            let name = format!("{prefix}{}", name.get_ref());
            let key = known.iter().find(|(known, _)| *known == name);
            let texts = texts(value);
            let given = given(value, texts.as_deref());
            let below = format!("{name}.");
            if let Some((_, key)) = key {
                reading.take(*key, given, origin);
                if let Some(folder) = self.file.parent() {
                    key.resolve(&mut reading.config, folder);
                }
            } else if known.iter().any(|(known, _)| known.starts_with(&below)) {
                match value.get_ref() {
                    DeValue::Table(table) => self.table(&below, table, known, reading),
                    _ => reading.fault(
                        Some(name),
                        Some(origin),
                        format!("must be a table, not {given}"),
                    ),
                }
            } else if value.get_ref().is_table() {
                let nearest = nearest(&name, TABLES.into_iter().map(ToOwned::to_owned));
                let problem = format!("there is no such table; the nearest is [{nearest}]");
                reading.fault(Some(name), Some(origin), problem);
            } else {
                let nearest = nearest(&name, known.iter().map(|(known, _)| known.clone()));
                let problem = format!("there is no such key; the nearest is {nearest}");
                reading.fault(Some(name), Some(origin), problem);
            }
        }
    }
}

/// The texts of an array that has nothing else.
fn texts<'a>(value: &'a Spanned<DeValue<'_>>) -> Option<Vec<&'a str>> {
    let array = value.get_ref().as_array()?;
    array.iter().map(|item| item.get_ref().as_str()).collect()
}

fn given<'a>(value: &'a Spanned<DeValue<'_>>, texts: Option<&'a [&'a str]>) -> Given<'a> {
    match value.get_ref() {
        DeValue::String(text) => Given::Text(text),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_or(Given::Other("a number without end"), Given::Integer),
        DeValue::Boolean(on) => Given::Switch(*on),
        DeValue::Float(_) => Given::Other("a number with a fraction"),
        DeValue::Datetime(_) => Given::Other("a date or a time of day"),
        DeValue::Array(_) => texts.map_or(Given::Other("an array of other things"), Given::List),
        DeValue::Table(_) => Given::Other("a table"),
    }
}
