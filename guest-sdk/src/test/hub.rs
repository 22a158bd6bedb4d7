//! The connections of a test server and what they have: rooms, attributes, pushes that nobody has
//! looked at yet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::state::Values;
use crate::connection::Visibility;
use crate::error::HostError;
use crate::log::Level;
use crate::message::{ConnectionId, Param};
use crate::query::{ConnectionInfo, Coverage, Page, RoomInfo};
use crate::request::Request;

/// How many rooms a connection may be in, as by default in a host.
const ROOMS_MAX: usize = 128;

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// The WebSocket close code.
    pub code: u16,
    /// The reason, empty when none was given.
    pub reason: String,
}

/// A line that a plugin wrote to the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// How much it matters.
    pub level: Level,
    /// The text.
    pub message: String,
    /// Names and values.
    pub fields: Vec<(String, Value)>,
}

/// Where a connection is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its connect handlers have not all succeeded: it can be sent to by itself alone.
    Opening,
    Open,
    /// Its close has begun; its disconnect handlers are still to run.
    Closing(Close),
    Closed(Close),
}

#[derive(Debug)]
pub(super) struct Connected {
    pub(super) stage: Stage,
    pub(super) request: Request,
    pub(super) rooms: BTreeSet<String>,
    pub(super) attributes: BTreeMap<String, (String, Visibility)>,
    /// The frames that it was pushed, oldest first.
    pub(super) frames: Vec<String>,
    connected_at: u64,
}

#[derive(Debug, Default)]
pub(super) struct Hub {
    pub(super) connections: BTreeMap<ConnectionId, Connected>,
    /// Those whose disconnect handlers are still to run, in the order their closes began.
    pub(super) closing: VecDeque<ConnectionId>,
    pub(super) log: Vec<LogLine>,
    pub(super) state: Values,
    /// What the plugin is given to read.
    pub(super) config: BTreeMap<String, Value>,
    opened: u64,
}

impl Hub {
    pub(super) fn open(&mut self, request: Request) -> ConnectionId {
        let id = ConnectionId::from(uuid::Uuid::new_v4().to_string());
        // Any clock would do; this one makes tests repeatable.
        self.opened += 1;
        let connected = Connected {
            stage: Stage::Opening,
            request,
            rooms: BTreeSet::new(),
            attributes: BTreeMap::new(),
            frames: Vec::new(),
            connected_at: 1_767_225_600_000 + self.opened,
        };
        self.connections.insert(id.clone(), connected);
        id
    }

    pub(super) fn join(&mut self, id: &ConnectionId, room: &str) -> Result<(), HostError> {
        check_name("room", room, 1024)?;
        let connected = self.writable(id)?;
        if connected.rooms.len() >= ROOMS_MAX && !connected.rooms.contains(room) {
            return Err(HostError::Limit(format!(
                "a connection may be in {ROOMS_MAX} rooms"
            )));
        }
        connected.rooms.insert(room.to_owned());
        Ok(())
    }

    pub(super) fn leave(&mut self, id: &ConnectionId, room: &str) -> Result<(), HostError> {
        let connected = self.connections.get_mut(id).ok_or(HostError::Closed)?;
        if connected.rooms.remove(room) && connected.stage == Stage::Open {
            self.left(room);
        }
        Ok(())
    }

    /// A room has lost a member, perhaps its last.
    fn left(&mut self, room: &str) {
        if self.members(room).next().is_none() {
            self.state.end_room(room);
        }
    }

    /// The connection, unless it is closing or gone.
    pub(super) fn writable(&mut self, id: &ConnectionId) -> Result<&mut Connected, HostError> {
        match self.connections.get_mut(id) {
            Some(connected) if matches!(connected.stage, Stage::Opening | Stage::Open) => {
                Ok(connected)
            }
            _ => Err(HostError::Closed),
        }
    }

    /// Begins to close a connection; false when it is closing or gone already.
    pub(super) fn close(&mut self, id: &ConnectionId, close: Close) -> bool {
        let Ok(connected) = self.writable(id) else {
            return false;
        };
        let before = std::mem::replace(&mut connected.stage, Stage::Closing(close));
        if before == Stage::Open {
            for room in connected.rooms.clone() {
                self.left(&room);
            }
        }
        self.closing.push_back(id.clone());
        true
    }

    /// Gives a frame to all open connections that `wanted` names; answers how many they were.
    pub(super) fn deliver(
        &mut self,
        frame: &str,
        wanted: impl Fn(&ConnectionId, &Connected) -> bool,
    ) -> usize {
        let mut delivered = 0;
        for (id, connected) in &mut self.connections {
            if connected.stage == Stage::Open && wanted(id, connected) {
                connected.frames.push(frame.to_owned());
                delivered += 1;
            }
        }
        delivered
    }

    /// The open connections, sorted by id.
    pub(super) fn open_connections(&self) -> impl Iterator<Item = (&ConnectionId, &Connected)> {
        self.connections
            .iter()
            .filter(|(_, connected)| connected.stage == Stage::Open)
    }

    pub(super) fn members(&self, room: &str) -> impl Iterator<Item = (&ConnectionId, &Connected)> {
        self.open_connections()
            .filter(move |(_, connected)| connected.rooms.contains(room))
    }

    /// The rooms whose names begin with `prefix`, sorted.
    pub(super) fn rooms(&self, prefix: &str) -> Vec<RoomInfo> {
        let mut sizes = BTreeMap::<&str, u64>::new();
        for room in self
            .open_connections()
            .flat_map(|(_, connected)| &connected.rooms)
        {
            if room.starts_with(prefix) {
                *sizes.entry(room).or_default() += 1;
            }
        }
        sizes
            .into_iter()
            .map(|(name, size)| RoomInfo {
                name: name.to_owned(),
                size,
            })
            .collect()
    }
}

impl Connected {
    pub(super) fn info(&self, id: &ConnectionId) -> ConnectionInfo {
        let public = self
            .attributes
            .iter()
            .filter(|(_, (_, visibility))| *visibility == Visibility::Public);
        ConnectionInfo {
            id: id.clone(),
            node: "test".to_owned(),
            rooms: self.rooms.iter().cloned().collect(),
            attributes: public
                .map(|(name, (json, _))| (name.clone(), json.clone()))
                .collect(),
            connected_at: self.connected_at,
        }
    }
}

pub(super) const WHOLE: Coverage = Coverage {
    nodes_expected: 1,
    nodes_answered: 1,
};

/// A page of a list that is sorted by `key`.
pub(super) fn page<T>(
    list: Vec<T>,
    key: impl Fn(&T) -> &str,
    after: Option<&str>,
    limit: Option<u32>,
) -> Page<T> {
    let total = list.len() as u64;
    let limit = limit.unwrap_or(100).min(1000) as usize;
    let items = list
        .into_iter()
        .filter(|item| after.is_none_or(|after| key(item) > after))
        .take(limit);
    Page {
        items: items.collect(),
        total,
        coverage: WHOLE,
    }
}

pub(super) fn check_name(what: &str, name: &str, bytes_max: usize) -> Result<(), HostError> {
    match name.len() {
        0 => Err(HostError::Invalid(format!("the {what} is empty"))),
        length if length > bytes_max => Err(HostError::Invalid(format!(
            "the {what} has more than {bytes_max} bytes"
        ))),
        _ => Ok(()),
    }
}

/// A path with its leading slash.
pub(super) fn normalise(path: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    }
}

/// The frame of a push. A room's push has the room's name for its path, which need not look like
/// one.
pub(super) fn frame(
    event: &str,
    path: &str,
    params: &[Param],
    data: Option<&str>,
) -> Result<String, HostError> {
    #[derive(Serialize)]
    struct Frame<'a> {
        event: &'a str,
        path: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        params: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'a RawValue>,
    }
    check_name("event", event, 128)?;
    check_name("path", path, 1024)?;
    let data = data.map(serde_json::from_str).transpose();
    let data =
        data.map_err(|error| HostError::Invalid(format!("the data is not JSON: {error}")))?;
    let frame = Frame {
        event,
        path,
        params: params_json(params),
        data,
    };
    serde_json::to_string(&frame).map_err(|error| HostError::Other(error.to_string()))
}

/// A name that occurs several times has an array of values.
fn params_json(params: &[Param]) -> Option<Value> {
    let mut names: Vec<&str> = params.iter().map(|param| param.name.as_str()).collect();
    names.dedup();
    let object = names.into_iter().map(|name| {
        let mut values: Vec<Value> = params
            .iter()
            .filter(|param| param.name == name)
            .map(|param| param.value.clone().into())
            .collect();
        let value = if values.len() == 1 {
            values.remove(0)
        } else {
            Value::Array(values)
        };
        (name.to_owned(), value)
    });
    (!params.is_empty()).then(|| object.collect())
}
