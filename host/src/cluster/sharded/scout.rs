//! Who has which slots: asked of a server of the cluster, again and again, and at once when something points to a change.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{RedisError, Value};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::masters::Masters;
use super::topology::{Address, Range, Topology};
use crate::cluster::Backoff;
use crate::cluster::redis::Redis;

/// How often to ask while all is well. What changes is noticed sooner, by those whom it concerns.
const CALM: Duration = Duration::from_secs(2);
/// How often while it is not.
const ALARMED: Duration = Duration::from_millis(200);
/// However many point to a change.
const LEAST: Duration = Duration::from_millis(50);
/// How long a server may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// How many are asked at a time when the one that was asked last does not know.
const ASKED_MAX: usize = 8;

/// Asks for ever, and has the masters take over what is answered.
pub(super) async fn run(masters: Arc<Masters>) {
    let mut scout = Scout {
        masters: Arc::clone(&masters),
        source: None,
        kept: HashMap::new(),
        turn: 0,
    };
    let mut backoff = Backoff::default();
    let mut told = HashSet::new();
    loop {
        match scout.look().await {
            Ok(topology) => {
                backoff.reset();
                told.clear();
                masters.take_over(topology);
            }
            Err(error) => {
                // Each kind of cause once, whoever it was that was asked.
                if told.insert(error.kind) {
                    tracing::warn!(broker = %masters.url, "nobody says who has the slots: {error}");
                }
                // Whatever points to a change: nobody knows of any.
                let (random, _) = Uuid::new_v4().as_u64_pair();
                sleep(backoff.next(random)).await;
                continue;
            }
        }
        sleep(LEAST).await;
        // A change is also the end of what was waited for.
        let _ = timeout(
            if masters.status().is_ready {
                CALM
            } else {
                ALARMED
            },
            masters.look.notified(),
        )
        .await;
    }
}

struct Scout {
    masters: Arc<Masters>,
    /// The server that knew last, and is asked alone.
    source: Option<Source>,
    /// Those that answered but did not know, to be asked again.
    kept: HashMap<Address, MultiplexedConnection>,
    turn: usize,
}

/// A server that answers.
struct Source {
    address: Address,
    connection: MultiplexedConnection,
}

/// Why a server does not say who has which slots.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {cause}")]
struct Unsaid {
    kind: Kind,
    address: Address,
    cause: String,
}

/// From what says the least to what says the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Kind {
    Away,
    Refused,
    Senseless,
    Down,
}

impl Scout {
    async fn look(&mut self) -> Result<Topology, Unsaid> {
        if let Some(source) = self.source.take() {
            let (answer, source) = look(source).await;
            match answer {
                Ok(topology) => {
                    self.source = source;
                    return Ok(topology);
                }
                Err(_) => self.keep(source),
            }
        }
        self.find().await
    }

    /// Asks several at once, so that one which is stopped costs no time. The first that knows is the one to be asked from
    /// then on. Otherwise what is said is the cause that says most, not the last: who fails last is a matter of luck.
    async fn find(&mut self) -> Result<Topology, Unsaid> {
        let mut asking = FuturesUnordered::new();
        for address in self.addresses() {
            let redis = Redis::at(&self.masters.url, &address.host, address.port);
            let kept = self.kept.remove(&address);
            asking.push(async move {
                match kept {
                    Some(connection) => {
                        look(Source {
                            address,
                            connection,
                        })
                        .await
                    }
                    None => open(redis, address).await,
                }
            });
        }
        let mut worst: Option<Unsaid> = None;
        while let Some((answer, source)) = asking.next().await {
            match answer {
                Ok(topology) => {
                    self.source = source;
                    self.kept.clear();
                    return Ok(topology);
                }
                Err(error) => {
                    self.keep(source);
                    if worst.as_ref().is_none_or(|worst| worst.kind < error.kind) {
                        worst = Some(error);
                    }
                }
            }
        }
        self.turn += 1;
        Err(worst.expect("a URL names one server at least"))
    }

    /// Of those that are asked in this turn.
    fn addresses(&self) -> Vec<Address> {
        let mut addresses = self.masters.addresses();
        for (host, port) in self.masters.url.nodes() {
            let host = host.trim_matches(['[', ']']).to_owned();
            let named = Address { host, port };
            if !addresses.contains(&named) {
                addresses.push(named);
            }
        }
        let first = self.turn * ASKED_MAX % addresses.len().max(1);
        addresses.rotate_left(first);
        addresses.truncate(ASKED_MAX);
        addresses
    }

    fn keep(&mut self, source: Option<Source>) {
        if let Some(source) = source {
            self.kept.insert(source.address, source.connection);
        }
    }
}

/// What is answered, and by whom, if it is of use to ask there again.
type Answer = (Result<Topology, Unsaid>, Option<Source>);

async fn open(redis: Redis, address: Address) -> Answer {
    match timeout(ANSWER_MAX, redis.open(|_| {})).await {
        Ok(Ok(connection)) => {
            let source = Source {
                address,
                connection,
            };
            look(source).await
        }
        Ok(Err(error)) => (Err(failed(address, &error)), None),
        Err(_) => (Err(silent(address)), None),
    }
}

async fn look(mut source: Source) -> Answer {
    let mut asking = redis::pipe();
    asking.cmd("CLUSTER").arg("INFO");
    asking.cmd("CLUSTER").arg("SLOTS");
    let answering = asking.query_async(&mut source.connection);
    let address = source.address.clone();
    let (info, slots): (String, Value) = match timeout(ANSWER_MAX, answering).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return (Err(failed(address, &error)), None),
        Err(_) => return (Err(silent(address)), None),
    };
    // One that is cut off from most of the others does not know who has the slots now.
    let is_up = info.lines().any(|line| line.trim() == "cluster_state:ok");
    let topology = read(&slots, &address).and_then(Topology::of);
    let answer = match topology {
        _ if !is_up => Err(unsaid(
            Kind::Down,
            address,
            "it says that the cluster is down",
        )),
        Some(topology) => Ok(topology),
        None => Err(unsaid(
            Kind::Senseless,
            address,
            "an answer that makes no sense",
        )),
    };
    (answer, Some(source))
}

fn unsaid(kind: Kind, address: Address, cause: impl Into<String>) -> Unsaid {
    let cause = cause.into();
    Unsaid {
        kind,
        address,
        cause,
    }
}

fn silent(address: Address) -> Unsaid {
    unsaid(Kind::Away, address, "it does not answer")
}

fn failed(address: Address, error: &RedisError) -> Unsaid {
    let kind = if error.is_io_error() {
        Kind::Away
    } else {
        Kind::Refused
    };
    unsaid(kind, address, error.to_string())
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Instant;

    use tokio::net::TcpListener;
    use tokio_util::task::AbortOnDropHandle;

    use super::*;
    use crate::cluster::Outgoing;
    use crate::cluster::sharded::played::serve;

    #[tokio::test]
    async fn who_answers_is_asked_again_and_ever_more_seldom() {
        const TIMES: usize = 8;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis-cluster://{}", listener.local_addr().unwrap());
        let masters = Masters::new(url.parse().unwrap(), "", Outgoing::new(1, 1));
        let scouting = tokio::spawn(run(Arc::new(masters)));
        let _scouting = AbortOnDropHandle::new(scouting);
        let asked = Arc::new(AtomicUsize::new(0));
        let (began, mut connections) = (Instant::now(), 0);
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        while asked.load(Ordering::Relaxed) < TIMES {
            tokio::select! {
                accepted = listener.accept() => {
                    connections += 1;
                    let asked = Arc::clone(&asked);
                    tokio::spawn(serve(accepted.unwrap().0, move |word| match word {
                        "INFO" => Some("$18\r\ncluster_state:fail\r\n".to_owned()),
                        "SLOTS" => {
                            asked.fetch_add(1, Ordering::Relaxed);
                            Some("*0\r\n".to_owned())
                        }
                        _ => None,
                    }));
                }
                _ = looks.tick() => {}
            }
        }
        assert_eq!(connections, 1);
        let took = began.elapsed();
        // Halves of what it waits for at least: 25 ms at first, and then double.
        assert!(took > Duration::from_millis(800), "{took:?}");
    }
}
