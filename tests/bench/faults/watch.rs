//! Those who ask the hosts, all the time, whether they are ready and who is there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::clients::{ask, room};
use super::shared::Shared;
use crate::client::Client;
use crate::http::get;

const READINESS_INTERVAL: Duration = Duration::from_millis(5);
/// By each of so many, in turn: one that is not answered by all keeps its connection waiting, for a second.
const QUERY_INTERVAL: Duration = Duration::from_millis(1_100);
const ASKING: u32 = 55;

pub(super) fn start(
    addr: SocketAddr,
    host: usize,
    shared: &Arc<Shared>,
    watching: &mut JoinSet<Result<()>>,
) {
    let of = Arc::clone(shared);
    watching.spawn(async move {
        let ended = readiness(addr, host, &of).await;
        of.of_host(host, ended)
    });
    for number in 0..ASKING {
        let of = Arc::clone(shared);
        watching.spawn(async move {
            sleep(QUERY_INTERVAL * number / ASKING).await;
            let ended = queries(addr, host, &of).await;
            of.of_host(host, ended)
        });
    }
}

async fn readiness(addr: SocketAddr, host: usize, shared: &Shared) -> Result<()> {
    let mut ticks = interval(READINESS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !shared.is_stopping() && !shared.is_gone(host) {
        ticks.tick().await;
        let asked = Instant::now();
        let (status, _) = get(addr, "/readyz", "").await?;
        ensure!([200, 503].contains(&status), "GET /readyz says {status}");
        shared.state().readiness(host, asked, status == 200);
    }
    Ok(())
}

async fn queries(addr: SocketAddr, host: usize, shared: &Shared) -> Result<()> {
    let mut client = Client::connect(addr).await?;
    let mut ticks = interval(QUERY_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !shared.is_stopping() {
        ticks.tick().await;
        let asked = Instant::now();
        let answer = ask(&mut client, &json!(["room-size", room(0), "cluster"])).await?;
        let Answer { size, coverage } = serde_json::from_value(answer)?;
        shared.state().answer(host, asked, size, coverage);
    }
    Ok(())
}

#[derive(Debug, serde::Deserialize)]
struct Answer {
    size: usize,
    /// How many hosts were asked, and how many answered.
    coverage: [usize; 2],
}
