//! The tree of one event's forms, segment by segment, and the search in it. Must not know about
//! events or targets. Built and asked by `table.rs`.
//!
//! Every form has a priority, a number that no other form of its event has. The search wants the
//! matching form with the least one. It walks every branch that matches, likely ones first, except
//! where a subtree's best is no better than what is found already. So what it finds never depends on
//! how the tree is cut or in which order it is walked; only the time it takes does.

use crate::form::Form;
use crate::hash::FastMap;
use crate::index::{Entry, Index};
use crate::matcher::Matcher;
use crate::segment::{Segment, Tail, next_segment};

/// One form: the end of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) priority: u32,
    /// Which route, and which of its pattern's forms.
    pub(crate) route: usize,
    pub(crate) form: usize,
}

/// A tree that grows.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    leaf: Option<Leaf>,
    texts: FastMap<Box<str>, Draft>,
    param: Option<Box<Draft>>,
    /// By the segment without names.
    mixed: FastMap<Box<str>, (Matcher, Draft)>,
    tails: Vec<End>,
}

/// A tree to search.
#[derive(Debug)]
pub(crate) struct Node {
    /// The least priority in this subtree.
    best: u32,
    /// The form that ends here.
    leaf: Option<Leaf>,
    texts: FastMap<Box<str>, Node>,
    param: Option<Box<Node>>,
    mixed: Index<Mixed>,
    tails: Index<End>,
}

/// A segment that varies, and what follows it.
#[derive(Debug)]
struct Mixed {
    matcher: Matcher,
    node: Node,
}

/// A wildcard, and all that follows it.
#[derive(Debug)]
struct End {
    tail: Tail,
    leaf: Leaf,
}

impl Draft {
    pub(crate) fn insert(&mut self, form: &Form, leaf: Leaf) {
        let mut draft = self;
        for segment in &form.segments {
            draft = match segment {
                Segment::Text(text) => draft.texts.entry(text.clone()).or_default(),
                Segment::Param => draft.param.get_or_insert_default(),
                Segment::Mixed { shape, matcher } => {
                    let entry = draft.mixed.entry(shape.clone());
                    &mut entry
                        .or_insert_with(|| (matcher.clone(), Self::default()))
                        .1
                }
            };
        }
        if let Some(tail) = &form.tail {
            draft.tails.push(End {
                tail: tail.clone(),
                leaf,
            });
        } else if draft
            .leaf
            .is_none_or(|known| leaf.priority < known.priority)
        {
            // Forms that end at the same node match the same paths: the others can never win.
            draft.leaf = Some(leaf);
        }
    }

    pub(crate) fn finish(self) -> Node {
        let texts: FastMap<_, _> = self
            .texts
            .into_iter()
            .map(|(text, draft)| (text, draft.finish()))
            .collect();
        let param = self.param.map(|draft| Box::new(draft.finish()));
        let mixed: Vec<Mixed> = self
            .mixed
            .into_values()
            .map(|(matcher, draft)| Mixed {
                matcher,
                node: draft.finish(),
            })
            .collect();
        let best = (self.leaf.iter().map(|leaf| leaf.priority))
            .chain(texts.values().map(|node: &Node| node.best))
            .chain(param.iter().map(|node| node.best))
            .chain(mixed.iter().map(Entry::best))
            .chain(self.tails.iter().map(Entry::best))
            .min()
            .unwrap_or(u32::MAX);
        Node {
            best,
            leaf: self.leaf,
            texts,
            param,
            mixed: Index::new(mixed),
            tails: Index::new(self.tails),
        }
    }
}

impl Node {
    /// The best form that matches `path`, which has no leading slash.
    pub(crate) fn find(&self, path: &str) -> Option<Leaf> {
        let mut search = Search { found: None };
        self.visit(Some(path), &mut search);
        search.found
    }

    /// `path` is what is left of it, `None` behind its last segment. This calls itself once for each
    /// segment, at most as often as a pattern has some; each node is visited once at most.
    fn visit(&self, path: Option<&str>, search: &mut Search) {
        if !search.wants(self.best) {
            return;
        }
        let Some(path) = path else {
            self.leaf.iter().for_each(|&leaf| search.offer(leaf));
            return;
        };
        let (segment, rest) = next_segment(path);
        if let Some(node) = self.texts.get(segment) {
            node.visit(rest, search);
        }
        search.candidates(&self.mixed, segment, |mixed, search| {
            mixed.node.visit(rest, search)
        });
        if let Some(node) = &self.param
            && !segment.is_empty()
        {
            node.visit(rest, search);
        }
        search.candidates(&self.tails, path, |end, search| search.offer(end.leaf));
    }
}

impl Entry for Mixed {
    fn ends(&self) -> (&str, &str) {
        (&self.matcher.prefix, &self.matcher.suffix)
    }

    fn needle(&self) -> &str {
        self.matcher.needle()
    }

    fn is_match(&self, text: &str) -> bool {
        self.matcher.is_match(text)
    }

    fn best(&self) -> u32 {
        self.node.best
    }
}

impl Entry for End {
    fn ends(&self) -> (&str, &str) {
        (&self.tail.head.prefix, &self.tail.suffix)
    }

    fn needle(&self) -> &str {
        &self.tail.needle
    }

    fn is_match(&self, text: &str) -> bool {
        self.tail.is_match(text)
    }

    fn best(&self) -> u32 {
        self.leaf.priority
    }
}

/// The best form found so far.
struct Search {
    found: Option<Leaf>,
}

impl Search {
    fn wants(&self, priority: u32) -> bool {
        self.found.is_none_or(|found| priority < found.priority)
    }

    fn offer(&mut self, leaf: Leaf) {
        if self.wants(leaf.priority) {
            self.found = Some(leaf);
        }
    }

    /// Visits the entries that match `text` and may lead to something better.
    fn candidates<E: Entry>(
        &mut self,
        index: &Index<E>,
        text: &str,
        visit: impl Fn(&E, &mut Self),
    ) {
        for bucket in index.buckets(text) {
            self.scan(&bucket.scanned, text, &visit);
            bucket.needled(text, |entries| self.scan(entries, text, &visit));
        }
    }

    fn scan<E: Entry>(&mut self, entries: &[E], text: &str, visit: &impl Fn(&E, &mut Self)) {
        for entry in entries {
            if !self.wants(entry.best()) {
                return; // The ones behind it are no better.
            }
            if entry.is_match(text) {
                visit(entry, self);
            }
        }
    }
}
