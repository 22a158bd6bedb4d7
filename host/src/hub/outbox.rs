//! What waits to be written to one connection: bounded, and never waited for.
//!
//! Anyone may push; only the connection's own task takes. A connection to which nothing is being sent owns no
//! memory here beyond the struct.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use super::Backlog;
use crate::config::Limit;
use crate::protocol::{Close, CloseCode};

/// What is taken at once: enough for one system call to be worth it, little enough that what is taken and not
/// yet written, which the outbox no longer counts, stays small beside its limits.
const BATCH_MESSAGES: usize = 64;
const BATCH_BYTES: usize = 64 * 1024;

/// A connection's outbox.
#[derive(Debug)]
pub struct Outbox {
    bytes_max: usize,
    messages_max: usize,
    backlog: Arc<Backlog>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Bytes>,
    /// Of all frames in `queue`.
    bytes: usize,
    /// Set once; from then on only the reply of a handler that is still running is queued.
    close: Option<Close>,
    /// A limit was passed: the client does not read, and not even a reply is queued.
    overflowed: Option<Limit>,
    /// Of the connection's task, while it waits.
    waker: Option<Waker>,
    /// What was taken and is not yet with the socket, which takes no more for now: the task waits for closing alone.
    /// It counts in the backlog.
    stuck: Option<usize>,
}

/// Why a push was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The connection is being closed.
    Closing,
    /// This push was more than the limit allows: the connection is closed with 3008 for it.
    Overflow(Limit),
}

/// What the connection's task gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The batch has frames to write.
    Frames,
    /// Nothing is left, and closing was asked for.
    Closing,
}

impl Outbox {
    /// An empty one with its limits.
    #[must_use]
    pub fn new(bytes_max: usize, messages_max: usize, backlog: Arc<Backlog>) -> Self {
        Self {
            bytes_max,
            messages_max,
            backlog,
            state: Mutex::default(),
        }
    }

    /// Queues a frame.
    ///
    /// # Errors
    /// [`Refused`]; it is lost then.
    pub fn push(&self, frame: Bytes) -> Result<(), Refused> {
        let mut state = self.state.lock();
        if state.close.is_some() {
            return Err(Refused::Closing);
        }
        let result = state.queue(frame, self.bytes_max, self.messages_max);
        wake(state);
        result
    }

    /// Queues the reply of a handler, also when closing was asked for meanwhile: a message is always answered.
    ///
    /// For the connection's own task alone. It is not woken: it looks here before it waits, and who is woken while
    /// it runs cannot yield to the others.
    ///
    /// # Errors
    /// [`Refused`], when the client does not read.
    pub fn push_reply(&self, frame: Bytes) -> Result<(), Refused> {
        let mut state = self.state.lock();
        if state.overflowed.is_some() {
            return Err(Refused::Closing);
        }
        state.queue(frame, self.bytes_max, self.messages_max)
    }

    /// Asks for the connection to be closed once all that is queued has been written. The first reason stands.
    pub fn close(&self, close: Close) {
        let mut state = self.state.lock();
        if state.close.is_none() {
            state.close = Some(close);
        }
        wake(state);
    }

    /// How many bytes wait, here and to be taken by the socket, when that takes none.
    pub(super) fn stuck(&self) -> Option<usize> {
        let state = self.state.lock();
        Some(state.stuck? + state.bytes)
    }

    /// Closes the connection because its client does not read and a limit of all of them is passed.
    pub(super) fn give_up(&self, reached: Limit) {
        let mut state = self.state.lock();
        if state.overflowed.is_none() {
            state.overflow(reached);
        }
        // It goes with the socket, and that soon.
        self.moves(&mut state);
        wake(state);
    }

    /// The reason to close, once there is one.
    #[must_use]
    pub fn closing(&self) -> Option<Close> {
        self.state.lock().close.clone()
    }

    /// The limit that was passed, if one was.
    #[must_use]
    pub fn overflowed(&self) -> Option<Limit> {
        self.state.lock().overflowed
    }

    /// Moves what fits into one write to `batch`, which must be empty; waits when there is nothing.
    pub fn poll_take(&self, context: &mut Context<'_>, batch: &mut VecDeque<Bytes>) -> Poll<Taken> {
        let mut state = self.state.lock();
        self.moves(&mut state);
        if !state.queue.is_empty() {
            state.take(batch);
            return Poll::Ready(Taken::Frames);
        }
        if state.close.is_some() {
            return Poll::Ready(Taken::Closing);
        }
        state.wait(context);
        Poll::Pending
    }

    /// Waits until closing is asked for: what a task does whose socket takes no more, and has so many bytes left to
    /// take.
    pub fn poll_closing(&self, context: &mut Context<'_>, left: usize) -> Poll<()> {
        let mut state = self.state.lock();
        self.moves(&mut state);
        if state.close.is_some() {
            return Poll::Ready(());
        }
        self.backlog.add(left);
        state.stuck = Some(left);
        state.wait(context);
        Poll::Pending
    }

    /// The socket has taken what it was given, or is about to go.
    fn moves(&self, state: &mut State) {
        if let Some(left) = state.stuck.take() {
            self.backlog.remove(left);
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        let left = self.state.get_mut().stuck.take();
        self.backlog.remove(left.unwrap_or_default());
    }
}

/// Unlocks first: the woken task takes the same lock.
fn wake(mut state: MutexGuard<'_, State>) {
    if state.stuck.is_some() && state.close.is_none() {
        return;
    }
    let waker = state.waker.take();
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl State {
    fn wait(&mut self, context: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
    }

    fn queue(
        &mut self,
        frame: Bytes,
        bytes_max: usize,
        messages_max: usize,
    ) -> Result<(), Refused> {
        let reached = if self.queue.len() >= messages_max {
            Limit::OutboxMessagesMax
        } else if self.bytes + frame.len() > bytes_max {
            Limit::OutboxBytesMax
        } else {
            self.bytes += frame.len();
            self.queue.push_back(frame);
            return Ok(());
        };
        self.overflow(reached);
        Err(Refused::Overflow(reached))
    }

    fn overflow(&mut self, reached: Limit) {
        self.overflowed = Some(reached);
        self.close = Some(Close::new(CloseCode::SlowConsumer, "slow consumer"));
        // The client would have to read all this before it could learn why it was closed.
        self.queue = VecDeque::new();
        self.bytes = 0;
    }

    fn take(&mut self, batch: &mut VecDeque<Bytes>) {
        if self.queue.len() <= BATCH_MESSAGES && self.bytes <= BATCH_BYTES {
            // Nearly always. The memory goes with it, so that an idle connection owns none.
            std::mem::swap(&mut self.queue, batch);
            self.bytes = 0;
            return;
        }
        let mut taken = 0;
        while batch.len() < BATCH_MESSAGES && taken < BATCH_BYTES {
            let Some(frame) = self.queue.pop_front() else {
                break;
            };
            taken += frame.len();
            batch.push_back(frame);
        }
        self.bytes -= taken;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;

    use super::*;

    fn outbox(bytes_max: usize, messages_max: usize) -> Outbox {
        Outbox::new(bytes_max, messages_max, Arc::new(Backlog::new(usize::MAX)))
    }

    fn take(outbox: &Outbox) -> Option<(Taken, Vec<Bytes>)> {
        let mut batch = VecDeque::new();
        let mut context = Context::from_waker(Waker::noop());
        match outbox.poll_take(&mut context, &mut batch) {
            Poll::Ready(taken) => Some((taken, batch.into())),
            Poll::Pending => None,
        }
    }

    #[test]
    fn it_keeps_order_and_waits_when_empty() {
        let outbox = outbox(10, 10);
        assert_eq!(take(&outbox), None);
        outbox.push("a".into()).unwrap();
        outbox.push("b".into()).unwrap();
        assert_eq!(
            take(&outbox),
            Some((Taken::Frames, vec!["a".into(), "b".into()]))
        );
        assert_eq!(take(&outbox), None);
    }

    #[test]
    fn a_push_wakes_who_waits_and_the_own_reply_does_not() {
        #[derive(Default)]
        struct Woken(AtomicBool);
        impl Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let outbox = outbox(10, 10);
        let mut batch = VecDeque::new();
        let waiting = outbox.poll_take(&mut Context::from_waker(&waker), &mut batch);
        assert!(waiting.is_pending());
        outbox.push_reply("a".into()).unwrap();
        assert!(!woken.0.load(Ordering::Relaxed));
        outbox.push("b".into()).unwrap();
        assert!(woken.0.load(Ordering::Relaxed));
    }

    #[test]
    fn one_byte_too_many_closes_with_3008_and_drops_what_waited() {
        let outbox = outbox(4, 10);
        outbox.push("1234".into()).unwrap();
        assert_eq!(
            outbox.push("5".into()),
            Err(Refused::Overflow(Limit::OutboxBytesMax))
        );
        assert_eq!(outbox.overflowed(), Some(Limit::OutboxBytesMax));
        assert_eq!(outbox.closing().map(|close| close.code), Some(3008));
        assert_eq!(outbox.push("6".into()), Err(Refused::Closing));
        assert_eq!(outbox.push_reply("7".into()), Err(Refused::Closing));
        assert_eq!(take(&outbox), Some((Taken::Closing, vec![])));
    }

    #[test]
    fn one_message_too_many_closes_with_3008() {
        let outbox = outbox(100, 2);
        outbox.push("1".into()).unwrap();
        outbox.push("2".into()).unwrap();
        assert_eq!(
            outbox.push("3".into()),
            Err(Refused::Overflow(Limit::OutboxMessagesMax))
        );
    }

    #[test]
    fn what_was_taken_no_longer_counts() {
        let outbox = outbox(4, 1);
        for _ in 0..3 {
            outbox.push("1234".into()).unwrap();
            assert!(take(&outbox).is_some());
        }
    }

    #[test]
    fn a_close_lets_out_what_is_queued_and_the_last_reply() {
        let outbox = outbox(10, 10);
        outbox.push("a".into()).unwrap();
        outbox.close(Close::by_plugin(Some(4000), Some("bye")).unwrap());
        outbox.close(Close::new(CloseCode::Normal, ""));
        assert_eq!(outbox.push("b".into()), Err(Refused::Closing));
        outbox.push_reply("c".into()).unwrap();
        assert_eq!(
            take(&outbox),
            Some((Taken::Frames, vec!["a".into(), "c".into()]))
        );
        assert_eq!(take(&outbox), Some((Taken::Closing, vec![])));
        assert_eq!(
            outbox.closing().map(|close| close.code),
            Some(4000),
            "the first reason stands"
        );
    }

    #[test]
    fn batches_are_bounded() {
        let taken = |outbox: &Outbox| take(outbox).map(|(_, batch)| batch.len());
        let outbox = outbox(usize::MAX, usize::MAX);
        for _ in 0..=BATCH_MESSAGES {
            outbox.push("x".into()).unwrap();
        }
        assert_eq!(taken(&outbox), Some(BATCH_MESSAGES));
        assert_eq!(taken(&outbox), Some(1));
        for _ in 0..3 {
            outbox.push(vec![0; BATCH_BYTES].into()).unwrap();
        }
        assert_eq!(taken(&outbox), Some(1));
        assert_eq!(taken(&outbox), Some(1));
    }

    #[test]
    fn what_a_socket_does_not_take_counts_until_it_does() {
        let outbox = outbox(10, 10);
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(outbox.stuck(), None);
        assert!(outbox.poll_closing(&mut context, 3).is_pending());
        assert!(outbox.poll_closing(&mut context, 4).is_pending());
        outbox.push("12".into()).unwrap();
        assert_eq!((outbox.stuck(), outbox.backlog.bytes()), (Some(6), 4));
        assert!(take(&outbox).is_some());
        assert_eq!((outbox.stuck(), outbox.backlog.bytes()), (None, 0));
        assert!(outbox.poll_closing(&mut context, 5).is_pending());
        outbox.give_up(Limit::OutboxesBytesMax);
        assert_eq!(outbox.overflowed(), Some(Limit::OutboxesBytesMax));
        assert_eq!((outbox.stuck(), outbox.backlog.bytes()), (None, 0));
        assert!(outbox.poll_closing(&mut context, 5).is_ready());
        assert_eq!(outbox.backlog.bytes(), 0);
    }
}
