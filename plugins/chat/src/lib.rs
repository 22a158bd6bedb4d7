//! A chat: the path of a message is its room, for instance `/chat/general`. What is not about the
//! room of the path is in `desk.rs`; `tests/` shows how to try a plugin out without a host.

mod desk;

use wardroom_sdk::prelude::*;

use desk::Desk;

#[derive(Deserialize)]
struct Join {
    name: String,
}

#[derive(Deserialize, Serialize)]
struct Said {
    from: String,
    text: String,
}

#[derive(Default)]
struct Chat;

#[controller("chat")]
impl Chat {
    #[message("join", ":room")]
    fn join(&self, #[param] room: &str, #[data] data: Join) -> Result<Value, WsError> {
        let rooms = rooms();
        rooms.join()?;
        rooms.broadcast("system", json!({ "text": format!("{} joined", data.name) }))?;
        Ok(json!({ "joined": true, "room": room, "rooms": rooms.joined() }))
    }

    #[message("leave", ":room")]
    fn leave(&self) -> Result<Value, WsError> {
        let rooms = rooms();
        rooms.broadcast("system", json!({ "text": "Someone left" }))?;
        rooms.leave()?;
        Ok(json!({ "left": true, "rooms": rooms.joined() }))
    }

    /// To everybody but the one who said it.
    #[message("message", ":room")]
    fn message(&self, #[data] said: Said) -> Result<(), HostError> {
        rooms().broadcast("message", &said)
    }

    /// To everybody.
    #[message("shout", ":room")]
    fn shout(&self, #[data] said: Said) -> Result<(), HostError> {
        rooms().include_self().broadcast("message", &said)
    }

    /// The connection is still in its rooms; it need not leave them, that happens by itself after
    /// this.
    #[disconnect]
    fn gone(&self) -> Result<(), HostError> {
        for room in rooms().joined() {
            rooms()
                .to(&room)
                .broadcast("system", json!({ "text": "Someone left" }))?;
        }
        Ok(())
    }
}

wardroom_sdk::plugin!(Chat, Desk);
