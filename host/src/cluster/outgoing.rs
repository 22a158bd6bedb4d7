//! What waits to be sent to a broker. Pure.

use std::collections::VecDeque;

use bytes::Bytes;

/// What one message takes beside its bytes.
const OVERHEAD: usize = 64;

/// A payload and the channel that it is for.
pub(super) type Message = (String, Bytes);

/// A queue that is bounded in messages and in bytes.
#[derive(Debug)]
pub(super) struct Outgoing {
    messages: VecDeque<Message>,
    bytes: usize,
    messages_max: usize,
    bytes_max: usize,
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
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
        }
    }

    /// Takes a message, if there is room for it. What came before stays: members elsewhere rather miss the last of a
    /// burst than get it with holes.
    pub(super) fn push(&mut self, message: Message) -> Result<(), Full> {
        let bytes = self.bytes + size(&message);
        if self.messages.len() >= self.messages_max {
            return Err(Full::Messages);
        }
        if bytes > self.bytes_max {
            return Err(Full::Bytes);
        }
        self.bytes = bytes;
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
        assert_eq!(outgoing.push(message(1)), Ok(()));
        assert_eq!(outgoing.push(message(2)), Ok(()));
        assert_eq!(outgoing.push(message(3)), Err(Full::Messages));
        assert_eq!(outgoing.take(9, usize::MAX), [message(1), message(2)]);
        assert_eq!(outgoing.push(message(4)), Ok(()));
    }

    #[test]
    fn bytes_have_an_edge() {
        let mut outgoing = Outgoing::new(9, 2 * (OVERHEAD + 10));
        assert_eq!(outgoing.push(message(10)), Ok(()));
        assert_eq!(outgoing.push(message(11)), Err(Full::Bytes));
        assert_eq!(outgoing.push(message(10)), Ok(()));
        assert_eq!(outgoing.push(message(0)), Err(Full::Bytes));
        assert_eq!(outgoing.clear(), 2);
        assert!(outgoing.is_empty());
        assert_eq!(outgoing.push(message(10)), Ok(()));
    }

    #[test]
    fn batches_are_of_so_many_and_never_of_none() {
        let mut outgoing = Outgoing::new(9, usize::MAX);
        for _ in 0..4 {
            outgoing.push(message(100)).unwrap();
        }
        assert_eq!(outgoing.take(9, 1).len(), 1);
        assert_eq!(outgoing.take(2, usize::MAX).len(), 2);
        assert_eq!(outgoing.take(2, usize::MAX).len(), 1);
        assert_eq!(outgoing.take(2, usize::MAX).len(), 0);
        assert_eq!(outgoing.bytes, 0);
    }
}
