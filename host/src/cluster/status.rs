//! How a bus is doing.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// How a bus is doing, as of now.
///
/// ```
/// use wardroom::cluster::{Bus, LocalBus};
///
/// let status = LocalBus::new().status();
/// assert!(status.is_ready && status.reconnects == 0);
/// ```
#[derive(Clone, Debug)]
pub struct Status {
    /// Whether what is published reaches the other hosts, and what they publish arrives here: proven, not assumed.
    pub is_ready: bool,
    /// Since when that is so.
    pub since: Instant,
    /// Until when it is known to have brought all that there was: what has not arrived by then was not sent, or is lost.
    pub proven: Instant,
    /// How often it became ready again.
    pub reconnects: u64,
    /// Payloads that were sent.
    pub published: u64,
    /// Payloads that arrived, those of this host included if the broker sends them back.
    pub received: u64,
    /// Payloads that were lost here: for want of a broker, for [want of room](Self::full), or on their way in.
    /// On NATS it is so many at least: of many that are lost at once the library tells only some.
    pub dropped: u64,
    /// How often there was no room for a payload.
    pub full: Full,
    /// How long the last probe took, to the broker and back; `None` when nothing lies in between.
    pub round_trip: Option<Duration>,
}

/// How often a queue was full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Full {
    /// By `bus_bytes_max`: on the way out, and on NATS on the way in.
    pub bytes: u64,
    /// By `bus_messages_max`.
    pub messages: u64,
}

impl Status {
    /// Of a bus that works without anything that could fail.
    #[must_use]
    pub fn always_ready() -> Self {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        Self {
            is_ready: true,
            proven: Instant::now(),
            ..Self::unready(*START)
        }
    }

    pub(super) fn unready(since: Instant) -> Self {
        Self {
            is_ready: false,
            since,
            proven: since,
            reconnects: 0,
            published: 0,
            received: 0,
            dropped: 0,
            full: Full::default(),
            round_trip: None,
        }
    }
}
