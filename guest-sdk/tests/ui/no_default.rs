//! A controller that nobody can make, and one that nobody has to.
#![allow(unused_variables)]

use wardroom_sdk::prelude::*;

struct Chat;

#[controller]
impl Chat {
    #[message("a")]
    fn a(&self) {}

    #[message("b")]
    fn b(&self) {}
}

struct Desk;

#[controller]
impl Desk {
    #[message("c")]
    fn c() {}
}

wardroom_sdk::plugin!(Chat, Desk);

fn main() {}
