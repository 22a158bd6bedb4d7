//! Where a request has its token: in a header, or in the query, because a browser's WebSocket cannot set headers.

use hyper::header::{self, HeaderMap};

use super::TokenRefused;

/// How the query calls it.
const PARAMETER: &str = "token";

/// More than any token that fits the headers of usual servers; what is longer is not even decoded.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// The token of a request.
///
/// # Errors
/// [`TokenRefused`], when there is none, or there are two that differ: which of them was meant is not ours to guess.
pub fn find<'a>(headers: &'a HeaderMap, query: Option<&'a str>) -> Result<&'a str, TokenRefused> {
    let lines = headers.get_all(header::AUTHORIZATION).iter();
    let by_header = lines.filter_map(|line| bearer(line.as_bytes()));
    let by_query = parts(query.unwrap_or_default())
        .filter_map(token_of)
        .map(str::as_bytes);
    let mut tokens = by_header.chain(by_query);
    let token = tokens.next().ok_or(TokenRefused::Missing)?;
    if tokens.any(|other| other != token) {
        return Err(TokenRefused::Several);
    }
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenRefused::TooLong);
    }
    std::str::from_utf8(token).map_err(|_| TokenRefused::Malformed)
}

/// A query without its tokens; `None` when nothing else was in it.
#[must_use]
pub fn redact(query: &str) -> Option<String> {
    let others: Vec<&str> = parts(query)
        .filter(|part| token_of(part).is_none())
        .collect();
    (!others.is_empty()).then(|| others.join("&"))
}

/// RFC 6750, 2.1. Another scheme is for somebody else.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("bearer ".len())?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"bearer ");
    is_bearer.then(|| token.trim_ascii())
}

fn parts(query: &str) -> impl Iterator<Item = &str> {
    query.split('&')
}

/// The value as it stands: nothing that is escaped in a query is part of a token.
fn token_of(part: &str) -> Option<&str> {
    let (name, value) = part.split_once('=').unwrap_or((part, ""));
    (name == PARAMETER).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> HeaderMap {
        let lines = lines.iter();
        lines
            .map(|line| (header::AUTHORIZATION, line.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_token_is_in_the_header_or_in_the_query() {
        for (lines, query, token) in [
            (&["Bearer a.b.c"][..], None, Ok("a.b.c")),
            (&["bEARER a.b.c"], Some("x=1"), Ok("a.b.c")),
            (&[], Some("x=1&token=a.b.c&y"), Ok("a.b.c")),
            (&["Basic eDp5"], Some("token=a.b.c"), Ok("a.b.c")),
            (&["Bearer a.b.c"], Some("token=a.b.c"), Ok("a.b.c")),
            (&[], None, Err(TokenRefused::Missing)),
            (
                &["Basic eDp5"],
                Some("tokens=a"),
                Err(TokenRefused::Missing),
            ),
            (&["Bearer a"], Some("token=b"), Err(TokenRefused::Several)),
            (&["Bearer a"], Some("token"), Err(TokenRefused::Several)),
            (&["Bearer a", "Bearer b"], None, Err(TokenRefused::Several)),
            (&[], Some("token=a&token=b"), Err(TokenRefused::Several)),
        ] {
            let headers = headers(lines);
            assert_eq!(find(&headers, query), token, "{lines:?} {query:?}");
        }
        let longest = format!("Bearer {}", "x".repeat(TOKEN_BYTES_MAX));
        assert!(find(&headers(&[&longest]), None).is_ok());
        let longer = format!("{longest}x");
        assert_eq!(find(&headers(&[&longer]), None), Err(TokenRefused::TooLong));
    }

    #[test]
    fn nothing_but_tokens_is_taken_out_of_a_query() {
        assert_eq!(redact("token=a"), None);
        assert_eq!(redact("token"), None);
        assert_eq!(redact("a=1&token=x&token=y&b").as_deref(), Some("a=1&b"));
        assert_eq!(
            redact("tokens=1&Token=2").as_deref(),
            Some("tokens=1&Token=2")
        );
    }
}
