//! Matches what varies within one segment of a path, or around wildcards within several, and says what
//! the parameters in it took. Must not know about precedence or other routes. Built and asked by
//! `segment.rs`, asked by `node.rs`.

use std::sync::Arc;

use regex::Regex;

use crate::expression::{Expression, Expressions};
use crate::parse::{PatternError, Token, nameless};

/// Text around something that varies. Most patterns need no regex: those that do keep it in `core`.
#[derive(Clone, Debug)]
pub(crate) struct Matcher {
    pub(crate) prefix: Box<str>,
    pub(crate) suffix: Box<str>,
    core: Core,
}

#[derive(Clone, Debug)]
enum Core {
    /// One parameter, or one wildcard, with an expression.
    Whole(Arc<Regex>),
    /// All parameters (`filled`: none is empty) or all wildcards, with this text between them.
    Split {
        between: Box<[Box<str>]>,
        filled: bool,
    },
    /// Anything else: a group for each capture, the longest text between them.
    Joined { regex: Arc<Regex>, needle: Box<str> },
}

impl Matcher {
    /// A matcher for tokens with at least one parameter or wildcard. Without a wildcard they are one
    /// segment: the caller hands only that to [`is_match`](Self::is_match).
    pub(crate) fn compile(
        tokens: &[Token],
        expressions: &mut Expressions,
    ) -> Result<Self, PatternError> {
        let (prefix, rest) = match tokens {
            [Token::Text(text), rest @ ..] => (text.as_str(), rest),
            rest => ("", rest),
        };
        let (suffix, middle) = match rest {
            [middle @ .., Token::Text(text)] => (text.as_str(), middle),
            middle => ("", middle),
        };
        let core = match middle {
            [
                Token::Param {
                    expression: Some(whole),
                    ..
                }
                | Token::Wildcard {
                    expression: Some(whole),
                },
            ] => Core::Whole(Arc::clone(&whole.whole)),
            _ => match split(middle) {
                Some(core) => core,
                None => join(middle, expressions)?,
            },
        };
        Ok(Self {
            prefix: prefix.into(),
            suffix: suffix.into(),
            core,
        })
    }

    /// Whether the whole of `text` matches.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        let Some(middle) = self.middle(text) else {
            return false;
        };
        match &self.core {
            Core::Whole(regex) | Core::Joined { regex, .. } => regex.is_match(middle),
            Core::Split { between, filled } => {
                divide(middle, between, *filled, &mut |_| ()).is_some()
            }
        }
    }

    /// Hands over what each parameter of a `text` that matches has taken, in order.
    pub(crate) fn captures<'p>(&self, text: &'p str, take: &mut impl FnMut(&'p str)) {
        let Some(middle) = self.middle(text) else {
            return;
        };
        match &self.core {
            Core::Whole(_) => take(middle),
            Core::Split { between, filled } => {
                let _ = divide(middle, between, *filled, take);
            }
            Core::Joined { regex, .. } => {
                let captures = regex.captures(middle);
                let groups = captures
                    .iter()
                    .flat_map(|captures| captures.iter().skip(1).flatten());
                groups.for_each(|group| take(group.as_str()));
            }
        }
    }

    /// A text that has to occur between prefix and suffix for the matcher to match; may be empty.
    pub(crate) fn needle(&self) -> &str {
        match &self.core {
            Core::Whole(_) => "",
            Core::Split { between, .. } => longest(between.iter().map(|text| &**text)),
            Core::Joined { needle, .. } => needle,
        }
    }

    fn middle<'p>(&self, mut text: &'p str) -> Option<&'p str> {
        // An empty text lies at no real address: to compare it takes some processors a hundred
        // nanoseconds, since their masked loads first fault there and then forget it.
        if !self.prefix.is_empty() {
            text = text.strip_prefix(&*self.prefix)?;
        }
        if !self.suffix.is_empty() {
            text = text.strip_suffix(&*self.suffix)?;
        }
        Some(text)
    }
}

/// Divides `text` at each of `between`, as early as possible. To take the first place each time finds
/// a division whenever there is one, since it leaves the most to what follows: so this is linear.
fn divide<'p>(
    mut text: &'p str,
    between: &[Box<str>],
    filled: bool,
    take: &mut impl FnMut(&'p str),
) -> Option<()> {
    for separator in between {
        let least = if filled {
            text.chars().next()?.len_utf8()
        } else {
            0
        };
        let at = least + find(separator, text.get(least..)?)?;
        take(text.get(..at)?);
        text = text.get(at + separator.len()..)?;
    }
    if filled && text.is_empty() {
        return None;
    }
    take(text);
    Some(())
}

/// Where `separator` is in `text`. To prepare a search that is linear whatever the text takes longer
/// than most searches do, so that it is left to texts where its first byte tells little.
fn find(separator: &str, text: &str) -> Option<usize> {
    let Some(first) = separator.chars().next() else {
        return Some(0);
    };
    for (at, _) in text.match_indices(first).take(4) {
        if text.get(at..)?.starts_with(separator) {
            return Some(at);
        }
    }
    text.find(separator)
}

/// The core for tokens that are all parameters or all wildcards, without expressions. For both at
/// once `divide` would not do: a parameter ends at a slash, so that the first place may be wrong.
fn split(tokens: &[Token]) -> Option<Core> {
    let filled = matches!(tokens.first(), Some(Token::Param { .. }));
    let mut between: Vec<Box<str>> = Vec::new();
    let mut text = None;
    for (index, token) in tokens.iter().enumerate() {
        match token {
            Token::Text(separator) => text = Some(separator.as_str()),
            Token::Param { expression, .. } | Token::Wildcard { expression } => {
                if expression.is_some() || matches!(token, Token::Param { .. }) != filled {
                    return None;
                }
                between.extend((index > 0).then(|| text.take().unwrap_or_default().into()));
            }
        }
    }
    Some(Core::Split {
        between: between.into(),
        filled,
    })
}

/// The core for any tokens: one regex whose groups take as little as they can from left to right.
fn join(tokens: &[Token], expressions: &mut Expressions) -> Result<Core, PatternError> {
    let part = |expression: &Option<Arc<Expression>>, slashes, otherwise: &str| match expression {
        Some(expression) => format!("({})", expression.part(slashes)),
        None => otherwise.to_owned(),
    };
    let regex = || {
        let parts = tokens.iter().map(|token| match token {
            Token::Text(text) => regex::escape(text),
            Token::Param { expression, .. } => part(expression, false, "([^/]+?)"),
            Token::Wildcard { expression } => part(expression, true, "((?s:.*?))"),
        });
        parts.collect()
    };
    let needle = longest(tokens.iter().filter_map(|token| match token {
        Token::Text(text) => Some(text.as_str()),
        Token::Param { .. } | Token::Wildcard { .. } => None,
    }));
    Ok(Core::Joined {
        regex: expressions.joined(nameless(tokens), regex)?,
        needle: needle.into(),
    })
}

fn longest<'t>(texts: impl Iterator<Item = &'t str>) -> &'t str {
    texts.max_by_key(|text| text.len()).unwrap_or_default()
}
