//! The sandbox: one wasmtime engine for all plugins of the host, its clock, and what its guests can import.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use wasmtime::component::{HasSelf, Linker};
use wasmtime::{
    Config, InstanceAllocationStrategy, PoolingAllocationConfig, Store, UpdateDeadline,
};

use super::bindings::wardroom::plugin as imports;
use super::cache::Cache;
use super::compile::Compile;
use super::granted::{Granted, Grants};
use super::lanes::Lanes;
use super::loaded::LoadedCodes;
use super::meter::{OutOfCpu, Turn};
use super::outbound::Outbound;
use super::share::Share;
use super::state::State;
use super::turns::Turns;
use crate::config::{Limits, PluginConfig, PluginName, TenantName};
use crate::metrics::Metrics;

/// How often a running guest looks up: after so long it lets others have the thread, and its budget is checked.
const TICK: Duration = Duration::from_millis(1);

/// Core instances and tables that a component brings along beside its own: adapters and shims.
const CORE_INSTANCES_PER_COMPONENT: u32 = 16;
const TABLES_PER_COMPONENT: u32 = 8;

/// The host's engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(super) engine: wasmtime::Engine,
    pub(super) linker: Arc<Linker<State>>,
    pub(super) limits: Arc<Limits>,
    /// Whose plugins it runs.
    pub(super) tenant: TenantName,
    pub(super) metrics: Metrics,
    pub(super) compile: Compile,
    pub(super) cache: Option<Arc<Cache>>,
    /// What its plugins were given.
    pub(super) granted: Granted,
    pub(super) outbound: Arc<Outbound>,
    /// Bytes of linear memory that all instances have together.
    pub(super) instances_memory: Arc<AtomicUsize>,
    pub(super) loaded: Arc<LoadedCodes>,
    lanes: Arc<Lanes>,
    /// For guests that have used up a tick: see [`Turn`].
    turns: Turns,
    /// Of the tenant.
    pub(super) share: Share,
}

/// The engine could not be made.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot set up the sandbox (instances_max is {instances_max}; each reserves address space)"
)]
pub struct EngineError {
    instances_max: u32,
    source: wasmtime::Error,
}

impl Engine {
    /// Sets up the sandbox: reserves the address space, and starts the clock, which ends with the engine. It compiles
    /// in this process and keeps no compiled code.
    ///
    /// # Errors
    /// When the operating system refuses the address space.
    pub fn new(limits: &Limits, metrics: Metrics) -> Result<Self, EngineError> {
        Self::build(limits, metrics).map_err(|source| EngineError {
            instances_max: limits.instances_max,
            source,
        })
    }

    /// The same, compiling in another way.
    #[must_use]
    pub fn compiling(self, compile: Compile) -> Self {
        Self { compile, ..self }
    }

    /// The same, keeping compiled code.
    #[must_use]
    pub fn caching(self, cache: Cache) -> Self {
        Self {
            cache: Some(Arc::new(cache)),
            ..self
        }
    }

    /// The same, sending HTTP requests in another way.
    #[must_use]
    pub fn reaching(self, outbound: Outbound) -> Self {
        Self {
            outbound: Arc::new(outbound),
            ..self
        }
    }

    fn build(limits: &Limits, metrics: Metrics) -> wasmtime::Result<Self> {
        let mut config = code_configuration();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)));
        let engine = wasmtime::Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
        imports::types::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
        imports::rooms::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
        imports::connection::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
        imports::server::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
        imports::state::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
        imports::config::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
        imports::log::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
        start_clock(&engine)?;
        // One thread is left to those whose guests return within a tick, if there are two.
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let turns = Turns::new(threads.saturating_sub(1).max(1));
        let share = Share::new(turns.of_tenant(1));
        Ok(Self {
            engine,
            linker: Arc::new(linker),
            limits: Arc::new(limits.clone()),
            tenant: TenantName::default(),
            metrics,
            compile: Compile::Here,
            cache: None,
            granted: Granted::default(),
            outbound: Arc::default(),
            instances_memory: Arc::default(),
            loaded: Arc::default(),
            lanes: Arc::new(Lanes::new(threads)),
            turns,
            share,
        })
    }

    /// The same engine for plugins that are to have other limits. The address space stays as it was reserved:
    /// `instances_max`, `memory_bytes_max` and `table_elements_max` must be the same.
    #[must_use]
    pub fn with_limits(&self, limits: Arc<Limits>) -> Self {
        Self {
            limits,
            ..self.clone()
        }
    }

    /// The same engine for the plugins of one more tenant: they count here, their requests too, were given nothing yet,
    /// and have this share of the CPU time when others want it too.
    #[must_use]
    pub fn for_tenant(&self, tenant: TenantName, metrics: Metrics, cpu_share: u32) -> Self {
        Self {
            tenant,
            metrics,
            granted: Granted::default(),
            outbound: Arc::new(self.outbound.for_tenant()),
            share: Share::new(self.turns.of_tenant(cpu_share)),
            ..self.clone()
        }
    }

    /// Replaces what the tenant's plugins are given: for requests that are sent, events that begin and files that are
    /// loaded from now on.
    pub fn grant(&self, plugins: &BTreeMap<PluginName, PluginConfig>) {
        self.granted.set(plugins);
    }

    /// What they are given now.
    #[must_use]
    pub fn grants(&self) -> Arc<Grants> {
        self.granted.now()
    }

    /// Gives the tenant another share of the CPU time, at once.
    pub fn set_cpu_share(&self, share: u32) {
        self.share.turns.set_share(share);
    }

    /// The limits for what is loaded next.
    #[must_use]
    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// Loads a file when it is its turn: reads it, and makes a plugin of it. As many are in memory at a time, and as
    /// many compilers run, as there are places.
    pub async fn in_turn<T>(&self, load: impl Future<Output = T>) -> T {
        self.lanes.run(load).await
    }

    /// For one instance.
    pub(super) fn turn(&self) -> Turn {
        Turn::new(self.share.turns.clone())
    }

    /// A store whose guest yields on every tick, and traps at the end of its budget.
    pub(super) fn store(&self, state: State) -> Store<State> {
        let mut store = Store::new(&self.engine, state);
        store.limiter_async(|state| &mut state.memory);
        store.set_hostcall_fuel(self.limits.host_call_bytes_max);
        let turn = store.data().turn.clone();
        store.epoch_deadline_callback(move |context| {
            if context.data().meter.is_exhausted() {
                return Err(OutOfCpu.into());
            }
            Ok(UpdateDeadline::YieldCustom(
                1,
                Box::pin(turn.clone().next()),
            ))
        });
        // It starts at zero, and instantiation runs guest code already.
        store.set_epoch_deadline(1);
        store
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// An engine that compiles for the host's, and runs nothing: it reserves no address space, so that it can live within
/// a limit of memory.
pub(super) fn for_compiling() -> wasmtime::Result<wasmtime::Engine> {
    wasmtime::Engine::new(&code_configuration())
}

/// All settings that the code depends on, and none that it does not: how instances are allocated is no part of it. A
/// test holds that the code of an engine with no more than these is code for the host's.
fn code_configuration() -> Config {
    let mut config = Config::new();
    config
        // Without it a warm call costs half of what it costs with it, and nothing here needs it: handlers that
        // await will run on an engine of their own.
        .concurrency_support(false)
        .epoch_interruption(true)
        .memory_init_cow(true);
    config
}

fn pool(limits: &Limits) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    let instances = limits.instances_max;
    pool.total_component_instances(instances)
        .total_memories(instances)
        .total_stacks(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_PER_COMPONENT))
        .total_tables(instances.saturating_mul(TABLES_PER_COMPONENT))
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(1)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .max_memory_size(limits.memory_bytes_max)
        .table_elements(limits.table_elements_max);
    pool
}

/// Advances the engine's epoch for as long as the engine lives.
fn start_clock(engine: &wasmtime::Engine) -> wasmtime::Result<()> {
    let engine = engine.weak();
    std::thread::Builder::new()
        .name("epoch".to_owned())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                // Nobody unparks it: this is a sleep, which is what a clock does.
                std::thread::park_timeout(TICK);
            }
        })?;
    Ok(())
}
