//! The clients of `faults`: on each host somebody who broadcasts to all rooms in turn, and a member of each room.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::ledger::Stream;
use super::shared::Shared;
use super::{PATH, ROOMS};
use crate::client::{Client, Incoming};

/// Of one host: 200 a second.
const BROADCAST_INTERVAL: Duration = Duration::from_millis(5);
/// For what is still owed when there are no more broadcasts. What has not come then never does.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// A query is answered within a second, complete or not; on a busy machine a little later.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A broadcast's data.
#[derive(Debug, Deserialize)]
struct Said {
    from: usize,
    /// `None` at the end.
    number: Option<usize>,
}

#[derive(Debug, Deserialize)]
struct Push {
    path: String,
    data: Said,
}

pub(super) fn room(number: usize) -> String {
    format!("/room/{number}")
}

/// A request of the fixture: to run this script.
fn request(id: &Value, script: &Value) -> String {
    json!({ "event": "do", "path": PATH, "id": id, "data": script }).to_string()
}

/// Has one step run on a connection that gets nothing else; returns its result.
pub(super) async fn ask(client: &mut Client, step: &Value) -> Result<Value> {
    client.queue(&request(&json!(0), &json!([step])));
    client.flush().await?;
    let mut result = None;
    while result.is_none() {
        let answer = |text: &[u8]| {
            let mut reply = Incoming::parse(text)?;
            let first = reply.data.as_mut().and_then(|data| data.get_mut(0));
            result = Some(
                first
                    .with_context(|| format!("unexpected: {}", String::from_utf8_lossy(text)))?
                    .take(),
            );
            Ok(())
        };
        timeout(ANSWER_MAX, client.receive(answer))
            .await
            .with_context(|| format!("no answer to {step}"))??;
    }
    Ok(result.unwrap_or_default())
}

/// Has a member of each room on a host; they are members when this returns.
pub(super) async fn join(
    addr: SocketAddr,
    host: usize,
    shared: &Arc<Shared>,
    clients: &mut JoinSet<Result<()>>,
) -> Result<()> {
    for number in 0..ROOMS {
        let mut client = Client::connect(addr).await?;
        // Nobody broadcasts yet.
        let joined = ask(&mut client, &json!(["join", room(number)])).await?;
        ensure!(joined == "ok", "could not join: {joined}");
        let shared = Arc::clone(shared);
        clients.spawn(async move {
            let ended = listen(client, host, &shared).await;
            shared.of_host(host, ended)
        });
    }
    Ok(())
}

/// Has somebody broadcast on a host.
pub(super) async fn broadcast(
    addr: SocketAddr,
    host: usize,
    shared: &Arc<Shared>,
    clients: &mut JoinSet<Result<()>>,
) -> Result<()> {
    let client = Client::connect(addr).await?;
    let shared = Arc::clone(shared);
    clients.spawn(async move {
        let ended = talk(client, host, &shared).await;
        shared.of_host(host, ended)
    });
    Ok(())
}

/// A member that writes down what it gets, until all have ended.
async fn listen(mut client: Client, host: usize, shared: &Shared) -> Result<()> {
    let mut ends = Vec::new();
    while !shared.all_there(&ends) {
        let receiving = client.receive(|text| {
            let at = Instant::now();
            let push: Push = serde_json::from_slice(text)
                .with_context(|| format!("unexpected: {}", String::from_utf8_lossy(text)))?;
            let from = push.data.from;
            let room = push.path.rsplit('/').next().unwrap_or_default().parse()?;
            match push.data.number {
                Some(number) => shared
                    .state()
                    .ledger
                    .hear(Stream { from, room }, number, host, at),
                None => ends.push(from),
            }
            Ok(())
        });
        if shared.is_stopping() {
            let Ok(received) = timeout(DRAIN_MAX, receiving).await else {
                // The ends themselves were lost; the ledger knows what else was.
                return Ok(());
            };
            received?;
        } else {
            receiving.await?;
        }
    }
    Ok(())
}

/// Broadcasts to one room after another, whether or not the replies come.
async fn talk(mut client: Client, host: usize, shared: &Shared) -> Result<()> {
    let mut ticks = interval(BROADCAST_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut room = 0;
    let mut owed = 0;
    while !shared.is_stopping() {
        tokio::select! {
            _ = ticks.tick() => {
                room = (room + 1) % ROOMS;
                let stream = Stream { from: host, room };
                let number = shared.state().ledger.send(stream, Instant::now());
                queue(&mut client, stream, Some(number));
                client.flush().await?;
                owed += 1;
            }
            received = receive(&mut client, host, shared) => owed -= received?,
        }
    }
    for room in 0..ROOMS {
        queue(&mut client, Stream { from: host, room }, None);
    }
    client.flush().await?;
    owed += ROOMS;
    let draining = async {
        while owed > 0 {
            owed -= receive(&mut client, host, shared).await?;
        }
        anyhow::Ok(())
    };
    // Requests that are never answered are in the ledger.
    timeout(DRAIN_MAX, draining).await.unwrap_or(Ok(()))
}

fn queue(client: &mut Client, stream: Stream, number: Option<usize>) {
    let data = json!({ "from": stream.from, "number": number });
    let script = json!([["broadcast", "n", data, room(stream.room)]]);
    let id = number.map(|number| number * ROOMS + stream.room);
    client.queue(&request(&id.map_or(json!("end"), Value::from), &script));
}

/// Takes in replies; returns how many.
async fn receive(client: &mut Client, host: usize, shared: &Shared) -> Result<usize> {
    let mut replies = 0;
    client
        .receive(|text| {
            let at = Instant::now();
            let reply = Incoming::parse(text)?;
            ensure!(
                reply.data == Some(json!(["ok"])),
                "could not broadcast: {reply:?}"
            );
            // The end has no number.
            if let Some(id) = reply.id.and_then(|id| id.as_u64()) {
                let id = usize::try_from(id)?;
                let stream = Stream {
                    from: host,
                    room: id % ROOMS,
                };
                shared.state().ledger.answer(stream, id / ROOMS, at);
            }
            replies += 1;
            Ok(())
        })
        .await?;
    Ok(replies)
}
