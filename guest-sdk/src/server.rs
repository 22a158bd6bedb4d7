//! All connections and rooms of the tenant.

use crate::error::HostError;
use crate::host;
use crate::message::ConnectionId;
use crate::push::{Data, Push};
use crate::query::{ConnectionInfo, Coverage, Query, RoomInfo, Scope};

/// The server that the plugin is part of: all its connections and rooms.
///
/// What is sent reaches connections on every host of a cluster. A query asks this host alone unless
/// it is told to ask all: `server().cluster()`, which waits for the others.
///
/// ```
/// use wardroom_sdk::prelude::*;
///
/// # #[derive(Default)] struct Desk;
/// # #[controller] impl Desk {
/// #[message("admin", "/announce")]
/// fn announce(&self, #[data] text: String) -> Result<u64, WsError> {
///     server().broadcast("announcement", "/announce", json!({ "text": text }))?;
///     Ok(server().cluster().connections().total()?)
/// }
/// # }
/// # wardroom_sdk::plugin!(Desk);
/// # let ann = wardroom_sdk::test::Server::new::<Plugin>().connect();
/// # assert_eq!(ann.request("admin", "/announce", &"Hear, hear").unwrap(), 1);
/// # assert_eq!(ann.pushes(), [json!({"event": "announcement", "path": "/announce", "data": {"text": "Hear, hear"}})]);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Server {
    scope: Scope,
}

/// All connections and rooms of the tenant.
pub fn server() -> Server {
    Server::default()
}

impl Server {
    /// Asks all hosts that form one server, where this one alone would be asked.
    #[must_use]
    pub fn cluster(self) -> Self {
        self.scope(Scope::Cluster)
    }

    /// Asks these hosts: for who is told which.
    #[must_use]
    pub fn scope(self, scope: Scope) -> Self {
        Self { scope }
    }

    /// Pushes to every connection, the current one included.
    ///
    /// # Errors
    /// [`Invalid`](HostError::Invalid) when the event or the path is empty or too long,
    /// [`Limit`](HostError::Limit) when this event has caused as many pushes as it may,
    /// [`TooLarge`](HostError::TooLarge) when the push is.
    pub fn broadcast(&self, event: &str, path: &str, data: impl Data) -> Result<(), HostError> {
        host::broadcast_all(event, path, &[], data.into_json()?.as_deref())
    }

    /// Pushes to every connection, with params.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub fn push(&self, push: &Push) -> Result<(), HostError> {
        host::broadcast_all(&push.event, &push.path, &push.params, push.data.as_deref())
    }

    /// Pushes to one connection, on whichever host it is; false when there is none of that id.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub fn send(
        &self,
        id: impl AsRef<str>,
        event: &str,
        path: &str,
        data: impl Data,
    ) -> Result<bool, HostError> {
        host::send_to(id.as_ref(), event, path, &[], data.into_json()?.as_deref())
    }

    /// Asks the host to close a connection with code 1000; false when there is none of that id.
    /// With another code: [`ConnectionInfo::close_with`].
    ///
    /// # Errors
    /// [`HostError::Unavailable`] when the host that holds it cannot be reached.
    pub fn close(&self, id: impl AsRef<str>) -> Result<bool, HostError> {
        host::close_other(id.as_ref(), None, None)
    }

    /// One connection by its id; `None` when there is none.
    ///
    /// # Errors
    /// [`HostError::Unavailable`] when the other hosts cannot be asked, or when none of those that
    /// answered knows it and some did not answer: then it may well exist.
    pub fn get_connection(&self, id: &ConnectionId) -> Result<Option<ConnectionInfo>, HostError> {
        let (found, coverage) = host::connection(id.as_str(), self.scope)?;
        if found.is_none() && !coverage.is_complete() {
            let Coverage {
                nodes_expected,
                nodes_answered,
            } = coverage;
            let answered = format!("{nodes_answered} of {nodes_expected} hosts answered");
            return Err(HostError::Unavailable(answered));
        }
        Ok(found)
    }

    /// All connections, sorted by id.
    pub fn connections(&self) -> Query<ConnectionInfo> {
        Query::new(None, self.scope)
    }

    /// A room's members, sorted by id. A room that does not exist has none.
    pub fn room_connections(&self, room: impl Into<String>) -> Query<ConnectionInfo> {
        Query::new(Some(room.into()), self.scope)
    }

    /// How many members a room has, as far as the hosts that answered know. How many those are,
    /// says the page of [`room_connections`](Self::room_connections) with a
    /// [`page_size`](Query::page_size) of 0.
    ///
    /// # Errors
    /// [`HostError::Unavailable`] when the other hosts cannot be asked.
    pub fn room_size(&self, room: impl AsRef<str>) -> Result<u64, HostError> {
        Ok(host::room_size(room.as_ref(), self.scope)?.0)
    }

    /// The rooms whose names begin with `prefix`, sorted by name.
    pub fn rooms(&self, prefix: impl Into<String>) -> Query<RoomInfo> {
        Query::new(prefix.into(), self.scope)
    }
}
