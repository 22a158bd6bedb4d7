//! Who gets in, as far as it is decided before the 101: from which pages, and whose word about the client's address
//! counts.
//!
//! Each answers one question about a request and knows nothing of the host. Configuration is made of them, `server`
//! asks them.

mod network;
mod origin;

pub use network::{Forwarded, Networks};
pub use origin::{OriginRefused, Origins, Scheme};
