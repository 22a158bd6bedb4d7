//! A host for unit tests: plugins run natively, in the test itself, with plain `cargo test`.
//!
//! A [`Server`] holds one plugin and routes as a real host does; a [`Client`] is somebody's end of
//! a connection. Everything happens at once and in order: when a call returns, all its handlers
//! have run and all that they sent has arrived. So a test needs no waiting, and "B gets nothing" is
//! an empty list.
//!
//! ```
//! use wardroom_sdk::prelude::*;
//! use wardroom_sdk::test::Server;
//!
//! #[derive(Default)]
//! struct Chat;
//!
//! #[controller("chat")]
//! impl Chat {
//!     #[message("join", ":room")]
//!     fn join(&self, #[data] name: String) -> Result<Vec<String>, WsError> {
//!         rooms().join()?;
//!         rooms().broadcast("system", json!({ "text": format!("{name} joined") }))?;
//!         Ok(rooms().joined())
//!     }
//! }
//!
//! wardroom_sdk::plugin!(Chat);
//!
//! let server = Server::new::<Plugin>();
//! let (ann, bob) = (server.connect(), server.connect());
//!
//! assert_eq!(ann.request("join", "/chat/general", &"Ann"), Ok(json!(["/chat/general"])));
//! bob.send("join", "/chat/general", &"Bob");
//!
//! assert!(bob.pushes().is_empty());
//! assert_eq!(
//!     ann.pushes(),
//!     [json!({
//!         "event": "system",
//!         "path": "/chat/general",
//!         "params": { "room": "general" },
//!         "data": { "text": "Bob joined" },
//!     })]
//! );
//! assert_eq!(bob.request("join", "/chat/general", NoData).unwrap_err().code, 400);
//! ```
//!
//! Time passes for [`state()`](crate::state()) alone, and when a test says so: [`Server::pass`].
//!
//! What it does not do: limits other than of names, of rooms for a connection and of a value's size,
//! clusters (a query of all hosts asks this one), the network ([`Server::on_http`] has the test
//! answer requests), and the isolation of wasm. The natively compiled plugin panics where the
//! component would trap, and the message is answered with the same 500.

mod client;
pub(crate) mod config;
pub(crate) mod host;
mod hub;
mod server;
pub(crate) mod state;
mod web;

pub use client::Client;
pub use hub::{Close, LogLine};
pub use server::{Refused, Server};

#[doc(hidden)]
pub use server::instance;
