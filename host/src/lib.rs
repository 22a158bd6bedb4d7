//! A WebSocket server whose rooms are guarded: the host owns every connection, room and socket, and sandboxed
//! WebAssembly plugins decide what happens on a message.
//!
//! The way of a message: [`server`] accepts the socket, [`ws`] reads a frame of it, [`protocol`] decodes it,
//! [`dispatch`] finds its route in the tenant's snapshot and calls the [`plugin`] on a warm instance; the guest's
//! imports reach the [`hub`], which queues encoded frames in the members' outboxes; each member's own task in
//! [`ws`] writes them. Read `server.rs`, `ws/mod.rs` and `dispatch.rs` in that order.

pub mod admin;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod dispatch;
pub mod hub;
pub mod metrics;
pub mod plugin;
pub mod protocol;
pub mod rate;
pub mod server;
pub mod state;
pub mod tenant;
pub mod ws;

pub use config::{Config, ConfigError, Limit, Limits};
pub use server::{Host, ReloadError, ServerError, run};
