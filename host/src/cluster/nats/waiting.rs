//! What has arrived from a host's subjects and waits to be passed on. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use async_nats::Message;
use uuid::Uuid;

use super::order::place;

/// What one message takes beside its payload.
const OVERHEAD: usize = size_of::<Arrival>();
/// So much more there may be for the sake of probes: a connection is not dead because much arrives on it.
const PROBES_BYTES: usize = 64 * 1024;

/// A payload, and the channel that it is for.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) channel: Arc<str>,
    pub(super) payload: Box<[u8]>,
    /// Whether it is a probe, whose it is, and which of theirs.
    key: (bool, (Uuid, u64)),
}

/// A queue that is bounded in bytes.
#[derive(Debug)]
pub(super) struct Waiting {
    probes: Arc<str>,
    sorted: VecDeque<Arrival>,
    /// What is behind that, in no order yet.
    added: Vec<Arrival>,
    bytes: usize,
    bytes_max: usize,
}

impl Waiting {
    pub(super) fn new(probes: Arc<str>, bytes_max: usize) -> Self {
        Self {
            probes,
            sorted: VecDeque::new(),
            added: Vec::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// Takes a message, if there is room for it: for one there always is, whatever its size, which the broker limits.
    /// Says whether there was.
    pub(super) fn add(&mut self, channel: Arc<str>, message: &Message) -> bool {
        let is_probe = channel == self.probes;
        let for_probes = if is_probe { PROBES_BYTES } else { 0 };
        let bytes = self.bytes + OVERHEAD + message.payload.len();
        if self.bytes > 0 && bytes > self.bytes_max.saturating_add(for_probes) {
            return false;
        }
        self.bytes = bytes;
        self.added.push(Arrival {
            channel,
            // A part of what was read at once keeps all of that, whatever became of the rest.
            payload: (*message.payload).into(),
            key: (is_probe, place(message.reply.as_ref())),
        });
        true
    }

    /// Puts what was taken since the last time in the order of each sender; probes behind all, as they prove that what
    /// came before them is here.
    pub(super) fn sort(&mut self) {
        let mut added = std::mem::take(&mut self.added);
        added.sort_by_key(|arrival| arrival.key);
        if self.sorted.is_empty() {
            // A burst must not keep its memory.
            self.sorted = added.into();
        } else {
            self.sorted.extend(added);
        }
    }

    /// The next to be passed on, of what is in order.
    pub(super) fn next(&mut self) -> Option<Arrival> {
        let arrival = self.sorted.pop_front()?;
        self.bytes -= OVERHEAD + arrival.payload.len();
        Some(arrival)
    }

    /// Whether nothing is to be passed on.
    pub(super) fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::order::Numbers;
    use super::*;

    fn message(reply: Option<String>, bytes: usize) -> Message {
        Message {
            subject: "".into(),
            reply: reply.map(Into::into),
            payload: vec![0; bytes].into(),
            headers: None,
            status: None,
            description: None,
            length: 0,
        }
    }

    fn waiting(bytes_max: usize) -> Waiting {
        Waiting::new("probe".into(), bytes_max)
    }

    fn channels(waiting: &mut Waiting) -> Vec<String> {
        let next = || waiting.next().map(|arrival| arrival.channel.to_string());
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn what_a_sender_sent_is_in_order_and_what_others_did_stays_so() {
        let mut numbers = Numbers::new();
        let [first, second, third] = [(); 3].map(|()| Some(numbers.next()));
        let mut waiting = waiting(usize::MAX);
        for (channel, reply) in [
            ("probe", &first),
            ("second", &second),
            ("a", &None),
            ("third", &third),
            ("b", &Some("_INBOX.x".to_owned())),
            ("first", &first),
            ("c", &Some(format!("{}.x", Uuid::new_v4().simple()))),
        ] {
            assert!(waiting.add(channel.into(), &message(reply.clone(), 0)));
        }
        assert!(waiting.is_empty() && waiting.next().is_none());
        waiting.sort();
        assert_eq!(
            channels(&mut waiting),
            ["a", "b", "c", "first", "second", "third", "probe"]
        );
    }

    #[test]
    fn what_came_before_stays_before() {
        let mut numbers = Numbers::new();
        let mut waiting = waiting(usize::MAX);
        for channel in ["first", "probe", "second"] {
            waiting.add(channel.into(), &message(Some(numbers.next()), 0));
            waiting.sort();
        }
        assert_eq!(channels(&mut waiting), ["first", "probe", "second"]);
    }

    #[test]
    fn bytes_have_an_edge() {
        let mut waiting = waiting(2 * (OVERHEAD + 10));
        let mut add = |channel: &str, bytes| waiting.add(channel.into(), &message(None, bytes));
        assert!(add("a", 10));
        assert!(!add("b", 11));
        assert!(add("c", 10));
        assert!(!add("d", 0));
        // Without it the connection would be given up.
        assert!(add("probe", 10));
        assert!(!add("probe", PROBES_BYTES));
        waiting.sort();
        assert_eq!(channels(&mut waiting), ["a", "c", "probe"]);
        assert_eq!(waiting.bytes, 0);
        let large = message(None, 1_000);
        assert!(waiting.add("e".into(), &large), "it is the only one");
        assert!(!waiting.add("f".into(), &large));
    }
}
