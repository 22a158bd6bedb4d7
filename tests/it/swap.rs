//! What happens during a swap to the events of the moment: each belongs to the version that it was routed by.

use serde_json::{Value, json};
use std::time::Duration;
use wardroom::Config;
use wardroom_tests::{Client, Frame, Plugin, TestServer};

/// How long a handler is busy in which a swap must happen: far longer than one takes.
const BUSY_MILLIS: u64 = 3000;

fn puppet(version: &str, mode: &str) -> Plugin {
    Plugin::puppet(&json!({
        "name": "puppet", "version": version, "mode": mode, "routes": [["do", "/do"]], "hooks": ["disconnect"],
    }))
}

/// Starts the first version. The second is in the cache by then, so that a swap to it takes no time to speak of.
async fn start(mode: &str, configure: impl FnOnce(&mut Config)) -> (TestServer, Client) {
    let next = TestServer::start(&[puppet("2", mode)], |_| {}).unwrap();
    next.logged(&["plugin live"]).await.unwrap();
    drop(next);
    let server = TestServer::start(&[puppet("1", mode)], configure).unwrap();
    let mut watch = server.connect("watch").await.unwrap();
    watch.run("/do", json!([["join", "/watch"]])).await.unwrap();
    (server, watch)
}

/// Says in the room which version it is as it begins and as it ends.
fn busy(id: u64, millis: u64) -> String {
    let tell = |event: &str| json!(["tell", event, "/watch", ["version"]]);
    let script = json!([tell("begins"), ["sleep", millis], tell("ends"), ["version"]]);
    json!({ "event": "do", "path": "/do", "id": id, "data": script }).to_string()
}

async fn seen(watch: &mut Client) -> (String, String) {
    let push = watch.receive_json().await.unwrap();
    let text = |key: &str| push[key].as_str().unwrap_or_default().to_owned();
    (text("event"), text("data"))
}

fn saw(event: &str, version: &str) -> (String, String) {
    (event.to_owned(), version.to_owned())
}

async fn swap(server: &TestServer, mode: &str) {
    puppet("2", mode).write(server.plugins.path());
    server.logged(&["plugin swapped", "1 -> 2"]).await.unwrap();
}

async fn version(client: &mut Client) -> Value {
    client.run("/do", json!([["version"]])).await.unwrap()[0].clone()
}

#[tokio::test]
async fn an_event_ends_with_the_version_that_it_began_with() {
    let (server, mut watch) = start("pooled", |_| {}).await;
    let mut busy_client = server.connect("busy").await.unwrap();
    busy_client.send(busy(1, BUSY_MILLIS)).await.unwrap();
    assert_eq!(seen(&mut watch).await, saw("begins", "1"));
    swap(&server, "pooled").await;
    let mut other = server.connect("other").await.unwrap();
    assert_eq!(
        version(&mut other).await,
        "2",
        "later ones go to the new one"
    );
    assert_eq!(seen(&mut watch).await, saw("ends", "1"));
    let reply = busy_client.receive_json().await.unwrap();
    assert_eq!(reply["data"][3], "1", "{reply}");
    assert_eq!(version(&mut busy_client).await, "2");
}

#[tokio::test]
async fn a_waiting_event_goes_to_the_version_that_it_waits_for() {
    let (server, mut watch) = start("pooled", |config| {
        config.limits.instances_per_plugin_max = 1
    })
    .await;
    let mut first = server.connect("first").await.unwrap();
    first.send(busy(1, BUSY_MILLIS)).await.unwrap();
    assert_eq!(seen(&mut watch).await, saw("begins", "1"));
    let mut second = server.connect("second").await.unwrap();
    second.send(busy(2, 0)).await.unwrap();
    // The answer to a ping behind it says that it has been taken up.
    second.ping("taken").await.unwrap();
    let pong = second.receive().await.unwrap();
    assert!(matches!(pong, Frame::Pong(_)), "{pong:?}");
    swap(&server, "pooled").await;
    assert_eq!(first.receive_json().await.unwrap()["data"][3], "1");
    assert_eq!(second.receive_json().await.unwrap()["data"][3], "1");
    assert_eq!(version(&mut second).await, "2");
}

#[tokio::test]
async fn a_singleton_ends_its_event_before_the_next_version_begins() {
    // To wait for the one before it is not the event's own time.
    let (server, mut watch) = start("singleton", |config| {
        config.limits.event_wall_max = Duration::from_millis(BUSY_MILLIS + 1000);
    })
    .await;
    let mut old = server.connect("old").await.unwrap();
    old.send(busy(1, BUSY_MILLIS)).await.unwrap();
    assert_eq!(seen(&mut watch).await, saw("begins", "1"));
    swap(&server, "singleton").await;
    let mut new = server.connect("new").await.unwrap();
    new.send(busy(2, BUSY_MILLIS)).await.unwrap();
    assert_eq!(seen(&mut watch).await, saw("ends", "1"));
    assert_eq!(seen(&mut watch).await, saw("begins", "2"));
    assert_eq!(seen(&mut watch).await, saw("ends", "2"));
    assert_eq!(new.receive_json().await.unwrap()["data"][3], "2");
}

#[tokio::test]
async fn the_end_of_a_connection_is_told_to_the_version_of_then() {
    let (server, mut watch) = start("pooled", |_| {}).await;
    let script = r#"[["tell","gone","/watch",["version"]]]"#.replace('"', "%22");
    let path = format!("/ws?puppet.disconnect={script}");
    let mut client = server.connect_at("A", &path, &[]).await.unwrap().unwrap();
    assert_eq!(version(&mut client).await, "1");
    swap(&server, "pooled").await;
    client.close(1000, "").await.unwrap();
    assert_eq!(seen(&mut watch).await, saw("gone", "2"));
}

#[tokio::test]
async fn one_reply_each_while_versions_change() {
    let (server, _) = start("pooled", |_| {}).await;
    let mut clients = Vec::new();
    for number in 0..4 {
        clients.push(server.connect(&number.to_string()).await.unwrap());
    }
    for swap in 0..10 {
        let name = format!("v{swap}");
        let plugin = puppet(&name, "pooled");
        let folder = server.plugins.path();
        std::fs::write(folder.join("new.part"), &plugin.bytes).unwrap();
        std::fs::rename(folder.join("new.part"), folder.join(&plugin.file)).unwrap();
        let arrow = format!("-> {name}");
        let line = ["plugin swapped", arrow.as_str()];
        let mut swapped = std::pin::pin!(server.logged(&line));
        let mut is_over = false;
        while !is_over {
            for (number, client) in clients.iter_mut().enumerate() {
                let reply = client
                    .request("do", "/do", json!([["value", number]]))
                    .await;
                assert_eq!(reply.unwrap()["data"], json!([number]));
            }
            is_over = futures_util::FutureExt::now_or_never(swapped.as_mut()).is_some();
        }
    }
    for client in &mut clients {
        // What `request` has put aside, if there is anything, would come first.
        client
            .send(json!({ "event": "end", "path": "/", "id": "end" }).to_string())
            .await
            .unwrap();
        assert_eq!(client.receive_json().await.unwrap()["id"], "end");
    }
}
