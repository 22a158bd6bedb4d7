//! What waits to be sent to a broker. Pure.

use std::collections::VecDeque;

use bytes::Bytes;

/// What one message takes beside its bytes.
const OVERHEAD: usize = 64;

/// So many vital messages may wait beyond the limit: each host says one a second, and one to each that has come.
const VITAL_MAX: usize = 256;

/// A payload and the channel that it is for.
pub(super) type Message = (String, Bytes);

/// A queue that is bounded in messages and in bytes.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    messages: VecDeque<Message>,
    bytes: usize,
    messages_max: usize,
    bytes_max: usize,
    /// How many there have been.
    pushed: u64,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There are as many messages as there may be.
    Messages,
    /// There would be too many bytes.
    Bytes,
}

impl Outgoing {
    pub(super) fn new(messages_max: usize, bytes_max: usize) -> Self {
        Self {
            messages: VecDeque::new(),
            bytes: 0,
            messages_max,
            bytes_max,
            pushed: 0,
        }
    }

    /// Takes a message, if there is room for it. What came before stays: members elsewhere rather miss the last of a
    /// burst than get it with holes.
    pub(super) fn push(&mut self, message: Message, is_vital: bool) -> Result<(), Refusal> {
        let bytes = self.bytes + size(&message);
        let more = if is_vital { VITAL_MAX } else { 0 };
        if self.messages.len() >= self.messages_max.saturating_add(more) {
            return Err(Refusal::Messages);
        }
        // A vital one has but a host's name.
        if bytes > self.bytes_max && !is_vital {
            return Err(Refusal::Bytes);
        }
        self.bytes = bytes;
        self.pushed += 1;
        self.messages.push_back(message);
        Ok(())
    }

    /// The oldest: so many, or fewer when they are of so many bytes, but one at least if there is any.
    pub(super) fn take(&mut self, messages_max: usize, bytes_max: usize) -> Vec<Message> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < messages_max && bytes < bytes_max {
            let Some(message) = self.messages.pop_front() else {
                break;
            };
            bytes += size(&message);
            taken.push(message);
        }
        self.bytes -= bytes;
        if self.messages.is_empty() {
            // A burst must not keep its memory.
            self.messages = VecDeque::new();
        }
        taken
    }

    /// Throws all of them away; says how many.
    pub(super) fn clear(&mut self) -> usize {
        self.bytes = 0;
        std::mem::take(&mut self.messages).len()
    }

    /// How many messages were ever taken in.
    pub(super) fn pushed(&self) -> u64 {
        self.pushed
    }

    /// How many of them wait no longer.
    pub(super) fn taken(&self) -> u64 {
        self.pushed - self.messages.len() as u64
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

fn size((channel, payload): &Message) -> usize {
    OVERHEAD + channel.len() + payload.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> Message {
        (String::new(), vec![0; bytes].into())
    }

    #[test]
    fn messages_have_an_edge() {
        let mut outgoing = Outgoing::new(2, usize::MAX);
        assert_eq!(outgoing.push(message(1), false), Ok(()));
        assert_eq!(outgoing.push(message(2), false), Ok(()));
        assert_eq!(outgoing.push(message(3), false), Err(Refusal::Messages));
        assert_eq!(outgoing.take(9, usize::MAX), [message(1), message(2)]);
        assert_eq!(outgoing.push(message(4), false), Ok(()));
    }

    #[test]
    fn bytes_have_an_edge() {
        let mut outgoing = Outgoing::new(9, 2 * (OVERHEAD + 10));
        assert_eq!(outgoing.push(message(10), false), Ok(()));
        assert_eq!(outgoing.push(message(11), false), Err(Refusal::Bytes));
        assert_eq!(outgoing.push(message(10), false), Ok(()));
        assert_eq!(outgoing.push(message(0), false), Err(Refusal::Bytes));
        assert_eq!(outgoing.clear(), 2);
        assert!(outgoing.is_empty());
        assert_eq!(outgoing.push(message(10), false), Ok(()));
    }

    #[test]
    fn batches_are_of_so_many_and_never_of_none() {
        let mut outgoing = Outgoing::new(9, usize::MAX);
        for _ in 0..4 {
            outgoing.push(message(100), false).unwrap();
        }
        assert_eq!(outgoing.take(9, 1).len(), 1);
        assert_eq!(outgoing.take(2, usize::MAX).len(), 2);
        assert_eq!(outgoing.take(2, usize::MAX).len(), 1);
        assert_eq!(outgoing.take(2, usize::MAX).len(), 0);
        assert_eq!(outgoing.bytes, 0);
    }

    #[test]
    fn what_is_vital_has_room_of_its_own() {
        let mut outgoing = Outgoing::new(1, OVERHEAD + 10);
        assert_eq!(outgoing.push(message(10), false), Ok(()));
        for _ in 0..VITAL_MAX {
            assert_eq!(outgoing.push(message(10), true), Ok(()));
        }
        assert_eq!(outgoing.push(message(10), true), Err(Refusal::Messages));
        assert_eq!(outgoing.push(message(10), false), Err(Refusal::Messages));
        assert_eq!(
            outgoing.take(1 + VITAL_MAX, usize::MAX).len(),
            1 + VITAL_MAX
        );
        assert_eq!((outgoing.pushed(), outgoing.taken()), (257, 257));
        assert_eq!(outgoing.push(message(10), false), Ok(()));
        assert_eq!((outgoing.pushed(), outgoing.taken()), (258, 257));
    }
}
