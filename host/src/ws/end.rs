//! How a connection came to its end, and which close code that is.

use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;

use crate::hub::Outbox;
use crate::protocol::{ABNORMAL, Close, CloseCode, NO_CODE};

/// How the connection came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The host closes it, as its outbox says.
    ByHost,
    /// The client broke the protocol, or fell silent: nothing more can be read from it.
    Broken(Close),
    /// The client closed it, with the code that it sent.
    ByClient(Close),
    /// The socket is gone.
    Gone,
}

impl End {
    pub(super) fn by_client(frame: Option<CloseFrame>) -> Self {
        Self::ByClient(match frame {
            Some(frame) => Close::with_code(frame.code.into(), frame.reason.as_str()),
            None => Close::with_code(NO_CODE, ""),
        })
    }

    pub(super) fn of_error(error: &Error) -> Self {
        let broken = |code, reason: &str| Self::Broken(Close::new(code, reason));
        match error {
            Error::Capacity(_) => {
                broken(CloseCode::TooLarge, "message too large (message_bytes_max)")
            }
            Error::Utf8(_) => broken(CloseCode::InvalidUtf8, "text is not UTF-8"),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Self::Gone,
            Error::Protocol(violation) => broken(CloseCode::ProtocolError, &violation.to_string()),
            _ => Self::Gone,
        }
    }

    /// What the disconnect handlers are told.
    pub(super) fn close(&self, outbox: &Outbox) -> Close {
        match self {
            Self::ByHost => outbox
                .closing()
                .unwrap_or_else(|| Close::with_code(ABNORMAL, "")),
            Self::Broken(close) | Self::ByClient(close) => close.clone(),
            Self::Gone => Close::with_code(ABNORMAL, ""),
        }
    }
}
