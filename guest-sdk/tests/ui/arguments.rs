//! Arguments with the wrong attribute, with none, with two; all mistakes at once.
#![allow(unused_variables)]

use wardroom_sdk::prelude::*;

#[derive(Default)]
struct Chat;

#[controller("chat")]
impl Chat {
    #[message("join", ":room")]
    fn join(&self, #[dat] data: u8, room: String, #[param] #[data] both: String) {}

    #[message("leave", ":room")]
    fn leave(&self, #[code] code: u16, #[param(room)] room: String, #[data("x")] data: u8) {}

    #[message("say", ":room")]
    fn say(&self, #[param] (a, b): (u8, u8), #[data] data: impl Sized) {}

    #[connect]
    fn connected(&self, #[data] data: u8) {}

    #[upgrade]
    fn upgraded(&self, #[connection_id] id: ConnectionId) {}

    fn helper(&self, #[data] data: u8) {}
}

wardroom_sdk::plugin!(Chat);

fn main() {}
