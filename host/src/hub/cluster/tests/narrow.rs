//! Hosts on a bus that carries little at a time.

use super::*;
use crate::cluster::{Status, Subscription};

const PAYLOAD_BYTES_MAX: usize = 64 * 1024;

struct Narrow(LocalBus);

impl Bus for Narrow {
    fn attach(&self, receiver: Arc<dyn Receive>) {
        self.0.attach(receiver);
    }

    fn publish(&self, channel: &str, payload: &dyn Payload) {
        if payload.encode().len() <= PAYLOAD_BYTES_MAX {
            self.0.publish(channel, payload);
        }
    }

    fn subscribe(&self, channel: &str) -> Subscription {
        self.0.subscribe(channel)
    }

    fn unsubscribe(&self, channel: &str) {
        self.0.unsubscribe(channel);
    }

    fn payload_bytes_max(&self) -> usize {
        PAYLOAD_BYTES_MAX
    }

    fn status(&self) -> Status {
        self.0.status()
    }
}

/// A name that is six times as long in JSON.
fn name(number: usize) -> String {
    format!("/{number:02}{}", "\u{1}".repeat(1_000))
}

#[tokio::test(start_paused = true)]
async fn what_a_host_has_is_paged_as_the_bus_carries_it() {
    const MEMBERS: usize = 40;
    let hosts = hosts_on(&["a", "b"], |bus| Arc::new(Narrow(bus))).await;
    let [a, b] = hosts.hubs.as_slice() else {
        panic!("there are two")
    };
    let mut members = Vec::new();
    for number in 0..MEMBERS {
        let member = open(b);
        join(b, &member, &name(number)).await;
        let value = format!(r#""{}""#, "\\\"".repeat(1_000));
        let set = member.set_attribute("a", Some(value), true, usize::MAX);
        set.unwrap();
        members.push(member.id);
    }
    members.sort();
    let mut seen = Vec::new();
    loop {
        let (page, coverage) = a
            .connections_everywhere(None, seen.last().copied(), 1_000)
            .await;
        assert_eq!((page.total, coverage), (MEMBERS, all(2)));
        if page.entries.is_empty() {
            break;
        }
        seen.extend(page.entries.iter().map(|info| info.id));
    }
    assert_eq!(seen, members);
    let mut seen = Vec::<RoomName>::new();
    loop {
        let after = seen.last().map(RoomName::as_str);
        let (page, coverage) = a.rooms_everywhere("/", after, 1_000).await;
        assert_eq!((page.total, coverage), (MEMBERS, all(2)));
        if page.entries.is_empty() {
            break;
        }
        seen.extend(page.entries.into_iter().map(|(name, _)| name));
    }
    let seen = seen.iter().map(RoomName::as_str);
    assert!(seen.eq((0..MEMBERS).map(name)));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_is_waited_for_once() {
    let hosts = hosts_on(&["a", "b"], |bus| Arc::new(Narrow(bus))).await;
    let [a, b] = hosts.hubs.as_slice() else {
        panic!("there are two")
    };
    let member = open(b);
    for number in 0..40 {
        join(b, &member, &name(number)).await;
    }
    let silent = Silent::on(&hosts.bus);
    let alive = json!({ "alive": { "from": "9e107d9d-372b-4b68-98ab-000000000000", "node": "c" } });
    silent.say(&alive.to_string());
    let start = Instant::now();
    let (page, coverage) = a.rooms_everywhere("/", Some(&name(37)), 10).await;
    assert_eq!(start.elapsed(), std::time::Duration::from_secs(1));
    assert_eq!((page.total, page.entries.len()), (40, 2));
    let (expected, answered) = (3, 2);
    assert_eq!(coverage, Coverage { expected, answered });
}
