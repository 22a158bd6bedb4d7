//! The `server` import.

use super::{check_carried, close, denied, room_name};
use crate::hub;
use crate::hub::{ConnectionId, Hub, PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX, Refused, RoomName};
use crate::plugin::bindings::wardroom::plugin::server::{
    ConnectionAnswer, ConnectionInfo, ConnectionPage, Coverage, Host, Page, RoomInfo, RoomPage,
    RoomSizeAnswer, Scope,
};
use crate::plugin::bindings::wardroom::plugin::types::{HostError, Push};
use crate::plugin::state::State;

impl Host for State {
    fn broadcast(&mut self, push: Push) -> Result<(), HostError> {
        let hub = self.pushing()?.hub.clone();
        let frame = self.encode(push)?;
        check_carried(&hub, &frame)?;
        hub.broadcast_all(frame);
        Ok(())
    }

    async fn send(&mut self, id: String, push: Push) -> Result<bool, HostError> {
        let hub = self.pushing()?.hub.clone();
        let frame = self.encode(push)?;
        check_carried(&hub, &frame)?;
        let Some(id) = id_of(&id) else {
            return Ok(false);
        };
        match hub.find(id) {
            // One that is closing is not here any more.
            Some(target) => Ok(hub.send(&target, frame) != Err(Refused::Closing)),
            None => found(hub.send_elsewhere(id, &frame).await),
        }
    }

    async fn close(
        &mut self,
        id: String,
        code: Option<u16>,
        reason: Option<String>,
    ) -> Result<bool, HostError> {
        let close = close(code, reason.as_deref())?;
        let hub = self.hub()?.clone();
        let Some(id) = id_of(&id) else {
            return Ok(false);
        };
        if let Some(target) = hub.find(id) {
            target.outbox.close(close);
            return Ok(true);
        }
        found(hub.close_elsewhere(id, &close).await)
    }

    async fn connections(&mut self, page: Page, scope: Scope) -> Result<ConnectionPage, HostError> {
        let hub = self.hub()?.clone();
        connections_of(&hub, None, &page, scope).await
    }

    async fn room_connections(
        &mut self,
        room: String,
        page: Page,
        scope: Scope,
    ) -> Result<ConnectionPage, HostError> {
        let room = room_name(&room)?;
        let hub = self.hub()?.clone();
        connections_of(&hub, Some(&room), &page, scope).await
    }

    async fn room_size(&mut self, room: String, scope: Scope) -> Result<RoomSizeAnswer, HostError> {
        let room = room_name(&room)?;
        let hub = self.hub()?.clone();
        let (size, coverage) = match scope {
            Scope::Local => (hub.room_size(room.as_str()), hub::Coverage::HERE),
            Scope::Cluster => hub.room_size_everywhere(&room).await,
        };
        Ok(RoomSizeAnswer {
            size: size as u64,
            coverage: coverage.into(),
        })
    }

    async fn rooms(
        &mut self,
        prefix: String,
        page: Page,
        scope: Scope,
    ) -> Result<RoomPage, HostError> {
        let hub = self.hub()?.clone();
        let (after, limit) = (page.after.as_deref(), page_limit(&page));
        let (rooms, coverage) = match scope {
            Scope::Local => (hub.rooms(&prefix, after, limit), hub::Coverage::HERE),
            Scope::Cluster => hub.rooms_everywhere(&prefix, after, limit).await,
        };
        let entries = rooms.entries.into_iter();
        Ok(RoomPage {
            total: rooms.total as u64,
            rooms: entries
                .map(|(name, size)| RoomInfo {
                    name: name.as_str().to_owned(),
                    size: size as u64,
                })
                .collect(),
            coverage: coverage.into(),
        })
    }

    async fn connection(
        &mut self,
        id: String,
        scope: Scope,
    ) -> Result<ConnectionAnswer, HostError> {
        let hub = self.hub()?.clone();
        let (info, coverage) = match (id_of(&id), scope) {
            (Some(id), Scope::Cluster) => hub.connection_anywhere(id).await,
            (id, _) => (
                id.and_then(|id| hub.connection_info(id)),
                hub::Coverage::HERE,
            ),
        };
        Ok(ConnectionAnswer {
            connection: info.map(connection_info),
            coverage: coverage.into(),
        })
    }
}

impl State {
    fn hub(&self) -> Result<&Hub, HostError> {
        self.event
            .as_ref()
            .map(|event| &event.hub)
            .ok_or_else(denied)
    }
}

async fn connections_of(
    hub: &Hub,
    room: Option<&RoomName>,
    page: &Page,
    scope: Scope,
) -> Result<ConnectionPage, HostError> {
    let (after, limit) = (after(page)?, page_limit(page));
    let (page, coverage) = match (scope, room) {
        (Scope::Cluster, room) => hub.connections_everywhere(room, after, limit).await,
        (Scope::Local, None) => (hub.connections(after, limit), hub::Coverage::HERE),
        (Scope::Local, Some(room)) => {
            let page = hub.room_connections(room.as_str(), after, limit);
            (page, hub::Coverage::HERE)
        }
    };
    Ok(ConnectionPage {
        total: page.total as u64,
        connections: page.entries.into_iter().map(connection_info).collect(),
        coverage: coverage.into(),
    })
}

/// Nobody has an id that is none: it may come from a client.
fn id_of(text: &str) -> Option<ConnectionId> {
    text.parse().ok()
}

/// Whether some host has it, unless one that might has not answered.
fn found((is_found, coverage): (bool, hub::Coverage)) -> Result<bool, HostError> {
    if is_found || coverage.is_complete() {
        return Ok(is_found);
    }
    let hub::Coverage { expected, answered } = coverage;
    Err(HostError::Unavailable(format!(
        "{answered} of {expected} hosts have answered, and it is on none of them"
    )))
}

fn page_limit(page: &Page) -> u32 {
    page.limit.unwrap_or(PAGE_LIMIT_DEFAULT).min(PAGE_LIMIT_MAX)
}

fn after(page: &Page) -> Result<Option<ConnectionId>, HostError> {
    let after = page.after.as_deref().map(str::parse).transpose();
    after.map_err(|_| HostError::Invalid("`after` must be a connection's id".to_owned()))
}

impl From<hub::Coverage> for Coverage {
    fn from(coverage: hub::Coverage) -> Self {
        Self {
            nodes_expected: coverage.expected,
            nodes_answered: coverage.answered,
        }
    }
}

fn connection_info(info: hub::ConnectionInfo) -> ConnectionInfo {
    ConnectionInfo {
        id: info.id.to_string(),
        node: info.node,
        rooms: info
            .rooms
            .iter()
            .map(|room| room.as_str().to_owned())
            .collect(),
        attributes: info.attributes,
        connected_at: info.connected_at,
        extra: Vec::new(),
    }
}
