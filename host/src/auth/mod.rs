//! Who gets in, as far as it is decided before the 101: from which pages, with which token, and whose word about the
//! client's address counts.
//!
//! Each answers one question about a request and knows nothing of the host. Configuration is made of them, `server`
//! asks them.

mod forwarded;
mod jwt;
mod keys;
mod networks;
mod origin;
mod scheme;
mod token;

pub use forwarded::Forwarded;
pub use jwt::{Jwt, JwtConfig, KeySource, TokenRefused, Verified};
pub use networks::Networks;
pub use origin::{OriginRefused, Origins};
pub use scheme::Scheme;
pub use token::{find as find_token, redact as redact_token};
