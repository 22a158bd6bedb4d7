//! The warm instances of one plugin: taken for an event, given back after it, thrown away when anything went wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};
use wasmtime::Store;
use wasmtime::component::InstancePre;

use super::Exports;
use super::bindings::exports::wardroom::plugin::{connections, messages};
use super::engine::Engine;
use super::guest_log::GuestLog;
use super::log_rate::LogRate;
use super::manifest::{Manifest, Mode};
use super::meter::Metered;
use super::share::Place;
use super::state::State;
use crate::config::Limit;

/// A plugin's instances.
pub(super) struct Pool {
    engine: Engine,
    pre: InstancePre<State>,
    exports: Exports,
    name: Arc<str>,
    log: Arc<LogRate>,
    mode: Mode,
    /// The last one given back is taken first: its memory is still in the caches, and the others grow old unused.
    idle: Mutex<Vec<Instance>>,
    /// How many may be in use.
    size: usize,
    /// One for each of them.
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// One instance and the store that it alone lives in.
pub(super) struct Instance {
    pub(super) store: Store<State>,
    pub(super) messages: Option<messages::Guest>,
    pub(super) connections: Option<connections::Guest>,
    /// Handled so far.
    events: u32,
    idle_since: Instant,
    /// Held for its drop.
    _place: Place,
}

/// Why there is no instance.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unavailable {
    #[error("no instance became free")]
    TimedOut,
    #[error("too many events wait for an instance")]
    QueueFull,
    #[error("no memory for another instance")]
    NoMemory(Limit),
    #[error("its tenant has as many instances as it may")]
    TenantFull,
    #[error("cannot instantiate: {0:#}")]
    Failed(wasmtime::Error),
    #[error("its start-up ran out of time (event_wall_max)")]
    StartTimedOut,
}

/// An instance, and the right to use one, for one event.
pub(super) struct Lease<'a> {
    pub(super) instance: Instance,
    /// Held for its drop.
    _permit: SemaphorePermit<'a>,
}

impl Pool {
    pub(super) fn new(
        engine: Engine,
        pre: InstancePre<State>,
        exports: Exports,
        manifest: &Manifest,
        label: &str,
    ) -> Self {
        let mode = manifest.mode;
        let instances = match mode {
            Mode::Singleton => 1,
            Mode::Pooled | Mode::Fresh => engine.limits.instances_per_plugin_max,
        };
        let permits = Arc::new(Semaphore::new(instances));
        let metrics = engine.metrics.clone();
        let log = Arc::new(LogRate::new(label, &engine.limits, metrics));
        Self {
            engine,
            pre,
            exports,
            name: manifest.name.as_str().into(),
            log,
            mode,
            idle: Mutex::default(),
            size: instances,
            permits,
            waiting: AtomicUsize::new(0),
        }
    }

    /// Takes the place of another version's. Of a singleton there is never more than one instance at work, so the
    /// events of both versions queue up for the same permit, and those of the older one are there first.
    pub(super) fn succeed(&mut self, before: &Self) {
        if self.mode == Mode::Singleton && before.mode == Mode::Singleton {
            self.permits = Arc::clone(&before.permits);
        }
    }

    /// Throws away the instances that have not been used for so long. A singleton keeps its own.
    pub(super) fn retire_idle(&self, idle_max: Duration) {
        if self.mode == Mode::Singleton {
            return;
        }
        let now = Instant::now();
        let retired: Vec<_> = {
            let mut idle = self.idle.lock();
            // The last one given back is taken first, so the oldest are at the front.
            let old = idle.partition_point(|instance| now - instance.idle_since >= idle_max);
            idle.drain(..old).collect()
        };
        for _ in &retired {
            self.engine.metrics.reached(Limit::InstanceIdleMax);
        }
        // Without the lock: to drop an instance unmaps its memory.
        drop(retired);
    }

    /// Of the plugin's lines.
    pub(super) fn log(&self) -> &LogRate {
        &self.log
    }

    /// How many instances are in use, and how many are not.
    pub(super) fn sizes(&self) -> (usize, usize) {
        let free = self.permits.available_permits();
        (self.size.saturating_sub(free), self.idle.lock().len())
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// An instance of its own for one event. Waits for one to be given back when all are in use, bounded in time
    /// and in how many wait.
    pub(super) async fn take(&self) -> Result<Lease<'_>, Unavailable> {
        let permit = match self.permits.try_acquire() {
            Ok(permit) => permit,
            Err(_) => self.wait().await?,
        };
        let idle = self.idle.lock().pop();
        let instance = match idle {
            Some(instance) => instance,
            // A guest can sleep as it starts up.
            None => match timeout(self.engine.limits.event_wall_max, self.instantiate()).await {
                Ok(instance) => instance?,
                Err(_) => return Err(Unavailable::StartTimedOut),
            },
        };
        Ok(Lease {
            instance,
            _permit: permit,
        })
    }

    async fn wait(&self) -> Result<SemaphorePermit<'_>, Unavailable> {
        let limits = &self.engine.limits;
        self.engine.metrics.reached(Limit::InstancesPerPluginMax);
        let place = Waiting::new(&self.waiting);
        if place.number > limits.waiting_events_max {
            return Err(Unavailable::QueueFull);
        }
        match timeout(limits.instance_wait_max, self.permits.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Unavailable::TimedOut),
        }
    }

    async fn instantiate(&self) -> Result<Instance, Unavailable> {
        let limits = Arc::clone(&self.engine.limits);
        let place = self.engine.share.place(limits.instances_per_tenant_max);
        let place = place.ok_or(Unavailable::TenantFull)?;
        let log = GuestLog::new(
            Arc::clone(&self.log),
            limits.log_line_bytes_max,
            self.engine.metrics.clone(),
        );
        let state = State::new(&self.engine, Some(Arc::clone(&self.name)), log);
        // A guest's start-up is the event's that needs the instance.
        state.log.begin(limits.log_lines_per_event_max);
        state.meter.start(limits.event_cpu_max);
        let (meter, turn) = (Arc::clone(&state.meter), state.turn.clone());
        let mut store = self.engine.store(state);
        let starting = Box::pin(self.start(&mut store));
        let started = Metered {
            meter: &meter,
            turn: &turn,
            future: starting,
        }
        .await;
        match started {
            Ok((messages, connections)) => Ok(Instance {
                messages,
                connections,
                store,
                events: 0,
                idle_since: Instant::now(),
                _place: place,
            }),
            Err(error) => Err(match store.data().memory.short() {
                Some(limit) => Unavailable::NoMemory(limit),
                None => Unavailable::Failed(error),
            }),
        }
    }

    /// Runs the guest's start-up, and finds its functions.
    async fn start(
        &self,
        mut store: &mut Store<State>,
    ) -> wasmtime::Result<(Option<messages::Guest>, Option<connections::Guest>)> {
        let instance = self.pre.instantiate_async(&mut store).await?;
        let messages = self
            .exports
            .messages
            .as_ref()
            .map(|exports| exports.load(&mut store, &instance));
        let connections = self
            .exports
            .connections
            .as_ref()
            .map(|exports| exports.load(&mut store, &instance));
        Ok((messages.transpose()?, connections.transpose()?))
    }

    /// Takes back an instance whose event went well. It is thrown away when it has grown or served enough.
    pub(super) fn give_back(&self, lease: Lease<'_>) {
        let mut instance = lease.instance;
        instance.store.data_mut().end();
        instance.events += 1;
        let limits = &self.engine.limits;
        let metrics = &self.engine.metrics;
        let is_kept = match self.mode {
            Mode::Fresh => false,
            Mode::Singleton => true,
            Mode::Pooled if instance.events >= limits.events_per_instance_max => {
                metrics.reached(Limit::EventsPerInstanceMax);
                false
            }
            Mode::Pooled if instance.store.data().memory.bytes() > limits.instance_memory_mark => {
                metrics.reached(Limit::InstanceMemoryMark);
                false
            }
            Mode::Pooled => true,
        };
        if is_kept {
            instance.idle_since = Instant::now();
            self.idle.lock().push(instance);
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Pool")
            .field("idle", &self.idle.lock().len())
            .finish_non_exhaustive()
    }
}

/// A place among those who wait; given up when dropped, whatever happens to the waiting.
struct Waiting<'a> {
    count: &'a AtomicUsize,
    number: usize,
}

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        Self {
            count,
            number: count.fetch_add(1, Ordering::Relaxed) + 1,
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}
