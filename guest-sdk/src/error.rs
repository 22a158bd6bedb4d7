//! Errors: what the host refuses ([`HostError`]), what a client is told ([`WsError`]), and what it
//! is told before it is connected ([`HttpError`]).

use std::fmt::{self, Display};

/// What a client gets for an answer when its message failed: a code and a message, both as they
/// are.
///
/// 400 to 499 say that the client is at fault, 500 to 599 that the plugin is; any other number is
/// the plugin's own. Handlers return anything that converts into it, so `?` works on [`HostError`]
/// and on error types that implement `Into<WsError>`.
///
/// ```
/// use wardroom_sdk::prelude::*;
///
/// fn rename(name: &str) -> Result<(), WsError> {
///     if name.is_empty() {
///         return Err(WsError::bad_request("a name is needed"));
///     }
///     Err(WsError::new(4711, "names are frozen today"))
/// }
///
/// assert_eq!(rename("").unwrap_err().code, 400);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WsError {
    /// Goes to the client.
    pub code: u16,
    /// Goes to the client.
    pub message: String,
    /// Goes to the log when the handler has failed, never to the client.
    cause: Option<Box<str>>,
}

impl WsError {
    /// An error of any code.
    pub fn new(code: u16, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            cause: None,
        }
    }

    /// 400: the message cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, message)
    }

    /// 401: the client has to say who it is first.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(401, message)
    }

    /// 403: the client may not do this.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(403, message)
    }

    /// 404: what the message is about does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, message)
    }

    /// 409: what the message is about is in another state than the client believes.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(409, message)
    }

    /// 500 `Internal Error`: the plugin is at fault. The cause is logged, and the client does not
    /// see it.
    ///
    /// ```
    /// use wardroom_sdk::prelude::*;
    ///
    /// fn parse_own_table(text: &str) -> Result<u32, WsError> {
    ///     text.parse().map_err(WsError::internal)
    /// }
    ///
    /// let error = parse_own_table("x").unwrap_err();
    /// assert_eq!((error.code, error.message.as_str()), (500, "Internal Error"));
    /// ```
    pub fn internal(cause: impl Display) -> Self {
        Self {
            cause: Some(cause.to_string().into()),
            ..Self::new(500, "Internal Error")
        }
    }

    /// What the log is told beyond what the client is.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }
}

impl Display for WsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.message)?;
        match &self.cause {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for WsError {}

/// Why the host refuses. None of these harms the instance: a handler may go on.
///
/// With `?` in a handler it becomes the [`WsError`] that the table below names; text goes along
/// unless it says `500`.
///
/// | variant | code |
/// |---|---|
/// | `Invalid` | 400 |
/// | `Denied` | 403 |
/// | `NotFound` | 404 |
/// | `TooLarge` | 413 |
/// | `Limit` | 429 |
/// | `Unavailable`, `Closed` | 503 |
/// | `Other` | 500 |
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostError {
    /// The arguments cannot be: says which and why.
    Invalid(String),
    /// There is no such thing in this tenant.
    NotFound,
    /// The plugin may not do this here: says what.
    Denied(String),
    /// A limit is reached: says which.
    Limit(String),
    /// A value is larger than allowed: says which.
    TooLarge(String),
    /// The current connection is closing or gone.
    Closed,
    /// Something the host depends on does not answer.
    Unavailable(String),
    /// Anything else.
    Other(String),
}

impl Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, detail) = match self {
            Self::NotFound => return f.write_str("not found"),
            Self::Closed => return f.write_str("the connection is closed"),
            Self::Other(detail) => return f.write_str(detail),
            Self::Invalid(detail) => ("invalid", detail),
            Self::Denied(detail) => ("denied", detail),
            Self::Limit(detail) => ("limit reached", detail),
            Self::TooLarge(detail) => ("too large", detail),
            Self::Unavailable(detail) => ("unavailable", detail),
        };
        write!(f, "{kind}: {detail}")
    }
}

impl std::error::Error for HostError {}

impl From<HostError> for WsError {
    fn from(error: HostError) -> Self {
        let code = match &error {
            HostError::Invalid(_) => 400,
            HostError::Denied(_) => 403,
            HostError::NotFound => 404,
            HostError::TooLarge(_) => 413,
            HostError::Limit(_) => 429,
            HostError::Unavailable(_) | HostError::Closed => 503,
            HostError::Other(_) => return Self::internal(error),
        };
        Self::new(code, error.to_string())
    }
}

/// The HTTP answer that a client gets in place of its connection, from an
/// [`#[upgrade]`](crate::upgrade) handler.
///
/// A [`WsError`] becomes one with its code as the status (500 where that is no HTTP error) and its
/// message as the body.
///
/// ```
/// use wardroom_sdk::prelude::*;
///
/// let refusal = HttpError::new(401, "who are you?").header("www-authenticate", "Bearer");
/// assert_eq!(refusal.status, 401);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpError {
    /// 400 to 599.
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// Text, for people.
    pub body: String,
    /// Goes to the log, never to the client.
    cause: Option<Box<str>>,
}

impl HttpError {
    /// An answer without headers of its own.
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            cause: None,
        }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// What the log is told beyond what the client is.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }
}

impl Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.body)
    }
}

impl std::error::Error for HttpError {}

impl From<WsError> for HttpError {
    fn from(error: WsError) -> Self {
        let status = if (400..600).contains(&error.code) {
            error.code
        } else {
            500
        };
        Self {
            cause: error.cause,
            ..Self::new(status, error.message)
        }
    }
}

impl From<HostError> for HttpError {
    fn from(error: HostError) -> Self {
        WsError::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_errors_become_the_codes_of_the_protocol() {
        let text = || String::from("why");
        let code = |error: HostError| WsError::from(error).code;
        assert_eq!(code(HostError::Invalid(text())), 400);
        assert_eq!(code(HostError::Denied(text())), 403);
        assert_eq!(code(HostError::NotFound), 404);
        assert_eq!(code(HostError::TooLarge(text())), 413);
        assert_eq!(code(HostError::Limit(text())), 429);
        assert_eq!(code(HostError::Unavailable(text())), 503);
        assert_eq!(code(HostError::Closed), 503);
    }

    #[test]
    fn what_the_host_does_not_explain_stays_out_of_the_clients_sight() {
        let error = WsError::from(HostError::Other("disk 7 is on fire".into()));
        assert_eq!(
            (error.code, error.message.as_str()),
            (500, "Internal Error")
        );
        assert_eq!(error.cause(), Some("disk 7 is on fire"));
    }

    #[test]
    fn a_code_that_is_no_http_error_is_a_500_before_the_upgrade() {
        assert_eq!(HttpError::from(WsError::new(4711, "no")).status, 500);
        assert_eq!(HttpError::from(WsError::forbidden("no")).status, 403);
    }
}
