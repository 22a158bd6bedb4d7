//! What a host counts. Each has a recorder of its own, so that two hosts in a process do not count together; and so has
//! each tenant of a host, so that nothing is left of one that is taken away.
//!
//! Who counts on the way of a message holds the counter: to find one by its labels costs more than the event.

mod bus;
mod render;

use std::fmt;
use std::sync::{Arc, OnceLock};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::config::{Limit, TenantName};
use bus::BusMetrics;

pub use render::render;

/// Seconds: an event takes some ten microseconds, and is ended after some seconds.
const SECONDS: [f64; 18] = [
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0,
];

/// All that is counted: name and meaning. The README says the same, with the labels.
pub const METRICS: [(&str, &str); 20] = [
    ("wardroom_connections", "Open connections"),
    (
        "wardroom_connections_opened_total",
        "Connections that were opened",
    ),
    ("wardroom_rooms", "Rooms with members"),
    (
        "wardroom_outboxes_bytes",
        "Bytes that wait to be written to connections",
    ),
    (
        "wardroom_messages_received_total",
        "Messages of clients, malformed ones included",
    ),
    (
        "wardroom_messages_sent_total",
        "Replies and pushes that were written",
    ),
    (
        "wardroom_event_seconds",
        "Time from the start of an event to its end",
    ),
    (
        "wardroom_events_failed_total",
        "Events that were not handled to their end",
    ),
    (
        "wardroom_limit_reached_total",
        "How often a limit was reached",
    ),
    ("wardroom_instances", "Instances of plugins"),
    (
        "wardroom_swaps_total",
        "Plugins that became live, were swapped or removed",
    ),
    (
        "wardroom_plugins_refused",
        "Files of the plugin folder that are not live",
    ),
    (
        "wardroom_bus_up",
        "Whether the bus to other hosts is proven to work",
    ),
    (
        "wardroom_bus_round_trip_seconds",
        "Time of the last probe to the broker and back",
    ),
    (
        "wardroom_bus_reconnects_total",
        "How often the bus was ready again",
    ),
    (
        "wardroom_bus_published_total",
        "Broadcasts that were sent to other hosts",
    ),
    (
        "wardroom_bus_received_total",
        "Payloads that arrived from the bus, this host's own included",
    ),
    (
        "wardroom_bus_dropped_total",
        "Payloads that were lost here, on their way to the bus or from it",
    ),
    (
        "wardroom_bus_malformed_total",
        "Payloads of the bus that were nothing to deliver",
    ),
    (
        "wardroom_nodes",
        "Hosts that are one server, this one among them",
    ),
];

/// What is counted of a host or of one of its tenants. Cheap to clone; the clones count together.
#[derive(Clone)]
pub struct Metrics(Arc<Shared>);

struct Shared {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    /// By [`Limit::index`]: from the first time that it is reached. A thousand tenants have not reached most of them.
    limits: Vec<OnceLock<Counter>>,
    connections: Gauge,
    opened: Counter,
    rooms: Gauge,
    outboxes: Gauge,
    received: Counter,
    sent: Counter,
    swaps: Counter,
    refused: Gauge,
    /// The host's.
    bus: Option<BusMetrics>,
}

/// Why an event was not handled to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Its handler trapped.
    Trap,
    /// It ran out of CPU time or of time.
    Timeout,
    /// There was no instance for it.
    Unavailable,
}

/// What is counted of one plugin.
pub struct PluginMetrics {
    /// By the number of the route.
    routes: Vec<Histogram>,
    connect: Histogram,
    disconnect: Histogram,
    upgrade: Histogram,
    trap: Counter,
    timeout: Counter,
    unavailable: Counter,
    busy: Gauge,
    idle: Gauge,
}

impl Metrics {
    /// Of a host that has done nothing yet.
    #[must_use]
    pub fn of_host() -> Self {
        let recorder = recorder(None);
        let outboxes = gauge(&recorder, "wardroom_outboxes_bytes", vec![]);
        let metrics = Self::new(Shared {
            outboxes,
            bus: Some(BusMetrics::new(&recorder)),
            ..Shared::without_series(recorder)
        });
        for limit in Limit::ALL.into_iter().filter(|limit| limit.is_of_host()) {
            metrics.reached_times(limit, 0);
        }
        metrics
    }

    /// Of a tenant that has done nothing yet. All of it has the tenant's name as a label.
    #[must_use]
    pub fn of_tenant(tenant: &TenantName) -> Self {
        let recorder = recorder(Some(tenant));
        Self::new(Shared {
            connections: gauge(&recorder, "wardroom_connections", vec![]),
            opened: counter(&recorder, "wardroom_connections_opened_total", vec![]),
            rooms: gauge(&recorder, "wardroom_rooms", vec![]),
            received: counter(&recorder, "wardroom_messages_received_total", vec![]),
            sent: counter(&recorder, "wardroom_messages_sent_total", vec![]),
            swaps: counter(&recorder, "wardroom_swaps_total", vec![]),
            refused: gauge(&recorder, "wardroom_plugins_refused", vec![]),
            ..Shared::without_series(recorder)
        })
    }

    fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// All of it, as Prometheus reads it; [`render`] puts several together. The host says first what is counted by
    /// looking.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.handle.render()
    }

    /// Puts what was observed into its buckets. Until then each observation takes memory, so it is to be called
    /// every few seconds.
    pub fn settle(&self) {
        self.0.handle.run_upkeep();
    }

    /// A limit was reached.
    pub fn reached(&self, limit: Limit) {
        self.reached_times(limit, 1);
    }

    fn reached_times(&self, limit: Limit, times: u64) {
        if let Some(series) = self.limit(limit) {
            series.increment(times);
        }
    }

    fn limit(&self, limit: Limit) -> Option<&Counter> {
        let labels = || vec![Label::new("limit", limit.key())];
        let recorder = &self.0.recorder;
        let new = || counter(recorder, "wardroom_limit_reached_total", labels());
        let series = self.0.limits.get(limit.index())?;
        Some(series.get_or_init(new))
    }

    /// A connection was opened.
    pub fn opened(&self) {
        self.0.opened.increment(1);
    }

    /// A client's message arrived.
    pub fn received(&self) {
        self.0.received.increment(1);
    }

    /// So many frames were written.
    pub fn sent(&self, frames: usize) {
        self.0.sent.increment(frames as u64);
    }

    /// So many plugins became live, were swapped or removed; so many files are not live.
    pub fn swapped(&self, changes: usize, refused: usize) {
        self.0.swaps.increment(changes as u64);
        self.0.refused.set(refused as f64);
    }

    /// How much waits for all connections of the host right now.
    pub fn hold_outboxes(&self, bytes: usize) {
        self.0.outboxes.set(bytes as f64);
    }

    /// What a tenant has right now.
    pub fn hold(&self, connections: usize, rooms: usize) {
        self.0.connections.set(connections as f64);
        self.0.rooms.set(rooms as f64);
    }

    /// What is counted of one plugin, whose routes have these events. Versions count together.
    #[must_use]
    pub fn plugin<'a>(
        &self,
        plugin: &str,
        events: impl IntoIterator<Item = &'a str>,
    ) -> PluginMetrics {
        let recorder = &self.0.recorder;
        let named = || Label::new("plugin", plugin.to_owned());
        let seconds = |event: &str| {
            let labels = vec![named(), Label::new("event", event.to_owned())];
            histogram(recorder, "wardroom_event_seconds", labels)
        };
        let failed = |cause: &'static str| {
            let labels = vec![named(), Label::new("cause", cause)];
            counter(recorder, "wardroom_events_failed_total", labels)
        };
        let instances = |state: &'static str| {
            let labels = vec![named(), Label::new("state", state)];
            gauge(recorder, "wardroom_instances", labels)
        };
        PluginMetrics {
            routes: events.into_iter().map(seconds).collect(),
            // No event of a route: their names begin with a letter.
            connect: seconds("(connect)"),
            disconnect: seconds("(disconnect)"),
            upgrade: seconds("(upgrade)"),
            trap: failed("trap"),
            timeout: failed("timeout"),
            unavailable: failed("unavailable"),
            busy: instances("busy"),
            idle: instances("idle"),
        }
    }
}

impl PluginMetrics {
    /// The times of a route's events.
    pub fn route(&self, number: u32) -> &Histogram {
        // A route that is not in the manifest has no events.
        self.routes.get(number as usize).unwrap_or(&self.connect)
    }

    /// The times of the connect handler.
    pub fn connect(&self) -> &Histogram {
        &self.connect
    }

    /// The times of the disconnect handler.
    pub fn disconnect(&self) -> &Histogram {
        &self.disconnect
    }

    /// The times of the upgrade handler.
    pub fn upgrade(&self) -> &Histogram {
        &self.upgrade
    }

    /// An event was not handled to its end.
    pub fn failed(&self, failure: Failure) {
        let counter = match failure {
            Failure::Trap => &self.trap,
            Failure::Timeout => &self.timeout,
            Failure::Unavailable => &self.unavailable,
        };
        counter.increment(1);
    }

    /// How many instances there are right now.
    pub fn hold(&self, busy: usize, idle: usize) {
        self.busy.set(busy as f64);
        self.idle.set(idle as f64);
    }
}

impl Shared {
    /// What others count is not counted here.
    fn without_series(recorder: PrometheusRecorder) -> Self {
        Self {
            handle: recorder.handle(),
            recorder,
            limits: Limit::ALL.iter().map(|_| OnceLock::new()).collect(),
            connections: Gauge::noop(),
            opened: Counter::noop(),
            rooms: Gauge::noop(),
            outboxes: Gauge::noop(),
            received: Counter::noop(),
            sent: Counter::noop(),
            swaps: Counter::noop(),
            refused: Gauge::noop(),
            bus: None,
        }
    }
}

fn recorder(tenant: Option<&TenantName>) -> PrometheusRecorder {
    // Refused for an empty list alone, and this is none.
    let mut builder = PrometheusBuilder::new()
        .set_buckets(&SECONDS)
        .unwrap_or_default();
    if let Some(tenant) = tenant {
        builder = builder.add_global_label("tenant", tenant.as_str());
    }
    let recorder = builder.build_recorder();
    for (name, meaning) in METRICS {
        let name = KeyName::from_const_str(name);
        // The exporter keeps one table of meanings, whatever the kind.
        recorder.describe_counter(name, None, meaning.into());
    }
    recorder
}

fn counter(recorder: &PrometheusRecorder, name: &'static str, labels: Vec<Label>) -> Counter {
    recorder.register_counter(&Key::from_parts(name, labels), &METADATA)
}

fn gauge(recorder: &PrometheusRecorder, name: &'static str, labels: Vec<Label>) -> Gauge {
    recorder.register_gauge(&Key::from_parts(name, labels), &METADATA)
}

fn histogram(recorder: &PrometheusRecorder, name: &'static str, labels: Vec<Label>) -> Histogram {
    recorder.register_histogram(&Key::from_parts(name, labels), &METADATA)
}

/// The exporter looks at none of it.
static METADATA: Metadata<'_> = Metadata::new(module_path!(), Level::INFO, None);

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl fmt::Debug for PluginMetrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PluginMetrics")
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
