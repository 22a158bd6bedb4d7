//! `GET /api/cluster`: which hosts are one server, and how the bus between them is doing.

use serde_json::{Value, json};

use crate::server::Host;

/// What this host knows of it. Of a host alone, the same without others.
pub(super) fn describe(host: &Host) -> Value {
    let config = host.config();
    let own = json!({ "node": config.node, "self": true });
    let others = host.peers().into_iter().map(|(node, silence)| {
        json!({ "node": node, "self": false, "silentSeconds": silence.as_secs_f64() })
    });
    let bus = host.bus_status();
    json!({
        "nodes": std::iter::once(own).chain(others).collect::<Vec<_>>(),
        "bus": {
            // Without the credentials.
            "broker": config.cluster_url.as_ref().map(ToString::to_string),
            "prefix": config.cluster_prefix.to_string(),
            "ready": bus.is_ready,
            "sinceSeconds": bus.since.elapsed().as_secs_f64(),
            "roundTripSeconds": bus.round_trip.map(|time| time.as_secs_f64()),
            "reconnects": bus.reconnects,
            "published": bus.published,
            "received": bus.received,
            "dropped": bus.dropped,
            "malformed": host.bus_malformed(),
        },
    })
}
