//! Who has which slots: asked of a server of the cluster, again and again, and at once when something points to a change.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::select_ok;
use redis::Value;
use redis::aio::MultiplexedConnection;
use tokio::time::{sleep, timeout};

use super::masters::Masters;
use super::topology::{Address, Range, Topology};
use crate::cluster::link::LinkError;
use crate::cluster::redis::Redis;

/// How often to ask while all is well. What changes is noticed sooner, by those whom it concerns.
const CALM: Duration = Duration::from_secs(2);
/// How often while it is not.
const ALARMED: Duration = Duration::from_millis(200);
/// However many point to a change.
const LEAST: Duration = Duration::from_millis(50);
/// How long a server may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// How many are asked at a time when the one that was asked last is away.
const ASKED_MAX: usize = 8;

/// Asks for ever, and has the masters take over what is answered.
pub(super) async fn run(masters: Arc<Masters>) {
    let mut source = None;
    let mut told = None;
    let mut turn = 0;
    loop {
        let looked = match source.take() {
            Some(source) => look(source).await,
            None => find(&masters, turn).await,
        };
        match looked {
            Ok((topology, answering)) => {
                told = None;
                source = Some(answering);
                masters.take_over(topology);
            }
            Err(error) => {
                turn += 1;
                if told.as_ref() != Some(&error) {
                    tracing::warn!(broker = %masters.url, "nobody says who has the slots: {error}");
                    told = Some(error);
                }
            }
        }
        let is_calm = source.is_some() && masters.status().is_ready;
        sleep(LEAST).await;
        // A change is also the end of what was waited for.
        let _ = timeout(
            if is_calm { CALM } else { ALARMED },
            masters.look.notified(),
        )
        .await;
    }
}

/// A server that answers.
struct Source {
    address: Address,
    connection: MultiplexedConnection,
}

/// Asks several at once, so that one which is stopped costs no time. The first that knows is the one to be asked from
/// then on.
async fn find(masters: &Masters, turn: usize) -> Result<(Topology, Source), LinkError> {
    let mut addresses = masters.addresses();
    for (host, port) in masters.url.nodes() {
        let host = host.trim_matches(['[', ']']).to_owned();
        let named = Address { host, port };
        if !addresses.contains(&named) {
            addresses.push(named);
        }
    }
    let first = turn * ASKED_MAX % addresses.len().max(1);
    addresses.rotate_left(first);
    let asked = addresses.into_iter().take(ASKED_MAX);
    let asking = asked.map(|address| {
        let redis = Redis::at(&masters.url, &address.host, address.port);
        let looking = async move {
            let opening = timeout(ANSWER_MAX, redis.open(|_| {})).await;
            let connection = opening.map_err(|_| silent())??;
            look(Source {
                address,
                connection,
            })
            .await
        };
        looking.boxed()
    });
    let (found, _) = select_ok(asking).await?;
    Ok(found)
}

async fn look(mut source: Source) -> Result<(Topology, Source), LinkError> {
    let mut asking = redis::pipe();
    asking.cmd("CLUSTER").arg("INFO");
    asking.cmd("CLUSTER").arg("SLOTS");
    let answering = asking.query_async(&mut source.connection);
    let answer = timeout(ANSWER_MAX, answering).await;
    let (info, slots): (String, Value) = answer.map_err(|_| silent())??;
    // One that is cut off from most of the others does not know who has the slots now.
    if !info.lines().any(|line| line.trim() == "cluster_state:ok") {
        let address = &source.address;
        let error = format!("{address} says that the cluster is down");
        return Err(LinkError::new(&error));
    }
    let topology = read(&slots, &source.address).and_then(Topology::of);
    let topology = topology.ok_or_else(|| LinkError::new("an answer that makes no sense"))?;
    Ok((topology, source))
}

fn silent() -> LinkError {
    LinkError::new("it does not answer")
}

/// What `CLUSTER SLOTS` says: of each range the first slot, the last, the master, and replicas, which are of no interest.
fn read(slots: &Value, asked: &Address) -> Option<Vec<Range>> {
    let Value::Array(ranges) = slots else {
        return None;
    };
    let range = |range: &Value| {
        let Value::Array(parts) = range else {
            return None;
        };
        let [
            Value::Int(first),
            Value::Int(last),
            Value::Array(master),
            ..,
        ] = &parts[..]
        else {
            return None;
        };
        let [host, Value::Int(port), ..] = &master[..] else {
            return None;
        };
        let host = match host {
            Value::Nil => "",
            Value::BulkString(host) => std::str::from_utf8(host).ok()?,
            Value::SimpleString(host) => host,
            _ => return None,
        };
        // One that was not told its address is where it was reached.
        let host = if host.is_empty() { &asked.host } else { host };
        let port = u16::try_from(*port).ok()?;
        let host = host.to_owned();
        let address = Address { host, port };
        Some((
            u16::try_from(*first).ok()?,
            u16::try_from(*last).ok()?,
            address,
        ))
    };
    ranges.iter().map(range).collect()
}
