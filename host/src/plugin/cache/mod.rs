//! Compiled code on disk, so that a restart compiles nothing.
//!
//! What is here is machine code that the host will run, so nothing of it is believed: the folder must be the host's
//! alone, and an entry is what this host wrote, bit by bit, or it is thrown away and the component compiled anew. An
//! entry is two files: `KEY.cwasm`, the code, and `KEY.json`, the facts about it, without which it is none. They are
//! written last.
//!
//! All of it blocks; `code` calls it on the blocking pool.

mod key;
mod private;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub(super) use key::Key;
pub use private::CacheError;

use super::code::Artefact;
use super::manifest::Described;
use crate::config::Limit;
use crate::metrics::Metrics;
use private::{Fault, PrivateFolder};

/// Bytes of the facts about an entry. A manifest that would take more is not kept, and asked for at each start.
const FACTS_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// A file that has been incomplete for so long was left behind by a host that was killed.
const PART_AGE_MAX: Duration = Duration::from_secs(60 * 60);

/// A folder of compiled code. Several hosts may share one.
#[derive(Debug)]
pub struct Cache {
    folder: PrivateFolder,
    bytes_max: u64,
    metrics: Metrics,
}

/// What is known of an entry's code.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Facts {
    /// The entry that they are about: they vouch for no other.
    key: String,
    bytes: u64,
    sha256: String,
    /// What the plugin says of itself, if it got so far.
    pub(super) described: Option<Described>,
}

/// Why an entry is not used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("{0}: {1}")]
    File(String, Fault),
    #[error("{0}: {1}")]
    Facts(String, serde_json::Error),
    #[error("{0} is about another entry")]
    OtherEntry(String),
    #[error("{0} is missing")]
    NoCode(String),
    #[error("{0} is not what was written")]
    Changed(String),
}

impl Cache {
    /// Opens the folder, and makes it when it is not there. When its entries have more than `bytes_max` bytes, those
    /// are removed that were not used for the longest time.
    ///
    /// # Errors
    /// [`CacheError`] when it cannot be opened, or when anybody else could put code into it.
    pub fn open(folder: &Path, bytes_max: usize, metrics: Metrics) -> Result<Self, CacheError> {
        Ok(Self {
            folder: PrivateFolder::open(folder)?,
            bytes_max: bytes_max as u64,
            metrics,
        })
    }

    /// The code for a key, if there is any that can be trusted. Any other is removed, and the log says why.
    pub(super) fn get(&self, key: &Key) -> Option<(Artefact, Facts)> {
        match self.read(key) {
            Ok(Some(entry)) => {
                // If it cannot be marked, it is at worst removed too early.
                let _ = self.folder.touch(&key.code());
                Some(entry)
            }
            Ok(None) => None,
            Err(why) => {
                self.forget(key, &why.to_string());
                None
            }
        }
    }

    fn read(&self, key: &Key) -> Result<Option<(Artefact, Facts)>, Unusable> {
        let (code, facts) = (key.code(), key.facts());
        let Some(text) = self.read_file(&facts, FACTS_BYTES_MAX)? else {
            return Ok(None);
        };
        let known: Facts =
            serde_json::from_slice(&text).map_err(|error| Unusable::Facts(facts.clone(), error))?;
        if known.key != key.name() {
            return Err(Unusable::OtherEntry(facts));
        }
        let Some(bytes) = self.read_file(&code, known.bytes)? else {
            return Err(Unusable::NoCode(code));
        };
        if bytes.len() as u64 != known.bytes || digest(&bytes) != known.sha256 {
            return Err(Unusable::Changed(code));
        }
        Ok(Some((Artefact::verified(bytes), known)))
    }

    fn read_file(&self, name: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, Unusable> {
        let read = self.folder.read(name, bytes_max);
        read.map_err(|fault| Unusable::File(name.to_owned(), fault))
    }

    /// Removes an entry that is of no use.
    pub(super) fn forget(&self, key: &Key, why: &str) {
        tracing::warn!("cached code is not used, and compiled anew: {why}");
        if let Err(error) = self.remove(key) {
            tracing::warn!("it cannot be removed either: {error}");
        }
    }

    /// The facts go first: without them there is no entry.
    fn remove(&self, key: &Key) -> io::Result<()> {
        self.folder.remove(&key.facts())?;
        self.folder.remove(&key.code())
    }

    /// Keeps code. Where it cannot, the log says so, and the plugin is none the worse.
    pub(super) fn insert(&self, key: &Key, artefact: &Artefact, described: Option<Described>) {
        let bytes = artefact.bytes();
        let facts = Facts {
            key: key.name().to_owned(),
            bytes: bytes.len() as u64,
            sha256: digest(bytes),
            described,
        };
        let kept = self
            .folder
            .write(&key.code(), bytes)
            .and_then(|()| self.write_facts(key, facts))
            .and_then(|()| self.sweep());
        if let Err(error) = kept {
            tracing::warn!("compiled code is not kept: {error}");
        }
    }

    /// Keeps what has become known of an entry since it was written.
    pub(super) fn amend(&self, key: &Key, mut facts: Facts, described: Described) {
        facts.described = Some(described);
        if let Err(error) = self.write_facts(key, facts) {
            tracing::warn!("a manifest is not kept: {error}");
        }
    }

    fn write_facts(&self, key: &Key, mut facts: Facts) -> io::Result<()> {
        let mut text = serde_json::to_vec(&facts)?;
        if text.len() as u64 > FACTS_BYTES_MAX {
            facts.described = None;
            text = serde_json::to_vec(&facts)?;
        }
        self.folder.write(&key.facts(), &text)
    }

    /// Removes entries until the rest is within the limit.
    fn sweep(&self) -> io::Result<()> {
        let mut entries: HashMap<String, Entry> = HashMap::new();
        for file in self.folder.list()? {
            if let Some(key) = Key::of_file(&file.name) {
                let entry = entries.entry(key.name().to_owned());
                let entry = entry.or_insert_with(|| Entry::new(key));
                entry.bytes += file.bytes;
                entry.used = entry.used.max(file.modified);
            } else if file.is_part() {
                let age = SystemTime::now().duration_since(file.modified);
                if age.is_ok_and(|age| age > PART_AGE_MAX) {
                    self.folder.remove(&file.name)?;
                }
            }
        }
        let mut entries: Vec<Entry> = entries.into_values().collect();
        entries.sort_by_key(|entry| entry.used);
        let mut bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
        let mut removed = 0_u32;
        for entry in entries {
            if bytes <= self.bytes_max {
                break;
            }
            self.remove(&entry.key)?;
            bytes -= entry.bytes;
            removed += 1;
        }
        if removed > 0 {
            self.metrics.reached(Limit::CacheBytesMax);
            let max = self.bytes_max;
            tracing::info!(
                removed,
                "compiled code that was not used for long is removed: cache_bytes_max ({max})"
            );
        }
        Ok(())
    }
}

/// An entry among the others.
#[derive(Debug)]
struct Entry {
    key: Key,
    bytes: u64,
    used: SystemTime,
}

impl Entry {
    fn new(key: Key) -> Self {
        Self {
            key,
            bytes: 0,
            used: SystemTime::UNIX_EPOCH,
        }
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;
    use serde_json::json;

    fn key(component: &[u8]) -> Key {
        Key::of(&wasmtime::Engine::default(), component)
    }

    fn described(description: &str) -> Described {
        let said = json!({
            "name": "p", "version": "", "description": description, "routes": [], "hooks": [], "headers": [],
            "mode": null, "capabilities": [], "config_keys": [],
        });
        let said = serde_json::from_value(said).expect("these are its fields");
        Described::new(said, &Limits::default())
    }

    #[test]
    fn code_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache"), 1 << 20, Metrics::of_host()).unwrap();
        assert!(cache.get(&key(b"a")).is_none());
        cache.insert(&key(b"a"), &Artefact::compiled(vec![1, 2, 3]), None);
        assert!(cache.get(&key(b"b")).is_none());
        let (artefact, facts) = cache.get(&key(b"a")).unwrap();
        assert_eq!(artefact.bytes(), [1, 2, 3]);
        assert!(facts.described.is_none());
        cache.amend(&key(b"a"), facts, described("small"));
        assert!(cache.get(&key(b"a")).unwrap().1.described.is_some());
    }

    #[test]
    fn a_manifest_without_end_is_not_kept_and_its_code_is() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache"), 1 << 20, Metrics::of_host()).unwrap();
        let length = usize::try_from(FACTS_BYTES_MAX).unwrap();
        let large = described(&"x".repeat(length));
        cache.insert(&key(b"a"), &Artefact::compiled(vec![1]), Some(large));
        let (_, facts) = cache.get(&key(b"a")).unwrap();
        assert!(facts.described.is_none());
    }

    #[test]
    fn what_has_no_room_at_all_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("cache");
        let cache = Cache::open(&folder, 10, Metrics::of_host()).unwrap();
        cache.insert(&key(b"a"), &Artefact::compiled(vec![0; 100]), None);
        assert!(cache.get(&key(b"a")).is_none());
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
    }
}
