use super::*;

fn default() -> Metrics {
    Metrics::of_tenant(&TenantName::default())
}

#[test]
fn the_hosts_limits_have_their_series_from_the_start() {
    let metrics = Metrics::of_host();
    metrics.reached(Limit::HandshakesMax);
    let text = metrics.text();
    for limit in Limit::ALL.into_iter().filter(|limit| limit.is_of_host()) {
        let count = u32::from(limit == Limit::HandshakesMax);
        let key = limit.key();
        let line = format!("wardroom_limit_reached_total{{limit=\"{key}\"}} {count}\n");
        assert!(text.contains(&line), "no {line} in\n{text}");
    }
}

#[test]
fn a_tenants_limits_have_their_series_when_they_are_reached() {
    let metrics = default();
    assert!(!metrics.text().contains("limit"));
    metrics.reached(Limit::OutboxBytesMax);
    metrics.reached(Limit::OutboxBytesMax);
    let line = "\nwardroom_limit_reached_total{tenant=\"default\",limit=\"outbox_bytes_max\"} 2\n";
    let text = metrics.text();
    assert!(text.contains(line), "{text}");
}

#[test]
fn every_name_is_said_with_its_meaning() {
    let (host, tenant) = (Metrics::of_host(), default());
    let plugin = tenant.plugin("chat", ["join"]);
    plugin.route(0).record(0.003);
    plugin.failed(Failure::Trap);
    plugin.hold(1, 2);
    let text = render([&host, &tenant]);
    for (name, meaning) in METRICS {
        let line = format!("# HELP {name} {meaning}\n");
        assert_eq!(text.matches(&line).count(), 1, "{name} in\n{text}");
    }
    let line = "wardroom_event_seconds_bucket{tenant=\"default\",plugin=\"chat\",event=\"join\",le=\"0.005\"} 1\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn two_tenants_count_apart() {
    let (one, other) = (default(), Metrics::of_tenant(&"b".parse().unwrap()));
    one.opened();
    let text = render([&one, &other]);
    for line in [
        "wardroom_connections_opened_total{tenant=\"default\"} 1\n",
        "wardroom_connections_opened_total{tenant=\"b\"} 0\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
}
