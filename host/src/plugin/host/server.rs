//! The `server` import.

use std::sync::Arc;

use super::{close, denied, room_name};
use crate::hub;
use crate::hub::{Connection, ConnectionId, Hub, PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX, Refused};
use crate::plugin::bindings::wardroom::plugin::server::{
    ConnectionAnswer, ConnectionInfo, ConnectionPage, Coverage, Host, Page, RoomInfo, RoomPage,
    RoomSizeAnswer, Scope,
};
use crate::plugin::bindings::wardroom::plugin::types::{HostError, Push};
use crate::plugin::state::State;

/// One host answers for the whole server.
const COMPLETE: Coverage = Coverage {
    nodes_expected: 1,
    nodes_answered: 1,
};

impl Host for State {
    fn broadcast(&mut self, push: Push) -> Result<(), HostError> {
        let hub = self.pushing()?.hub.clone();
        let frame = self.encode(push)?;
        hub.broadcast_all(frame);
        Ok(())
    }

    fn send(&mut self, id: String, push: Push) -> Result<bool, HostError> {
        let hub = self.pushing()?.hub.clone();
        let frame = self.encode(push)?;
        let Some(target) = find(&hub, &id) else {
            return Ok(false);
        };
        // One that is closing is not here any more.
        Ok(hub.send(&target, frame) != Err(Refused::Closing))
    }

    fn close(
        &mut self,
        id: String,
        code: Option<u16>,
        reason: Option<String>,
    ) -> Result<bool, HostError> {
        let close = close(code, reason.as_deref())?;
        let target = find(self.hub()?, &id);
        if let Some(target) = &target {
            target.outbox.close(close);
        }
        Ok(target.is_some())
    }

    fn connections(&mut self, page: Page, _: Scope) -> Result<ConnectionPage, HostError> {
        Ok(connection_page(
            self.hub()?.connections(after(&page)?, page_limit(&page)),
        ))
    }

    fn room_connections(
        &mut self,
        room: String,
        page: Page,
        _: Scope,
    ) -> Result<ConnectionPage, HostError> {
        let room = room_name(&room)?;
        Ok(connection_page(self.hub()?.room_connections(
            room.as_str(),
            after(&page)?,
            page_limit(&page),
        )))
    }

    fn room_size(&mut self, room: String, _: Scope) -> Result<RoomSizeAnswer, HostError> {
        let size = self.hub()?.room_size(room_name(&room)?.as_str()) as u64;
        Ok(RoomSizeAnswer {
            size,
            coverage: COMPLETE,
        })
    }

    fn rooms(&mut self, prefix: String, page: Page, _: Scope) -> Result<RoomPage, HostError> {
        let rooms = self
            .hub()?
            .rooms(&prefix, page.after.as_deref(), page_limit(&page));
        let entries = rooms.entries.into_iter();
        Ok(RoomPage {
            total: rooms.total as u64,
            rooms: entries
                .map(|(name, size)| RoomInfo {
                    name: name.as_str().to_owned(),
                    size: size as u64,
                })
                .collect(),
            coverage: COMPLETE,
        })
    }

    fn connection(&mut self, id: String, _: Scope) -> Result<ConnectionAnswer, HostError> {
        let hub = self.hub()?;
        let info = id.parse().ok().and_then(|id| hub.connection_info(id));
        let connection = info.map(connection_info);
        Ok(ConnectionAnswer {
            connection,
            coverage: COMPLETE,
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

/// Nobody has an id that is none: it may come from a client.
fn find(hub: &Hub, id: &str) -> Option<Arc<Connection>> {
    hub.find(id.parse().ok()?)
}

fn page_limit(page: &Page) -> u32 {
    page.limit.unwrap_or(PAGE_LIMIT_DEFAULT).min(PAGE_LIMIT_MAX)
}

fn after(page: &Page) -> Result<Option<ConnectionId>, HostError> {
    let after = page.after.as_deref().map(str::parse).transpose();
    after.map_err(|_| HostError::Invalid("`after` must be a connection's id".to_owned()))
}

fn connection_page(page: hub::Page<hub::ConnectionInfo>) -> ConnectionPage {
    ConnectionPage {
        total: page.total as u64,
        connections: page.entries.into_iter().map(connection_info).collect(),
        coverage: COMPLETE,
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
