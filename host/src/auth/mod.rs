//! Who gets in, as far as it is decided before the 101: from which pages, with which token, and whose word about the
//! client's address counts.
//!
//! Each answers one question about a request and knows nothing of the host. Configuration is made of them, `server`
//! asks them.

mod jwt;
mod keys;
mod network;
mod origin;
mod token;

pub use jwt::{Jwt, JwtConfig, KeySource, TokenRefused, Verified};
pub use network::{Forwarded, Networks};
pub use origin::{OriginRefused, Origins, Scheme};
pub use token::{find as find_token, redact as redact_token};
