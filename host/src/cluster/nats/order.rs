//! Takes what arrives on all subjects in the order in which each host has sent it.
//!
//! The connection brings it in that order, but the library deals it out to the subjects' queues, and whoever waits for
//! one of them does not know what the others have. So each message says whose it is and which, and what is there is
//! taken at once and sorted: when a message is in its queue, all that came before it are in theirs.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use async_nats::{Message, Subject, Subscriber};
use futures_util::StreamExt;
use futures_util::stream::{AbortHandle, Abortable, BoxStream, SelectAll, abortable};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::cluster::link::Inbox;

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
fn place(reply: Option<&Subject>) -> (Uuid, u64) {
    let read = |reply: &Subject| {
        let (sender, number) = reply.split_once('.')?;
        Some((Uuid::try_parse(sender).ok()?, number.parse().ok()?))
    };
    reply.and_then(read).unwrap_or_default()
}

type Arrival = (Arc<str>, Message);

/// The subjects that are taken, with the channel of each.
#[derive(Default)]
pub(super) struct Takers {
    all: SelectAll<Abortable<BoxStream<'static, Arrival>>>,
}

/// A further one of them.
pub(super) type Taker = Abortable<BoxStream<'static, Arrival>>;

/// What takes a channel's messages, until the handle ends it. The subscription ends with it.
pub(super) fn taker(channel: Arc<str>, subscriber: Subscriber) -> (Taker, AbortHandle) {
    abortable(
        subscriber
            .map(move |message| (Arc::clone(&channel), message))
            .boxed(),
    )
}

impl Takers {
    /// Takes what arrives, and those who are to take more, until there will be none.
    pub(super) async fn run(mut self, mut more: mpsc::Receiver<Taker>, inbox: Inbox) {
        loop {
            tokio::select! {
                // What is there to be taken is asked behind who takes it.
                biased;
                taker = more.recv() => match taker {
                    Some(taker) => self.all.push(taker),
                    None => return,
                },
                Some(first) = self.all.next(), if !self.all.is_empty() => {
                    for (channel, message) in in_order(self.rest(first).await, inbox.probes()) {
                        inbox.message(&channel, &message.payload);
                    }
                }
            }
        }
    }

    /// All that is there.
    async fn rest(&mut self, first: Arrival) -> Vec<Arrival> {
        let mut arrivals = vec![first];
        let taking = poll_fn(|context| {
            while let Poll::Ready(Some(arrival)) = self.all.poll_next_unpin(context) {
                arrivals.push(arrival);
            }
            Poll::Ready(())
        });
        // Or the runtime would say of a full queue that it is empty, so that others have their turn.
        tokio::task::unconstrained(taking).await;
        arrivals
    }
}

/// In the order of each sender; probes behind all, as they prove that what came before them is here.
fn in_order(mut arrivals: Vec<Arrival>, probes: &str) -> Vec<Arrival> {
    if arrivals.len() > 1 {
        arrivals.sort_by_cached_key(|(channel, message)| {
            (**channel == *probes, place(message.reply.as_ref()))
        });
    }
    arrivals
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(channel: &str, reply: Option<String>) -> Arrival {
        let message = Message {
            subject: channel.into(),
            reply: reply.map(Subject::from),
            payload: bytes::Bytes::new(),
            headers: None,
            status: None,
            description: None,
            length: 0,
        };
        (channel.into(), message)
    }

    #[test]
    fn what_a_sender_sent_is_in_order_and_what_others_did_stays_so() {
        let mut numbers = Numbers::new();
        let [first, second, third] = [(); 3].map(|()| Some(numbers.next()));
        let sent = |channel, reply: &Option<String>| arrival(channel, reply.clone());
        let arrivals = vec![
            sent("probe", &first),
            sent("second", &second),
            arrival("a", None),
            sent("third", &third),
            arrival("b", Some("_INBOX.x".to_owned())),
            sent("first", &first),
            arrival("c", Some(format!("{}.x", Uuid::new_v4().simple()))),
        ];
        let sorted = in_order(arrivals, "probe");
        let channels: Vec<_> = sorted.iter().map(|(channel, _)| &**channel).collect();
        assert_eq!(
            channels,
            ["a", "b", "c", "first", "second", "third", "probe"]
        );
    }

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
