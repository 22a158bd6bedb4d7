//! Things that are no controllers.
#![allow(unused_variables)]

use wardroom_sdk::prelude::*;

#[controller]
struct Chat;

trait Talks {}

#[controller("talks")]
impl Talks for Chat {}

struct Generic<T>(T);

#[controller(talks)]
impl<T> Generic<T> {}

struct Desk;

#[guard(nobody)]
#[controller]
impl Desk {}

#[message("join")]
fn join() {}

#[connect]
fn connected() {}

fn main() {}
