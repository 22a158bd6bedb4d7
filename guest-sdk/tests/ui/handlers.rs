//! Handlers that cannot be called.
#![allow(unused_variables)]

use wardroom_sdk::prelude::*;

#[derive(Default)]
struct Chat;

fn nobody(_: &Message) -> Result<(), WsError> {
    Ok(())
}

#[controller]
impl Chat {
    #[message("a")]
    async fn a(&self) {}

    #[message("b")]
    fn b(&mut self) {}

    #[message("c")]
    fn c(self) {}

    #[message("d")]
    fn d<T>(&self, #[data] data: T) {}

    #[message("e")]
    #[connect]
    fn e(&self) {}

    #[guard(nobody)]
    #[disconnect]
    fn f(&self) {}

    #[guard(nobody)]
    fn g(&self) {}

    #[guard]
    #[message("h")]
    fn h(&self) {}

    #[connect("x")]
    fn i(&self) {}
}

wardroom_sdk::plugin!(Chat);

fn main() {}
