//! The hash of all maps that a look-up asks. Owns nothing but the function. Used by
//! `index.rs`, `node.rs` and `table.rs`.
//!
//! Not the standard one: that takes most of a look-up's time, to protect maps in which strangers
//! store keys. Here clients only look keys up; the stored ones are a tenant's own routes, whose number
//! is limited and which slow down nobody else.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

pub(crate) type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<FastHasher>>;

pub(crate) type FastSet<K> = HashSet<K, BuildHasherDefault<FastHasher>>;

/// Multiplies eight bytes at a time and folds the upper half of the product into the lower, so that
/// every bit of the input shows in the low bits, by which a map chooses its slot.
#[derive(Debug, Default)]
pub(crate) struct FastHasher(u64);

const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

impl Hasher for FastHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        // The length tells zero bytes from none.
        let last = rest
            .iter()
            .fold(rest.len() as u64, |last, &byte| last << 8 | u64::from(byte));
        self.write_u64(last);
    }

    fn write_u8(&mut self, byte: u8) {
        // The end mark of a `str`; `write` has seen to ends.
        self.0 ^= u64::from(byte);
    }

    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ FACTOR) * u128::from(FACTOR.rotate_left(29) | 1);
        self.0 = (product as u64) ^ (product >> 64) as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The hash of two texts side by side, where their lengths are known.
pub(crate) fn hash_pair(first: &[u8], second: &[u8]) -> u64 {
    let mut hasher = FastHasher::default();
    hasher.write(first);
    hasher.write(second);
    hasher.finish()
}
