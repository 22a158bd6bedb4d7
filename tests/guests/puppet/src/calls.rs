//! Every host function, by name, with arguments and results as JSON.
//!
//! A call that returns nothing gives `"ok"`; a host error gives `{"limit": "…"}` and so on. Where a call takes JSON
//! text, `{"raw": "…"}` hands over that text, whatever it is, and `{"big": n}` a string of n bytes.

use crate::wardroom::plugin::config;
use crate::wardroom::plugin::connection::{self, Visibility};
use crate::wardroom::plugin::log::{self, Level};
use crate::wardroom::plugin::rooms::{self, BroadcastOptions};
use crate::wardroom::plugin::server::{
    self, ConnectionInfo, ConnectionPage, Coverage, Page, Scope,
};
use crate::wardroom::plugin::types::{HostError, Param, Push};
use crate::{kept, pairs, text};
use serde_json::{Value, json};
use std::cell::Cell;

thread_local! {
    /// Events that this instance has handled.
    static EVENTS: Cell<u64> = const { Cell::new(0) };
}

pub fn count_event() {
    EVENTS.set(EVENTS.get() + 1);
}

/// Makes the call that the word names; `None` when it is none.
pub fn run(word: &str, step: &Value) -> Option<Value> {
    Some(match word {
        "join" => unit(rooms::join(optional(&step[1]).as_deref())),
        "leave" => unit(rooms::leave(optional(&step[1]).as_deref())),
        "broadcast" => {
            let options =
                BroadcastOptions { room: optional(&step[3]), include_self: step[4].as_bool().unwrap_or(false) };
            unit(rooms::broadcast(&text(&step[1]), json_text(&step[2]).as_deref(), &options))
        }
        "joined" => json!(rooms::joined()),
        "id" => json!(connection::id()),
        "send" => unit(connection::send(&push(&step[1]))),
        "close" => unit(connection::close(code(&step[1]), optional(&step[2]).as_deref())),
        "attribute" => connection::attribute(&text(&step[1])).map_or(Value::Null, |value| parsed(&value)),
        "set-attribute" => {
            let visibility = if step[3] == "public" { Visibility::Public } else { Visibility::Private };
            unit(connection::set_attribute(&text(&step[1]), json_text(&step[2]).as_deref(), visibility))
        }
        "request" => request(),
        "frame" => json!(connection::frame()),
        "server-broadcast" => unit(server::broadcast(&push(&step[1]))),
        "server-send" => value(server::send(&text(&step[1]), &push(&step[2])).map(Value::from)),
        "server-close" => {
            value(server::close(&text(&step[1]), code(&step[2]), optional(&step[3]).as_deref()).map(Value::from))
        }
        "connections" => value(server::connections(&page(&step[1]), scope(&step[2])).map(connection_page)),
        "room-connections" => {
            value(server::room_connections(&text(&step[1]), &page(&step[2]), scope(&step[3])).map(connection_page))
        }
        "room-size" => value(
            server::room_size(&text(&step[1]), scope(&step[2]))
                .map(|answer| json!({ "size": answer.size, "coverage": coverage(answer.coverage) })),
        ),
        "rooms" => value(server::rooms(&text(&step[1]), &page(&step[2]), scope(&step[3])).map(|answer| {
            let rooms: Vec<_> = answer.rooms.iter().map(|room| json!([room.name, room.size])).collect();
            json!({ "total": answer.total, "rooms": rooms, "coverage": coverage(answer.coverage) })
        })),
        "connection" => value(server::connection(&text(&step[1]), scope(&step[2])).map(
            |answer| json!({ "connection": answer.connection.map(info), "coverage": coverage(answer.coverage) }),
        )),
        "log" => {
            log::log(level(&step[1]), &text(&step[2]), &pairs(&step[3]));
            json!("ok")
        }
        "config" => value(config::get(&text(&step[1])).map(|json| json.map_or(Value::Null, |json| parsed(&json)))),
        "config-keys" => value(config::keys().map(Value::from)),
        "events" => json!(EVENTS.get()),
        _ => return kept::run(word, step),
    })
}

pub fn optional(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn code(value: &Value) -> Option<u16> {
    value.as_u64().map(|code| code as u16)
}

pub fn json_text(value: &Value) -> Option<String> {
    if value.is_null() {
        return None;
    }
    if let Some(raw) = value["raw"].as_str() {
        return Some(raw.to_owned());
    }
    if let Some(bytes) = value["big"].as_u64() {
        return Some(format!(
            "\"{}\"",
            "x".repeat((bytes as usize).saturating_sub(2))
        ));
    }
    Some(value.to_string())
}

pub fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|_| json!({ "no-json": json }))
}

fn push(value: &Value) -> Push {
    let params = pairs(&value["params"])
        .into_iter()
        .map(|(name, value)| Param { name, value })
        .collect();
    Push {
        event: text(&value["event"]),
        path: text(&value["path"]),
        params,
        data: json_text(&value["data"]),
    }
}

fn page(value: &Value) -> Page {
    Page {
        after: optional(&value["after"]),
        limit: value["limit"].as_u64().map(|limit| limit as u32),
    }
}

fn scope(value: &Value) -> Scope {
    if value == "cluster" {
        Scope::Cluster
    } else {
        Scope::Local
    }
}

fn level(value: &Value) -> Level {
    match value.as_str().unwrap_or_default() {
        "trace" => Level::Trace,
        "debug" => Level::Debug,
        "warn" => Level::Warn,
        "error" => Level::Error,
        _ => Level::Info,
    }
}

pub fn unit(result: Result<(), HostError>) -> Value {
    value(result.map(|()| json!("ok")))
}

pub fn value(result: Result<Value, HostError>) -> Value {
    result.unwrap_or_else(|error| match error {
        HostError::Invalid(why) => json!({ "invalid": why }),
        HostError::NotFound => json!({ "not-found": null }),
        HostError::Denied(why) => json!({ "denied": why }),
        HostError::Limit(why) => json!({ "limit": why }),
        HostError::TooLarge(why) => json!({ "too-large": why }),
        HostError::Closed => json!({ "closed": null }),
        HostError::Unavailable(why) => json!({ "unavailable": why }),
        HostError::Other(why) => json!({ "other": why }),
    })
}

fn coverage(coverage: Coverage) -> Value {
    json!([coverage.nodes_expected, coverage.nodes_answered])
}

fn info(info: ConnectionInfo) -> Value {
    let attributes: serde_json::Map<_, _> = info
        .attributes
        .iter()
        .map(|(name, value)| (name.clone(), parsed(value)))
        .collect();
    json!({
        "id": info.id, "node": info.node, "rooms": info.rooms, "attributes": attributes,
        "connectedAt": info.connected_at, "extra": info.extra.len(),
    })
}

fn connection_page(page: ConnectionPage) -> Value {
    let connections: Vec<_> = page.connections.into_iter().map(info).collect();
    json!({ "total": page.total, "connections": connections, "coverage": coverage(page.coverage) })
}

fn request() -> Value {
    let request = connection::request();
    json!({
        "path": request.path, "query": request.query, "headers": request.headers, "cookies": request.cookies,
        "peer": request.peer, "claims": request.claims.as_deref().map(parsed),
    })
}
