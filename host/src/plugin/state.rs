//! What one instance is given: the host's side of its store.

use std::fmt;
use std::sync::Arc;

use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::engine::Engine;
use super::granted::{Grant, Granted};
use super::guest_log::GuestLog;
use super::memory::Memory;
use super::meter::{Meter, Turn};
use super::outbound::Requests;
use crate::config::Limits;
use crate::hub::{Connection, Hub, Request};
use crate::metrics::Metrics;
use crate::protocol::Message;
use crate::state::Values;

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
    /// What the plugin was given when the event began.
    pub(super) grant: Option<Arc<Grant>>,
    granted: Granted,
    /// The plugin's name; `None` while it is described.
    pub(super) plugin: Option<Arc<str>>,
    requests: Requests,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
}

impl State {
    /// For an instance of the plugin of this name; for one that is to say its own, without.
    pub(super) fn new(engine: &Engine, plugin: Option<Arc<str>>, log: GuestLog) -> Self {
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
        let turn = engine.turn();
        let all = Arc::clone(&engine.instances_memory);
        let memory = Memory::new(&limits, metrics.clone(), all, &engine.share, turn.clone());
        let meter = Arc::new(Meter::new());
        let requests = Requests::new(engine, plugin.clone(), log.clone());
        Self {
            limits,
            metrics,
            log,
            memory,
            meter,
            turn,
            event: None,
            grant: None,
            granted: engine.granted.clone(),
            plugin,
            requests,
            wasi,
            http: WasiHttpCtx::new(),
            table,
        }
    }

    /// Begins an event: from here on the imports answer for it.
    pub(super) fn begin(&mut self, event: Event) {
        self.meter.start(self.limits.event_cpu_max);
        self.log.begin(self.limits.log_lines_per_event_max);
        self.requests.begin();
        let plugin = self.plugin.as_deref();
        self.grant = plugin.and_then(|plugin| self.granted.of(plugin));
        self.event = Some(event);
    }

    /// Ends it.
    pub(super) fn end(&mut self) {
        self.event = None;
        self.grant = None;
        self.requests.end();
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

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.requests,
        }
    }
}

/// What a plugin is called for.
#[derive(Debug)]
pub struct Event {
    /// The tenant's connections and rooms.
    pub hub: Hub,
    /// What its plugins keep.
    pub values: Values,
    /// Whose event it is.
    pub subject: Subject,
    /// Pushes that it has caused.
    pub(super) pushes: u32,
    /// Questions to the state.
    pub(super) state_operations: u32,
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
    pub fn new(hub: Hub, values: Values, subject: Subject) -> Self {
        Self {
            hub,
            values,
            subject,
            pushes: 0,
            state_operations: 0,
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
