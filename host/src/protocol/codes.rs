//! The codes that clients see: errors in replies, reasons for closing. One table each.

use std::borrow::Cow;

/// An error as it goes to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorReply {
    /// HTTP's meaning where one of these constants fits, the plugin's own otherwise.
    pub code: u16,
    /// For people; never the cause of a failure inside the host or a plugin.
    pub message: Cow<'static, str>,
}

macro_rules! error_replies {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $message:literal;)*) => {
        impl ErrorReply {
            $($(#[$doc])* pub const $name: Self = Self { code: $code, message: Cow::Borrowed($message) };)*
        }
    };
}

error_replies! {
    /// No route for this event and path.
    NOT_FOUND = 404, "Not found";
    /// The connection or its tenant is over a rate.
    TOO_MANY_REQUESTS = 429, "Too Many Requests";
    /// The reply is larger than allowed.
    REPLY_TOO_LARGE = 413, "Reply too large";
    /// The handler trapped, or answered what is no answer.
    INTERNAL = 500, "Internal Error";
    /// No instance became free in time, or the host is stopping.
    UNAVAILABLE = 503, "Service Unavailable";
    /// The handler ran out of its time or CPU budget.
    TIMED_OUT = 504, "Handler timed out";
}

impl ErrorReply {
    /// An error with a message of its own.
    pub fn new(code: u16, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// Why a connection is closed by the host. The codes from 3000 to 3499 mean "reconnect", those from 3500 to 3999
/// "do not"; 4000 to 4999 are the plugins' own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum CloseCode {
    /// Everything has been said.
    Normal = 1000,
    /// The heartbeat was missed.
    GoingAway = 1001,
    /// The client broke the WebSocket protocol.
    ProtocolError = 1002,
    /// A text frame was not UTF-8.
    InvalidUtf8 = 1007,
    /// Refused by a connect handler with 401 or 403, or too many malformed messages.
    Policy = 1008,
    /// A message was larger than allowed.
    TooLarge = 1009,
    /// Refused by a connect handler otherwise, or it failed.
    Internal = 1011,
    /// The host is stopping; the reason says when to come back.
    Restarting = 1012,
    /// The host cannot take the connection now.
    Overloaded = 1013,
    /// The client did not read what was sent to it.
    SlowConsumer = 3008,
    /// The tenant is there no more.
    TenantRemoved = 3501,
}

impl CloseCode {
    /// Every code, for documentation and its test.
    pub const ALL: [Self; 10] = [
        Self::Normal,
        Self::GoingAway,
        Self::ProtocolError,
        Self::InvalidUtf8,
        Self::Policy,
        Self::TooLarge,
        Self::Internal,
        Self::Restarting,
        Self::Overloaded,
        Self::SlowConsumer,
    ];
}

/// The number that stands for "no code was sent" (RFC 6455, 7.1.5); never on the wire.
pub(crate) const NO_CODE: u16 = 1005;
/// The number that stands for "the socket is gone" (RFC 6455, 7.1.5); never on the wire.
pub(crate) const ABNORMAL: u16 = 1006;

/// What fits beside the code in a close frame (RFC 6455, 5.5: 125 bytes in all).
const REASON_BYTES_MAX: usize = 123;

/// A close frame's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// What it means to the client.
    pub code: u16,
    /// For people; at most 123 bytes.
    pub reason: String,
}

impl Close {
    /// The host's own.
    #[must_use]
    pub fn new(code: CloseCode, reason: &str) -> Self {
        Self::with_code(code as u16, reason)
    }

    /// The host stops; the client is told when to come back.
    ///
    /// ```
    /// # use wardroom::protocol::Close;
    /// let close = Close::restarting(5000);
    /// assert_eq!((close.code, close.reason.as_str()), (1012, "restarting, retry in 5000 ms"));
    /// ```
    #[must_use]
    pub fn restarting(retry_millis: u128) -> Self {
        let reason = format!("restarting, retry in {retry_millis} ms");
        Self::new(CloseCode::Restarting, &reason)
    }

    /// The tenant's end.
    #[must_use]
    pub fn tenant_removed() -> Self {
        Self::new(CloseCode::TenantRemoved, "this place is gone")
    }

    /// A plugin's: `None` when it may not use the code.
    #[must_use]
    pub fn by_plugin(code: Option<u16>, reason: Option<&str>) -> Option<Self> {
        let code = code.unwrap_or(CloseCode::Normal as u16);
        let allowed = code == CloseCode::Normal as u16 || (4000..=4999).contains(&code);
        allowed.then(|| Self::with_code(code, reason.unwrap_or_default()))
    }

    pub(crate) fn with_code(code: u16, reason: &str) -> Self {
        let end = reason.floor_char_boundary(REASON_BYTES_MAX);
        Self {
            code,
            reason: reason.get(..end).unwrap_or_default().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_may_use_1000_and_the_4000s() {
        for (code, allowed) in [
            (999, false),
            (1000, true),
            (1001, false),
            (3999, false),
            (4000, true),
            (4999, true),
            (5000, false),
        ] {
            assert_eq!(
                Close::by_plugin(Some(code), None).is_some(),
                allowed,
                "{code}"
            );
        }
        assert_eq!(
            Close::by_plugin(None, None),
            Some(Close::new(CloseCode::Normal, ""))
        );
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!(
            Close::new(CloseCode::Normal, &"x".repeat(124)).reason.len(),
            123
        );
        let cut = Close::new(CloseCode::Normal, &"é".repeat(62)).reason;
        assert_eq!(cut, "é".repeat(61), "the 62nd would end at byte 124");
    }
}
