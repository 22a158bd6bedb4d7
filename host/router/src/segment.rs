//! The parts that a form is matched by: segments from the left, and a tail from the first wildcard on.
//! Must not know about precedence or other routes. Built by `form.rs`, asked by it and by `node.rs`.

use crate::expression::Expressions;
use crate::matcher::Matcher;
use crate::parse::{PatternError, Token, nameless};

#[derive(Clone, Debug)]
pub(crate) enum Segment {
    Text(Box<str>),
    /// One parameter without an expression: anything but nothing.
    Param,
    /// `shape` is the segment without names: matchers of equal shapes match the same.
    Mixed {
        shape: Box<str>,
        matcher: Matcher,
    },
}

impl Segment {
    pub(crate) fn compile(
        tokens: &[Token],
        expressions: &mut Expressions,
    ) -> Result<Self, PatternError> {
        Ok(match tokens {
            [] => Self::Text("".into()),
            [Token::Text(text)] => Self::Text(text.as_str().into()),
            [
                Token::Param {
                    expression: None, ..
                },
            ] => Self::Param,
            mixed => Self::Mixed {
                shape: nameless(mixed).into(),
                matcher: Matcher::compile(mixed, expressions)?,
            },
        })
    }

    /// Whether the whole of `text`, which has no slash, matches.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        match self {
            Self::Text(own) => **own == *text,
            Self::Param => !text.is_empty(),
            Self::Mixed { matcher, .. } => matcher.is_match(text),
        }
    }

    /// Hands over what each parameter of a `text` that matches has taken, in order.
    pub(crate) fn captures<'p>(&self, text: &'p str, take: &mut impl FnMut(&'p str)) {
        match self {
            Self::Text(_) => {}
            Self::Param => take(text),
            Self::Mixed { matcher, .. } => matcher.captures(text, take),
        }
    }
}

/// The rest of a pattern from the segment on in which its first wildcard is.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    /// Up to the end of the segment in which the last wildcard is: any number of segments of a path.
    pub(crate) head: Matcher,
    /// What follows it if there are parameters: as many segments of a path, counted from its end. So
    /// most tails need no regex, and where a wildcard ends needs no search.
    ends: Box<[Segment]>,
    /// The text behind everything that varies.
    pub(crate) suffix: Box<str>,
    /// The longest text between what varies; may be empty.
    pub(crate) needle: Box<str>,
}

impl Tail {
    pub(crate) fn compile(
        tokens: &[Token],
        expressions: &mut Expressions,
    ) -> Result<Self, PatternError> {
        let (head, ends) = cut_ends(tokens);
        let ends: Result<_, _> = ends
            .iter()
            .map(|tokens| Segment::compile(tokens, expressions))
            .collect();
        let (suffix, varying) = match tokens {
            [varying @ .., Token::Text(text)] => (text.as_str(), varying),
            varying => ("", varying),
        };
        let between = varying.iter().skip(1).filter_map(|token| match token {
            Token::Text(text) => Some(text.as_str()),
            Token::Param { .. } | Token::Wildcard { .. } => None,
        });
        Ok(Self {
            head: Matcher::compile(&head, expressions)?,
            ends: ends?,
            suffix: suffix.into(),
            needle: between
                .max_by_key(|text| text.len())
                .unwrap_or_default()
                .into(),
        })
    }

    /// Whether the whole of `text` matches.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        let mut rest = text;
        for segment in self.ends.iter().rev() {
            let Some((before, own)) = rest.rsplit_once('/') else {
                return false;
            };
            if !segment.is_match(own) {
                return false;
            }
            rest = before;
        }
        self.head.is_match(rest)
    }

    /// Hands over what each parameter of a `text` that matches has taken, in order.
    pub(crate) fn captures<'p>(&self, text: &'p str, take: &mut impl FnMut(&'p str)) {
        let mut head = text;
        for _ in &self.ends {
            head = head.rsplit_once('/').map_or("", |(before, _)| before);
        }
        self.head.captures(head, take);
        let ends = text.get(head.len() + 1..).unwrap_or_default().split('/');
        for (segment, own) in self.ends.iter().zip(ends) {
            segment.captures(own, take);
        }
    }
}

/// The first segment of `path`, and what follows the slash behind it, if there is one.
pub(crate) fn next_segment(path: &str) -> (&str, Option<&str>) {
    match path.split_once('/') {
        Some((segment, rest)) => (segment, Some(rest)),
        None => (path, None),
    }
}

/// Cuts tokens at the slashes in their texts, as far as the segment in which the first wildcard is:
/// from there on a slash may be a wildcard's, so that the rest stays together.
pub(crate) fn cut_segments(tokens: &[Token]) -> (Vec<Vec<Token>>, Option<Vec<Token>>) {
    let mut segments = Vec::new();
    let mut segment = Vec::new();
    let mut tokens = tokens.iter();
    while let Some(token) = tokens.next() {
        match token {
            Token::Text(text) => {
                let mut rest = text.as_str();
                while let Some((before, after)) = rest.split_once('/') {
                    push_text(&mut segment, before);
                    segments.push(std::mem::take(&mut segment));
                    rest = after;
                }
                push_text(&mut segment, rest);
            }
            // Whether it may be missing tells forms apart, not segments.
            Token::Param { expression, .. } => segment.push(Token::Param {
                expression: expression.clone(),
                optional: false,
            }),
            Token::Wildcard { .. } => {
                segment.push(token.clone());
                segment.extend(tokens.cloned());
                return (segments, Some(segment));
            }
        }
    }
    segments.push(segment);
    (segments, None)
}

/// Cuts a tail behind the segment of its last wildcard, if a parameter follows.
fn cut_ends(tokens: &[Token]) -> (Vec<Token>, Vec<Vec<Token>>) {
    let last = tokens
        .iter()
        .rposition(|token| matches!(token, Token::Wildcard { .. }));
    let (head, after) = tokens.split_at(last.map_or(0, |last| last + 1));
    let mut head = head.to_vec();
    if !after
        .iter()
        .any(|token| matches!(token, Token::Param { .. }))
    {
        head.extend_from_slice(after);
        return (head, Vec::new());
    }
    let (segments, _) = cut_segments(after);
    let mut segments = segments.into_iter();
    head.extend(segments.next().into_iter().flatten());
    (head, segments.collect())
}

fn push_text(segment: &mut Vec<Token>, text: &str) {
    if !text.is_empty() {
        segment.push(Token::Text(text.to_owned()));
    }
}
