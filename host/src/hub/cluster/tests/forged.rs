//! Hosts that say what no host would say now.

use super::*;
use crate::hub::exchange::MESSAGE_BYTES_MAX;
use crate::hub::remote::ENVELOPE_BYTES_MAX;

const FROM: &str = "9e107d9d-372b-4b68-98ab-000000000000";

fn alive() -> String {
    json!({ "alive": { "from": FROM, "node": "c" } }).to_string()
}

#[tokio::test(start_paused = true)]
async fn what_is_larger_than_anything_that_hosts_say_is_not_read() {
    let hosts = hosts(&["a"]).await;
    let hub = &hosts.hubs[0];
    let exchange = &hub.inner.exchange;
    let stranger = Silent::on(&hosts.bus);
    let padded = |bytes: usize| alive() + &" ".repeat(bytes - alive().len());
    hub.set_push_bytes_max(1);
    stranger.say(&padded(MESSAGE_BYTES_MAX + 1));
    assert_eq!((exchange.nodes().len(), exchange.malformed()), (1, 1));
    // There may be larger pushes.
    hub.set_push_bytes_max(MESSAGE_BYTES_MAX);
    stranger.say(&padded(MESSAGE_BYTES_MAX + 1));
    assert_eq!((exchange.nodes().len(), exchange.malformed()), (2, 1));
    // But none that is larger than this tenant's.
    let member = open(hub);
    hub.set_push_bytes_max(100);
    let data = "x".repeat(100 + ENVELOPE_BYTES_MAX);
    for push in [
        json!({ "event": "e", "path": "/p", "data": 1 }),
        json!({ "event": "e", "path": "/p", "data": data }),
    ] {
        let push = json!({ "push": { "from": FROM, "tenant": "default", "push": push } });
        stranger.say(&push.to_string());
    }
    assert_eq!(waiting(&member), [1]);
    assert_eq!(exchange.malformed(), 2);
}

#[test]
fn what_hosts_count_is_no_more_than_there_can_be() {
    let part = |total: usize| {
        let part = json!({ "total": total, "entries": [], "is_cut": false });
        serde_json::from_value::<Part<ConnectionInfo>>(part).unwrap()
    };
    let here = Page {
        total: 1,
        entries: Vec::new(),
    };
    let page = all_connections(here, vec![part(usize::MAX), part(2)], 1);
    assert_eq!(page.total, usize::MAX);
}
