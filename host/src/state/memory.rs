//! Values in memory: gone with the host.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::StateError;
use super::map::{Map, Read};

/// Never fails.
#[derive(Debug, Default)]
pub(super) struct Memory(BTreeMap<Vec<u8>, Vec<u8>>);

impl Read for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.0.get(key).cloned())
    }

    fn visit(
        &self,
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StateError> {
        let from = (Bound::Included(from), Bound::Unbounded);
        for (key, value) in self.0.range::<[u8], _>(from) {
            if !visit(key, value) {
                break;
            }
        }
        Ok(())
    }
}

impl Map for Memory {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), StateError> {
        self.0.insert(key.to_owned(), value.to_owned());
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<(), StateError> {
        self.0.remove(key);
        Ok(())
    }
}
