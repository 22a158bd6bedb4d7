//! The secret that opens the admin listener.

use std::fmt;

use hyper::header::{self, HeaderMap};
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// A bearer token. Never shown, but by [`Token::expose`].
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// One that was configured.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// One that nobody can guess: 244 random bits.
    #[must_use]
    pub fn random() -> Self {
        Self(format!(
            "{}{}",
            Uuid::new_v4().simple(),
            Uuid::new_v4().simple()
        ))
    }

    /// The secret itself: for the one line that tells the operator what was made up for this run.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether a request carries it. Takes as long for a wrong one whatever is right of it.
    pub(super) fn is_in(&self, headers: &HeaderMap) -> bool {
        let value = headers
            .get(header::AUTHORIZATION)
            .map(|value| value.as_bytes());
        let Some((scheme, token)) = value.and_then(|value| value.split_at_checked(7)) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"bearer ") && token.ct_eq(self.0.as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_in(token: &Token, value: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        token.is_in(&headers)
    }

    #[test]
    fn only_the_whole_token_opens() {
        let token = Token::new("secret");
        assert!(is_in(&token, "Bearer secret"));
        assert!(is_in(&token, "bearer secret"));
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer secre",
            "Bearer secrets",
            "Basic secret",
            "secret",
        ] {
            assert!(!is_in(&token, wrong), "{wrong:?}");
        }
        assert!(!token.is_in(&HeaderMap::new()));
    }

    #[test]
    fn it_is_not_shown_and_not_the_same_twice() {
        assert!(!format!("{:?}", Token::new("secret")).contains("secret"));
        assert_ne!(Token::random().expose(), Token::random().expose());
        assert_eq!(Token::random().expose().len(), 64);
    }
}
