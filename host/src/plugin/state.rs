//! What one instance is given: the host's side of its store.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::ResourceLimiter;
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxView, WasiView};

use super::engine::Engine;
use super::guest_log::GuestLog;
use super::meter::{Meter, Turn};
use crate::config::{Limit, Limits};
use crate::hub::{Connection, Hub, Request};
use crate::metrics::Metrics;
use crate::protocol::Message;

/// The data of an instance's store.
pub(super) struct State {
    pub(super) limits: Arc<Limits>,
    pub(super) metrics: Metrics,
    pub(super) log: GuestLog,
    pub(super) memory: Memory,
    pub(super) meter: Arc<Meter>,
    /// Set by the engine with the store.
    pub(super) turn: Option<Turn>,
    /// What the plugin is being called for; `None` while it is instantiated and described.
    pub(super) event: Option<Event>,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl State {
    pub(super) fn new(engine: &Engine, log: GuestLog) -> Self {
        let limits = Arc::clone(&engine.limits);
        let metrics = engine.metrics.clone();
        let wasi = WasiCtx::builder()
            .stdout(log.clone())
            .stderr(log.clone())
            .max_random_size(limits.random_bytes_max as u64)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles_max);
        let memory = Memory::new(engine);
        let meter = Arc::new(Meter::new());
        Self {
            limits,
            metrics,
            log,
            memory,
            meter,
            turn: None,
            event: None,
            wasi,
            table,
        }
    }

    /// Begins an event: from here on the imports answer for it.
    pub(super) fn begin(&mut self, event: Event) {
        self.meter.start(self.limits.event_cpu_max);
        self.log.begin(self.limits.log_lines_per_event_max);
        self.event = Some(event);
    }

    /// Ends it.
    pub(super) fn end(&mut self) {
        self.event = None;
        self.log.end();
        if let Some(turn) = &self.turn {
            turn.end();
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // The instance of a cancelled or failed call goes with its event.
        self.end();
    }
}

impl fmt::Debug for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("State").finish_non_exhaustive()
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// What a plugin is called for.
#[derive(Debug)]
pub struct Event {
    /// The tenant's connections and rooms.
    pub hub: Hub,
    /// Whose event it is.
    pub subject: Subject,
    /// Pushes that it has caused.
    pub(super) pushes: u32,
}

/// Whose event it is.
#[derive(Debug)]
pub enum Subject {
    /// Nobody's yet: the connection is still a request.
    Request(Arc<Request>),
    /// A connection's, as it opens or closes.
    Connection(Arc<Connection>),
    /// A message of a connection.
    Message(Arc<Connection>, Arc<RoutedMessage>),
}

/// A message and what its route captured.
#[derive(Debug)]
pub struct RoutedMessage {
    /// As the client sent it.
    pub message: Message,
    /// The number of the route in the plugin's manifest.
    pub route: u32,
    /// What the pattern captured.
    pub params: wardroom_router::Params,
}

impl Event {
    /// An event that has done nothing yet.
    #[must_use]
    pub fn new(hub: Hub, subject: Subject) -> Self {
        Self {
            hub,
            subject,
            pushes: 0,
        }
    }

    pub(super) fn connection(&self) -> Option<&Arc<Connection>> {
        match &self.subject {
            Subject::Request(_) => None,
            Subject::Connection(connection) | Subject::Message(connection, _) => Some(connection),
        }
    }

    pub(super) fn message(&self) -> Option<&RoutedMessage> {
        match &self.subject {
            Subject::Message(_, message) => Some(message),
            Subject::Request(_) | Subject::Connection(_) => None,
        }
    }

    pub(super) fn request(&self) -> &Request {
        match &self.subject {
            Subject::Request(request) => request,
            Subject::Connection(connection) | Subject::Message(connection, _) => {
                &connection.request
            }
        }
    }
}

/// How far an instance may grow. Growing beyond fails in the guest, which is its own business.
#[derive(Debug)]
pub(super) struct Memory {
    bytes: usize,
    bytes_max: usize,
    /// Of all instances of the host.
    all: Arc<AtomicUsize>,
    all_max: usize,
    table_elements_max: usize,
    metrics: Metrics,
    /// There was no more for all of them together.
    is_short: bool,
}

impl Memory {
    fn new(engine: &Engine) -> Self {
        let limits = &engine.limits;
        Self {
            bytes: 0,
            bytes_max: limits.memory_bytes_max,
            all: Arc::clone(&engine.instances_memory),
            all_max: limits.instances_memory_max,
            table_elements_max: limits.table_elements_max,
            metrics: engine.metrics.clone(),
            is_short: false,
        }
    }

    /// Of linear memory, now.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it was refused memory because all instances together had as much as they may.
    pub(super) fn is_short(&self) -> bool {
        self.is_short
    }

    /// Takes so many more bytes of what all instances may have.
    fn take(&mut self, more: usize) -> bool {
        let take = |all: usize| all.checked_add(more).filter(|all| *all <= self.all_max);
        let taken = self
            .all
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.is_ok()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // Memories of one instance are as good as one memory.
        let more = desired.saturating_sub(current);
        if self.bytes.saturating_add(more) > self.bytes_max {
            self.metrics.reached(Limit::MemoryBytesMax);
            return Ok(false);
        }
        if !self.take(more) {
            self.is_short = true;
            // An instance that cannot even begin is counted by the event that needed it.
            if current > 0 {
                self.metrics.reached(Limit::InstancesMemoryMax);
            }
            return Ok(false);
        }
        self.bytes += more;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = desired <= self.table_elements_max;
        if !allowed {
            self.metrics.reached(Limit::TableElementsMax);
        }
        Ok(allowed)
    }
}
