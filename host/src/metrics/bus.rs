//! What is counted of the bus between hosts. The bus counts by itself; what it has counted is put down here by who
//! shows it.

use metrics::{Counter, Gauge};
use metrics_exporter_prometheus::PrometheusRecorder;

use super::{Metrics, counter, gauge};
use crate::cluster::Status;
use crate::config::Limit;

pub(super) struct BusMetrics {
    up: Gauge,
    round_trip: Gauge,
    reconnects: Counter,
    published: Counter,
    received: Counter,
    dropped: Counter,
    malformed: Counter,
    nodes: Gauge,
}

impl BusMetrics {
    pub(super) fn new(recorder: &PrometheusRecorder) -> Self {
        let counter = |name| counter(recorder, name, vec![]);
        Self {
            up: gauge(recorder, "wardroom_bus_up", vec![]),
            round_trip: gauge(recorder, "wardroom_bus_round_trip_seconds", vec![]),
            reconnects: counter("wardroom_bus_reconnects_total"),
            published: counter("wardroom_bus_published_total"),
            received: counter("wardroom_bus_received_total"),
            dropped: counter("wardroom_bus_dropped_total"),
            malformed: counter("wardroom_bus_malformed_total"),
            nodes: gauge(recorder, "wardroom_nodes", vec![]),
        }
    }
}

impl Metrics {
    /// How many hosts are one server, this one among them.
    pub fn hold_nodes(&self, nodes: usize) {
        if let Some(bus) = &self.0.bus {
            // Exact up to 2^53, which is more than there can be.
            bus.nodes.set(nodes as f64);
        }
    }

    /// What the bus is right now, and has counted; and how many of its payloads were malformed.
    pub fn hold_bus(&self, status: &Status, malformed: u64) {
        let Some(bus) = &self.0.bus else {
            return;
        };
        bus.up.set(f64::from(u8::from(status.is_ready)));
        let round_trip = status.round_trip.unwrap_or_default();
        bus.round_trip.set(round_trip.as_secs_f64());
        for (counter, count) in [
            (&bus.reconnects, status.reconnects),
            (&bus.published, status.published),
            (&bus.received, status.received),
            (&bus.dropped, status.dropped),
            (&bus.malformed, malformed),
        ] {
            counter.absolute(count);
        }
        for (limit, times) in [
            (Limit::BusBytesMax, status.full.bytes),
            (Limit::BusMessagesMax, status.full.messages),
        ] {
            if let Some(counter) = self.limit(limit) {
                counter.absolute(times);
            }
        }
    }
}
