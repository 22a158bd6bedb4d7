//! The wire protocol: what a client's frame says, and the frames that the host answers with.
//!
//! Pure: no I/O, no clock, no await. Input is a client's or a guest's, so it is checked here, once, and what
//! comes out is typed. Used by everything above it; knows none of it.

mod codes;
mod decode;
mod encode;
mod json;

pub(crate) use codes::{ABNORMAL, NO_CODE};
pub use codes::{Close, CloseCode, ErrorReply};
pub use decode::{Malformed, Message, decode};
pub use encode::{PushFrame, encode_error, encode_malformed, encode_reply};
pub use json::{InvalidJson, JSON_DEPTH_MAX, check_json};

/// Bytes of an event's name, at most.
pub const EVENT_BYTES_MAX: usize = 128;
/// Bytes of a path or a room's name, at most, the leading slash included.
pub const PATH_BYTES_MAX: usize = 1024;
/// Bytes of an attribute's name, at most.
pub const ATTRIBUTE_NAME_BYTES_MAX: usize = 256;

/// Bytes of a key of state.
pub const STATE_KEY_BYTES_MAX: usize = 256;

/// Whether `text` can name a room.
#[must_use]
pub fn is_room_name(text: &str) -> bool {
    (1..=PATH_BYTES_MAX).contains(&text.len())
}

/// Whether `text` can name an event.
#[must_use]
pub fn is_event_name(text: &str) -> bool {
    (1..=EVENT_BYTES_MAX).contains(&text.len())
}

/// A path as the host uses it everywhere: with its leading slash, otherwise as it came. `None` when it is empty
/// or longer than [`PATH_BYTES_MAX`] then.
///
/// ```
/// # use wardroom::protocol::normalise_path;
/// assert_eq!(normalise_path("chat/a%20b".into()).as_deref(), Some("/chat/a%20b"));
/// assert_eq!(normalise_path(String::new()), None);
/// ```
#[must_use]
pub fn normalise_path(mut path: String) -> Option<String> {
    if path.is_empty() {
        return None;
    }
    if !path.starts_with('/') {
        path.insert(0, '/');
    }
    (path.len() <= PATH_BYTES_MAX).then_some(path)
}
