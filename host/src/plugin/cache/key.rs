//! What an entry of the cache is called: by all that decides which code a compiler makes.

use std::hash::{Hash, Hasher};

use sha2::{Digest, Sha256};

/// Before everything else that is hashed: to be changed when entries of old are of no more use, whatever the reason.
const FORMAT: &[u8] = b"wardroom compiled code 1\0";

/// The name of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(String);

impl Key {
    /// For a component, and the engine that is to run it: wasmtime's version to the patch, its settings, and what
    /// this processor can do. The host's version is in it because the entry also holds what the host makes of the
    /// plugin.
    pub(crate) fn of(engine: &wasmtime::Engine, component: &[u8]) -> Self {
        let mut code = Sha256Hasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut code);
        // Each part has a fixed length or ends in a zero, so none can pass for the end of another.
        let name = Sha256::new()
            .chain_update(FORMAT)
            .chain_update(env!("CARGO_PKG_VERSION"))
            .chain_update([0])
            .chain_update(code.0.finalize())
            .chain_update(component)
            .finalize();
        Self(format!("{name:x}"))
    }

    /// The key whose entry a file of this name is part of.
    pub(super) fn of_file(name: &str) -> Option<Self> {
        let (name, extension) = name.split_once('.')?;
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_key = name.len() == 64 && name.bytes().all(is_digit);
        (is_key && ["cwasm", "json"].contains(&extension)).then(|| Self(name.to_owned()))
    }

    pub(super) fn name(&self) -> &str {
        &self.0
    }

    /// The file with the code.
    pub(super) fn code(&self) -> String {
        format!("{}.cwasm", self.0)
    }

    /// The file with what is known of it.
    pub(super) fn facts(&self) -> String {
        format!("{}.json", self.0)
    }
}

/// wasmtime says what its code depends on as something to be hashed. The 64 bits that a [`Hasher`] is asked for are
/// too few to name native code by, so the digest behind them is taken.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest
            .iter()
            .take(8)
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::{Config, Engine};

    #[test]
    fn other_components_and_other_settings_have_other_keys() {
        let engine = Engine::default();
        let key = Key::of(&engine, b"a");
        assert_eq!(key, Key::of(&Engine::default(), b"a"));
        assert_ne!(key, Key::of(&engine, b"b"));
        let mut config = Config::new();
        config.epoch_interruption(true);
        let other = Engine::new(&config).expect("wasmtime knows its own settings");
        assert_ne!(key, Key::of(&other, b"a"));
    }

    #[test]
    fn only_entries_are_taken_for_entries() {
        let key = Key::of(&Engine::default(), b"");
        assert_eq!(Key::of_file(&key.code()), Some(key.clone()));
        assert_eq!(Key::of_file(&key.facts()), Some(key.clone()));
        for other in ["notes.json", "", ".json", &key.0, &format!("{}.txt", key.0)] {
            assert_eq!(Key::of_file(other), None, "{other}");
        }
        assert_eq!(Key::of_file(&key.code().to_uppercase()), None);
    }
}
