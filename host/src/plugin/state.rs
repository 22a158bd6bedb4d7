//! What one instance is given: the host's side of its store.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use wasmtime::ResourceLimiterAsync;
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxView, WasiView};

use super::engine::Engine;
use super::guest_log::GuestLog;
use super::meter::{Meter, Turn};
use crate::config::{Limit, Limits};
use crate::hub::{Connection, Hub, Request};
use crate::metrics::Metrics;
use crate::protocol::Message;

/// Handles that a guest may hold at once: streams, clocks, polls. Language runtimes use a dozen.
const HANDLES_MAX: usize = 1_000;
/// Random bytes that a guest may ask for at once.
const RANDOM_BYTES_MAX: u64 = 64 * 1024;

/// An instance whose memory grows beyond this takes a turn first, as one that has run for a tick does: the guest is
/// about to write to it, and to fill 64 MiB is one instruction, 15 ms or more, that no tick interrupts.
const LARGE_BYTES: usize = 8 * 1024 * 1024;

/// The data of an instance's store.
pub(super) struct State {
    pub(super) limits: Arc<Limits>,
    pub(super) metrics: Metrics,
    pub(super) log: GuestLog,
    pub(super) memory: Memory,
    pub(super) meter: Arc<Meter>,
    pub(super) turn: Turn,
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
            .max_random_size(RANDOM_BYTES_MAX)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        let turn = engine.turn();
        let memory = Memory::new(&limits, metrics.clone(), turn.clone());
        let meter = Arc::new(Meter::new());
        Self {
            limits,
            metrics,
            log,
            memory,
            meter,
            turn,
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
        self.turn.end();
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
    table_elements_max: usize,
    metrics: Metrics,
    turn: Turn,
}

impl Memory {
    fn new(limits: &Limits, metrics: Metrics, turn: Turn) -> Self {
        Self {
            bytes: 0,
            bytes_max: limits.memory_bytes_max,
            table_elements_max: limits.table_elements_max,
            metrics,
            turn,
        }
    }

    /// Of linear memory, now.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What wasmtime waits for.
type Growing<'a> = Pin<Box<dyn Future<Output = wasmtime::Result<bool>> + Send + 'a>>;

impl ResourceLimiterAsync for Memory {
    fn memory_growing<'s: 'a, 'a>(
        &'s mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> Growing<'a> {
        let bytes = self.bytes - current.min(self.bytes) + desired;
        let allowed = bytes <= self.bytes_max;
        if allowed {
            self.bytes = bytes;
        } else {
            self.metrics.reached(Limit::MemoryBytesMax);
        }
        Box::pin(async move {
            if allowed && bytes > LARGE_BYTES && !self.turn.is_held() {
                self.turn.clone().next().await;
            }
            Ok(allowed)
        })
    }

    fn table_growing<'s: 'a, 'a>(
        &'s mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> Growing<'a> {
        let allowed = desired <= self.table_elements_max;
        if !allowed {
            self.metrics.reached(Limit::TableElementsMax);
        }
        Box::pin(std::future::ready(Ok(allowed)))
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn who_grows_large_takes_a_turn() {
        let permits = Arc::new(Semaphore::new(1));
        let memory = || {
            let turn = Turn::new(Arc::clone(&permits));
            Memory::new(&Limits::default(), Metrics::new(), turn)
        };
        let (mut first, mut second) = (memory(), memory());
        assert!(first.memory_growing(0, LARGE_BYTES, None).await.unwrap());
        assert!(!first.turn.is_held());
        let growing = first.memory_growing(LARGE_BYTES, LARGE_BYTES + 1, None);
        assert!(growing.await.unwrap());
        assert!(first.turn.is_held());
        let mut growing = second.memory_growing(0, LARGE_BYTES + 1, None);
        for _ in 0..10 {
            tokio::select! {
                biased;
                _ = &mut growing => panic!("two have the turn"),
                () = tokio::task::yield_now() => {}
            }
        }
        first.turn.end();
        assert!(growing.await.unwrap());
    }
}
