//! Three servers that all broadcast as fast as they are answered: nothing is lost, doubled or out of order.

use crate::servers::{Member, Server, wooks_needed};
use serde_json::json;
use wardroom_tests::Broker;

const ROOM: &str = "/chat/busy";
/// Of each server.
const BROADCASTS: u64 = 3_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_lose_and_double_nothing() {
    wooks_needed!();
    let broker = Broker::redis().await.unwrap();
    let servers = [
        Server::wooks(&broker).await,
        Server::wardroom(&broker, "one").await,
        Server::wardroom(&broker, "two").await,
    ];
    let mut listening = Vec::new();
    let mut senders = Vec::new();
    for server in &servers {
        for _ in 0..2 {
            let member = server.member(ROOM).await;
            listening.push(tokio::spawn(listen(member, servers.len())));
        }
        senders.push(server.connect("a sender").await);
    }
    let began = std::time::Instant::now();
    let sending = senders.into_iter().enumerate();
    let sending: Vec<_> = sending
        .map(|(from, sender)| tokio::spawn(send(sender, from)))
        .collect();
    for ended in sending.into_iter().chain(listening) {
        ended.await.unwrap();
    }
    eprintln!(
        "3 servers, {BROADCASTS} broadcasts each to 6 members: {:?}",
        began.elapsed()
    );
}

async fn send(mut sender: Member, from: usize) {
    for number in 0..BROADCASTS {
        sender
            .say(ROOM, json!({ "from": from, "number": number }))
            .await;
    }
    sender.say(ROOM, json!({ "from": from, "end": true })).await;
}

/// Gets all that each server sends, in its order, and then its end.
async fn listen(mut member: Member, servers: usize) {
    let mut next = vec![0; servers];
    let mut ends = 0;
    while ends < servers {
        let data = member.next().await["data"].take();
        let from = usize::try_from(data["from"].as_u64().unwrap()).unwrap();
        if data["end"] == true {
            assert_eq!(next[from], BROADCASTS, "server {from} has ended");
            ends += 1;
            continue;
        }
        assert_eq!(data["number"], next[from], "of server {from}");
        next[from] += 1;
    }
}
