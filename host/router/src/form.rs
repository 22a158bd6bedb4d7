//! The forms of a pattern: one for each number of its optional parameters that a path may have. Owns
//! how a form is cut into segments and where it ranks. Must not know about other routes. Built by
//! `pattern.rs`, put in order by `table.rs`, hung into the tree by `node.rs`.

use std::cmp::Reverse;

use crate::expression::Expressions;
use crate::parse::{PatternError, Token};
use crate::segment::{Segment, Tail, cut_segments, next_segment};

/// What precedence sees of a token: forms are compared rank by rank, the lesser one wins. Two texts
/// of which one begins with the other differ where the shorter ends, so that length decides there as
/// well, like where they differ in the middle. `End` stands behind the parameters: `/:name:version`
/// demands more than `/:name`. It stands before what may be missing or empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    Text(Reverse<usize>),
    ParamExpression,
    Param,
    End,
    OptionalExpression,
    Optional,
    MissingExpression,
    Missing,
    WildcardExpression,
    Wildcard,
}

/// A pattern with none, some or all of its optional parameters, as a path is matched against it.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) ranks: Vec<Rank>,
    pub(crate) segments: Vec<Segment>,
    /// What matches all that follows the segments: the part from the segment on in which the first
    /// wildcard is. Without one, nothing may follow them.
    pub(crate) tail: Option<Tail>,
}

impl Form {
    /// All forms of `tokens`, the one with the most parameters first.
    pub(crate) fn all(
        tokens: &[Token],
        expressions: &mut Expressions,
    ) -> Result<Vec<Self>, PatternError> {
        let missing_from = tokens
            .iter()
            .enumerate()
            .filter(|(_, token)| token.is_optional());
        let cuts = missing_from.map(|(index, _)| index).chain([tokens.len()]);
        let forms: Result<Vec<Self>, _> = cuts
            .map(|cut| Self::compile(tokens, cut, expressions))
            .collect();
        forms.map(|mut forms| {
            forms.reverse();
            forms
        })
    }

    /// The form in which the parameters from token `cut` on are missing.
    fn compile(
        tokens: &[Token],
        cut: usize,
        expressions: &mut Expressions,
    ) -> Result<Self, PatternError> {
        let (present, missing) = tokens.split_at(cut);
        let mut present = present.to_vec();
        // The slash before a missing parameter is missing with it.
        if !missing.is_empty()
            && let Some(Token::Text(text)) = present.last_mut()
            && text.ends_with('/')
        {
            text.pop();
            if text.is_empty() {
                present.pop();
            }
        }
        let mut ranks: Vec<Rank> = present.iter().map(rank).collect();
        ranks.extend(missing.iter().filter_map(rank_missing));
        ranks.push(Rank::End);

        let (segments, tail) = cut_segments(&present);
        let segments: Result<_, _> = segments
            .iter()
            .map(|tokens| Segment::compile(tokens, expressions))
            .collect();
        let tail = tail
            .map(|tokens| Tail::compile(&tokens, expressions))
            .transpose()?;
        Ok(Self {
            ranks,
            segments: segments?,
            tail,
        })
    }

    /// Whether the form matches `path`, which has no leading slash.
    pub(crate) fn is_match(&self, path: &str) -> bool {
        let mut rest = Some(path);
        for segment in &self.segments {
            let Some((text, after)) = rest.map(next_segment) else {
                return false;
            };
            if !segment.is_match(text) {
                return false;
            }
            rest = after;
        }
        match (&self.tail, rest) {
            (Some(tail), Some(rest)) => tail.is_match(rest),
            (tail, rest) => tail.is_none() && rest.is_none(),
        }
    }

    /// Hands over what the parameters have taken of a `path` that matches, in order.
    pub(crate) fn captures<'p>(&self, path: &'p str, take: &mut impl FnMut(&'p str)) {
        let mut rest = Some(path);
        for segment in &self.segments {
            let Some((text, after)) = rest.map(next_segment) else {
                return;
            };
            segment.captures(text, take);
            rest = after;
        }
        if let (Some(tail), Some(rest)) = (&self.tail, rest) {
            tail.captures(rest, take);
        }
    }

    /// The one path, without a leading slash, that a form matches which is nothing but text.
    pub(crate) fn literal(&self) -> Option<String> {
        let texts: Option<Vec<&str>> = self
            .segments
            .iter()
            .map(|segment| match segment {
                Segment::Text(text) => Some(&**text),
                Segment::Param | Segment::Mixed { .. } => None,
            })
            .collect();
        if self.tail.is_some() {
            None
        } else {
            texts.map(|texts| texts.join("/"))
        }
    }
}

fn rank(token: &Token) -> Rank {
    match token {
        Token::Text(text) => Rank::Text(Reverse(text.len())),
        Token::Param {
            expression: Some(_),
            optional: false,
        } => Rank::ParamExpression,
        Token::Param {
            expression: None,
            optional: false,
        } => Rank::Param,
        Token::Param {
            expression: Some(_),
            optional: true,
        } => Rank::OptionalExpression,
        Token::Param {
            expression: None,
            optional: true,
        } => Rank::Optional,
        Token::Wildcard {
            expression: Some(_),
        } => Rank::WildcardExpression,
        Token::Wildcard { expression: None } => Rank::Wildcard,
    }
}

/// The slash between two missing parameters has no rank: it is missing too.
fn rank_missing(token: &Token) -> Option<Rank> {
    match token {
        Token::Param {
            expression: Some(_),
            ..
        } => Some(Rank::MissingExpression),
        Token::Param {
            expression: None, ..
        } => Some(Rank::Missing),
        Token::Text(_) | Token::Wildcard { .. } => None,
    }
}
