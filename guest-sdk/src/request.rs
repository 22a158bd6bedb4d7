//! The HTTP request that opens a connection.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::WsError;

/// The HTTP request that opened a connection.
///
/// ```
/// use wardroom_sdk::prelude::*;
///
/// let request = Request::new("/ws?token=a%20b").with_header("X-Team", "red").with_cookie("theme", "dark");
/// assert_eq!(request.query_param("token").as_deref(), Some("a b"));
/// assert_eq!(request.header("x-team"), Some("red"));
/// assert_eq!(request.cookie("theme"), Some("dark"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Without the query, as it came.
    pub path: String,
    /// What follows the `?`, as it came; without `token` where the host itself checks that.
    pub query: Option<String>,
    /// Those that some plugin's manifest asks for (`headers = [..]` in [`plugin!`](crate::plugin));
    /// names in lower case, in the order they came. Without `authorization` where the host itself checks that.
    pub headers: Vec<(String, String)>,
    /// Names and values of the cookies, in the order they came.
    pub cookies: Vec<(String, String)>,
    /// The client's address and port; port 0 when a proxy says only the address.
    pub peer: String,
    /// What was established about the client before the connection opened, as JSON: the claims of its token, or what
    /// an upgrade hook put in their place. See [`claims`](Self::claims).
    pub claims: Option<String>,
}

impl Request {
    /// A request for a path with or without a query, as tests need it.
    pub fn new(target: &str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        Self {
            path: path.to_owned(),
            query,
            peer: "127.0.0.1:50000".to_owned(),
            ..Self::default()
        }
    }

    /// With one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers
            .push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// With one more cookie.
    #[must_use]
    pub fn with_cookie(mut self, name: &str, value: &str) -> Self {
        self.cookies.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A header's value, whatever the case of its name; the first one of several.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// A cookie's value; the first one of several.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The value of a parameter of the query, decoded as forms are; the first one of several.
    pub fn query_param(&self, name: &str) -> Option<String> {
        self.query.as_deref()?.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key) == name).then(|| decode(value))
        })
    }

    /// What [`#[upgrade]`](crate::upgrade) handlers established about the client; `None` when they
    /// said nothing.
    ///
    /// # Errors
    /// 500 when the claims do not fit a `T`: some plugin wrote them, not the client.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<Option<T>, WsError> {
        let Some(claims) = &self.claims else {
            return Ok(None);
        };
        match serde_json::from_str(claims) {
            Ok(claims) => Ok(Some(claims)),
            Err(error) => Err(WsError::internal(format!("the claims do not fit: {error}"))),
        }
    }

    /// With claims, as an upgrade handler of another plugin would have established them.
    ///
    /// # Panics
    /// When the claims cannot be written as JSON; only tests make requests.
    #[must_use]
    pub fn with_claims<T: Serialize + ?Sized>(mut self, claims: &T) -> Self {
        self.claims = Some(serde_json::to_string(claims).expect("claims have a JSON form"));
        self
    }
}

/// `+` is a space, `%41` an `A`; an escape that is none stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match (first, tail) {
            (b'%', &[high, low, ref after @ ..])
                if let (Some(high), Some(low)) = (hex(high), hex(low)) =>
            {
                bytes.push(high << 4 | low);
                rest = after;
            }
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_params_are_decoded() {
        let request = Request::new("/ws?a=1+2&b%20c=%zz%&d&a=3");
        assert_eq!(request.query_param("a").as_deref(), Some("1 2"));
        assert_eq!(request.query_param("b c").as_deref(), Some("%zz%"));
        assert_eq!(request.query_param("d").as_deref(), Some(""));
        assert_eq!(request.query_param("e"), None);
        assert_eq!(Request::new("/ws").query_param("a"), None);
    }
}
