//! From a file's bytes to a plugin: get its code, check what it imports, ask what it is, check that too.
//!
//! Every error says what is wrong and what to do about it; nothing that is live is touched.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use tokio::time::timeout;
use wasmtime::WasmBacktrace;
use wasmtime::component::InstancePre;

use super::code::{Code, blocking};
use super::compile::CompileError;
use super::contract::{CONTRACT, CONTRACT_VERSION, check_imports, find_exports};
use super::engine::Engine;
use super::failure::{Trap, limit_of_unfit};
use super::folder::{Content, Digest, FileError, read};
use super::guest_log::GuestLog;
use super::health::Health;
use super::log_rate::LogRate;
use super::manifest::{Described, Manifest, ManifestError, Said};
use super::meter::{Metered, OutOfCpu};
use super::pool::Pool;
use super::quote::one_line;
use super::state::State;
use super::{Exports, Plugin};
use crate::config::{Limit, Sha256, Value};

/// Why a file is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is larger than allowed.
    #[error(
        "{bytes} bytes are more than component_bytes_max ({max}); make it smaller, or raise the limit"
    )]
    TooLarge {
        /// Its size, or as much of it as was read.
        bytes: u64,
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
        "its code cannot be loaded: {0}; its memory and its tables must fit memory_bytes_max and table_elements_max"
    )]
    Unfit(String),
    /// It needs something that the host does not offer.
    #[error(
        "it imports `{0}`, which this host does not offer; a plugin may import wardroom:plugin, wasi:cli@0.2 and wasi:http@0.2"
    )]
    ForbiddenImport(String),
    /// It is written against another version of the contract.
    #[error(
        "it uses `{0}`, but this host speaks {CONTRACT}@{CONTRACT_VERSION}; rebuild it with an SDK of that version"
    )]
    OtherVersion(String),
    /// What it imports or exports is not here, or has other types: it may be of a later patch of the contract.
    #[error(
        "it does not fit this host, which speaks {CONTRACT}@{CONTRACT_VERSION}: {0}; rebuild it with an SDK of that version, or update the host"
    )]
    Unlike(String),
    /// It is made for something else.
    #[error(
        "it does not export `{CONTRACT}/manifest`, by which a plugin says what it handles; export it with `wardroom_sdk::plugin!`, or as wit/ has it"
    )]
    NoManifest,
    /// It has routes or hooks without the functions for them.
    #[error(
        "its manifest has {wanting}, but it does not export `{interface}`, which they need; export it, or leave them out"
    )]
    MissingExport {
        /// What its manifest has.
        wanting: &'static str,
        /// What it should export.
        interface: &'static str,
    },
    /// It fails to say what it is.
    #[error("describe failed: {0}; it must be pure, and quick")]
    Describe(Trap),
    /// It takes too long to say what it is.
    #[error(
        "describe failed: it took longer than {} ({max}); it must be pure, and quick, or raise the limit", limit.key()
    )]
    DescribeTimedOut {
        /// Which time that is.
        limit: Limit,
        /// As it is set.
        max: Value,
    },
    /// It says too much.
    #[error(
        "its manifest has more than manifest_bytes_max ({0}) bytes; make it smaller, or raise the limit"
    )]
    ManifestTooLarge(usize),
    /// What it says cannot be.
    #[error("its manifest is invalid: {0}")]
    Manifest(#[from] ManifestError),
    /// Its operator said that it must be another file.
    #[error(
        "its SHA-256 is {is}, but the key sha256 of plugin {plugin} says {pinned}; put that file there, or change the key"
    )]
    OtherDigest {
        /// Its name.
        plugin: String,
        /// What it is.
        is: Sha256,
        /// What it must be.
        pinned: Sha256,
    },
}

/// Loads a plugin; its log lines are marked with `name` until it has said its own. What is compiled is compiled off the
/// threads that carry connections, and kept in the engine's cache.
///
/// # Errors
/// [`LoadError`], with what to do.
pub async fn load(engine: &Engine, name: &str, content: Content) -> Result<Plugin, LoadError> {
    let Content { bytes, digest } = content;
    let loaded = async {
        check_header(&bytes, engine.limits.component_bytes_max)?;
        let mut code = engine.code(bytes).await?;
        let checked = check(engine, name, digest, &mut code).await;
        engine.keep(code).await;
        checked
    };
    let loaded = loaded.await;
    if let Some(limit) = loaded.as_ref().err().and_then(LoadError::limit) {
        engine.metrics.reached(limit);
    }
    let plugin = loaded?;
    tracing::info!(plugin = %plugin.label, "plugin loaded, its code {}", plugin.origin);
    Ok(plugin)
}

impl LoadError {
    pub(super) fn unfit(error: &wasmtime::Error) -> Self {
        Self::Unfit(one_line(&format!("{error:#}")))
    }

    pub(super) fn unlike(error: &wasmtime::Error) -> Self {
        Self::Unlike(one_line(&format!("{error:#}")))
    }

    /// The limit that was reached, if it was one.
    pub(super) fn limit(&self) -> Option<Limit> {
        match self {
            Self::TooLarge { .. } => Some(Limit::ComponentBytesMax),
            Self::ManifestTooLarge(_) => Some(Limit::ManifestBytesMax),
            Self::Manifest(ManifestError::TooManyRoutes { .. }) => Some(Limit::RoutesMax),
            Self::Describe(trap) => trap.limit,
            Self::Unfit(cause) => limit_of_unfit(cause),
            Self::DescribeTimedOut { limit, .. } => Some(*limit),
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
    pub bytes: u64,
    /// What it imports, with versions; empty when it cannot be compiled.
    pub imports: Vec<String>,
    /// What it exports, with versions; empty when it cannot be compiled.
    pub exports: Vec<String>,
    /// Its manifest, or why it would not be loaded.
    pub result: Result<Manifest, LoadError>,
}

impl Inspection {
    fn refused(bytes: u64, error: LoadError) -> Self {
        Self {
            bytes,
            imports: vec![],
            exports: vec![],
            result: Err(error),
        }
    }
}

/// Loads a plugin as [`load`] does, to say what it is.
///
/// # Errors
/// [`FileError::Read`]; all that is wrong with what was read is in the result.
pub async fn inspect(engine: &Engine, file: &Path) -> Result<Inspection, FileError> {
    let Content { bytes, digest } = match read(engine, file).await {
        Ok(content) => content,
        Err(FileError::Load(error @ LoadError::TooLarge { bytes, .. })) => {
            return Ok(Inspection::refused(bytes, error));
        }
        Err(error) => return Err(error),
    };
    let size = bytes.len() as u64;
    if let Err(error) = check_header(&bytes, engine.limits.component_bytes_max) {
        return Ok(Inspection::refused(size, error));
    }
    let mut code = match engine.code(bytes).await {
        Ok(code) => code,
        Err(error) => return Ok(Inspection::refused(size, error)),
    };
    let ty = code.loaded.component.component_type();
    let imports = ty.imports(&engine.engine);
    let exports = ty.exports(&engine.engine);
    let imports = imports.map(|(name, _)| name.to_owned()).collect();
    let exports = exports.map(|(name, _)| name.to_owned()).collect();
    let checked = check(engine, &stem(file), digest, &mut code).await;
    engine.keep(code).await;
    Ok(Inspection {
        bytes: size,
        imports,
        exports,
        result: checked.map(|plugin| plugin.manifest),
    })
}

/// What a plugin is called in the log until it has said its name.
#[must_use]
pub fn stem(file: &Path) -> Cow<'_, str> {
    file.file_stem().unwrap_or_default().to_string_lossy()
}

async fn check(
    engine: &Engine,
    name: &str,
    digest: Digest,
    code: &mut Code,
) -> Result<Plugin, LoadError> {
    let loaded = Arc::clone(&code.loaded);
    let component = &loaded.component;
    check_imports(engine, component)?;
    let pre = engine
        .linker
        .instantiate_pre(component)
        .map_err(|error| LoadError::unlike(&error))?;
    let exports = find_exports(engine, component, &pre)?;
    let limits = &engine.limits;
    let said = match code.described(limits) {
        Some(said) => said,
        None => {
            let said = describe(engine, name, &pre, &exports).await?;
            let described = Described::new(said.clone(), limits);
            // When there is one already, it was asked under other limits.
            let _ = loaded.described.set(described.clone());
            code.news = Some(described);
            said
        }
    };
    let routes_max = limits.routes_max;
    // Patterns may hold expressions, and to compile thousands of them takes a while.
    let manifest = blocking(move || Manifest::check(said, routes_max)).await??;
    check_digest(engine, &manifest.name, digest.sha256())?;
    if !manifest.routes.is_empty() && exports.messages.is_none() {
        return Err(LoadError::MissingExport {
            wanting: "routes",
            interface: "wardroom:plugin/messages",
        });
    }
    if manifest.hooks.any() && exports.connections.is_none() {
        return Err(LoadError::MissingExport {
            wanting: "hooks",
            interface: "wardroom:plugin/connections",
        });
    }
    let limits = &engine.limits;
    let health = Health::new(
        limits.failures_in_row_max,
        limits.quarantine_min,
        limits.quarantine_max,
    );
    let events = manifest.routes.iter().map(|route| route.event.as_str());
    let metrics = engine.metrics.plugin(&manifest.name, events);
    let label = engine.tenant.qualify(&manifest.name);
    let pool = Pool::new(engine.clone(), pre, exports, &manifest, &label);
    Ok(Plugin {
        manifest,
        label,
        origin: code.origin,
        pool,
        health,
        metrics,
        _code: loaded,
    })
}

/// Whose file it must be, its manifest says: one that calls itself otherwise has nothing of what that plugin was given.
fn check_digest(engine: &Engine, plugin: &str, is: Sha256) -> Result<(), LoadError> {
    let granted = engine.granted.of(plugin);
    match granted.and_then(|granted| granted.sha256) {
        Some(pinned) if pinned != is => Err(LoadError::OtherDigest {
            plugin: plugin.to_owned(),
            is,
            pinned,
        }),
        _ => Ok(()),
    }
}

/// Says what is wrong with a file that is no component better than its parser would.
fn check_header(bytes: &[u8], bytes_max: usize) -> Result<(), LoadError> {
    if bytes.len() > bytes_max {
        return Err(LoadError::TooLarge {
            bytes: bytes.len() as u64,
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

/// Asks the plugin what it is, in an instance of its own: every import refuses, and time is short.
async fn describe(
    engine: &Engine,
    name: &str,
    pre: &InstancePre<State>,
    exports: &Exports,
) -> Result<Said, LoadError> {
    let limits = Arc::clone(&engine.limits);
    let rate = Arc::new(LogRate::new(
        &engine.tenant.qualify(name),
        &limits,
        engine.metrics.clone(),
    ));
    let log = GuestLog::new(rate, limits.log_line_bytes_max, engine.metrics.clone());
    let state = State::new(engine, None, log);
    state.log.begin(limits.log_lines_per_event_max);
    state.meter.start(limits.describe_cpu_max);
    let (meter, turn) = (Arc::clone(&state.meter), state.turn.clone());
    let mut store = engine.store(state);
    // What is copied out of the guest: the texts, and what each item of a list takes here besides.
    store.set_hostcall_fuel(limits.manifest_bytes_max);
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
            turn: &turn,
            future: asking,
        },
    )
    .await;
    let timed_out = |limit| LoadError::DescribeTimedOut {
        limit,
        max: limits.get(limit),
    };
    match answer {
        Ok(Ok(said)) => Ok(said.into()),
        Ok(Err(error)) if error.is::<OutOfCpu>() => Err(timed_out(Limit::DescribeCpuMax)),
        Ok(Err(error)) if is_too_large(&error) => {
            Err(LoadError::ManifestTooLarge(limits.manifest_bytes_max))
        }
        Ok(Err(error)) => Err(LoadError::Describe(Trap::of(&error))),
        Err(_) => Err(timed_out(Limit::EventWallMax)),
    }
}

/// Whether it was the answer that is too large; what the guest says to the host before it returns is bounded in the
/// same way, but then it is the guest that traps. wasmtime has no type for it, only words.
fn is_too_large(error: &wasmtime::Error) -> bool {
    let cause = error.root_cause().to_string();
    error.downcast_ref::<WasmBacktrace>().is_none()
        && cause.contains("fuel allocated for hostcalls")
}

#[cfg(test)]
mod tests;
