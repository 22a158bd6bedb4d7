//! One master of a cluster, for the channels of its slots: publish and subscribe on one connection, from Redis 7 on.
//!
//! When slots go elsewhere, the master ends what was subscribed there, and refuses what comes for them. What it says about
//! that is an answer that nobody asked for, and the library, which counts answers, takes it for the next one that it
//! waits for. So nothing here is concluded from how many answers there were: a channel is subscribed when its name is
//! confirmed.

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, PushInfo, PushKind, RedisError, RedisResult, Value};
use uuid::Uuid;

use super::masters::Masters;
use crate::cluster::link::{Batch, Inbox, Link, LinkError, Transport};
use crate::cluster::redis::{PAYLOAD_BYTES_MAX, Redis};

pub(super) struct Master {
    redis: Redis,
    /// The number that it has among the members of the bus.
    number: u64,
    masters: Weak<Masters>,
}

pub(super) struct MasterLink {
    connection: MultiplexedConnection,
    inbox: Inbox,
    asked: Asked,
    masters: Weak<Masters>,
}

/// The channels whose subscription is asked for and not confirmed yet.
type Asked = Arc<Mutex<HashSet<Arc<str>>>>;

impl Master {
    pub(super) fn new(redis: Redis, number: u64, masters: Weak<Masters>) -> Self {
        Self {
            redis,
            number,
            masters,
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

    async fn connect(&self, inbox: Inbox) -> Result<MasterLink, LinkError> {
        // There was none, or there is none any more: perhaps another has its slots.
        hint(&self.masters);
        let asked = Asked::default();
        let taker = (inbox.clone(), Arc::clone(&asked), self.masters.clone());
        let opening = self.redis.open(move |push| {
            let (inbox, asked, masters) = &taker;
            take(inbox, asked, masters, push);
        });
        Ok(MasterLink {
            connection: opening.await?,
            inbox,
            asked,
            masters: self.masters.clone(),
        })
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
        (PushKind::SUnsubscribe, _) if inbox.interrupted(channel) => hint(masters),
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
            self.interrupted(&refused, answers)?;
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
        answers: Vec<RedisResult<Value>>,
    ) -> Result<(), LinkError> {
        if refused.is_empty() {
            return Ok(());
        }
        hint(&self.masters);
        if refused.contains(self.inbox.probes()) {
            // Nothing could be proven.
            let error = answers.into_iter().find_map(Result::err);
            let error = error.map(|error| LinkError::new(&error));
            return Err(error.unwrap_or_else(|| LinkError::new("it does not take probes")));
        }
        for channel in refused {
            self.inbox.interrupted(channel);
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
        let is_probed = messages
            .last()
            .is_some_and(|(channel, _)| **channel == **self.inbox.probes());
        let refused = refused(answers, is_probed)?;
        if refused > 0 {
            self.inbox.missed(refused);
            hint(&self.masters);
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

/// How many payloads were refused. A probe, which can only be the last of them, must not be.
fn refused(mut answers: Vec<RedisResult<Value>>, is_probed: bool) -> Result<u64, RedisError> {
    if is_probed {
        answers.pop().transpose()?;
    }
    Ok(answers.iter().filter(|answer| answer.is_err()).count() as u64)
}

#[cfg(test)]
mod tests {
    use redis::ErrorKind;

    use super::*;

    #[test]
    fn a_refused_probe_is_told_from_a_refused_payload() {
        let taken = || Ok(Value::Int(1));
        let moved = || Err(RedisError::from((ErrorKind::Client, "moved")));
        assert_eq!(refused(vec![taken(), taken()], false), Ok(0));
        assert_eq!(refused(vec![moved(), taken()], true), Ok(1));
        assert_eq!(refused(vec![taken(), moved()], false), Ok(1), "the last");
        assert_eq!(refused(vec![moved(), moved()], false), Ok(2));
        assert!(refused(vec![taken(), moved()], true).is_err());
        assert_eq!(refused(Vec::new(), true), Ok(0));
    }
}
