//! Other rooms than the path's, the connection itself, and the server.

use wardroom_sdk::Scope;
use wardroom_sdk::prelude::*;

#[derive(Default)]
pub(crate) struct Desk;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Relay {
    room: String,
    event: String,
    data: Option<Box<RawValue>>,
    exclude_self: Option<bool>,
}

#[derive(Deserialize)]
struct Room {
    room: String,
}

#[derive(Default, Deserialize)]
struct Bye {
    code: Option<u16>,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Direct {
    target_id: ConnectionId,
    text: String,
}

#[derive(Deserialize)]
struct Announcement {
    text: String,
}

/// Whom a query asks: this host, or with `"cluster"` all that are one server with it.
#[derive(Default, Deserialize)]
struct Asked {
    #[serde(default)]
    scope: Scope,
}

#[controller]
impl Desk {
    #[message("relay")]
    fn relay(&self, #[data] relay: Relay) -> Result<(), HostError> {
        let mut to = rooms().to(&relay.room);
        if relay.exclude_self == Some(false) {
            to = to.include_self();
        }
        to.broadcast(&relay.event, relay.data.as_ref())
    }

    #[message("enter", "rooms")]
    fn enter(&self, #[data] data: Room) -> Result<Value, WsError> {
        rooms().join_room(&data.room)?;
        Ok(json!({ "rooms": rooms().joined() }))
    }

    #[message("exit", "rooms")]
    fn exit(&self, #[data] data: Room) -> Result<Value, WsError> {
        rooms().leave_room(&data.room)?;
        Ok(json!({ "rooms": rooms().joined() }))
    }

    #[message("notify", "self")]
    fn notify(&self) -> Result<(), HostError> {
        connection().send("notification", "/alerts", json!({ "text": "Just for you" }))
    }

    #[message("whoami", "self")]
    fn whoami(&self, #[connection_id] id: ConnectionId) -> Value {
        json!({ "id": id, "rooms": rooms().joined() })
    }

    #[message("bye", "self")]
    fn bye(&self, #[data] bye: Option<Bye>) -> Result<(), HostError> {
        let Bye { code, reason } = bye.unwrap_or_default();
        connection().close_with(code.unwrap_or(1000), &reason.unwrap_or_default())
    }

    #[message("admin", "announce")]
    fn announce(&self, #[data] data: Announcement) -> Result<Value, WsError> {
        server().broadcast("announcement", "/announce", json!({ "text": data.text }))?;
        Ok(json!({ "announced": true }))
    }

    #[message("dm", "direct")]
    fn direct(&self, #[data] data: Direct) -> Result<Value, WsError> {
        let text = json!({ "text": data.text });
        let sent = server().send(&data.target_id, "dm", "/direct", text)?;
        Ok(json!({ "sent": sent }))
    }

    #[message("query", "connections")]
    fn connections(&self, #[data] asked: Option<Asked>) -> Result<Value, WsError> {
        let Asked { scope } = asked.unwrap_or_default();
        let all = server().scope(scope).connections().all()?;
        let ids: Vec<_> = all.items.iter().map(|connection| &connection.id).collect();
        Ok(json!({ "total": all.total, "ids": ids }))
    }

    /// A wildcard takes slashes, too: `/room//chat/general` asks for the room `/chat/general`.
    #[message("query", "room/*")]
    fn members(
        &self,
        #[param("*")] room: &str,
        #[data] asked: Option<Asked>,
    ) -> Result<Value, WsError> {
        let Asked { scope } = asked.unwrap_or_default();
        let members = server().scope(scope).room_connections(room).all()?;
        let ids: Vec<_> = members.items.iter().map(|member| &member.id).collect();
        Ok(json!({ "room": room, "size": members.total, "ids": ids }))
    }
}
