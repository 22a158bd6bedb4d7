//! What the composables ask of the host: the contract's imports where the target is wasm, the test
//! kit's mock of them elsewhere. Both offer the same functions; nothing else in this crate knows
//! which one is there.

#[cfg(target_family = "wasm")]
mod component;
#[cfg(target_family = "wasm")]
mod config;
#[cfg(target_family = "wasm")]
mod state;
#[cfg(target_family = "wasm")]
mod web;

#[cfg(target_family = "wasm")]
pub(crate) use component::*;
#[cfg(target_family = "wasm")]
pub(crate) use config::*;
#[cfg(target_family = "wasm")]
pub(crate) use state::*;
#[cfg(target_family = "wasm")]
pub(crate) use web::*;

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::test::config::*;
#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::test::host::*;
#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::test::state::*;
