//! The integration tests: one program, so that the guests are built and the harness is linked once.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
#![allow(
    clippy::print_stderr,
    reason = "figures of a test, for the person who looks at them"
)]

mod admin;
mod bad;
mod bus;
mod cache;
mod cluster;
mod cluster_admin;
mod cluster_queries;
mod compile;
mod configuration;
mod documented;
mod faults;
mod forgeries;
mod gates;
mod hostile;
mod hosts;
mod hosts_apart;
mod http;
mod instances;
mod limits;
mod live;
mod loader;
mod loading;
mod mutants;
mod nats_away;
mod nats_state;
mod origins;
mod outbound;
mod outbound_limits;
mod outbox;
mod plugin_config;
mod program;
mod quarantine;
mod redis_cluster;
mod refused;
mod several_hosts;
mod shared_away;
mod shared_nodes;
mod shared_rooms;
mod shared_state;
mod state;
mod swap;
mod tenant_limits;
mod tenants;
mod tidy;
mod tls;
mod tokens;
mod transcripts;
