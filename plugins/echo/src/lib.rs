//! The smallest plugin: answers with what it was sent.

use wardroom_sdk::prelude::*;

#[derive(Default)]
struct Echo;

#[controller]
impl Echo {
    /// The data stays JSON text all the way, so that numbers keep their spelling.
    #[message("echo")]
    fn echo(&self, #[data] data: Box<RawValue>) -> Box<RawValue> {
        data
    }
}

wardroom_sdk::plugin!(Echo);
