//! Write wardroom plugins in Rust: controllers whose methods handle what WebSocket clients send.
//!
//! A client's message has an event and a path; the host finds the method that declares them and
//! calls it, in a sandboxed instance of the plugin. Here is a whole plugin, a chat, and a test of
//! it:
//!
//! ```
//! use wardroom_sdk::prelude::*;
//!
//! #[derive(Deserialize)]
//! struct Join {
//!     name: String,
//! }
//!
//! #[derive(Serialize)]
//! struct Joined {
//!     joined: bool,
//!     room: String,
//!     rooms: Vec<String>,
//! }
//!
//! #[derive(Deserialize, Serialize)]
//! struct Said {
//!     from: String,
//!     text: String,
//! }
//!
//! #[derive(Default)]
//! struct Chat;
//!
//! #[controller("chat")]
//! impl Chat {
//!     #[message("join", ":room")]
//!     fn join(&self, #[param] room: String, #[data] data: Join) -> Result<Joined, WsError> {
//!         let rooms = rooms();
//!         rooms.join()?; // the current path is the room, for instance `/chat/general`
//!         rooms.broadcast("system", json!({ "text": format!("{} joined", data.name) }))?;
//!         Ok(Joined { joined: true, room, rooms: rooms.joined() })
//!     }
//!
//!     #[message("message", ":room")]
//!     fn message(&self, #[data] said: Said) -> Result<(), WsError> {
//!         Ok(rooms().broadcast("message", &said)?)
//!     }
//!
//!     #[disconnect]
//!     fn gone(&self, #[connection_id] id: ConnectionId) {
//!         log::info!("{id} was in {:?}", rooms().joined());
//!     }
//! }
//!
//! wardroom_sdk::plugin!(Chat);
//!
//! # fn main() {
//! // In a test:
//! let server = wardroom_sdk::test::Server::new::<Plugin>();
//! let (ann, bob) = (server.connect(), server.connect());
//!
//! let joined = ann.request("join", "/chat/general", json!({ "name": "Ann" }));
//! assert_eq!(joined, Ok(json!({ "joined": true, "room": "general", "rooms": ["/chat/general"] })));
//!
//! bob.send("join", "/chat/general", json!({ "name": "Bob" }));
//! bob.send("message", "/chat/general", json!({ "from": "Bob", "text": "Hello!" }));
//! let pushes = ann.pushes();
//! assert_eq!(pushes[0]["data"], json!({ "text": "Bob joined" }));
//! assert_eq!(pushes[1]["data"], json!({ "from": "Bob", "text": "Hello!" }));
//!
//! let error = ann.request("join", "/chat/general", json!({ "name": 7 })).unwrap_err();
//! assert_eq!(error.message, "data.name: invalid type: integer `7`, expected a string");
//! # }
//! ```
//!
//! # The parts
//!
//! - [`#[controller]`](macro@controller) marks an impl block; [`#[message]`](macro@message),
//!   [`#[upgrade]`](macro@upgrade), [`#[connect]`](macro@connect) and
//!   [`#[disconnect]`](macro@disconnect) mark the handlers in it, [`#[guard]`](macro@guard) what is
//!   asked before a message reaches them. [`plugin!`] makes a component of controllers.
//! - [`rooms()`] joins, leaves and broadcasts; [`connection()`] is the connection that the current
//!   event belongs to; [`server()`] reaches and lists all the others; [`state()`] keeps values,
//!   [`config()`] has those that the operator gives. They work wherever a handler's code runs.
//! - [`http`] sends requests to other servers, as far as they are granted.
//! - [`WsError`] is what a client is told, [`HostError`] what the host refuses; `?` makes the one
//!   of the other.
//! - [`log`] writes to the host's log, [`test`](mod@test) runs a plugin in `cargo test`.
//!
//! # Where state lives
//!
//! An instance may vanish between any two events, and there may be many at once, so what must last
//! is kept by the host: rooms, the attributes of a connection ([`Connection::set_attribute`]), and
//! values by key ([`state()`]) of the tenant, of a room, or of the plugin.
//! A controller's own fields are a cache at best, unless the plugin says `mode = singleton`.
//!
//! # What goes wrong
//!
//! An error that a handler returns goes to the client. A handler that panics, runs out of time or
//! of memory costs the plugin its instance and the client gets a 500 or 504; the message and the
//! place of a panic are in the host's log. What was pushed before that stays pushed.
//!
//! # Building
//!
//! The crate is a `cdylib` for the component and an `rlib` for its tests:
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib", "rlib"]
//!
//! [dependencies]
//! serde = { version = "1", features = ["derive"] }
//! wardroom-sdk = "0.1"
//! ```
//!
//! ```sh
//! cargo build --release --target wasm32-wasip2
//! ```
#![warn(missing_docs)]

mod config;
mod connection;
mod controller;
mod data;
mod error;
mod host;
mod message;
mod push;
mod query;
mod request;
mod rooms;
mod server;
mod state;

// Public for the code that the macros write, and for nobody else.
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod bindings;
#[doc(hidden)]
pub mod handler;

pub mod http;
pub mod log;
#[cfg(not(target_family = "wasm"))]
pub mod test;

pub use config::{Config, config};
pub use connection::{Connection, Visibility, connection};
pub use controller::{Controller, Manifest, Plugin};
pub use error::{HostError, HttpError, WsError};
pub use message::{ConnectionId, Message, MessageId, Param, Params};
pub use push::{Data, NoData, Push};
pub use query::{ConnectionInfo, Coverage, Items, Listed, Page, Query, RoomInfo, Scope};
pub use request::Request;
pub use rooms::{Broadcast, Rooms, rooms};
pub use serde_json::Value;
pub use serde_json::json;
pub use serde_json::value::RawValue;
pub use server::{Server, server};
pub use state::{Comparison, Entry, KeyPage, Keys, State, state};

#[doc = include_str!("docs/controller.md")]
pub use wardroom_sdk_macros::controller;

#[doc = include_str!("docs/message.md")]
pub use wardroom_sdk_macros::message;

#[doc = include_str!("docs/hooks.md")]
pub use wardroom_sdk_macros::{connect, disconnect, upgrade};

#[doc = include_str!("docs/guard.md")]
pub use wardroom_sdk_macros::guard;

#[doc = include_str!("docs/plugin.md")]
pub use wardroom_sdk_macros::plugin;

/// What nearly every plugin needs: `use wardroom_sdk::prelude::*;`.
pub mod prelude {
    pub use serde::{Deserialize, Serialize};

    pub use crate::{
        ConnectionId, ConnectionInfo, HostError, HttpError, Message, MessageId, NoData, Params,
        Push, RawValue, Request, Value, WsError, config, connect, connection, controller,
        disconnect, guard, json, message, rooms, server, state, upgrade,
    };
    pub use crate::{http, log};
}

/// What the macros' code needs; not for people, and free to change.
#[doc(hidden)]
pub mod __private {
    #[cfg(target_family = "wasm")]
    pub use crate::bindings;
    pub use crate::controller::{
        Claims, ControllerSpec, Disconnect, Outcome, Part, PluginSpec, Reply, RouteSpec,
    };
    pub use crate::handler;
    #[cfg(not(target_family = "wasm"))]
    pub use crate::test::instance;

    /// Runs code with the one instance of a controller that this plugin instance has.
    #[cfg(target_family = "wasm")]
    #[macro_export]
    #[doc(hidden)]
    macro_rules! __with_instance {
        ($controller:ty, $run:expr) => {{
            ::std::thread_local! {
                static INSTANCE: $controller = <$controller as ::core::default::Default>::default();
            }
            INSTANCE.with($run)
        }};
    }

    /// Natively a test server holds it, so that tests can do away with it as a host does.
    #[cfg(not(target_family = "wasm"))]
    #[macro_export]
    #[doc(hidden)]
    macro_rules! __with_instance {
        ($controller:ty, $run:expr) => {
            $crate::__private::instance::<$controller, _>($run)
        };
    }
}
