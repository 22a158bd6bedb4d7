//! Events and paths that cannot be.
#![allow(unused_variables)]

use wardroom_sdk::prelude::*;

#[derive(Default)]
struct Chat;

#[controller("org/:org")]
impl Chat {
    #[message]
    fn a(&self) {}

    #[message("")]
    fn b(&self) {}

    #[message("eventeventeventeventeventeventeventeventeventeventeventeventeventeventeventeventeventeventeventeventeventeventeventeventeventevent")]
    fn c(&self) {}

    #[message("d", "x", "y")]
    fn d(&self) {}

    #[message("e", ":/x")]
    fn e(&self) {}

    #[message("f", ":id(\\d+")]
    fn f(&self) {}

    #[message("g", ":room/*")]
    fn g(&self, #[param] org: String, #[param("rom")] room: String, #[param("*")] rest: String) {}
}

struct Desk;

#[controller]
impl Desk {
    #[message("h")]
    fn h(#[param] room: String) {}
}

wardroom_sdk::plugin!(Chat, Desk);

fn main() {}
