//! A pattern as others see it: parsed, shown, matched against one path. The syntax is `parse.rs`'s
//! and the matching `form.rs`'s. Called by the host for each handler of a manifest, and by `table.rs`.

use std::fmt;
use std::sync::Arc;

use crate::decode::decode;
use crate::expression::Expressions;
use crate::form::Form;
use crate::parse::{Parsed, PatternError, nameless, parse};

/// What a path's parameters and wildcards captured: name and percent-decoded value, in the pattern's
/// order. A name may occur several times; an optional parameter that the path lacks does not occur;
/// a wildcard's name is `*`.
pub type Params = Vec<(Arc<str>, String)>;

/// A valid pattern, compiled. Cheap to clone.
#[derive(Clone)]
pub struct Pattern {
    compiled: Arc<Compiled>,
}

struct Compiled {
    /// As given, with the leading slash.
    source: Box<str>,
    /// The same without names.
    shape: Box<str>,
    names: Box<[Arc<str>]>,
    forms: Vec<Form>,
}

impl Pattern {
    /// Parses one pattern. For many, [`PatternParser`] compiles equal expressions once.
    ///
    /// ```
    /// # use wardroom_router::Pattern;
    /// let pattern = Pattern::parse("files/:name.css")?;
    /// assert_eq!(pattern.as_str(), "/files/:name.css");
    /// assert_eq!(pattern.matches("/files/site.css"), Some(vec![("name".into(), "site".to_owned())]));
    /// assert_eq!(pattern.matches("/files/.css"), None);
    /// # Ok::<(), wardroom_router::PatternError>(())
    /// ```
    ///
    /// # Errors
    /// Says what is wrong, where, and what to write instead; see [`PatternError`].
    pub fn parse(pattern: &str) -> Result<Self, PatternError> {
        PatternParser::new().parse(pattern)
    }

    /// What the pattern captures of `path`, or `None` if it does not match.
    ///
    /// To find one of many patterns, ask a [`RouteTable`](crate::RouteTable).
    pub fn matches(&self, path: &str) -> Option<Params> {
        let path = without_slash(path);
        let form = self
            .compiled
            .forms
            .iter()
            .find(|form| form.is_match(path))?;
        Some(self.params(form, path))
    }

    /// The pattern as it was given, with a leading slash.
    pub fn as_str(&self) -> &str {
        &self.compiled.source
    }

    /// The names of its parameters and wildcards (`*`), in order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.compiled.names.iter().map(|name| &**name)
    }

    /// Whether both match the same paths because they are the same but for the names of parameters.
    ///
    /// ```
    /// # use wardroom_router::Pattern;
    /// let [room, id, number] = ["/:room", "/:id", r"/:id(\d+)"].map(|p| Pattern::parse(p).unwrap());
    /// assert!(room.is_same(&id));
    /// assert!(!id.is_same(&number));
    /// ```
    pub fn is_same(&self, other: &Self) -> bool {
        self.shape() == other.shape()
    }

    pub(crate) fn shape(&self) -> &str {
        &self.compiled.shape
    }

    pub(crate) fn forms(&self) -> &[Form] {
        &self.compiled.forms
    }

    /// The one path, without a leading slash, that it matches if it is nothing but text.
    pub(crate) fn literal(&self) -> Option<String> {
        match self.forms() {
            [form] => form.literal(),
            _ => None,
        }
    }

    /// What `form`, one of this pattern that matches `path` (without a leading slash), captures.
    pub(crate) fn params(&self, form: &Form, path: &str) -> Params {
        let mut params = Params::with_capacity(self.compiled.names.len());
        // Missing parameters are the last ones: the values there are belong to the first names.
        let mut names = self.compiled.names.iter();
        form.captures(path, &mut |value| {
            params.extend(names.next().map(|name| (Arc::clone(name), decode(value))));
        });
        params
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.as_str())
    }
}

/// Parses patterns and compiles each distinct expression in them once: a plugin's two thousand
/// patterns with `(\d+)` share one regex. What it has compiled lives as long as it or a pattern does.
#[derive(Debug, Default)]
pub struct PatternParser {
    expressions: Expressions,
}

impl PatternParser {
    /// A parser that has compiled nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Parses one more pattern.
    ///
    /// # Errors
    /// As [`Pattern::parse`]; the parser stays usable.
    pub fn parse(&mut self, pattern: &str) -> Result<Pattern, PatternError> {
        let Parsed { tokens, names } = parse(pattern, &mut self.expressions)?;
        let compiled = Compiled {
            source: format!("/{}", without_slash(pattern)).into(),
            shape: nameless(&tokens).into(),
            names: names.into(),
            forms: Form::all(&tokens, &mut self.expressions)?,
        };
        Ok(Pattern {
            compiled: Arc::new(compiled),
        })
    }
}

/// Joins a controller's prefix and a handler's pattern with one slash, and adds a leading one.
///
/// ```
/// # use wardroom_router::join;
/// assert_eq!(join("chat", ":room"), "/chat/:room");
/// assert_eq!(join("/chat/", "/:room"), "/chat/:room");
/// assert_eq!(join("", "self"), "/self");
/// assert_eq!(join("chat", ""), "/chat");
/// ```
pub fn join(prefix: &str, pattern: &str) -> String {
    let prefix = without_slash(prefix);
    if pattern.is_empty() {
        return format!("/{prefix}");
    }
    let pattern = pattern.trim_start_matches('/');
    match prefix.trim_end_matches('/') {
        "" => format!("/{pattern}"),
        prefix => format!("/{prefix}/{pattern}"),
    }
}

/// Paths and patterns are compared without the slash that both would gain.
pub(crate) fn without_slash(path: &str) -> &str {
    path.strip_prefix('/').unwrap_or(path)
}
