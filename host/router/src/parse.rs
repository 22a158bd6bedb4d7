//! From a pattern's text to its tokens: owns the syntax, its limits and what is said about mistakes.
//! Must not know how tokens are matched or ordered. Called by `pattern.rs`.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::expression::{
    EXPRESSION_BYTES_MAX, EXPRESSIONS_BYTES_MAX, Expression, Expressions, expression_len,
};

/// Bytes that a pattern may be long, its leading slash included. What is longer is
/// [`PatternError::TooLong`].
pub const PATTERN_BYTES_MAX: usize = 1024;

/// Parameters and wildcards that a pattern may have. One more is [`PatternError::TooManyParams`].
pub const PARAMS_MAX: usize = 32;

/// Optional parameters that a pattern may have. One more is [`PatternError::TooManyOptionals`]. Each
/// costs as much as another pattern, for with and without it are matched apart.
pub const OPTIONALS_MAX: usize = 8;

/// Why a text is not a pattern. `at` is a byte of the text as it was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    #[error("the pattern is {bytes} bytes long: at most {PATTERN_BYTES_MAX} are allowed")]
    TooLong {
        /// Length of the pattern, its leading slash included.
        bytes: usize,
    },
    #[error(
        "there are more than {PARAMS_MAX} parameters and wildcards: remove those from byte {at} on"
    )]
    TooManyParams { at: usize },
    #[error(
        "there are more than {OPTIONALS_MAX} optional parameters: remove those from byte {at} on"
    )]
    TooManyOptionals { at: usize },
    #[error(
        "the `:` at byte {at} names no parameter: let letters, digits or `_` follow it, \
         or write `\\:` for a colon"
    )]
    EmptyName { at: usize },
    #[error("the `(` at byte {at} is never closed: add `)`, or write `\\(` for a parenthesis")]
    UnclosedExpression { at: usize },
    #[error("the `()` at byte {at} is empty: remove it, or write an expression in it")]
    EmptyExpression { at: usize },
    #[error("the expression `{expression}` is invalid at byte {at}: {reason}")]
    InvalidExpression {
        at: usize,
        expression: String,
        reason: String,
    },
    /// One compiled expression, or all those of one segment together.
    #[error(
        "the expression `{expression}` takes more than {EXPRESSION_BYTES_MAX} bytes when compiled: \
         repeat less, or use `[0-9]` for `\\d` and `[A-Za-z0-9_]` for `\\w`"
    )]
    ExpressionTooBig { expression: String },
    /// Those that one parser has compiled, this one included.
    #[error(
        "all expressions up to `{expression}` take more than {EXPRESSIONS_BYTES_MAX} bytes when compiled: \
         write equal ones alike, for each counts once, or make them smaller"
    )]
    ExpressionsTooBig { expression: String },
    #[error(
        "the optional parameter `:{name}?` at byte {at} is not at the end: only other optional \
         parameters, each with a `/` before it or not, may follow; or write `\\?` for a question mark"
    )]
    OptionalNotLast { at: usize, name: String },
    #[error(
        "the `?` at byte {at} follows a wildcard, which may be empty anyway: remove it, or write `\\?`"
    )]
    OptionalWildcard { at: usize },
}

/// What a pattern is made of. Two texts never stand side by side, and none is empty.
#[derive(Clone, Debug)]
pub(crate) enum Token {
    Text(String),
    Param {
        expression: Option<Arc<Expression>>,
        optional: bool,
    },
    Wildcard {
        expression: Option<Arc<Expression>>,
    },
}

impl Token {
    pub(crate) fn is_optional(&self) -> bool {
        matches!(self, Self::Param { optional: true, .. })
    }
}

/// A pattern's tokens without the leading slash, and the names of those that capture.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) tokens: Vec<Token>,
    pub(crate) names: Vec<Arc<str>>,
}

/// Reads `text`, compiling its expressions with `expressions`.
pub(crate) fn parse(text: &str, expressions: &mut Expressions) -> Result<Parsed, PatternError> {
    let rest = text.strip_prefix('/').unwrap_or(text);
    if rest.len() + 1 > PATTERN_BYTES_MAX {
        return Err(PatternError::TooLong {
            bytes: rest.len() + 1,
        });
    }
    let mut reader = Reader {
        len: text.len(),
        rest,
        parsed: Parsed::default(),
        optional: None,
        expressions,
    };
    reader.read()?;
    reader.check_optionals()?;
    Ok(reader.parsed)
}

/// `tokens` as a pattern without names: equal texts match equal paths. Texts are escaped, so that
/// different tokens never give equal texts.
pub(crate) fn nameless(tokens: &[Token]) -> String {
    let mut shape = String::new();
    for token in tokens {
        let (sign, expression) = match token {
            Token::Text(text) => {
                for c in text.chars() {
                    if ESCAPED.contains(&c) {
                        shape.push('\\');
                    }
                    shape.push(c);
                }
                continue;
            }
            Token::Param { expression, .. } => (':', expression),
            Token::Wildcard { expression } => ('*', expression),
        };
        shape.push(sign);
        if let Some(expression) = expression {
            write!(shape, "({})", expression.source).expect("writing to a String cannot fail");
        }
        if token.is_optional() {
            shape.push('?');
        }
    }
    shape
}

/// The characters that a backslash takes the meaning from.
const ESCAPED: [char; 5] = [':', '*', '(', '?', '\\'];

struct Reader<'p> {
    /// Length of the whole text, to tell positions by what remains of it.
    len: usize,
    rest: &'p str,
    parsed: Parsed,
    /// The first optional parameter: where it begins, its name.
    optional: Option<(usize, Arc<str>)>,
    expressions: &'p mut Expressions,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<(), PatternError> {
        loop {
            let at = self.at();
            let mut chars = self.rest.chars();
            let Some(c) = chars.next() else { return Ok(()) };
            self.rest = chars.as_str();
            match c {
                ':' => self.param(at)?,
                '*' => self.wildcard(at)?,
                '\\' => match self.rest.strip_prefix(ESCAPED) {
                    Some(rest) => {
                        self.rest
                            .chars()
                            .take(1)
                            .for_each(|escaped| self.text(escaped));
                        self.rest = rest;
                    }
                    None => self.text('\\'),
                },
                _ => self.text(c),
            }
        }
    }

    fn at(&self) -> usize {
        self.len - self.rest.len()
    }

    fn text(&mut self, c: char) {
        if let Some(Token::Text(text)) = self.parsed.tokens.last_mut() {
            text.push(c);
        } else {
            self.parsed.tokens.push(Token::Text(c.into()));
        }
    }

    fn param(&mut self, at: usize) -> Result<(), PatternError> {
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (name, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        if name.is_empty() {
            return Err(PatternError::EmptyName { at });
        }
        self.rest = rest;
        let name: Arc<str> = name.into();
        let expression = self.expression()?;
        let optional = self.rest.strip_prefix('?');
        if let Some(rest) = optional {
            self.rest = rest;
            self.optional.get_or_insert_with(|| (at, Arc::clone(&name)));
            if self
                .parsed
                .tokens
                .iter()
                .filter(|token| token.is_optional())
                .count()
                == OPTIONALS_MAX
            {
                return Err(PatternError::TooManyOptionals { at });
            }
        }
        self.capture(
            at,
            name,
            Token::Param {
                expression,
                optional: optional.is_some(),
            },
        )
    }

    fn wildcard(&mut self, at: usize) -> Result<(), PatternError> {
        let expression = self.expression()?;
        if self.rest.starts_with('?') {
            return Err(PatternError::OptionalWildcard { at: self.at() });
        }
        self.capture(at, "*".into(), Token::Wildcard { expression })
    }

    fn capture(&mut self, at: usize, name: Arc<str>, token: Token) -> Result<(), PatternError> {
        if self.parsed.names.len() == PARAMS_MAX {
            return Err(PatternError::TooManyParams { at });
        }
        self.parsed.names.push(name);
        self.parsed.tokens.push(token);
        Ok(())
    }

    fn expression(&mut self) -> Result<Option<Arc<Expression>>, PatternError> {
        let at = self.at();
        let Some(rest) = self.rest.strip_prefix('(') else {
            return Ok(None);
        };
        let len = expression_len(rest).ok_or(PatternError::UnclosedExpression { at })?;
        let (source, rest) = rest.split_at(len);
        if source.is_empty() {
            return Err(PatternError::EmptyExpression { at });
        }
        let expression = self.expressions.whole(source, at + 1)?;
        self.rest = rest.strip_prefix(')').unwrap_or(rest);
        Ok(Some(expression))
    }

    /// Refuses what follows an optional parameter unless it may be missing too.
    fn check_optionals(&self) -> Result<(), PatternError> {
        let Some((at, name)) = &self.optional else {
            return Ok(());
        };
        let mut after = self
            .parsed
            .tokens
            .iter()
            .skip_while(|token| !token.is_optional())
            .peekable();
        while let Some(token) = after.next() {
            let slash = matches!(token, Token::Text(text) if text == "/");
            let may_follow =
                token.is_optional() || slash && after.peek().is_some_and(|t| t.is_optional());
            if !may_follow {
                return Err(PatternError::OptionalNotLast {
                    at: *at,
                    name: name.as_ref().to_owned(),
                });
            }
        }
        Ok(())
    }
}
