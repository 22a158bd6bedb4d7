//! From a file's bytes to a plugin: get its code, check what it imports, ask what it is, check that too.
//!
//! Every error says what is wrong and what to do about it; nothing that is live is touched.

use std::sync::Arc;

use tokio::time::timeout;
use wasmtime::component::{Component, InstancePre};

use super::bindings::exports::wardroom::plugin as exports;
use super::code::Code;
use super::compile::CompileError;
use super::engine::Engine;
use super::failure::{Trap, limit_of_unfit};
use super::guest_log::GuestLog;
use super::health::Health;
use super::manifest::{Described, Manifest, ManifestError, Said};
use super::meter::{Metered, OutOfCpu};
use super::pool::Pool;
use super::state::State;
use super::{Exports, Plugin};
use crate::config::Limit;

/// The contract that this host speaks: what a plugin imports and exports of it must be of this minor version.
const CONTRACT: &str = "wardroom:plugin";
const CONTRACT_VERSION: &str = "0.1";
/// What `wasi:cli/imports` is made of: all linked, all empty but for clocks and random numbers.
const WASI: [&str; 6] = [
    "wasi:cli",
    "wasi:clocks",
    "wasi:filesystem",
    "wasi:io",
    "wasi:random",
    "wasi:sockets",
];

/// Why a file is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is larger than allowed.
    #[error(
        "{bytes} bytes are more than component_bytes_max ({max}); make it smaller or raise the limit"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// It is a core module.
    #[error("a core module, not a component; build it with `cargo build --target wasm32-wasip2`")]
    CoreModule,
    /// It is something else.
    #[error(
        "not WebAssembly; a plugin is a component, built with `cargo build --target wasm32-wasip2`"
    )]
    NotWasm,
    /// It cannot be compiled.
    #[error("{0}")]
    Compile(#[from] CompileError),
    /// It is compiled, and its memory or tables begin larger than allowed.
    #[error(
        "its code cannot be loaded: {0:#}; its memory and its tables must fit memory_bytes_max and table_elements_max"
    )]
    Unfit(wasmtime::Error),
    /// It needs something that the host does not offer.
    #[error(
        "it imports `{0}`, which this host does not offer; a plugin may import wardroom:plugin and wasi:cli@0.2"
    )]
    ForbiddenImport(String),
    /// It is written against another version of the contract.
    #[error(
        "it uses `{0}`, but this host speaks {CONTRACT}@{CONTRACT_VERSION}; rebuild it with an SDK of that version"
    )]
    OtherVersion(String),
    /// What it imports has other types here.
    #[error(
        "its imports do not fit this host: {0:#}; rebuild it with an SDK of this host's version"
    )]
    Imports(wasmtime::Error),
    /// It has no manifest, or routes or hooks without the functions for them.
    #[error("it does not export `{0}`; {1}")]
    MissingExport(&'static str, &'static str),
    /// It fails to say what it is.
    #[error("describe failed: {0}; it must be pure, and quick")]
    Describe(Trap),
    /// It takes too long to say what it is.
    #[error("describe failed: out of time ({}); it must be pure, and quick", .0.key())]
    DescribeTimedOut(Limit),
    /// What it says cannot be.
    #[error("its manifest is invalid: {0}")]
    Manifest(#[from] ManifestError),
}

/// Loads a plugin; its log lines are marked with `name` until it has said its own. What is compiled is compiled off the
/// threads that carry connections, and kept in the engine's cache.
///
/// # Errors
/// [`LoadError`], with what to do.
pub async fn load(engine: &Engine, name: &str, bytes: Vec<u8>) -> Result<Plugin, LoadError> {
    let loaded = async {
        check_header(&bytes, engine.limits.component_bytes_max)?;
        let mut code = engine.code(bytes).await?;
        let checked = check(engine, name, &mut code).await;
        engine.keep(code).await;
        checked
    };
    let loaded = loaded.await;
    if let Some(limit) = loaded.as_ref().err().and_then(LoadError::limit) {
        engine.metrics.reached(limit);
    }
    let plugin = loaded?;
    tracing::info!(plugin = %plugin.manifest.name, "plugin loaded, its code {}", plugin.origin);
    Ok(plugin)
}

impl LoadError {
    /// The limit that was reached, if it was one.
    fn limit(&self) -> Option<Limit> {
        match self {
            Self::TooLarge { .. } => Some(Limit::ComponentBytesMax),
            Self::Manifest(ManifestError::TooManyRoutes { .. }) => Some(Limit::RoutesMax),
            Self::DescribeTimedOut(limit) => Some(*limit),
            Self::Describe(trap) => trap.limit,
            Self::Unfit(error) => limit_of_unfit(error),
            Self::Compile(CompileError::OutOfTime(_)) => Some(Limit::CompileWallMax),
            Self::Compile(CompileError::OutOfMemory(_)) => Some(Limit::CompileMemoryMax),
            _ => None,
        }
    }
}

/// What a file is.
#[derive(Debug)]
pub struct Inspection {
    /// Its size.
    pub bytes: usize,
    /// What it imports, with versions; empty when it cannot be compiled.
    pub imports: Vec<String>,
    /// What it exports, with versions; empty when it cannot be compiled.
    pub exports: Vec<String>,
    /// Its manifest, or why it would not be loaded.
    pub result: Result<Manifest, LoadError>,
}

/// Loads a plugin to say what it is.
pub async fn inspect(engine: &Engine, name: &str, bytes: Vec<u8>) -> Inspection {
    let size = bytes.len();
    let unreadable = |error| Inspection {
        bytes: size,
        imports: vec![],
        exports: vec![],
        result: Err(error),
    };
    if let Err(error) = check_header(&bytes, engine.limits.component_bytes_max) {
        return unreadable(error);
    }
    let mut code = match engine.code(bytes).await {
        Ok(code) => code,
        Err(error) => return unreadable(error),
    };
    let ty = code.component.component_type();
    let imports = ty.imports(&engine.engine);
    let exports = ty.exports(&engine.engine);
    Inspection {
        bytes: size,
        imports: imports.map(|(name, _)| name.to_owned()).collect(),
        exports: exports.map(|(name, _)| name.to_owned()).collect(),
        result: check(engine, name, &mut code)
            .await
            .map(|plugin| plugin.manifest),
    }
}

async fn check(engine: &Engine, name: &str, code: &mut Code) -> Result<Plugin, LoadError> {
    let component = &code.component;
    check_imports(engine, component)?;
    let pre = engine
        .linker
        .instantiate_pre(component)
        .map_err(LoadError::Imports)?;
    let exports = find_exports(engine, component, &pre)?;
    let limits = &engine.limits;
    let said = match code.described(limits) {
        Some(said) => said,
        None => {
            let said = describe(engine, name, &pre, &exports).await?;
            code.news = Some(Described::new(said.clone(), limits));
            said
        }
    };
    let manifest = Manifest::check(said, limits.routes_max)?;
    if !manifest.routes.is_empty() && exports.messages.is_none() {
        return Err(LoadError::MissingExport(
            "wardroom:plugin/messages",
            "a plugin with routes needs it",
        ));
    }
    if manifest.hooks.any() && exports.connections.is_none() {
        return Err(LoadError::MissingExport(
            "wardroom:plugin/connections",
            "a plugin with hooks needs it",
        ));
    }
    let limits = &engine.limits;
    let health = Health::new(
        limits.failures_in_row_max,
        limits.quarantine_min,
        limits.quarantine_max,
    );
    let events = manifest.routes.iter().map(|route| route.event.as_str());
    let metrics = engine.metrics.plugin(&manifest.name, events);
    let pool = Pool::new(engine.clone(), pre, exports, &manifest);
    Ok(Plugin {
        manifest,
        origin: code.origin,
        pool,
        health,
        metrics,
    })
}

/// Says what is wrong with a file that is no component better than its parser would.
fn check_header(bytes: &[u8], bytes_max: usize) -> Result<(), LoadError> {
    if bytes.len() > bytes_max {
        return Err(LoadError::TooLarge {
            bytes: bytes.len(),
            max: bytes_max,
        });
    }
    // The magic number, then a version and a layer of 16 bits each: layer 0 is a core module, 1 a component.
    match bytes {
        [0, b'a', b's', b'm', _, _, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', _, _, 0, 0, ..] => Err(LoadError::CoreModule),
        _ => Err(LoadError::NotWasm),
    }
}

fn check_imports(engine: &Engine, component: &Component) -> Result<(), LoadError> {
    for (name, _) in component.component_type().imports(&engine.engine) {
        if is_of_other_version(name) {
            return Err(LoadError::OtherVersion(name.to_owned()));
        }
        if !is_offered(name) {
            return Err(LoadError::ForbiddenImport(name.to_owned()));
        }
    }
    Ok(())
}

/// Part of the contract, but not of this host's version of it.
fn is_of_other_version(name: &str) -> bool {
    let Some((interface, version)) = name.split_once('@') else {
        return false;
    };
    let minor = version.rsplit_once('.').map_or(version, |(minor, _)| minor);
    interface.starts_with(CONTRACT) && minor != CONTRACT_VERSION
}

/// Of a package that the host links; whether it has this very interface, and of this type, the linker says.
fn is_offered(name: &str) -> bool {
    let (interface, version) = name.split_once('@').unwrap_or((name, ""));
    let package = interface
        .split_once('/')
        .map_or(interface, |(package, _)| package);
    package == CONTRACT || (WASI.contains(&package) && version.starts_with("0.2."))
}

fn find_exports(
    engine: &Engine,
    component: &Component,
    pre: &InstancePre<State>,
) -> Result<Exports, LoadError> {
    let ty = component.component_type();
    let exported: Vec<&str> = ty.exports(&engine.engine).map(|(name, _)| name).collect();
    if let Some(other) = exported.iter().find(|name| is_of_other_version(name)) {
        return Err(LoadError::OtherVersion((*other).to_owned()));
    }
    let has = |interface: &str| {
        exported
            .iter()
            .any(|name| name.starts_with(&format!("{CONTRACT}/{interface}@")))
    };
    if !has("manifest") {
        return Err(LoadError::MissingExport(
            "wardroom:plugin/manifest",
            "without a manifest it handles nothing",
        ));
    }
    let manifest = exports::manifest::GuestIndices::new(pre).map_err(LoadError::Imports)?;
    let messages = has("messages")
        .then(|| exports::messages::GuestIndices::new(pre))
        .transpose();
    let connections = has("connections")
        .then(|| exports::connections::GuestIndices::new(pre))
        .transpose();
    Ok(Exports {
        manifest,
        messages: messages.map_err(LoadError::Imports)?,
        connections: connections.map_err(LoadError::Imports)?,
    })
}

/// Asks the plugin what it is, in an instance of its own: every import refuses, and time is short.
async fn describe(
    engine: &Engine,
    name: &str,
    pre: &InstancePre<State>,
    exports: &Exports,
) -> Result<Said, LoadError> {
    let limits = Arc::clone(&engine.limits);
    let log = GuestLog::new(name, limits.log_line_bytes_max, engine.metrics.clone());
    let state = State::new(engine, log);
    state.log.begin(limits.log_lines_per_event_max);
    state.meter.start(limits.describe_cpu_max);
    let meter = Arc::clone(&state.meter);
    let mut store = engine.store(state);
    let asking = Box::pin(async {
        let instance = pre.instantiate_async(&mut store).await?;
        let manifest = exports.manifest.load(&mut store, &instance)?;
        manifest.call_describe(&mut store).await
    });
    // Sleeping is no CPU time.
    let answer = timeout(
        limits.event_wall_max,
        Metered {
            meter: &meter,
            future: asking,
        },
    )
    .await;
    match answer {
        Ok(Ok(said)) => Ok(said.into()),
        Ok(Err(error)) if error.is::<OutOfCpu>() => {
            Err(LoadError::DescribeTimedOut(Limit::DescribeCpuMax))
        }
        Ok(Err(error)) => Err(LoadError::Describe(Trap::of(&error))),
        Err(_) => Err(LoadError::DescribeTimedOut(Limit::EventWallMax)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_no_components_are_told_apart() {
        assert!(matches!(
            check_header(b"\0asm\x01\0\0\0", 100),
            Err(LoadError::CoreModule)
        ));
        assert!(matches!(check_header(b"", 100), Err(LoadError::NotWasm)));
        assert!(matches!(
            check_header(b"#!/bin/sh", 100),
            Err(LoadError::NotWasm)
        ));
        assert!(check_header(b"\0asm\x0d\0\x01\0", 8).is_ok());
        assert!(matches!(
            check_header(b"\0asm\x0d\0\x01\0", 7),
            Err(LoadError::TooLarge { bytes: 8, max: 7 })
        ));
    }

    #[test]
    fn another_patch_of_the_contract_is_the_same_contract() {
        assert!(!is_of_other_version("wardroom:plugin/rooms@0.1.7"));
        assert!(is_of_other_version("wardroom:plugin/rooms@0.2.0"));
        assert!(is_of_other_version("wardroom:plugin/rooms@1.1.0"));
        assert!(!is_of_other_version("wasi:io/streams@0.2.6"));
    }

    #[test]
    fn only_the_contract_and_the_second_wasi_are_offered() {
        for name in [
            "wardroom:plugin/log@0.1.0",
            "wasi:io/streams@0.2.6",
            "wasi:sockets/tcp@0.2.0",
        ] {
            assert!(is_offered(name), "{name}");
        }
        for name in [
            "wasi:nn/graph@0.2.0",
            "wasi:io/streams@0.3.0",
            "env",
            "wasi:clifford/x@0.2.0",
        ] {
            assert!(!is_offered(name), "{name}");
        }
    }
}
