//! What comes of all sources together, to be run and to be shown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};

use super::fault::Origin;
use super::key::LIMITS;
use super::{Config, Key};

/// A checked configuration that knows where each of its values comes from.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The configuration.
    pub config: Config,
    pub(super) file: Option<PathBuf>,
    pub(super) origins: BTreeMap<Key, Origin>,
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
        self.origins.get(&key)
    }

    /// As a file that says all of it. What differs from the default has a comment that says where it was given.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut is_in_limits = false;
        for (key, name, from) in self.entries() {
            if matches!(key, Key::Limit(_)) && !is_in_limits {
                text.push_str(&format!("\n[{LIMITS}]\n"));
                is_in_limits = true;
            }
            match key.get(&self.config).to_toml() {
                Some(value) => text.push_str(&format!("{name} = {value}")),
                None => text.push_str(&format!("# {name} is not set")),
            }
            if let Some(origin) = from {
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
        let (mut top, mut limits, mut given) = (Map::new(), Map::new(), Map::new());
        for (key, name, from) in self.entries() {
            let table = if matches!(key, Key::Limit(_)) {
                &mut limits
            } else {
                &mut top
            };
            table.insert(name, key.get(&self.config).to_json());
            if let Some(origin) = from {
                given.insert(key.to_string(), origin.into());
            }
        }
        top.insert(LIMITS.to_owned(), limits.into());
        Map::from_iter([
            ("configuration".to_owned(), top.into()),
            ("from".to_owned(), given.into()),
        ])
    }

    /// Each key, its name within its table, and where it was given if it differs from the default.
    fn entries(&self) -> impl Iterator<Item = (Key, String, Option<String>)> {
        let default = Config::default();
        Key::all().map(move |key| {
            let name = match key {
                Key::Limit(limit) => limit.key().to_owned(),
                top => top.to_string(),
            };
            let differs = key.get(&self.config) != key.get(&default);
            let origin = self.origin(key).filter(|_| differs);
            (key, name, origin.map(ToString::to_string))
        })
    }
}
