//! Settings and lists that say nothing useful.
#![allow(unused_variables)]

use wardroom_sdk::prelude::*;

struct Chat;

#[controller]
impl Chat {}

struct Nothing;

mod settings {
    wardroom_sdk::plugin! {
        nam = "x",
        name = "Chat Room",
        mode = forever,
        mode = fresh,
        headers = "authorization",
        version = ["1"],
        config_keys = "url",
        super::Chat,
        "x/:y" => super::Chat,
        "z" => { name = "z" },
    }
}

mod nothing {
    wardroom_sdk::plugin!(super::Nothing);
}

mod empty {
    wardroom_sdk::plugin!();
}

mod garbage {
    wardroom_sdk::plugin!(super::Chat, 7);
}

fn main() {}
