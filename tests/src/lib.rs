//! What the integration tests stand on: guests built on demand, a host in this process or in one of its own, a
//! WebSocket client whose waits are bounded, and the runner of transcripts.
//!
//! Nothing here sleeps. A reply is the barrier: what a handler did before it replied has happened. Every wait ends
//! after [`WAIT`] with an error that says what was waited for.

// Tests fail by panicking, and their fixtures are known to be there.
#![allow(
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(
    clippy::print_stderr,
    reason = "what the harness does meanwhile, for the person who waits"
)]

pub mod binary;
pub mod broker;
pub mod client;
pub mod each_broker;
pub mod guests;
pub mod http;
pub mod log;
pub mod needed;
pub mod plugin;
pub mod server;
pub mod token;
pub mod transcript;
pub mod web;

pub use broker::{Broker, RedisCluster};
pub use client::{Client, Close, Frame, Refusal};
pub use plugin::Plugin;
pub use server::TestServer;
pub use web::Web;

use std::time::Duration;

/// How long anything may take before the test fails. Long, because two tests and a compiler may share one core.
pub const WAIT: Duration = Duration::from_secs(20);
