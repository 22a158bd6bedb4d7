//! The other end of a connection.

use serde_json::Value;

use super::hub::{Close, Connected, Stage};
use super::server::Server;
use crate::error::WsError;
use crate::message::ConnectionId;
use crate::push::Data;

/// A client of a [`Server`]. Dropping it does not close the connection: call
/// [`close`](Self::close).
#[derive(Clone, Debug)]
pub struct Client {
    server: Server,
    id: ConnectionId,
}

impl Client {
    pub(super) fn new(server: Server, id: ConnectionId) -> Self {
        Self { server, id }
    }

    /// The connection's id.
    pub fn id(&self) -> &ConnectionId {
        &self.id
    }

    /// Sends a message with an id and takes the reply.
    ///
    /// # Errors
    /// The reply, when it is an error: what the handler returned, 404 when there is no such route,
    /// 500 when it panicked.
    ///
    /// # Panics
    /// When the connection is closed, or the data has no JSON form.
    pub fn request(&self, event: &str, path: &str, data: impl Data) -> Result<Value, WsError> {
        let reply = self.request_text(event, path, data)?;
        Ok(serde_json::from_str(&reply).expect("a handler's reply is JSON"))
    }

    /// As [`request`](Self::request), with the reply exactly as it is written.
    ///
    /// # Errors
    /// As [`request`](Self::request).
    ///
    /// # Panics
    /// As [`request`](Self::request).
    pub fn request_text(
        &self,
        event: &str,
        path: &str,
        data: impl Data,
    ) -> Result<String, WsError> {
        self.message(event, path, data, true)
    }

    /// Sends a message without an id: whatever the handler returns, nothing comes back.
    ///
    /// # Panics
    /// As [`request`](Self::request).
    pub fn send(&self, event: &str, path: &str, data: impl Data) {
        // The protocol has no reply for this, errors included.
        let _ = self.message(event, path, data, false);
    }

    /// Takes the pushes that have arrived since the last time, oldest first, as they are on the
    /// wire.
    pub fn pushes(&self) -> Vec<Value> {
        let frames = self.frames();
        frames
            .iter()
            .map(|frame| serde_json::from_str(frame).expect("the test kit wrote it"))
            .collect()
    }

    /// As [`pushes`](Self::pushes), exactly as they are written.
    pub fn frames(&self) -> Vec<String> {
        let mut hub = self.server.hub().borrow_mut();
        hub.connections
            .get_mut(&self.id)
            .map(|connected| std::mem::take(&mut connected.frames))
            .unwrap_or_default()
    }

    /// The rooms that the connection is in, sorted.
    pub fn rooms(&self) -> Vec<String> {
        self.look(|connected| connected.rooms.iter().cloned().collect())
    }

    /// An attribute of the connection, private or public.
    pub fn attribute(&self, name: &str) -> Option<Value> {
        self.look(|connected| {
            let (json, _) = connected.attributes.get(name)?;
            serde_json::from_str(json).ok()
        })
    }

    /// Closes the connection from this end: its disconnect handlers run, then it leaves its rooms.
    /// Does nothing when it is closed.
    pub fn close(&self, code: u16) {
        self.close_with(code, "");
    }

    /// As [`close`](Self::close), with a reason.
    pub fn close_with(&self, code: u16, reason: &str) {
        self.server.close(
            &self.id,
            Close {
                code,
                reason: reason.to_owned(),
            },
        );
    }

    /// How the connection ended; `None` while it is open.
    pub fn closed(&self) -> Option<Close> {
        self.look(|connected| match &connected.stage {
            Stage::Closed(close) => Some(close.clone()),
            Stage::Opening | Stage::Open | Stage::Closing(_) => None,
        })
    }

    fn message(
        &self,
        event: &str,
        path: &str,
        data: impl Data,
        wants_reply: bool,
    ) -> Result<String, WsError> {
        assert!(
            self.closed().is_none(),
            "the connection is closed: {:?}",
            self.closed()
        );
        let data = data.into_json().expect("a test's data has a JSON form");
        self.server
            .message(&self.id, event, path, data, wants_reply)
    }

    fn look<R: Default>(&self, at: impl FnOnce(&Connected) -> R) -> R {
        self.server
            .hub()
            .borrow()
            .connections
            .get(&self.id)
            .map(at)
            .unwrap_or_default()
    }
}
