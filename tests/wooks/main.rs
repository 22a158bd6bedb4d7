//! A real wooks server and wardroom hosts on one Redis: what members of a room get from each other, counted.
//!
//! `server.mjs` is the wooks server, `transport.mjs` its transport. Its packages are installed by
//! `npm ci --prefix tests/wooks`.

#![allow(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod crossing;
mod load;
mod servers;
