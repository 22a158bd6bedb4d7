//! Instances are few: events wait for one, and are refused when there is none.

use serde_json::{Value, json};
use std::time::Duration;
use wardroom::Limit;
use wardroom_tests::{Plugin, TestServer};

fn puppet() -> Plugin {
    Plugin::puppet(&json!({ "name": "puppet", "routes": [["do", "/do"]] }))
}

#[tokio::test]
async fn events_per_instance_max() {
    let server = TestServer::start(&[puppet()], |config| {
        config.limits.instances_per_plugin_max = 1;
        config.limits.events_per_instance_max = 3;
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    let mut most = 0;
    let mut restarts = 0;
    for _ in 0..20 {
        let events = client.run("/do", json!([["events"]])).await.unwrap()[0]
            .as_u64()
            .unwrap();
        restarts += u32::from(events == 1);
        most = most.max(events);
    }
    assert!((1..=3).contains(&most), "an instance handled {most} events");
    assert!(restarts >= 7, "{restarts} instances for 20 events");
    assert_eq!(server.reached(Limit::EventsPerInstanceMax), 6);
}

#[tokio::test]
async fn instances_at_their_limit_answer_503() {
    let server = TestServer::start(&[puppet(), Plugin::built("echo")], |config| {
        config.limits.instances_per_plugin_max = 1;
        config.limits.instances_max = 8;
        config.limits.waiting_events_max = 1;
        config.limits.instance_wait_max = Duration::from_secs(15);
    })
    .unwrap();
    let mut watch = server.connect("watch").await.unwrap();
    watch.run("/do", json!([["join", "/watch"]])).await.unwrap();
    let sleep = |id: u64, milliseconds: u64| {
        json!({ "event": "do", "path": "/do", "id": id, "data":
            [["broadcast", "began", id, "/watch"], ["sleep", milliseconds]] })
        .to_string()
    };
    // One has the instance, one waits, and of the third there is one too many.
    let (mut first, mut second, mut third) = (
        server.connect("1").await.unwrap(),
        server.connect("2").await.unwrap(),
        server.connect("3").await.unwrap(),
    );
    first.send(sleep(1, 2000)).await.unwrap();
    assert_eq!(watch.receive_json().await.unwrap()["data"], 1);
    assert_eq!(server.reached(Limit::InstancesPerPluginMax), 0);
    second.send(sleep(2, 0)).await.unwrap();
    // Whichever of these two comes last is refused; the other one waits for the first to end.
    third.send(sleep(3, 0)).await.unwrap();
    let replies = [
        second.receive_json().await.unwrap(),
        third.receive_json().await.unwrap(),
    ];
    let refused: Vec<_> = replies
        .iter()
        .filter(|reply| reply["error"]["code"] == 503)
        .collect();
    assert_eq!(refused.len(), 1, "{replies:?}");
    assert_eq!(server.reached(Limit::InstancesPerPluginMax), 2);
    assert_eq!(server.reached(Limit::WaitingEventsMax), 1);
    assert_eq!(server.reached(Limit::InstanceWaitMax), 0);
    assert_eq!(
        first.receive_json().await.unwrap()["data"],
        json!(["ok", "slept"])
    );
    // Other plugins have instances of their own.
    assert_eq!(
        first.request("echo", "/echo", json!(1)).await.unwrap()["data"],
        Value::from(1)
    );
}

#[tokio::test]
async fn waiting_for_an_instance_ends() {
    let server = TestServer::start(&[puppet()], |config| {
        config.limits.instances_per_plugin_max = 1;
        config.limits.instance_wait_max = Duration::from_millis(100);
    })
    .unwrap();
    let mut watch = server.connect("watch").await.unwrap();
    watch.run("/do", json!([["join", "/watch"]])).await.unwrap();
    let mut busy = server.connect("busy").await.unwrap();
    let script = json!([["broadcast", "began", 1, "/watch"], ["sleep", 2000]]);
    busy.send(json!({ "event": "do", "path": "/do", "data": script, "id": 1 }).to_string())
        .await
        .unwrap();
    watch.receive_json().await.unwrap();
    let reply = watch.run("/do", json!([["value", 1]])).await.unwrap();
    assert_eq!(reply["error"]["code"], 503, "{reply}");
    assert_eq!(server.reached(Limit::InstanceWaitMax), 1);
    assert_eq!(
        busy.receive_json().await.unwrap()["data"],
        json!(["ok", "slept"])
    );
    assert_eq!(
        watch.run("/do", json!([["value", 1]])).await.unwrap(),
        json!([1])
    );
}

#[tokio::test]
async fn instances_max() {
    let single = |name: &str| {
        let route = format!("/{name}");
        Plugin::puppet(&json!({ "name": name, "mode": "singleton", "routes": [["do", route]] }))
    };
    let server = TestServer::start(&[single("a"), single("b"), single("c")], |config| {
        config.limits.instances_per_plugin_max = 1;
        config.limits.instances_max = 2;
    })
    .unwrap();
    let mut client = server.connect("A").await.unwrap();
    let value = || json!([["value", 1]]);
    // Singletons stay.
    for path in ["/a", "/b"] {
        assert_eq!(client.run(path, value()).await.unwrap(), json!([1]));
    }
    assert_eq!(server.reached(Limit::InstancesMax), 0);
    let reply = client.run("/c", value()).await.unwrap();
    assert_eq!(reply["error"]["code"], 503, "{reply}");
    assert_eq!(server.reached(Limit::InstancesMax), 1);
    // When one ends, there is room.
    client.run("/a", json!([["trap"]])).await.unwrap();
    assert_eq!(client.run("/c", value()).await.unwrap(), json!([1]));
}

#[tokio::test]
async fn instance_idle_max() {
    let events = async |idle: Duration| {
        let server = TestServer::start(&[puppet()], |config| {
            config.limits.instance_idle_max = idle;
            config.limits.events_per_instance_max = 100;
        })
        .unwrap();
        let mut client = server.connect("A").await.unwrap();
        let mut counts = Vec::new();
        let start = std::time::Instant::now();
        // Each pause is far longer than the short limit, and far shorter than the long one.
        while counts.len() < 3 || start.elapsed() < Duration::from_millis(600) {
            let answer = client.run("/do", json!([["events"]])).await.unwrap();
            counts.push(answer[0].as_u64().unwrap());
            let silence = client.receive_within(Duration::from_millis(200)).await;
            assert!(silence.is_err(), "{silence:?}");
        }
        let retired = server.reached(Limit::InstanceIdleMax);
        (counts, retired)
    };
    let (short, retired) = events(Duration::from_millis(20)).await;
    assert!(retired >= 2, "{retired} were thrown away");
    assert!(short.iter().all(|count| *count == 1), "{short:?}");
    let (long, retired) = events(Duration::from_secs(60)).await;
    assert_eq!(retired, 0);
    assert_eq!(long.get(..3), Some(&[1, 2, 3][..]), "the same instance");
}
