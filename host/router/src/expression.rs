//! The expressions that parameters and wildcards may carry: where one ends, whether it is valid, and
//! what it becomes where it has to get along with others in one regex. Knows nothing of segments or
//! routes. Called by `parse.rs` for each expression and by `matcher.rs` to join several.

use std::collections::HashMap;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use regex_syntax::ast;
use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, ClassUnicode, ClassUnicodeRange};
use regex_syntax::hir::{Hir, HirKind, Look, Repetition};

use crate::parse::PatternError;

/// Bytes that one compiled expression may take, and so may all those together of a segment with several
/// parameters. `[a-z0-9]{1,64}` takes less than 16 KiB, `\w{1,32}` 1.6 MiB, `\w{1,64}` is too big:
/// [`PatternError::ExpressionTooBig`].
pub const EXPRESSION_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Bytes that all expressions which one [`PatternParser`](crate::PatternParser) compiles may take, each
/// distinct one counted once, as the next of 4 KiB, 16 KiB, 64 KiB and so on. Beyond is
/// [`PatternError::ExpressionsTooBig`]. It bounds the time that one manifest takes to compile as well,
/// to about half a second.
pub const EXPRESSIONS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What the smallest expression counts, and what is tried first.
const EXPRESSION_BYTES_LEAST: usize = 4 * 1024;

/// Bytes of cache that one thread may fill while it matches one expression. Beyond, the regex crate
/// takes a slower way that is linear all the same; its own default is 2 MiB, too much times thousands.
const EXPRESSION_CACHE_BYTES: usize = 64 * 1024;

/// How deep groups may nest: half of what the regex crate allows, since printing adds some.
const EXPRESSION_DEPTH: u32 = 100;

/// How many closing parentheses are tried where counting does not find the right one.
const CLOSING_MAX: usize = 64;

/// A valid expression, compiled to match the whole of a value.
#[derive(Debug)]
pub(crate) struct Expression {
    pub(crate) source: Box<str>,
    pub(crate) whole: Arc<Regex>,
}

impl Expression {
    /// The expression as a part of a larger regex: without groups of its own, taking as little as it
    /// can, and never a slash unless `slashes`.
    pub(crate) fn part(&self, slashes: bool) -> String {
        let hir = syntax(&self.source).expect("it was parsed when it was compiled");
        rewrite(&without_ends(&hir), slashes).to_string()
    }
}

/// Compiles expressions, each distinct one once.
#[derive(Debug, Default)]
pub(crate) struct Expressions {
    wholes: HashMap<Box<str>, Arc<Expression>>,
    joined: HashMap<String, Arc<Regex>>,
    /// How much of [`EXPRESSIONS_BYTES_MAX`] is used up.
    bytes: usize,
}

impl Expressions {
    /// Compiles the expression that stands at byte `at` of the pattern.
    pub(crate) fn whole(
        &mut self,
        source: &str,
        at: usize,
    ) -> Result<Arc<Expression>, PatternError> {
        if let Some(known) = self.wholes.get(source) {
            return Ok(Arc::clone(known));
        }
        let hir = syntax(source).map_err(|(offset, reason)| PatternError::InvalidExpression {
            at: at + offset,
            expression: source.to_owned(),
            reason,
        })?;
        // Printed rather than quoted: in verbose mode a comment at the end would swallow the `)`.
        let whole = self.compile(&format!(r"\A(?:{hir})\z"), source)?;
        let expression = Arc::new(Expression {
            source: source.into(),
            whole,
        });
        self.wholes.insert(source.into(), Arc::clone(&expression));
        Ok(expression)
    }

    /// Compiles the regex of several parts whose `shape` is this. Equal shapes have equal regexes, so
    /// that `regex` need not be written out each time: with `\w` in it that is long.
    pub(crate) fn joined(
        &mut self,
        shape: String,
        regex: impl FnOnce() -> String,
    ) -> Result<Arc<Regex>, PatternError> {
        if let Some(known) = self.joined.get(&shape) {
            return Ok(Arc::clone(known));
        }
        let compiled = self.compile(&format!(r"\A{}\z", regex()), &shape)?;
        self.joined.insert(shape, Arc::clone(&compiled));
        Ok(compiled)
    }

    /// Tries one size after the other, since how much a regex takes is not told otherwise; a try that
    /// fails ends early. Its syntax was parsed before, so that size is all that can be wrong.
    fn compile(&mut self, regex: &str, shown: &str) -> Result<Arc<Regex>, PatternError> {
        let mut limit = EXPRESSION_BYTES_LEAST;
        while self.bytes + limit <= EXPRESSIONS_BYTES_MAX {
            let mut builder = RegexBuilder::new(regex);
            builder
                .size_limit(limit)
                .dfa_size_limit(EXPRESSION_CACHE_BYTES);
            if let Ok(compiled) = builder.build() {
                self.bytes += limit;
                return Ok(Arc::new(compiled));
            }
            if limit == EXPRESSION_BYTES_MAX {
                return Err(PatternError::ExpressionTooBig {
                    expression: shown.to_owned(),
                });
            }
            limit = EXPRESSION_BYTES_MAX.min(limit * 4);
        }
        Err(PatternError::ExpressionsTooBig {
            expression: shown.to_owned(),
        })
    }
}

/// The length of the expression at the start of `text`, that is up to the `)` that closes the `(`
/// before it; `None` if there is none. What stands before the right one is valid, and it is the only
/// one of which that is true: before an earlier one a group or class is open, before a later one a
/// parenthesis is closed too much.
pub(crate) fn expression_len(text: &str) -> Option<usize> {
    let is_valid = |len: &usize| {
        let mut parser = ast::parse::ParserBuilder::new()
            .nest_limit(EXPRESSION_DEPTH)
            .build();
        text.get(..*len)
            .is_some_and(|expression| parser.parse(expression).is_ok())
    };
    let balanced = balanced_len(text);
    balanced.filter(is_valid).or_else(|| {
        let closing = text.match_indices(')').map(|(at, _)| at);
        // What is balanced but invalid is what the author should hear about.
        closing.take(CLOSING_MAX).find(is_valid).or(balanced)
    })
}

/// As [`expression_len`], by counting: a parenthesis that is escaped or in a class closes nothing.
/// Knows less of classes than the parser: in `[!-[]` it takes the end of the range for a class.
fn balanced_len(text: &str) -> Option<usize> {
    let (mut groups, mut classes) = (0_usize, 0_usize);
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '[' => {
                classes += 1;
                chars.next_if(|&(_, c)| c == '^');
                // First in its class, a closing bracket is a member of it.
                chars.next_if(|&(_, c)| c == ']');
            }
            ']' => classes = classes.saturating_sub(1),
            _ if classes > 0 => {}
            '(' => groups += 1,
            ')' if groups == 0 => return Some(at),
            ')' => groups -= 1,
            _ => {}
        }
    }
    None
}

/// Parses `source`, or says at which byte of it what is wrong.
fn syntax(source: &str) -> Result<Hir, (usize, String)> {
    let mut parser = regex_syntax::ParserBuilder::new()
        .nest_limit(EXPRESSION_DEPTH)
        .build();
    parser.parse(source).map_err(|error| match error {
        regex_syntax::Error::Parse(error) => (error.span().start.offset, error.kind().to_string()),
        regex_syntax::Error::Translate(error) => {
            (error.span().start.offset, error.kind().to_string())
        }
        other => (0, other.to_string()),
    })
}

/// Drops `^` and `$` around the whole: an expression matches a whole value anyway, and inside a
/// larger regex they would mean the ends of that.
fn without_ends(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Look(Look::Start | Look::End) => Hir::empty(),
        HirKind::Concat(parts) => {
            let mut parts = parts.as_slice();
            while let [first, rest @ ..] = parts
                && matches!(first.kind(), HirKind::Look(Look::Start))
            {
                parts = rest;
            }
            while let [rest @ .., last] = parts
                && matches!(last.kind(), HirKind::Look(Look::End))
            {
                parts = rest;
            }
            Hir::concat(parts.to_vec())
        }
        _ => hir.clone(),
    }
}

fn rewrite(hir: &Hir, slashes: bool) -> Hir {
    match hir.kind() {
        HirKind::Literal(literal) if !slashes && literal.0.contains(&b'/') => Hir::fail(),
        HirKind::Class(Class::Unicode(class)) if !slashes => {
            let mut class = class.clone();
            class.difference(&ClassUnicode::new([ClassUnicodeRange::new('/', '/')]));
            Hir::class(Class::Unicode(class))
        }
        HirKind::Class(Class::Bytes(class)) if !slashes => {
            let mut class = class.clone();
            class.difference(&ClassBytes::new([ClassBytesRange::new(b'/', b'/')]));
            Hir::class(Class::Bytes(class))
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => hir.clone(),
        HirKind::Repetition(repetition) => Hir::repetition(Repetition {
            min: repetition.min,
            max: repetition.max,
            greedy: false,
            sub: Box::new(rewrite(&repetition.sub, slashes)),
        }),
        HirKind::Capture(group) => rewrite(&group.sub, slashes),
        HirKind::Concat(parts) => {
            Hir::concat(parts.iter().map(|part| rewrite(part, slashes)).collect())
        }
        HirKind::Alternation(parts) => {
            Hir::alternation(parts.iter().map(|part| rewrite(part, slashes)).collect())
        }
    }
}
