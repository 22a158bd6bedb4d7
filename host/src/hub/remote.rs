//! A room's broadcasts on their way to other hosts and from them: the envelope of the `event-ws` family, with the
//! sender's node and number added.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::exchange::Instance;
use super::{ConnectionId, Exchange, Inner};
use crate::cluster::Payload;
use crate::protocol::{PushFrame, is_event_name, normalise_path};

/// A broadcast to be published.
pub(super) struct RoomMessage<'a> {
    pub(super) push: &'a PushFrame<'a>,
    pub(super) except: Option<ConnectionId>,
    pub(super) node: &'a str,
    pub(super) instance: Instance,
    pub(super) sequence: &'a AtomicU64,
}

impl Payload for RoomMessage<'_> {
    fn encode(&self) -> Bytes {
        let mut payload = vec![b'{'];
        self.push.write_members(&mut payload);
        let node = serde_json::to_string(self.node).expect("text is always JSON");
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        let mut rest = String::new();
        if let Some(except) = self.except {
            write!(rest, r#","excludeId":"{except}""#).expect("a string takes all writes");
        }
        let instance = self.instance;
        write!(
            payload,
            r#"{rest},"node":{node},"instance":"{instance}","seq":{sequence}}}"#
        )
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
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    params: Option<serde_json::Map<String, serde_json::Value>>,
    exclude_id: Option<String>,
    node: Option<String>,
    instance: Option<String>,
}

impl Inner {
    /// Takes a room's broadcast from another host.
    pub(super) fn receive(&self, channel: &str, room: &str, payload: &[u8]) {
        let Ok(envelope) = serde_json::from_slice::<Envelope<'_>>(payload) else {
            tracing::warn!(channel, "malformed payload on the bus");
            return;
        };
        if self.exchange.is_own(&envelope) {
            return;
        }
        let except = envelope.exclude_id.as_ref();
        let except = except.and_then(|id| id.parse().ok());
        if let Some(frame) = envelope.frame() {
            let frame = self.exchange.backlog.hold(frame);
            self.rooms.deliver(room, &frame, except);
        }
    }
}

impl Envelope<'_> {
    /// As clients get it; `None` when it has no event that could be, or no path.
    pub(super) fn frame(self) -> Option<Bytes> {
        let path = normalise_path(self.path).filter(|_| is_event_name(&self.event))?;
        let params = flatten(self.params.unwrap_or_default());
        let push = PushFrame {
            event: &self.event,
            path: &path,
            params: &params,
            data: self.data.map(RawValue::get),
        };
        Some(push.encode())
    }
}

impl Exchange {
    /// Whether it is this host's own. Its node's name says that to other servers, but two hosts may have been given the
    /// same one.
    fn is_own(&self, envelope: &Envelope<'_>) -> bool {
        match &envelope.instance {
            Some(instance) => *instance == self.instance.to_string(),
            None => envelope.node.as_ref() == Some(&self.node),
        }
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
