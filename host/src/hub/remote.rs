//! A room's broadcasts on their way to other hosts and from them: the envelope of the `event-ws` family, with the
//! sender's node and number added.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::exchange::{Origin, Run};
use super::{ConnectionId, Inner};
use crate::cluster::Payload;
use crate::protocol::{PushFrame, is_event_name, is_room_name};

/// A broadcast to be published.
pub(super) struct RoomMessage<'a> {
    pub(super) push: &'a PushFrame<'a>,
    pub(super) except: Option<ConnectionId>,
    pub(super) origin: &'a Origin,
    /// Of the next: what nobody gets has none.
    pub(super) next_number: &'a AtomicU64,
    /// Which of the bus's connections carries it.
    pub(super) link: u64,
}

impl Payload for RoomMessage<'_> {
    fn encode(&self) -> Bytes {
        let mut payload = vec![b'{'];
        self.push.write_members(&mut payload);
        let origin = &self.origin.members;
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let mut rest = String::new();
        if let Some(except) = self.except {
            write!(rest, r#","excludeId":"{except}""#).expect("a string takes all writes");
        }
        let link = self.link;
        write!(payload, r#"{rest},{origin},"seq":{number},"link":{link}}}"#)
            .expect("a vector takes all writes");
        payload.into()
    }
}

/// What other servers publish. Unknown members are theirs to add.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Envelope<'a> {
    event: String,
    path: String,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(default)]
    params: Option<serde_json::Map<String, serde_json::Value>>,
    exclude_id: Option<String>,
    node: Option<String>,
    run: Option<String>,
    seq: Option<u64>,
    link: Option<u64>,
}

/// What is there, be it `null`, which is data like any other; serde would take that for nothing.
fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(value).map(Some)
}

/// Why a payload is nothing to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("larger than push_bytes_max allows")]
    TooLarge,
    #[error("no envelope")]
    NoEnvelope,
    #[error("no name of an event, or no path")]
    NoNames,
    #[error("nothing that hosts say to each other")]
    NoMessage,
}

/// What an envelope adds to a push, ours and those of others.
pub(super) const ENVELOPE_BYTES_MAX: usize = 1024;

impl Inner {
    /// Takes a room's broadcast from another host.
    pub(super) fn receive(&self, room: &str, payload: &[u8]) -> Result<(), Malformed> {
        // Not read at all: what is too large for a push would close its members' connections.
        if payload.len() > self.push_bytes_max().saturating_add(ENVELOPE_BYTES_MAX) {
            return Err(Malformed::TooLarge);
        }
        let envelope: Envelope<'_> =
            serde_json::from_slice(payload).map_err(|_| Malformed::NoEnvelope)?;
        let origin = &self.exchange.origin;
        if origin.is(envelope.node.as_deref(), envelope.run.as_deref()) {
            return Ok(());
        }
        let run = envelope.run.as_deref().and_then(Run::read);
        if !self.exchange.is_news(run, envelope.link, envelope.seq) {
            return Ok(());
        }
        let except = envelope.exclude_id.as_ref();
        let except = except.and_then(|id| id.parse().ok());
        let frame = envelope.frame(self.push_bytes_max())?;
        let frame = self.exchange.backlog.hold(frame);
        self.rooms.deliver(room, &frame, except);
        Ok(())
    }

    pub(super) fn push_bytes_max(&self) -> usize {
        self.push_bytes_max.load(Ordering::Relaxed)
    }
}

impl Envelope<'_> {
    /// As clients get it.
    pub(super) fn frame(self, bytes_max: usize) -> Result<Bytes, Malformed> {
        // As its sender's members get it: a room's name need not begin with a slash.
        if !is_room_name(&self.path) || !is_event_name(&self.event) {
            return Err(Malformed::NoNames);
        }
        let params = flatten(self.params.unwrap_or_default());
        let push = PushFrame {
            event: &self.event,
            path: &self.path,
            params: &params,
            data: self.data.map(RawValue::get),
        };
        let frame = push.encode();
        if frame.len() > bytes_max {
            return Err(Malformed::TooLarge);
        }
        Ok(frame)
    }
}

/// The inverse of how params are sent: an array is a name that occurs several times.
fn flatten(params: serde_json::Map<String, serde_json::Value>) -> wardroom_router::Params {
    let mut flat = Vec::new();
    for (name, value) in params {
        let name: std::sync::Arc<str> = name.into();
        let values = match value {
            serde_json::Value::Array(values) => values,
            value => vec![value],
        };
        for value in values {
            if let serde_json::Value::String(value) = value {
                flat.push((std::sync::Arc::clone(&name), value));
            }
        }
    }
    flat
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_arrives_as_it_was_sent() {
        for push in [
            r#"{"event":"e","path":"/p"}"#,
            r#"{"event":"e","path":"/p","data":null}"#,
            r#"{"event":"e","path":"/p","params":{"n":["1","2"]},"data":1.50}"#,
        ] {
            let envelope: Envelope<'_> = serde_json::from_str(push).unwrap();
            assert_eq!(envelope.frame(100).unwrap(), push);
        }
    }
}
