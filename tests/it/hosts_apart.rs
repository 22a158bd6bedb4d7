//! Hosts whose line to the broker is long, or is cut, or that have the same name.

use crate::cluster::{host, run, up};
use crate::cluster_queries::ask;
use serde_json::json;
use std::time::{Duration, Instant};
use wardroom::Config;
use wardroom_tests::broker::Line;
use wardroom_tests::{Broker, Client, Plugin, TestServer};

wardroom_tests::on_each_broker! {
    two_hosts_of_one_name_are_two,
    a_broker_may_be_slow,
    who_is_answered_is_in_the_rooms_of_its_connect_handlers,
    what_is_said_last_is_heard,
    who_is_cut_off_loses_nobody,
    a_broker_that_stops_loses_nobody,
    what_a_host_says_is_heard_in_its_order,
}

/// One way to the broker.
const WAY: Duration = Duration::from_millis(100);

/// With hooks, on a line of its own.
fn host_on(line: &Line, node: &str, configure: impl FnOnce(&mut Config)) -> TestServer {
    let manifest = json!({
        "name": "puppet", "routes": [["do", "/do"]], "hooks": ["connect", "disconnect"],
    });
    TestServer::start(&[Plugin::puppet(&manifest)], |config| {
        config.node = node.to_owned();
        config.set("cluster.url", line.url()).unwrap();
        configure(config);
    })
    .unwrap()
}

async fn connect_with(host: &TestServer, query: &str) -> Client {
    let path = format!("/ws?{}", query.replace('"', "%22"));
    host.connect_at("client", &path, &[])
        .await
        .unwrap()
        .unwrap()
}

async fn assert_known(client: &mut Client, hosts: u64) {
    let size = ask(client, json!(["room-size", "/none", "cluster"])).await;
    assert_eq!(size["coverage"], json!([hosts, hosts]));
}

async fn two_hosts_of_one_name_are_two(broker: Broker) {
    let hosts = [(); 2].map(|()| host(&broker, "same", |_| {}));
    let mut clients = Vec::new();
    for host in &hosts {
        up(host, true).await;
        clients.push(host.connect("client").await.unwrap());
    }
    for (host, client) in hosts.iter().zip(&mut clients) {
        let log = host.logged(&["ERROR", "same name"]).await.unwrap();
        assert!(log.contains("same"), "{log}");
        assert_known(client, 2).await;
        let page = ask(client, json!(["connections", {}, "cluster"])).await;
        assert_eq!(page["total"], 2, "{page}");
    }
    let [one, other] = clients.as_mut_slice() else {
        panic!("there are two")
    };
    let id = ask(other, json!(["id"])).await;
    let push = json!({ "event": "e", "path": "/p" });
    assert_eq!(ask(one, json!(["server-send", id, push])).await, true);
    assert_eq!(other.receive_json().await.unwrap(), push);
}

async fn a_broker_may_be_slow(broker: Broker) {
    let line = Line::to(&broker, WAY).await.unwrap();
    let mut hosts = Vec::new();
    let mut clients = Vec::new();
    for (number, node) in (1..).zip(["one", "two", "three"]) {
        let host = host_on(&line, node, |_| {});
        up(&host, true).await;
        let mut client = host.connect(node).await.unwrap();
        // Who is ready has heard who is there, however far.
        assert_known(&mut client, number).await;
        hosts.push(host);
        clients.push(client);
    }
    for number in 0..3 {
        let room = format!("/fresh/{number}");
        let began = Instant::now();
        run(&mut clients[1], json!([["join", room]])).await;
        let took = began.elapsed();
        // After a second a join would no longer wait for the broker.
        assert!(took >= 2 * WAY && took < Duration::from_secs(1), "{took:?}");
        run(&mut clients[0], json!([["broadcast", "n", number, room]])).await;
        assert_eq!(clients[1].receive_json().await.unwrap()["data"], number);
    }
    // It is as good as a near one, only later.
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    for _ in 0..5 {
        seconds.tick().await;
        assert_known(&mut clients[2], 3).await;
    }
    for host in &hosts {
        let log = host.log.text();
        assert!(
            !log.contains("host lost") && !log.contains("bus is away"),
            "{log}"
        );
    }
}

async fn who_is_answered_is_in_the_rooms_of_its_connect_handlers(broker: Broker) {
    let line = Line::to(&broker, WAY).await.unwrap();
    let hosts = ["one", "two"].map(|node| host_on(&line, node, |_| {}));
    for host in &hosts {
        up(host, true).await;
    }
    let mut sender = hosts[1].connect("sender").await.unwrap();
    let began = Instant::now();
    let joining = r#"connect=[["join","/a"],["join","/b"]]"#;
    let mut member = connect_with(&hosts[0], joining).await;
    assert_eq!(ask(&mut member, json!(["value", 1])).await, 1);
    let took = began.elapsed();
    assert!(took >= 2 * WAY, "it was answered after {took:?}");
    for room in ["/a", "/b"] {
        run(&mut sender, json!([["broadcast", "n", room, room]])).await;
        assert_eq!(member.receive_json().await.unwrap()["data"], room);
    }
    // Nobody waits for long for a broker that is away.
    line.cut();
    up(&hosts[0], false).await;
    let began = Instant::now();
    let mut member = connect_with(&hosts[0], &joining.replace("/b", "/c")).await;
    assert_eq!(ask(&mut member, json!(["value", 1])).await, 1);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
}

async fn what_is_said_last_is_heard(broker: Broker) {
    // Some batches of what may be sent at once.
    const LAST: u64 = 600;
    let near = Line::to(&broker, Duration::ZERO).await.unwrap();
    let far = Line::to(&broker, WAY).await.unwrap();
    let one = host_on(&near, "one", |config| {
        config.limits.outbox_messages_max = 10_000;
    });
    let mut other = host_on(&far, "other", |config| {
        config.limits.pushes_per_event_max = 10_000;
    });
    up(&one, true).await;
    up(&other, true).await;
    let mut member = one.connect("member").await.unwrap();
    run(&mut member, json!([["join", "/r"]])).await;
    assert_known(&mut member, 2).await;
    let farewell = format!(r#"disconnect=[["repeat",{LAST},["broadcast","n",1,"/r"]]]"#);
    let leaving = connect_with(&other, &farewell).await;
    // It must not keep the host waiting.
    drop(leaving);
    member.receive_json().await.unwrap();
    // The lines are laid on this thread.
    let stopping = tokio::task::spawn_blocking(move || other.stop());
    stopping.await.unwrap().unwrap();
    for _ in 1..LAST {
        assert_eq!(member.receive_json().await.unwrap()["data"], 1);
    }
    one.logged(&["host gone", "other"]).await.unwrap();
    assert_known(&mut member, 1).await;
}

async fn who_is_cut_off_loses_nobody(broker: Broker) {
    let near = Line::to(&broker, Duration::ZERO).await.unwrap();
    let cut = Line::to(&broker, Duration::ZERO).await.unwrap();
    let one = host_on(&cut, "one", |_| {});
    let two = host_on(&near, "two", |_| {});
    let three = host_on(&near, "three", |_| {});
    for host in [&one, &two, &three] {
        up(host, true).await;
    }
    let mut client = one.connect("client").await.unwrap();
    assert_known(&mut client, 3).await;
    cut.cut();
    up(&one, false).await;
    // The others do without it.
    for host in [&two, &three] {
        host.logged(&["host lost", "one"]).await.unwrap();
    }
    // Who is away asks in vain, and says so.
    let size = ask(&mut client, json!(["room-size", "/none", "cluster"])).await;
    assert_eq!(size["coverage"], json!([3, 1]));
    // Meanwhile somebody has come.
    let four = host_on(&near, "four", |_| {});
    up(&four, true).await;
    cut.mend();
    up(&one, true).await;
    assert_known(&mut client, 4).await;
    let mut client = four.connect("client").await.unwrap();
    assert_known(&mut client, 4).await;
    let log = one.log.text();
    assert!(!log.contains("host lost"), "{log}");
}

async fn a_broker_that_stops_loses_nobody(broker: Broker) {
    let hosts = ["one", "two"].map(|node| host(&broker, node, |_| {}));
    let mut clients = Vec::new();
    for host in &hosts {
        up(host, true).await;
        clients.push(host.connect("client").await.unwrap());
    }
    // As long as silence is too long, and then as long as a host takes to notice what is wrong.
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    for stopped in [2, 5] {
        broker.pause().await.unwrap();
        seconds.reset();
        for _ in 0..stopped {
            seconds.tick().await;
        }
        broker.resume().await.unwrap();
        for (host, client) in hosts.iter().zip(&mut clients) {
            up(host, true).await;
            assert_known(client, 2).await;
            let log = host.log.text();
            assert!(!log.contains("host lost"), "{log}");
        }
    }
}

async fn what_a_host_says_is_heard_in_its_order(broker: Broker) {
    const TIMES: u64 = 300;
    let busy = |config: &mut Config| {
        config.limits.pushes_per_event_max = 10_000;
        config.limits.outbox_messages_max = 10_000;
    };
    let hosts = ["one", "two"].map(|node| host(&broker, node, busy));
    for host in &hosts {
        up(host, true).await;
    }
    let mut member = hosts[0].connect("member").await.unwrap();
    let rooms: Vec<_> = (0..10).map(|room| format!("/r/{room}")).collect();
    let joins: Vec<_> = rooms.iter().map(|room| json!(["join", room])).collect();
    for join in joins {
        run(&mut member, json!([join])).await;
    }
    let mut sender = hosts[1].connect("sender").await.unwrap();
    // Rooms, and all connections, which is another channel.
    let mut script = Vec::new();
    for number in 0..TIMES {
        // Not one after another: taking turns would then be the right order by chance.
        let place = usize::try_from(number * number / 7).unwrap() % (rooms.len() + 1);
        script.push(match rooms.get(place) {
            Some(room) => json!(["broadcast", "n", number, room]),
            None => json!(["server-broadcast", { "event": "n", "path": "/", "data": number }]),
        });
    }
    sender
        .send(json!({ "event": "do", "path": "/do", "data": script }).to_string())
        .await
        .unwrap();
    for number in 0..TIMES {
        assert_eq!(member.receive_json().await.unwrap()["data"], number);
    }
}
