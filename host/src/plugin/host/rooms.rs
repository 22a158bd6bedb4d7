//! The `rooms` import.

use std::sync::Arc;

use super::{check_carried, check_data, check_event, room_name};
use crate::hub::{Connection, JoinError, RoomName};
use crate::plugin::bindings::wardroom::plugin::rooms::{BroadcastOptions, Host};
use crate::plugin::bindings::wardroom::plugin::types::HostError;
use crate::plugin::state::{Event, State};
use crate::protocol::PushFrame;

impl Host for State {
    async fn join(&mut self, room: Option<String>) -> Result<(), HostError> {
        let event = self.event()?;
        let room = room_of(event, room.as_deref())?;
        let joining = event.hub.join(connection(event)?, &room, &self.limits);
        let result = joining.await;
        result.map_err(|error| match error {
            JoinError::Closed => HostError::Closed,
            JoinError::TooManyRooms(limit) => self.reached(limit),
        })
    }

    fn leave(&mut self, room: Option<String>) -> Result<(), HostError> {
        let event = self.event()?;
        let room = room_of(event, room.as_deref())?;
        event.hub.leave(connection(event)?, &room);
        Ok(())
    }

    fn broadcast(
        &mut self,
        event: String,
        data: Option<String>,
        options: BroadcastOptions,
    ) -> Result<(), HostError> {
        check_event(&event)?;
        let data = check_data(data.as_deref())?;
        self.pushing()?;
        let current = self.event()?;
        let room = room_of(current, options.room.as_deref())?;
        let params = match current.message() {
            Some(routed) if routed.message.path() == room.as_str() => routed.params.as_slice(),
            _ => &[],
        };
        let push = PushFrame {
            event: &event,
            path: room.as_str(),
            params,
            data,
        };
        let frame = push.encode();
        self.check_push_size(&frame)?;
        check_carried(&current.hub, &frame)?;
        let sender = if options.include_self {
            None
        } else {
            current.connection().map(|sender| sender.id)
        };
        current.hub.broadcast(&room, &push, frame, sender);
        Ok(())
    }

    fn joined(&mut self) -> Vec<String> {
        let connection = self.event.as_ref().and_then(Event::connection);
        let rooms = connection
            .map(|connection| connection.joined())
            .unwrap_or_default();
        rooms.iter().map(|room| room.as_str().to_owned()).collect()
    }
}

/// The room that is meant: the one named, or the current path's.
pub(super) fn room_of(event: &Event, name: Option<&str>) -> Result<RoomName, HostError> {
    match (name, event.message()) {
        (Some(name), _) => room_name(name),
        (None, Some(routed)) => room_name(routed.message.path()),
        (None, None) => Err(HostError::Invalid(
            "no current path to take the room from: name the room".to_owned(),
        )),
    }
}

fn connection(event: &Event) -> Result<&Arc<Connection>, HostError> {
    event.connection().ok_or(HostError::Closed)
}
