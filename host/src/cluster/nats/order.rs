//! Takes what arrives on all subjects in the order in which each host has sent it.
//!
//! The connection brings it in that order, but the library deals it out to the subjects' queues, and whoever waits for
//! one of them does not know what the others have. So each message says whose it is and which, and what is there is
//! taken at once and sorted: when a message is in its queue, all that came before it are in theirs.

use std::future::{poll_fn, ready};
use std::sync::Arc;
use std::task::Poll;

use async_nats::{Client, Message, Subject};
use futures_util::StreamExt;
use futures_util::stream::{AbortHandle, Abortable, BoxStream, SelectAll, abortable};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::waiting::Waiting;
use crate::cluster::link::{Inbox, LinkError};

/// So many are passed on before it is looked what else is there, so that it does not wait with the library, which knows
/// no limit in bytes. It is what the runtime lets a task do before others have their turn.
const TURN: usize = 128;

/// Numbers what one connection sends. It stands where NATS has the subject for a reply, which is the cheapest place for
/// it: nobody replies.
#[derive(Debug)]
pub(super) struct Numbers {
    sender: Uuid,
    next: u64,
}

impl Numbers {
    pub(super) fn new() -> Self {
        Self {
            sender: Uuid::new_v4(),
            next: 0,
        }
    }

    /// That of the next message.
    pub(super) fn next(&mut self) -> String {
        let number = self.next;
        self.next += 1;
        format!("{}.{number}", self.sender.simple())
    }
}

/// Whose a message is, and which; all of others are nobody's first.
pub(super) fn place(reply: Option<&Subject>) -> (Uuid, u64) {
    let read = |reply: &Subject| {
        let (sender, number) = reply.split_once('.')?;
        Some((Uuid::try_parse(sender).ok()?, number.parse().ok()?))
    };
    reply.and_then(read).unwrap_or_default()
}

/// A message, and the channel that it is for.
type Taken = (Arc<str>, Message);

/// The subjects that are taken, with the channel of each.
pub(super) struct Takers {
    client: Client,
    all: SelectAll<Abortable<BoxStream<'static, Taken>>>,
}

/// What else is to be taken.
pub(super) struct Wanted {
    /// With their subjects.
    pub(super) channels: Vec<(Arc<str>, String)>,
    /// Is told when they are subscribed: who is to take them no more has these end it, and the subscription with it.
    pub(super) done: oneshot::Sender<Result<Ends, LinkError>>,
}

type Ends = Vec<(Arc<str>, AbortHandle)>;

impl Takers {
    /// There are none yet.
    pub(super) fn new(client: Client) -> Self {
        let all = SelectAll::new();
        Self { client, all }
    }

    /// Subscribes, without taking anything meanwhile: what arrives on the new subjects may come before what arrives on
    /// the others.
    async fn add(&mut self, channels: Vec<(Arc<str>, String)>) -> Result<Ends, LinkError> {
        let mut ends = Vec::with_capacity(channels.len());
        for (channel, subject) in channels {
            let subscribed = self.client.subscribe(subject).await;
            let arriving = subscribed.map_err(|error| LinkError::new(&error))?;
            let of = Arc::clone(&channel);
            let arriving = arriving.map(move |message| (Arc::clone(&of), message));
            let (taker, end) = abortable(arriving.boxed());
            self.all.push(taker);
            ends.push((channel, end));
        }
        Ok(ends)
    }

    /// Takes what arrives, and subscribes to what is wanted, until nothing will be.
    pub(super) async fn run(
        mut self,
        mut more: mpsc::Receiver<Wanted>,
        inbox: Inbox,
        waiting_bytes_max: usize,
    ) {
        let mut waiting = Waiting::new(Arc::clone(inbox.probes()), waiting_bytes_max);
        loop {
            tokio::select! {
                wanted = more.recv() => match wanted {
                    // Who wants it may have given up.
                    Some(Wanted { channels, done }) => drop(done.send(self.add(channels).await)),
                    None => return,
                },
                Some(first) = self.all.next(), if !self.all.is_empty() => {
                    inbox.overflowed(self.take(first, &mut waiting).await);
                }
                () = ready(()), if !waiting.is_empty() => {}
            }
            for _ in 0..TURN {
                let Some(arrival) = waiting.next() else {
                    break;
                };
                inbox.message(&arrival.channel, &arrival.payload);
                tokio::task::consume_budget().await;
            }
        }
    }

    /// Takes all that is there: less would be out of order. Returns for how many there was no room.
    async fn take(&mut self, first: Taken, waiting: &mut Waiting) -> u64 {
        let mut refused = 0;
        let mut add = |(channel, message): Taken| {
            refused += u64::from(!waiting.add(channel, &message));
        };
        add(first);
        let taking = poll_fn(|context| {
            while let Poll::Ready(Some(arrival)) = self.all.poll_next_unpin(context) {
                add(arrival);
            }
            Poll::Ready(())
        });
        // Or the runtime would say of a full queue that it is empty, so that others have their turn.
        tokio::task::unconstrained(taking).await;
        waiting.sort();
        refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_are_told_apart() {
        let place = |numbers: &mut Numbers| place(Some(&numbers.next().into()));
        let (mut one, mut other) = (Numbers::new(), Numbers::new());
        let (first, second) = (place(&mut one), place(&mut one));
        assert_eq!((first.1, second.1), (0, 1));
        assert_eq!(first.0, second.0);
        assert_ne!(first.0, place(&mut other).0);
    }
}
