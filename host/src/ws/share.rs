//! How long a connection may have the thread: who sends without end must not keep it from the others.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A poll that has lasted for so long handles no further message. Long enough that a client with many requests in
/// flight still has some tens of replies leave in one write; short enough that a hundred such clients are 25 ms.
const POLL_MAX: Duration = Duration::from_micros(250);

/// A connection's share of its thread.
#[derive(Debug)]
pub(super) struct Share {
    /// When the current poll began. Only the connection's own task locks it, wherever that runs.
    began: Mutex<Instant>,
}

impl Share {
    pub(super) fn new() -> Self {
        Self {
            began: Mutex::new(Instant::now()),
        }
    }

    /// Runs a future whose polls [`Self::is_used`] looks at.
    pub(super) async fn watch<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| {
            *self.began.lock() = Instant::now();
            future.as_mut().poll(context)
        })
        .await
    }

    /// Whether the current poll has lasted long enough: then the others go before the next message.
    ///
    /// Tokio's own budget counts reads and writes of the socket, and a message that is in the buffer already is
    /// neither: it let a client have the thread for thousands of messages.
    pub(super) fn is_used(&self) -> bool {
        let began = *self.began.lock();
        began.elapsed() >= POLL_MAX
    }
}
