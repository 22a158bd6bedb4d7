//! The contract, as components name it: what they may import, what they must export, and of which version.

use wasmtime::component::{Component, InstancePre};

use super::bindings::exports::wardroom::plugin as exports;
use super::engine::Engine;
use super::quote::one_line;
use super::state::State;
use super::{Exports, LoadError};

/// The contract that this host speaks. What a plugin imports and exports of it must be of the same minor version; of
/// a later patch, as far as this one has it.
pub(super) const CONTRACT: &str = "wardroom:plugin";
pub(super) const CONTRACT_VERSION: &str = "0.1.0";
/// What `wasi:cli/imports` is made of, all linked, all empty but for clocks and random numbers; and `wasi:http`, by
/// which nobody is reached who was not granted.
const WASI: [&str; 7] = [
    "wasi:cli",
    "wasi:clocks",
    "wasi:filesystem",
    "wasi:http",
    "wasi:io",
    "wasi:random",
    "wasi:sockets",
];

/// Checks by their names that the host has what a component imports.
pub(super) fn check_imports(engine: &Engine, component: &Component) -> Result<(), LoadError> {
    for (name, _) in component.component_type().imports(&engine.engine) {
        if is_of_other_version(name) {
            return Err(LoadError::OtherVersion(one_line(name)));
        }
        if !is_offered(name) {
            return Err(LoadError::ForbiddenImport(one_line(name)));
        }
    }
    Ok(())
}

/// Finds what the host calls; that routes and hooks have the functions for them, the manifest has yet to say.
pub(super) fn find_exports(
    engine: &Engine,
    component: &Component,
    pre: &InstancePre<State>,
) -> Result<Exports, LoadError> {
    let ty = component.component_type();
    let exported: Vec<&str> = ty.exports(&engine.engine).map(|(name, _)| name).collect();
    if let Some(other) = exported.iter().find(|name| is_of_other_version(name)) {
        return Err(LoadError::OtherVersion(one_line(other)));
    }
    let has = |interface: &str| {
        let start = format!("{CONTRACT}/{interface}@");
        exported.iter().any(|name| name.starts_with(&start))
    };
    if !has("manifest") {
        return Err(LoadError::NoManifest);
    }
    let manifest =
        exports::manifest::GuestIndices::new(pre).map_err(|error| LoadError::unlike(&error))?;
    let messages = has("messages")
        .then(|| exports::messages::GuestIndices::new(pre))
        .transpose();
    let connections = has("connections")
        .then(|| exports::connections::GuestIndices::new(pre))
        .transpose();
    Ok(Exports {
        manifest,
        messages: messages.map_err(|error| LoadError::unlike(&error))?,
        connections: connections.map_err(|error| LoadError::unlike(&error))?,
    })
}

/// Part of the contract, but not of this host's version of it.
fn is_of_other_version(name: &str) -> bool {
    package(name) == CONTRACT && minor(version(name)) != minor(CONTRACT_VERSION)
}

/// Of a package that the host links; whether it has this very interface, and of this type, the linker says.
fn is_offered(name: &str) -> bool {
    let package = package(name);
    package == CONTRACT || (WASI.contains(&package) && version(name).starts_with("0.2."))
}

/// `wasi:io` of `wasi:io/streams@0.2.6`.
fn package(name: &str) -> &str {
    name.split(['/', '@']).next().unwrap_or(name)
}

/// `0.2.6` of `wasi:io/streams@0.2.6`; empty when there is none.
fn version(name: &str) -> &str {
    name.split_once('@').map_or("", |(_, version)| version)
}

/// `0.2` of `0.2.6`.
fn minor(version: &str) -> &str {
    version.rsplit_once('.').map_or(version, |(minor, _)| minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_contract() {
        let types = include_str!("../../../wit/types.wit");
        let package = format!("package {CONTRACT}@{CONTRACT_VERSION};");
        assert!(types.contains(&package), "wit/ is not {package}");
    }

    #[test]
    fn another_patch_of_the_contract_is_the_same_contract() {
        assert!(!is_of_other_version("wardroom:plugin/rooms@0.1.7"));
        for other in ["@0.2.0", "@1.1.0", "@0.0.9", "@0.1", ""] {
            let name = format!("wardroom:plugin/rooms{other}");
            assert!(is_of_other_version(&name), "{name}");
        }
        for name in [
            "wasi:io/streams@0.2.6",
            "wardroom:plugins/rooms@0.2.0",
            "shell",
        ] {
            assert!(!is_of_other_version(name), "{name}");
        }
    }

    #[test]
    fn only_the_contract_and_the_second_wasi_are_offered() {
        for name in [
            "wardroom:plugin/log@0.1.0",
            "wardroom:plugin/config@0.1.0",
            "wasi:io/streams@0.2.6",
            "wasi:sockets/tcp@0.2.0",
            "wasi:http/outgoing-handler@0.2.3",
        ] {
            assert!(is_offered(name), "{name}");
        }
        for name in [
            "wasi:nn/graph@0.2.0",
            "wasi:io/streams@0.3.0",
            "wardroom:plugins/log@0.1.0",
            "env",
            "wasi:clifford/x@0.2.0",
        ] {
            assert!(!is_offered(name), "{name}");
        }
    }
}
