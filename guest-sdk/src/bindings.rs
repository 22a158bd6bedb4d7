//! What `wit-bindgen` makes of `../wit`. Only [`host`](crate::host) and the code that
//! [`plugin!`](crate::plugin) exports know these types; plugins see the SDK's own.
#![allow(
    unsafe_code,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::panic,
    clippy::str_to_string,
    clippy::too_many_lines,
    clippy::undocumented_unsafe_blocks,
    clippy::uninlined_format_args,
    clippy::unwrap_used,
    reason = "generated: it speaks the canonical ABI, and its style is not ours"
)]

wit_bindgen::generate!({
    path: "../wit",
    world: "plugin",
    // `plugin!` calls it from the plugin's crate.
    pub_export_macro: true,
    export_macro_name: "export",
    default_bindings_module: "wardroom_sdk::__private::bindings",
    // Imports take `&str` all the way down: a push costs the guest no allocation for its strings.
    ownership: Borrowing { duplicate_if_necessary: true },
});
