//! Types that cannot be read, or written.
#![allow(unused_variables)]

use wardroom_sdk::prelude::*;

struct Opaque;

#[derive(Default)]
struct Chat;

#[controller]
impl Chat {
    #[message("a")]
    fn a(&self, #[data] data: Opaque) {}

    #[message("b", ":id")]
    fn b(&self, #[param] id: Opaque) {}

    #[message("c")]
    fn c(&self) -> Opaque {
        Opaque
    }

    #[message("d")]
    fn d(&self) -> Result<u8, Opaque> {
        Ok(1)
    }

    #[message("e")]
    fn e(&self, #[message_id] id: String) {}

    #[connect]
    fn f(&self) -> u8 {
        1
    }

    #[guard(|_: &str| Ok(()))]
    #[message("g")]
    fn g(&self) {
        let _ = rooms().broadcast("g", 7);
    }
}

wardroom_sdk::plugin!(Chat);

fn main() {}
