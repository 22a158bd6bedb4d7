//! One master of a cluster, for the channels of its slots: publish and subscribe on one connection, from Redis 7 on.
//!
//! When slots go elsewhere, the master ends what was subscribed there, and refuses what comes for them. What it says about
//! that is an answer that nobody asked for, and the library, which counts answers, takes it for the next one that it
//! waits for. So nothing here is concluded from how many answers there were: a channel is subscribed when its name is
//! confirmed.
//!
//! What has become a replica would go on to serve, and is given up all the same: see `is_of_replica`.

use std::collections::HashSet;
use std::slice;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, PushInfo, PushKind, RedisResult, Value};
use uuid::Uuid;

use super::masters::Masters;
use crate::cluster::link::{Batch, Inbox, Link, LinkError, Transport};
use crate::cluster::redis::{PAYLOAD_BYTES_MAX, Redis};

pub(super) struct Master {
    redis: Redis,
    /// The number that it has among the members of the bus.
    number: u64,
    masters: Weak<Masters>,
    is_told: Arc<AtomicBool>,
}

pub(super) struct MasterLink {
    connection: MultiplexedConnection,
    inbox: Inbox,
    asked: Asked,
    masters: Weak<Masters>,
    /// That it refuses payloads. A refused probe is told as silence only.
    is_told: Arc<AtomicBool>,
}

/// The channels whose subscription is asked for and not confirmed yet.
type Asked = Arc<Mutex<HashSet<Arc<str>>>>;

impl Master {
    pub(super) fn new(redis: Redis, number: u64, masters: Weak<Masters>) -> Self {
        Self {
            redis,
            number,
            masters,
            is_told: Arc::default(),
        }
    }
}

impl Transport for Master {
    type Link = MasterLink;

    /// In one of the slots that it has now. When that goes elsewhere the connection is given up and another is made.
    fn probes(&self, prefix: &str) -> String {
        let masters = self.masters.upgrade();
        let tag = masters.and_then(|masters| masters.tag_of(self.number));
        let (tag, unique) = (tag.unwrap_or_default(), Uuid::new_v4().simple());
        format!("{prefix}ws:probe:{{{tag}}}:{unique}")
    }

    fn away(&self) -> &'static str {
        "a master of the bus is away, hosts are alone in its rooms"
    }

    async fn connect(&self, inbox: Inbox) -> Result<MasterLink, LinkError> {
        // There was none, or there is none any more: perhaps another has its slots.
        hint(&self.masters);
        let asked = Asked::default();
        let taker = (inbox.clone(), Arc::clone(&asked), self.masters.clone());
        let opening = self.redis.open(move |push| {
            let (inbox, asked, masters) = &taker;
            take(inbox, asked, masters, push);
        });
        let mut link = MasterLink {
            connection: opening.await?,
            inbox,
            asked,
            masters: self.masters.clone(),
            is_told: Arc::clone(&self.is_told),
        };
        // Before anything else is subscribed; if it becomes a replica after that, it ends the subscription of the probes.
        let mut asking = on_each("SSUBSCRIBE", slice::from_ref(link.inbox.probes()));
        asking.cmd("ROLE");
        if is_of_replica(&link.ask(asking).await?) {
            return Err(LinkError::new("it is no master any more"));
        }
        Ok(link)
    }
}

/// Called by the library as it reads.
fn take(inbox: &Inbox, asked: &Asked, masters: &Weak<Masters>, push: &PushInfo) {
    if push.kind == PushKind::Disconnection {
        return inbox.lost("the connection was lost");
    }
    let Some(Value::BulkString(channel)) = push.data.first() else {
        return;
    };
    // What this host subscribed to was text.
    let Ok(channel) = std::str::from_utf8(channel) else {
        return;
    };
    match (&push.kind, push.data.get(1)) {
        (PushKind::SMessage, Some(Value::BulkString(payload))) => inbox.message(channel, payload),
        (PushKind::SSubscribe, _) => {
            asked.lock().remove(channel);
        }
        (PushKind::SUnsubscribe, _) if *channel == **inbox.probes() => {
            inbox.lost("it has other slots now");
        }
        (PushKind::SUnsubscribe, _) => {
            let ended = LinkError::new("it has ended the subscription");
            if inbox.interrupted(channel, &ended) {
                hint(masters);
            }
        }
        _ => {}
    }
}

fn hint(masters: &Weak<Masters>) {
    if let Some(masters) = masters.upgrade() {
        masters.look.notify_one();
    }
}

impl Link for MasterLink {
    async fn send(&mut self, batch: Batch) -> Result<(), LinkError> {
        if !batch.unsubscribe.is_empty() {
            // Where slots went elsewhere it refuses, and has ended that already.
            self.ask(on_each("SUNSUBSCRIBE", &batch.unsubscribe))
                .await?;
        }
        if !batch.subscribe.is_empty() {
            self.asked.lock().extend(batch.subscribe.iter().cloned());
            let answers = self.ask(on_each("SSUBSCRIBE", &batch.subscribe)).await?;
            let refused = std::mem::take(&mut *self.asked.lock());
            self.interrupted(&refused, &answers)?;
        }
        if !batch.publish.is_empty() {
            self.publish(&batch.publish).await?;
        }
        Ok(())
    }

    fn payload_bytes_max(&self) -> usize {
        PAYLOAD_BYTES_MAX
    }
}

impl MasterLink {
    async fn ask(&mut self, mut commands: Pipeline) -> Result<Vec<RedisResult<Value>>, LinkError> {
        commands.ignore_errors();
        Ok(commands.query_async(&mut self.connection).await?)
    }

    /// These channels are not subscribed.
    fn interrupted(
        &self,
        refused: &HashSet<Arc<str>>,
        answers: &[RedisResult<Value>],
    ) -> Result<(), LinkError> {
        if refused.is_empty() {
            return Ok(());
        }
        hint(&self.masters);
        // That of one of them, most likely.
        let error = answers.iter().find_map(|answer| answer.as_ref().err());
        let error = error.map_or_else(
            || LinkError::new("it has not confirmed the subscription"),
            LinkError::new,
        );
        if refused.contains(self.inbox.probes()) {
            // Nothing could be proven.
            return Err(error);
        }
        for channel in refused {
            self.inbox.interrupted(channel, &error);
        }
        Ok(())
    }

    async fn publish(&mut self, messages: &[(String, Bytes)]) -> Result<(), LinkError> {
        let mut publishing = redis::pipe();
        for (channel, payload) in messages {
            let command = publishing.cmd("SPUBLISH").arg(channel);
            command.arg(payload.as_ref());
        }
        let answers = self.ask(publishing).await?;
        let refused = refused(&answers);
        if refused > 0 {
            self.inbox.refused(refused);
            hint(&self.masters);
        }
        // Permissions above all. That slots have gone elsewhere is nothing to tell.
        let mut errors = answers.iter().filter_map(|answer| answer.as_ref().err());
        if let Some(error) = errors.find(|error| !error.is_cluster_error())
            && !self.is_told.swap(true, Ordering::Relaxed)
        {
            tracing::warn!("a master of the bus refuses payloads: {error}");
        }
        Ok(())
    }
}

/// A command for each of these channels: one command can only have channels of one slot.
fn on_each(command: &str, channels: &[Arc<str>]) -> Pipeline {
    let mut commands = redis::pipe();
    for channel in channels {
        commands.cmd(command).arg(&**channel);
    }
    commands
}

/// Whether an answer says that it is one. A replica takes subscriptions and payloads as a master does, and passes payloads
/// on to its master, which may take a while. Who hears them here and goes over to the master then would hear them again.
fn is_of_replica(answers: &[RedisResult<Value>]) -> bool {
    answers.iter().any(|answer| match answer {
        Ok(Value::Array(role)) => {
            matches!(role.first(), Some(Value::BulkString(role)) if role == b"slave")
        }
        _ => false,
    })
}

/// How many payloads were refused. Which they were is not to be known, nor whether a probe was one of them: an answer that
/// nobody asked for may stand before them, and the last of them come with the next batch, or never. That a probe is
/// refused need not be known either: where its slot went elsewhere its subscription is ended, and else it does not come
/// back, and the master is given up as one that does not answer.
fn refused(answers: &[RedisResult<Value>]) -> u64 {
    answers.iter().filter(|answer| answer.is_err()).count() as u64
}

#[cfg(test)]
mod tests {
    use redis::{ErrorKind, RedisError};
    use tokio::net::TcpListener;

    use super::*;
    use crate::cluster::outgoing::Outgoing;
    use crate::cluster::sharded::played::serve;
    use crate::cluster::shared::Shared;

    /// Connects with a server that has this role.
    async fn connect_with(role: &str) -> Result<MasterLink, LinkError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let role = format!("*1\r\n${}\r\n{role}\r\n", role.len());
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = |word: &str| match word {
                "SSUBSCRIBE" => Some(">3\r\n$10\r\nssubscribe\r\n$1\r\np\r\n:1\r\n".to_owned()),
                "ROLE" => Some(role.clone()),
                _ => None,
            };
            serve(stream, answer).await;
        });
        let url = format!("redis-cluster://{address}").parse().unwrap();
        let redis = Redis::at(&url, "127.0.0.1", address.port());
        let shared = Shared::new("played".to_owned(), Outgoing::new(1, 1));
        let inbox = Inbox::new(Arc::new(shared), "p".into());
        let master = Master::new(redis, 1, Weak::new());
        master.connect(inbox).await
    }

    #[tokio::test]
    async fn what_has_become_a_replica_is_not_connected_with() {
        assert!(connect_with("master").await.is_ok());
        let error = connect_with("slave").await.err().unwrap();
        assert_eq!(error, LinkError::new("it is no master any more"));
    }

    #[test]
    fn an_answer_that_nobody_asked_for_is_no_refusal() {
        let taken = || Ok(Value::Int(1));
        let moved = || Err(RedisError::from((ErrorKind::Client, "moved")));
        let ended = || {
            Ok(Value::Push {
                kind: PushKind::SUnsubscribe,
                data: Vec::new(),
            })
        };
        assert_eq!(refused(&[]), 0);
        assert_eq!(refused(&[taken(), moved(), moved()]), 2);
        // In place of a probe's answer, there is a payload's.
        assert_eq!(refused(&[ended(), taken(), moved()]), 1);
    }
}
