//! Finds, among thousands of entries, the few that may match a text: by the text before, behind and
//! between what varies in them. Must not decide whether they do. Built and asked by `node.rs`.

use std::collections::BTreeMap;

use crate::hash::{FastMap, FastSet, hash_pair};

/// So many entries with the same ends are tried one by one before the text between is looked for,
/// which costs a hash for each position of the path.
const SCANNED_MAX: usize = 8;

/// So many hits of needles are followed without a look at whether there was the same before.
const REPEATED_MAX: usize = 8;

/// What is kept in an [`Index`].
pub(crate) trait Entry {
    /// The text before everything that varies, and the one behind.
    fn ends(&self) -> (&str, &str);
    /// A text that has to occur between them, not empty if there is one.
    fn needle(&self) -> &str;
    /// Whether the whole of `text` matches.
    fn is_match(&self, text: &str) -> bool;
    /// The best priority it can lead to; less is better.
    fn best(&self) -> u32;
}

/// Entries by their prefix and suffix.
#[derive(Debug)]
pub(crate) struct Index<E> {
    groups: Vec<Group<E>>,
}

/// The entries whose prefixes have the same length, and suffixes too: there are few such pairs of
/// lengths, however many entries there are.
#[derive(Debug)]
struct Group<E> {
    prefix: usize,
    suffix: usize,
    /// By the hash of prefix and suffix: where two collide, matching tells them apart.
    buckets: FastMap<u64, Bucket<E>>,
}

/// Entries with the same prefix and suffix.
#[derive(Debug)]
pub(crate) struct Bucket<E> {
    /// Those to try one by one, best first.
    pub(crate) scanned: Vec<E>,
    /// The others, by the length of their needles.
    needles: Vec<Needles<E>>,
}

/// Entries whose needles have the same length.
#[derive(Debug)]
struct Needles<E> {
    /// Not zero: an empty needle says nothing.
    len: usize,
    /// Which bytes they begin with, a bit for each: usually few, and not those of names and values,
    /// so that most positions of a path need no hash.
    first: [u64; 4],
    /// By the hash of the needle.
    entries: FastMap<u64, Vec<E>>,
}

impl<E: Entry> Index<E> {
    pub(crate) fn new(entries: Vec<E>) -> Self {
        let mut groups: BTreeMap<(usize, usize), FastMap<u64, Vec<E>>> = BTreeMap::new();
        for entry in entries {
            let (prefix, suffix) = entry.ends();
            let hash = hash_pair(prefix.as_bytes(), suffix.as_bytes());
            let group = groups.entry((prefix.len(), suffix.len())).or_default();
            group.entry(hash).or_default().push(entry);
        }
        let group = |((prefix, suffix), entries): (_, FastMap<u64, Vec<E>>)| Group {
            prefix,
            suffix,
            buckets: entries
                .into_iter()
                .map(|(hash, entries)| (hash, Bucket::new(entries)))
                .collect(),
        };
        // The longest prefix first: a good match found early spares looking at others.
        Self {
            groups: groups.into_iter().rev().map(group).collect(),
        }
    }

    /// The buckets of entries whose prefix and suffix are (but for colliding hashes) those of `text`.
    pub(crate) fn buckets(&self, text: &str) -> impl Iterator<Item = &Bucket<E>> {
        let text = text.as_bytes();
        self.groups.iter().filter_map(move |group| {
            let (prefix, rest) = text.split_at_checked(group.prefix)?;
            let (_, suffix) = rest.split_at_checked(rest.len().checked_sub(group.suffix)?)?;
            group.buckets.get(&hash_pair(prefix, suffix))
        })
    }
}

impl<E: Entry> Bucket<E> {
    fn new(entries: Vec<E>) -> Self {
        let (mut others, mut scanned): (Vec<E>, Vec<E>) = entries
            .into_iter()
            .partition(|entry| !entry.needle().is_empty());
        if others.len() <= SCANNED_MAX {
            scanned.append(&mut others);
        }
        let mut needles: BTreeMap<usize, Needles<E>> = BTreeMap::new();
        for entry in others {
            needles.entry(entry.needle().len()).or_default().push(entry);
        }
        scanned.sort_by_key(E::best);
        let mut needles: Vec<Needles<E>> = needles.into_values().collect();
        for entries in needles
            .iter_mut()
            .flat_map(|needles| needles.entries.values_mut())
        {
            entries.sort_by_key(E::best);
        }
        Self { scanned, needles }
    }

    /// Hands over the entries whose needle is in `text`: lists of them, each best first.
    pub(crate) fn needled<'e>(&'e self, text: &str, mut found: impl FnMut(&'e [E])) {
        if self.needles.is_empty() {
            return;
        }
        // A path may be made of one needle over and over: to try what it stands for each time would
        // take quadratic time. To try it a few times takes less than to remember what was tried.
        let mut hits = 0;
        let mut seen = FastSet::default();
        for needles in &self.needles {
            let windows = text.as_bytes().windows(needles.len);
            for window in windows.filter(|window| needles.may_begin(window)) {
                let hash = hash_pair(window, &[]);
                if let Some(entries) = needles.entries.get(&hash) {
                    hits += 1;
                    if hits <= REPEATED_MAX || seen.insert((needles.len, hash)) {
                        found(entries);
                    }
                }
            }
        }
    }
}

impl<E: Entry> Needles<E> {
    fn push(&mut self, entry: E) {
        let needle = entry.needle().as_bytes();
        let hash = hash_pair(needle, &[]);
        self.len = needle.len();
        if let Some((word, bit)) = needle.first().map(|&byte| Self::bit(byte))
            && let Some(word) = self.first.get_mut(word)
        {
            *word |= bit;
        }
        self.entries.entry(hash).or_default().push(entry);
    }

    fn may_begin(&self, window: &[u8]) -> bool {
        let first = window.first().map(|&byte| Self::bit(byte));
        first.is_some_and(|(word, bit)| self.first.get(word).is_some_and(|word| word & bit != 0))
    }

    fn bit(byte: u8) -> (usize, u64) {
        (usize::from(byte / 64), 1 << (byte % 64))
    }
}

impl<E> Default for Needles<E> {
    fn default() -> Self {
        Self {
            len: 0,
            first: [0; 4],
            entries: FastMap::default(),
        }
    }
}
