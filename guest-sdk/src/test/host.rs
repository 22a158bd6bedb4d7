//! The functions of [`crate::host`], on the test server that runs the current event.

use std::cell::{Ref, RefCell};
use std::rc::Rc;

use super::hub::{Close, Hub, LogLine, WHOLE, check_name, frame as room_frame, normalise, page};
use super::server::Instances;
use super::web::Web;
use crate::connection::Visibility;
use crate::error::HostError;
use crate::http;
use crate::log::Level;
use crate::message::{ConnectionId, Param};
use crate::query::{ConnectionInfo, Coverage, Page, RoomInfo, Scope};
use crate::request::Request;

/// What the functions below are about: the event that a handler runs for.
#[derive(Debug, Default)]
pub(super) struct Event {
    pub(super) hub: Rc<RefCell<Hub>>,
    pub(super) instances: Rc<Instances>,
    pub(super) web: Rc<Web>,
    /// `None` while an upgrade handler runs.
    pub(super) connection: Option<ConnectionId>,
    /// The path of the message, which is the room where none is named.
    pub(super) path: Option<String>,
    pub(super) params: Vec<Param>,
    pub(super) frame: Option<String>,
}

thread_local! {
    /// A test server runs its handlers on the thread of the test, one at a time.
    static EVENT: RefCell<Option<Event>> = const { RefCell::new(None) };
}

impl Event {
    /// Runs a handler for this event. The event of another server that this thread is in waits
    /// meanwhile.
    pub(super) fn run<R>(self, handler: impl FnOnce() -> R) -> R {
        /// Also when the handler panics.
        struct Restore(Option<Event>);
        impl Drop for Restore {
            fn drop(&mut self) {
                EVENT.set(self.0.take());
            }
        }
        let _restore = Restore(EVENT.replace(Some(self)));
        handler()
    }
}

/// The current event. No borrow is held while a handler's code runs.
pub(super) fn event<R>(ask: impl FnOnce(&Event) -> R) -> R {
    EVENT.with_borrow(|event| {
        ask(event
            .as_ref()
            .expect("only a handler that a test::Server runs can ask the host: send it a message"))
    })
}

pub(super) fn hub<R>(ask: impl FnOnce(&mut Hub, &Event) -> R) -> R {
    event(|event| ask(&mut event.hub.borrow_mut(), event))
}

fn current(event: &Event) -> Result<&ConnectionId, HostError> {
    event.connection.as_ref().ok_or(HostError::Closed)
}

pub(super) fn room_or_path<'a>(
    room: Option<&'a str>,
    event: &'a Event,
) -> Result<&'a str, HostError> {
    let none = || HostError::Invalid("there is no current path: name the room".to_owned());
    let room = room.or(event.path.as_deref()).ok_or_else(none)?;
    check_name("room", room, 1024)?;
    Ok(room)
}

fn close_of(code: Option<u16>, reason: Option<&str>) -> Result<Close, HostError> {
    let code = code.unwrap_or(1000);
    if code != 1000 && !(4000..5000).contains(&code) {
        return Err(HostError::Invalid(format!(
            "{code} is no code that a plugin may close with: 1000, 4000 to 4999"
        )));
    }
    let reason = reason.unwrap_or_default();
    let end = reason.floor_char_boundary(123);
    Ok(Close {
        code,
        reason: reason.get(..end).unwrap_or_default().to_owned(),
    })
}

pub(crate) fn join(room: Option<&str>) -> Result<(), HostError> {
    hub(|hub, event| hub.join(current(event)?, room_or_path(room, event)?))
}

pub(crate) fn leave(room: Option<&str>) -> Result<(), HostError> {
    hub(|hub, event| {
        let room = room_or_path(room, event)?;
        hub.leave(current(event)?, room)
    })
}

pub(crate) fn joined() -> Vec<String> {
    with_current(|hub, id| {
        hub.connections
            .get(id)
            .map(|connected| connected.rooms.iter().cloned().collect())
    })
}

pub(crate) fn broadcast_room(
    event: &str,
    data: Option<&str>,
    room: Option<&str>,
    include_self: bool,
) -> Result<(), HostError> {
    hub(|hub, current| {
        let room = room_or_path(room, current)?;
        let params = if current.path.as_deref() == Some(room) {
            current.params.as_slice()
        } else {
            &[]
        };
        let sender = current.connection.as_ref().filter(|_| !include_self);
        let frame = room_frame(event, room, params, data)?;
        hub.deliver(&frame, |id, connected| {
            connected.rooms.contains(room) && sender != Some(id)
        });
        Ok(())
    })
}

pub(crate) fn connection_id() -> ConnectionId {
    event(|event| event.connection.clone()).unwrap_or_else(|| ConnectionId::from(""))
}

pub(crate) fn send(
    event: &str,
    path: &str,
    params: &[Param],
    data: Option<&str>,
) -> Result<(), HostError> {
    let frame = push_frame(event, path, params, data)?;
    hub(|hub, event| {
        hub.writable(current(event)?)?.frames.push(frame);
        Ok(())
    })
}

pub(crate) fn close(code: Option<u16>, reason: Option<&str>) -> Result<(), HostError> {
    let close = close_of(code, reason)?;
    hub(|hub, event| {
        hub.close(current(event)?, close)
            .then_some(())
            .ok_or(HostError::Closed)
    })
}

pub(crate) fn attribute(name: &str) -> Option<String> {
    with_current(|hub, id| {
        hub.connections
            .get(id)?
            .attributes
            .get(name)
            .map(|(json, _)| Some(json.clone()))
    })
}

pub(crate) fn set_attribute(
    name: &str,
    value: Option<&str>,
    visibility: Visibility,
) -> Result<(), HostError> {
    check_name("attribute's name", name, 256)?;
    hub(|hub, event| {
        let connected = hub
            .connections
            .get_mut(current(event)?)
            .ok_or(HostError::Closed)?;
        match value {
            Some(json) => drop(
                connected
                    .attributes
                    .insert(name.to_owned(), (json.to_owned(), visibility)),
            ),
            None => drop(connected.attributes.remove(name)),
        }
        Ok(())
    })
}

pub(crate) fn request() -> Request {
    with_current(|hub, id| {
        hub.connections
            .get(id)
            .map(|connected| connected.request.clone())
    })
}

pub(crate) fn frame() -> Option<String> {
    event(|event| event.frame.clone())
}

pub(crate) fn broadcast_all(
    event: &str,
    path: &str,
    params: &[Param],
    data: Option<&str>,
) -> Result<(), HostError> {
    let frame = push_frame(event, path, params, data)?;
    hub(|hub, _| hub.deliver(&frame, |_, _| true));
    Ok(())
}

pub(crate) fn send_to(
    id: &str,
    event: &str,
    path: &str,
    params: &[Param],
    data: Option<&str>,
) -> Result<bool, HostError> {
    let frame = push_frame(event, path, params, data)?;
    Ok(hub(|hub, _| hub.deliver(&frame, |other, _| other.as_str() == id)) > 0)
}

pub(crate) fn close_other(
    id: &str,
    code: Option<u16>,
    reason: Option<&str>,
) -> Result<bool, HostError> {
    let close = close_of(code, reason)?;
    Ok(hub(|hub, _| hub.close(&ConnectionId::from(id), close)))
}

pub(crate) fn connections(
    after: Option<&str>,
    limit: Option<u32>,
    _: Scope,
) -> Result<Page<ConnectionInfo>, HostError> {
    let all = hub(|hub, _| {
        hub.open_connections()
            .map(|(id, connected)| connected.info(id))
            .collect()
    });
    Ok(page(
        all,
        |info: &ConnectionInfo| info.id.as_str(),
        after,
        limit,
    ))
}

pub(crate) fn room_connections(
    room: &str,
    after: Option<&str>,
    limit: Option<u32>,
    _: Scope,
) -> Result<Page<ConnectionInfo>, HostError> {
    let members = hub(|hub, _| {
        hub.members(room)
            .map(|(id, connected)| connected.info(id))
            .collect()
    });
    Ok(page(
        members,
        |info: &ConnectionInfo| info.id.as_str(),
        after,
        limit,
    ))
}

pub(crate) fn room_size(room: &str, _: Scope) -> Result<(u64, Coverage), HostError> {
    Ok((hub(|hub, _| hub.members(room).count()) as u64, WHOLE))
}

pub(crate) fn rooms(
    prefix: &str,
    after: Option<&str>,
    limit: Option<u32>,
    _: Scope,
) -> Result<Page<RoomInfo>, HostError> {
    Ok(page(
        hub(|hub, _| hub.rooms(prefix)),
        |room: &RoomInfo| &room.name,
        after,
        limit,
    ))
}

pub(crate) fn connection(
    id: &str,
    _: Scope,
) -> Result<(Option<ConnectionInfo>, Coverage), HostError> {
    let found = hub(|hub, _| {
        let mut open = hub.open_connections();
        open.find(|(other, _)| other.as_str() == id)
            .map(|(id, connected)| connected.info(id))
    });
    Ok((found, WHOLE))
}

pub(crate) fn log(level: Level, message: &str, fields: &[(&str, &str)]) {
    let field = |(name, json): &(&str, &str)| {
        (
            (*name).to_owned(),
            serde_json::from_str(json).unwrap_or_default(),
        )
    };
    let line = LogLine {
        level,
        message: message.to_owned(),
        fields: fields.iter().map(field).collect(),
    };
    hub(|hub, _| hub.log.push(line));
}

pub(crate) fn send_http(
    request: &http::Request,
    _: http::Url<'_>,
) -> Result<http::Response, HostError> {
    let web = event(|event| event.web.clone());
    web.send(request)
}

fn push_frame(
    event: &str,
    path: &str,
    params: &[Param],
    data: Option<&str>,
) -> Result<String, HostError> {
    check_name("path", path, 1024)?;
    room_frame(event, &normalise(path), params, data)
}

/// Something of the current connection; nothing while there is none.
fn with_current<R: Default>(ask: impl FnOnce(&Hub, &ConnectionId) -> Option<R>) -> R {
    event(|event| {
        let hub: Ref<'_, Hub> = event.hub.borrow();
        event
            .connection
            .as_ref()
            .and_then(|id| ask(&hub, id))
            .unwrap_or_default()
    })
}
