//! The contract in `wit/` as Rust types. They do not leave this module's parent.

#![allow(
    missing_debug_implementations,
    unreachable_pub,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    clippy::str_to_string,
    clippy::unwrap_used,
    reason = "generated"
)]

wasmtime::component::bindgen!({
    path: "../wit",
    world: "plugin",
    // Lowering borrowed strings saves a copy of every message.
    ownership: Borrowing { duplicate_if_necessary: true },
    imports: {
        // Waits for the bus.
        "wardroom:plugin/rooms.join": async,
        // Wait for other hosts.
        "wardroom:plugin/server.send": async,
        "wardroom:plugin/server.close": async,
        "wardroom:plugin/server.connections": async,
        "wardroom:plugin/server.room-connections": async,
        "wardroom:plugin/server.room-size": async,
        "wardroom:plugin/server.rooms": async,
        "wardroom:plugin/server.connection": async,
        // Wait for what keeps the values.
        "wardroom:plugin/state.get": async,
        "wardroom:plugin/state.set": async,
        "wardroom:plugin/state.delete": async,
        "wardroom:plugin/state.increment": async,
        "wardroom:plugin/state.compare-and-set": async,
        "wardroom:plugin/state.keys": async,
    },
    exports: { default: async },
});
