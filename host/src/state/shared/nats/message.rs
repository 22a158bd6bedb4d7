//! A value as a message of the bucket's stream, there and back. Pure.
//!
//! The payload is the value's JSON text. A value with a time to live has a header of ours that says when it ends, in
//! milliseconds since the Unix epoch by the server's clock; what was taken away has NATS's own for that. What is read
//! may be anybody's.

use async_nats::HeaderMap;
use async_nats::datetime::DateTime;
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use bytes::Bytes;
use serde::de::IgnoredAny;

use super::mirror::News;
use crate::state::Time;
use crate::state::entry::{Entry, Kept};
use crate::state::shared::Next;

const EXPIRES: &str = "Wardroom-Expires";
/// What has become of a key, unless it has a value.
const OPERATION: &str = "KV-Operation";
const DELETED: &str = "DEL";
/// The length of a payload that is not sent along. The server adds it last, whatever the message has by that name, and it
/// is no longer than the server's 32 bits.
const LENGTH: &str = "Nats-Msg-Size";

/// What is to be written over this version of a key; 0 is none.
pub(super) fn of(next: Next<'_>, over: u64) -> PublishMessage {
    let message = PublishMessage::build().expected_last_subject_sequence(over);
    let Some((value, expires)) = next else {
        return message.header(OPERATION, DELETED);
    };
    let message = message.payload(Bytes::copy_from_slice(value.as_bytes()));
    match expires {
        Some(expires) => message.header(EXPIRES, expires.as_millis().to_string()),
        None => message,
    }
}

/// What a message says of its key, without the payload.
pub(super) fn news(headers: Option<&HeaderMap>, payload: usize) -> News {
    let header = |name: &str| headers.and_then(|headers| headers.get(name));
    if header(OPERATION).is_some_and(|operation| operation.as_str() != "PUT") {
        return None;
    }
    let length = headers.and_then(|headers| headers.get_last(LENGTH));
    let length = length.and_then(|length| length.as_str().parse::<u32>().ok());
    let length = length.and_then(|length| usize::try_from(length).ok());
    let expires = header(EXPIRES).and_then(|time| time.as_str().parse().ok());
    Some((length.unwrap_or(payload), expires.map(Time::from_millis)))
}

/// The value of a message; `None` when it says that there is none. What cannot be read is an error.
pub(super) fn kept(message: &StreamMessage) -> Result<Option<Kept>, &'static str> {
    let Some((_, expires)) = news(Some(&message.headers), message.payload.len()) else {
        return Ok(None);
    };
    if expires.is_none() && message.headers.get(EXPIRES).is_some() {
        return Err("somebody else has written a value: its end is none");
    }
    let value = std::str::from_utf8(&message.payload).ok();
    let value = value.filter(|value| serde_json::from_str::<IgnoredAny>(value).is_ok());
    let value = value.ok_or("somebody else has written a value: it is no JSON")?;
    let entry = Entry {
        value: value.to_owned(),
        version: message.sequence,
    };
    Ok(Some(Kept { entry, expires }))
}

pub(super) fn time(time: DateTime) -> Time {
    let millis = time.unix_timestamp_nanos() / 1_000_000;
    // Before 1970 nothing was written.
    Time::from_millis(u64::try_from(millis).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(lengths: &[&str]) -> Option<usize> {
        let mut headers = HeaderMap::new();
        for length in lengths {
            headers.append(LENGTH, *length);
        }
        news(Some(&headers), 3).map(|(length, _)| length)
    }

    #[test]
    fn a_length_is_the_servers() {
        assert_eq!(length(&[]), Some(3));
        assert_eq!(length(&["7"]), Some(7));
        // Somebody else's comes first.
        assert_eq!(length(&["18446744073709551615", "7"]), Some(7));
        // So long is no payload.
        assert_eq!(length(&["18446744073709551615"]), Some(3));
        assert_eq!(length(&["4294967296"]), Some(3));
        assert_eq!(length(&["-1"]), Some(3));
    }
}
