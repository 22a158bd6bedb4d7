//! Code that is in memory: who brings a component that is there already gets its code, whichever tenant's it is. Code
//! does not change, and what runs in it is each plugin's own.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use wasmtime::component::Component;

use super::cache::Key;
use super::manifest::Described;

/// A component's code, for as long as there is a plugin of it.
pub(super) struct LoadedCode {
    pub(super) component: Component,
    /// What the plugin said of itself when it was first asked.
    pub(super) described: OnceLock<Described>,
}

impl LoadedCode {
    pub(super) fn new(component: Component, described: Option<Described>) -> Self {
        let described = described.map_or_else(OnceLock::new, OnceLock::from);
        Self {
            component,
            described,
        }
    }
}

impl std::fmt::Debug for LoadedCode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LoadedCode").finish_non_exhaustive()
    }
}

/// All code that is in memory, by what it was made of.
#[derive(Default)]
pub(super) struct LoadedCodes(Mutex<HashMap<Key, Weak<LoadedCode>>>);

impl LoadedCodes {
    pub(super) fn get(&self, key: &Key) -> Option<Arc<LoadedCode>> {
        self.0.lock().get(key)?.upgrade()
    }

    /// Adds code that has just come into memory.
    pub(super) fn insert(&self, key: Key, code: &Arc<LoadedCode>) {
        let mut codes = self.0.lock();
        codes.retain(|_, code| code.strong_count() > 0);
        codes.insert(key, Arc::downgrade(code));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_goes_with_the_last_who_has_it() {
        let engine = wasmtime::Engine::default();
        let codes = LoadedCodes::default();
        let bytes = b"\0asm\x0d\0\x01\0";
        let key = Key::of(&engine, bytes);
        assert!(codes.get(&key).is_none());
        let component = Component::new(&engine, bytes).unwrap();
        let first = Arc::new(LoadedCode::new(component.clone(), None));
        codes.insert(key.clone(), &first);
        let second = codes.get(&key).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        drop(first);
        assert!(codes.get(&key).is_some());
        drop(second);
        assert!(codes.get(&key).is_none());
        // What is gone takes no room.
        let other = Arc::new(LoadedCode::new(component, None));
        codes.insert(Key::of(&engine, b"other"), &other);
        assert_eq!(codes.0.lock().len(), 1);
    }
}
