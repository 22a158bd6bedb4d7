//! One connection as the rest of the host sees it: who it is, where it is a member, what waits to be sent to it.
//! The socket itself is `ws`'s alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Outbox, RoomName};

/// A connection's id: random, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(transparent)]
pub struct ConnectionId(Uuid);

impl ConnectionId {
    pub(super) fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(formatter)
    }
}

impl FromStr for ConnectionId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

/// The HTTP request that opened a connection, as far as plugins may read it.
#[derive(Clone, Debug)]
pub struct Request {
    /// Without the query.
    pub path: String,
    /// What follows the `?`.
    pub query: Option<String>,
    /// Those that some plugin asks for; names in lower case.
    pub headers: Vec<(String, String)>,
    /// Names and values.
    pub cookies: Vec<(String, String)>,
    /// The client's address.
    pub peer: SocketAddr,
    /// JSON: what was established about the client before the connection opened.
    pub claims: Option<String>,
}

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its connect handlers run: it may join, but nobody sees it yet.
    Connecting,
    /// It can be queried, addressed and broadcast to.
    Open,
    /// It is no longer counted; its disconnect handlers may still ask where it was.
    Closing,
}

/// A connection. Shared by its own task, the rooms it is in and whoever addresses it.
#[derive(Debug)]
pub struct Connection {
    /// Who it is.
    pub id: ConnectionId,
    /// Milliseconds since the Unix epoch.
    pub connected_at: u64,
    /// How it came.
    pub request: Request,
    /// What waits to be written to it.
    pub outbox: Outbox,
    /// Changed only by the connection's own events, read by queries.
    pub(super) membership: Mutex<Membership>,
}

#[derive(Debug)]
pub(super) struct Membership {
    pub(super) phase: Phase,
    pub(super) joined: BTreeSet<RoomName>,
    attributes: BTreeMap<String, Attribute>,
}

#[derive(Debug)]
struct Attribute {
    value: String,
    public: bool,
}

/// The attributes of a connection would be larger than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributesTooLarge;

impl Connection {
    pub(super) fn new(request: Request, outbox: Outbox) -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            id: ConnectionId::random(),
            connected_at: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX),
            request,
            outbox,
            membership: Mutex::new(Membership {
                phase: Phase::Connecting,
                joined: BTreeSet::new(),
                attributes: BTreeMap::new(),
            }),
        }
    }

    /// The rooms that it is in, sorted; those that it was in, during its disconnect handlers.
    #[must_use]
    pub fn joined(&self) -> Vec<RoomName> {
        self.membership.lock().joined.iter().cloned().collect()
    }

    /// An attribute's value: JSON.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<String> {
        self.membership
            .lock()
            .attributes
            .get(name)
            .map(|attribute| attribute.value.clone())
    }

    /// The public attributes, by name.
    #[must_use]
    pub fn public_attributes(&self) -> Vec<(String, String)> {
        let membership = self.membership.lock();
        let public = membership
            .attributes
            .iter()
            .filter(|(_, attribute)| attribute.public);
        public
            .map(|(name, attribute)| (name.clone(), attribute.value.clone()))
            .collect()
    }

    /// Sets an attribute, or removes it.
    ///
    /// # Errors
    /// When names and values of all attributes would be more than `bytes_max`; nothing has changed then.
    pub fn set_attribute(
        &self,
        name: &str,
        value: Option<String>,
        public: bool,
        bytes_max: usize,
    ) -> Result<(), AttributesTooLarge> {
        let attributes = &mut self.membership.lock().attributes;
        let Some(value) = value else {
            attributes.remove(name);
            return Ok(());
        };
        let others = attributes.iter().filter(|(other, _)| *other != name);
        let bytes: usize = others
            .map(|(other, attribute)| other.len() + attribute.value.len())
            .sum();
        if bytes + name.len() + value.len() > bytes_max {
            return Err(AttributesTooLarge);
        }
        attributes.insert(name.to_owned(), Attribute { value, public });
        Ok(())
    }
}
