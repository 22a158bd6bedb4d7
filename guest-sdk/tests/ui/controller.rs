//! Things that are no controllers.
use wardroom_sdk::prelude::*;

#[controller]
struct Chat;

trait Talks {}

#[controller("talks")]
impl Talks for Chat {}

struct Generic<T>(T);

#[controller(talks)]
impl<T> Generic<T> {}

#[guard(nobody)]
#[controller]
impl Chat {}

#[message("join")]
fn join() {}

#[connect]
fn connected() {}

fn main() {}
