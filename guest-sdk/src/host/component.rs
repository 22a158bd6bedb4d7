//! The host behind the contract: imports on the way out, exports on the way in.

use std::panic::PanicHookInfo;
use std::sync::Once;

use crate::bindings::exports::wardroom::plugin::{connections as hooks, manifest, messages};
use crate::bindings::wardroom::plugin::types::{
    HandlerError, HostError as WitError, ParamParam, ParamResult, Push,
};
use crate::bindings::wardroom::plugin::{
    connection as wit_connection, log as wit_log, rooms as wit_rooms, server,
};
use crate::connection::Visibility;
use crate::controller::{Disconnect, Manifest, Plugin};
use crate::error::{HostError, WsError};
use crate::log::Level;
use crate::message::{ConnectionId, Message, MessageId, Param};
use crate::query::{ConnectionInfo, Coverage, Page, RoomInfo, Scope};
use crate::request::Request;

pub(crate) fn join(room: Option<&str>) -> Result<(), HostError> {
    Ok(wit_rooms::join(room)?)
}

pub(crate) fn leave(room: Option<&str>) -> Result<(), HostError> {
    Ok(wit_rooms::leave(room)?)
}

pub(crate) fn joined() -> Vec<String> {
    wit_rooms::joined()
}

pub(crate) fn broadcast_room(
    event: &str,
    data: Option<&str>,
    room: Option<&str>,
    include_self: bool,
) -> Result<(), HostError> {
    Ok(wit_rooms::broadcast(
        event,
        data,
        wit_rooms::BroadcastOptions { room, include_self },
    )?)
}

pub(crate) fn connection_id() -> ConnectionId {
    wit_connection::id().into()
}

pub(crate) fn send(
    event: &str,
    path: &str,
    params: &[Param],
    data: Option<&str>,
) -> Result<(), HostError> {
    with_push(event, path, params, data, |push| {
        Ok(wit_connection::send(push)?)
    })
}

pub(crate) fn close(code: Option<u16>, reason: Option<&str>) -> Result<(), HostError> {
    Ok(wit_connection::close(code, reason)?)
}

pub(crate) fn attribute(name: &str) -> Option<String> {
    wit_connection::attribute(name)
}

pub(crate) fn set_attribute(
    name: &str,
    value: Option<&str>,
    visibility: Visibility,
) -> Result<(), HostError> {
    let visibility = match visibility {
        Visibility::Private => wit_connection::Visibility::Private,
        Visibility::Public => wit_connection::Visibility::Public,
    };
    Ok(wit_connection::set_attribute(name, value, visibility)?)
}

pub(crate) fn request() -> Request {
    wit_connection::request().into()
}

pub(crate) fn frame() -> Option<String> {
    wit_connection::frame()
}

pub(crate) fn broadcast_all(
    event: &str,
    path: &str,
    params: &[Param],
    data: Option<&str>,
) -> Result<(), HostError> {
    with_push(event, path, params, data, |push| {
        Ok(server::broadcast(push)?)
    })
}

pub(crate) fn send_to(
    id: &str,
    event: &str,
    path: &str,
    params: &[Param],
    data: Option<&str>,
) -> Result<bool, HostError> {
    with_push(event, path, params, data, |push| {
        Ok(server::send(id, push)?)
    })
}

pub(crate) fn close_other(
    id: &str,
    code: Option<u16>,
    reason: Option<&str>,
) -> Result<bool, HostError> {
    Ok(server::close(id, code, reason)?)
}

pub(crate) fn connections(
    after: Option<&str>,
    limit: Option<u32>,
    scope: Scope,
) -> Result<Page<ConnectionInfo>, HostError> {
    Ok(server::connections(server::Page { after, limit }, scope.into())?.into())
}

pub(crate) fn room_connections(
    room: &str,
    after: Option<&str>,
    limit: Option<u32>,
    scope: Scope,
) -> Result<Page<ConnectionInfo>, HostError> {
    Ok(server::room_connections(room, server::Page { after, limit }, scope.into())?.into())
}

pub(crate) fn room_size(room: &str, scope: Scope) -> Result<(u64, Coverage), HostError> {
    let answer = server::room_size(room, scope.into())?;
    Ok((answer.size, answer.coverage.into()))
}

pub(crate) fn rooms(
    prefix: &str,
    after: Option<&str>,
    limit: Option<u32>,
    scope: Scope,
) -> Result<Page<RoomInfo>, HostError> {
    let page = server::rooms(prefix, server::Page { after, limit }, scope.into())?;
    let items = page.rooms.into_iter().map(|room| RoomInfo {
        name: room.name,
        size: room.size,
    });
    Ok(Page {
        items: items.collect(),
        total: page.total,
        coverage: page.coverage.into(),
    })
}

pub(crate) fn connection(
    id: &str,
    scope: Scope,
) -> Result<(Option<ConnectionInfo>, Coverage), HostError> {
    let answer = server::connection(id, scope.into())?;
    Ok((answer.connection.map(Into::into), answer.coverage.into()))
}

pub(crate) fn log(level: Level, message: &str, fields: &[(&str, &str)]) {
    let level = match level {
        Level::Trace => wit_log::Level::Trace,
        Level::Debug => wit_log::Level::Debug,
        Level::Info => wit_log::Level::Info,
        Level::Warn => wit_log::Level::Warn,
        Level::Error => wit_log::Level::Error,
    };
    wit_log::log(level, message, fields);
}

fn with_push<R>(
    event: &str,
    path: &str,
    params: &[Param],
    data: Option<&str>,
    send: impl FnOnce(Push<'_>) -> R,
) -> R {
    let params: Vec<_> = params
        .iter()
        .map(|param| ParamParam {
            name: &param.name,
            value: &param.value,
        })
        .collect();
    send(Push {
        event,
        path,
        params: &params,
        data,
    })
}

// What the host calls. An error is a value; only a panic traps, after the hook below has logged it.

impl<P: Plugin> manifest::Guest for P {
    fn describe() -> manifest::Manifest {
        log_panics();
        let Manifest {
            name,
            version,
            description,
            routes,
            hooks,
            mode,
            headers,
            config_keys,
        } = P::SPEC.manifest();
        let routes = routes
            .into_iter()
            .map(|(event, path)| manifest::Route { event, path });
        manifest::Manifest {
            name,
            version,
            description,
            routes: routes.collect(),
            hooks,
            mode,
            capabilities: Vec::new(),
            config_keys,
            headers,
            extra: Vec::new(),
        }
    }
}

impl<P: Plugin> messages::Guest for P {
    fn on_message(message: messages::Message) -> Result<Option<String>, HandlerError> {
        log_panics();
        let (route, message) = (message.route, Message::from(message));
        Ok(P::SPEC.message(route, &message)?)
    }
}

impl<P: Plugin> hooks::Guest for P {
    fn on_upgrade(request: hooks::UpgradeRequest) -> Result<Option<String>, hooks::HttpError> {
        log_panics();
        P::SPEC
            .upgrade(request.into())
            .map_err(|error| hooks::HttpError {
                status: error.status,
                headers: error.headers,
                body: error.body,
            })
    }

    fn on_connect() -> Result<(), HandlerError> {
        log_panics();
        Ok(P::SPEC.connect()?)
    }

    fn on_disconnect(code: u16, reason: String) {
        log_panics();
        P::SPEC.disconnect(&Disconnect { code, reason });
    }
}

/// Sends panics to the host's log in place of the standard error, with their place. The instance
/// traps after that and is gone; the host answers the message with a 500.
fn log_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| std::panic::set_hook(Box::new(log_panic)));
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    match panic.location() {
        Some(place) => log(
            Level::Error,
            &format!("panicked at {place}: {message}"),
            &[],
        ),
        None => log(Level::Error, &format!("panicked: {message}"), &[]),
    }
}

impl From<messages::Message> for Message {
    fn from(message: messages::Message) -> Self {
        let param = |param: ParamResult| Param {
            name: param.name,
            value: param.value,
        };
        Self {
            event: message.event,
            path: message.path,
            params: message.params.into_iter().map(param).collect(),
            data: message.data,
            id: message.id.map(MessageId::new),
        }
    }
}

impl From<wit_connection::UpgradeRequest> for Request {
    fn from(request: wit_connection::UpgradeRequest) -> Self {
        let wit_connection::UpgradeRequest {
            path,
            query,
            headers,
            cookies,
            peer,
            claims,
        } = request;
        Self {
            path,
            query,
            headers,
            cookies,
            peer,
            claims,
        }
    }
}

impl From<WsError> for HandlerError {
    fn from(error: WsError) -> Self {
        Self {
            code: error.code,
            message: error.message,
        }
    }
}

impl From<WitError> for HostError {
    fn from(error: WitError) -> Self {
        match error {
            WitError::Invalid(detail) => Self::Invalid(detail),
            WitError::NotFound => Self::NotFound,
            WitError::Denied(detail) => Self::Denied(detail),
            WitError::Limit(detail) => Self::Limit(detail),
            WitError::TooLarge(detail) => Self::TooLarge(detail),
            WitError::Closed => Self::Closed,
            WitError::Unavailable(detail) => Self::Unavailable(detail),
            WitError::Other(detail) => Self::Other(detail),
        }
    }
}

impl From<Scope> for server::Scope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Local => Self::Local,
            Scope::Cluster => Self::Cluster,
        }
    }
}

impl From<server::Coverage> for Coverage {
    fn from(coverage: server::Coverage) -> Self {
        Self {
            nodes_expected: coverage.nodes_expected,
            nodes_answered: coverage.nodes_answered,
        }
    }
}

impl From<server::ConnectionInfo> for ConnectionInfo {
    fn from(info: server::ConnectionInfo) -> Self {
        let server::ConnectionInfo {
            id,
            node,
            rooms,
            attributes,
            connected_at,
            extra: _,
        } = info;
        Self {
            id: id.into(),
            node,
            rooms,
            attributes,
            connected_at,
        }
    }
}

impl From<server::ConnectionPage> for Page<ConnectionInfo> {
    fn from(page: server::ConnectionPage) -> Self {
        let items = page.connections.into_iter().map(Into::into).collect();
        Self {
            items,
            total: page.total,
            coverage: page.coverage.into(),
        }
    }
}
