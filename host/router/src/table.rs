//! The routes of one tenant: added one by one, where conflicts are found, then an immutable table.
//! Owns the order of precedence among an event's forms; the search itself is `node.rs`'s. Built by
//! the host whenever a tenant's plugins change, asked once for each message.

use std::fmt;
use std::sync::Arc;

use crate::form::Form;
use crate::hash::FastMap;
use crate::node::{Draft, Leaf, Node};
use crate::pattern::{Params, Pattern, without_slash};

/// Routes by event and path; immutable, to be shared and swapped whole.
///
/// [Precedence](crate#precedence) decides among several that match. See the [crate](crate) for an
/// example.
pub struct RouteTable<T> {
    /// By event, then by pattern.
    routes: Vec<Route<T>>,
    events: FastMap<Arc<str>, EventRoutes>,
}

struct Route<T> {
    event: Arc<str>,
    pattern: Pattern,
    target: T,
}

/// What one event's look-ups need; numbers are positions in the table's routes.
struct EventRoutes {
    /// Patterns that are nothing but text, without their leading slash. They win over all others.
    literals: FastMap<Box<str>, usize>,
    tree: Node,
}

/// The route that a [look-up](RouteTable::find) found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Match<'t, T> {
    /// What was added for it.
    pub target: &'t T,
    /// What its pattern captured.
    pub params: Params,
    /// Its pattern.
    pub pattern: &'t Pattern,
}

impl<T> RouteTable<T> {
    /// A builder without routes.
    pub fn builder() -> RouteTableBuilder<T> {
        RouteTableBuilder::new()
    }

    /// The route of an event and a path.
    ///
    /// ```
    /// # use wardroom_router::{Pattern, RouteTable};
    /// let mut routes = RouteTable::builder();
    /// routes.add("join", Pattern::parse("/rooms/:room")?, 1)?;
    /// routes.add("join", Pattern::parse("/rooms/lobby")?, 2)?;
    /// let table = routes.build();
    ///
    /// assert_eq!(table.find("join", "rooms/lobby").map(|found| *found.target), Some(2));
    /// let found = table.find("join", "rooms/attic").expect("the parameter matches");
    /// assert_eq!((*found.target, found.pattern.as_str()), (1, "/rooms/:room"));
    /// assert!(table.find("Join", "rooms/attic").is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn find(&self, event: &str, path: &str) -> Option<Match<'_, T>> {
        let routes = self.events.get(event)?;
        let path = without_slash(path);
        if let Some(&literal) = routes.literals.get(path) {
            let Route {
                pattern, target, ..
            } = self.routes.get(literal)?;
            return Some(Match {
                target,
                params: Params::new(),
                pattern,
            });
        }
        let leaf = routes.tree.find(path)?;
        let Route {
            pattern, target, ..
        } = self.routes.get(leaf.route)?;
        let params = pattern.params(pattern.forms().get(leaf.form)?, path);
        Some(Match {
            target,
            params,
            pattern,
        })
    }

    /// All routes, ordered by event and then by the pattern's text.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Pattern, &T)> {
        self.routes
            .iter()
            .map(|route| (&*route.event, &route.pattern, &route.target))
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }
}

impl<T> Default for RouteTable<T> {
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            events: FastMap::default(),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for RouteTable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Collects the routes of a [`RouteTable`]; the order in which they are added does not matter.
pub struct RouteTableBuilder<T> {
    routes: Vec<Route<T>>,
    /// Where the route of an event and of a pattern without names is.
    known: FastMap<Arc<str>, FastMap<Box<str>, usize>>,
}

/// Two routes with the same event and, parameter names aside, the same pattern.
#[derive(Debug, thiserror::Error)]
#[error(
    "the route of event `{event}` on `{pattern}` is the same as the one on `{existing_pattern}`, which is \
     there already: remove one of them or change its event or path"
)]
#[non_exhaustive]
pub struct Conflict<T> {
    pub event: String,
    /// The pattern that was refused.
    pub pattern: Pattern,
    /// The one that was added before.
    pub existing_pattern: Pattern,
    /// A clone of its target, to tell whose it is.
    pub existing: T,
}

impl<T> RouteTableBuilder<T> {
    /// A builder without routes.
    pub fn new() -> Self {
        Self {
            routes: Vec::new(),
            known: FastMap::default(),
        }
    }

    /// Adds a route.
    ///
    /// # Errors
    /// [`Conflict`] if there is one with the same event and, parameter names aside, the same pattern.
    /// The builder is as before then.
    pub fn add(&mut self, event: &str, pattern: Pattern, target: T) -> Result<(), Conflict<T>>
    where
        T: Clone,
    {
        let event = match self.known.get_key_value(event) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::from(event),
        };
        let patterns = self.known.entry(Arc::clone(&event)).or_default();
        if let Some(&route) = patterns.get(pattern.shape()) {
            let existing = self.routes.get(route).expect("routes are never removed");
            return Err(Conflict {
                event: event.as_ref().to_owned(),
                pattern,
                existing_pattern: existing.pattern.clone(),
                existing: existing.target.clone(),
            });
        }
        patterns.insert(pattern.shape().into(), self.routes.len());
        self.routes.push(Route {
            event,
            pattern,
            target,
        });
        Ok(())
    }

    /// The table of all routes added.
    pub fn build(mut self) -> RouteTable<T> {
        self.routes
            .sort_by(|a, b| (&a.event, a.pattern.as_str()).cmp(&(&b.event, b.pattern.as_str())));
        let mut routes = self.routes.iter().enumerate().peekable();
        let mut events = FastMap::default();
        while let Some((index, Route { event, pattern, .. })) = routes.next() {
            let mut patterns = vec![(index, pattern)];
            while let Some((index, route)) = routes.next_if(|(_, next)| next.event == *event) {
                patterns.push((index, &route.pattern));
            }
            events.insert(Arc::clone(event), EventRoutes::new(&patterns));
        }
        RouteTable {
            routes: self.routes,
            events,
        }
    }
}

impl<T> Default for RouteTableBuilder<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for RouteTableBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routes = self
            .routes
            .iter()
            .map(|route| (&route.event, &route.pattern, &route.target));
        f.debug_list().entries(routes).finish()
    }
}

impl EventRoutes {
    fn new(patterns: &[(usize, &Pattern)]) -> Self {
        let mut literals = FastMap::default();
        let mut forms: Vec<(&Form, &str, Leaf)> = Vec::new();
        for &(route, pattern) in patterns {
            if let Some(literal) = pattern.literal() {
                literals.insert(literal.into_boxed_str(), route);
                continue;
            }
            let leaf = |form| Leaf {
                priority: 0,
                route,
                form,
            };
            forms.extend(
                pattern
                    .forms()
                    .iter()
                    .zip(0..)
                    .map(|(form, at)| (form, pattern.shape(), leaf(at))),
            );
        }
        // A total order, for no two patterns of an event have the same shape and no two forms of a
        // pattern the same ranks.
        forms.sort_by(|a, b| (&a.0.ranks, a.1).cmp(&(&b.0.ranks, b.1)));

        let mut draft = Draft::default();
        for (priority, (form, _, leaf)) in (0..).zip(forms) {
            draft.insert(form, Leaf { priority, ..leaf });
        }
        Self {
            literals,
            tree: draft.finish(),
        }
    }
}
