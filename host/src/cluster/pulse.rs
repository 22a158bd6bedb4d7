//! Whether a broker still answers: when to send a probe, and when silence is death. Pure.
//!
//! A probe is a message that the host sends to a channel of its own. That it comes back proves the whole way, there and
//! back, and that the broker has taken everything that was sent before it: both Redis and NATS do what a connection asks
//! for in order. TCP proves nothing of the kind: a broker that is stopped accepts connections and bytes for minutes.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How often to probe when nothing else asks for it.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a broker that owes an answer may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(2);
/// How long it may owe one although other things arrive from it: they may be ahead of it in the queue.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The pulse of one connection with a broker.
#[derive(Debug)]
pub(super) struct Pulse {
    next: u64,
    due: Instant,
    /// The probes that have not come back, and when each was sent.
    awaited: VecDeque<(u64, Instant)>,
    /// When the broker was given what it has not taken yet.
    sending: Option<Instant>,
}

impl Pulse {
    /// Of a connection that begins now; the first probe is due.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            next: 0,
            due: now,
            awaited: VecDeque::new(),
            sending: None,
        }
    }

    /// When the next probe is to be sent.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// The number that the next probe has.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// A probe is sent.
    pub(super) fn probe(&mut self, now: Instant) {
        self.awaited.push_back((self.next, now));
        self.next += 1;
        self.due = now + INTERVAL;
    }

    /// A probe has come back; returns how long it took. One that nobody waits for proves nothing.
    pub(super) fn answered(&mut self, number: u64, now: Instant) -> Option<Duration> {
        let (_, sent) = *self
            .awaited
            .iter()
            .find(|(awaited, _)| *awaited == number)?;
        self.awaited.retain(|(awaited, _)| *awaited > number);
        Some(now - sent)
    }

    /// Something is handed to the broker.
    pub(super) fn begin(&mut self, now: Instant) {
        self.sending = Some(now);
    }

    /// It has taken that.
    pub(super) fn end(&mut self) {
        self.sending = None;
    }

    /// Whether it has to be given up, when something was last heard of it then.
    pub(super) fn is_dead(&self, heard: Instant, now: Instant) -> bool {
        let probe = self.awaited.front().map(|(_, sent)| *sent);
        let Some(since) = probe.into_iter().chain(self.sending).min() else {
            return false;
        };
        now > since.max(heard) + SILENCE_MAX || now > since + ANSWER_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    #[test]
    fn probes_are_due_at_once_and_then_every_second() {
        let now = Instant::now();
        let mut pulse = Pulse::new(now);
        assert!(pulse.due() <= now);
        pulse.probe(now);
        assert_eq!(pulse.due(), now + INTERVAL);
    }

    #[test]
    fn an_answer_is_for_all_probes_before_it() {
        let now = Instant::now();
        let mut pulse = Pulse::new(now);
        for _ in 0..3 {
            pulse.probe(now);
        }
        assert_eq!(pulse.answered(1, now + MOMENT), Some(MOMENT));
        assert_eq!(pulse.answered(0, now + MOMENT), None);
        assert_eq!(pulse.answered(7, now + MOMENT), None, "it was never sent");
        assert_eq!(pulse.answered(2, now + MOMENT), Some(MOMENT));
    }

    #[test]
    fn who_owes_an_answer_may_be_silent_for_a_while() {
        let now = Instant::now();
        let mut pulse = Pulse::new(now);
        let later = now + 10 * SILENCE_MAX;
        assert!(!pulse.is_dead(now, later), "nothing was asked");
        pulse.probe(now);
        assert!(!pulse.is_dead(now, now + SILENCE_MAX));
        assert!(pulse.is_dead(now, now + SILENCE_MAX + MOMENT));
        let heard = now + SILENCE_MAX;
        assert!(!pulse.is_dead(heard, heard + SILENCE_MAX));
        assert!(
            pulse.is_dead(later, now + ANSWER_MAX + MOMENT),
            "whatever else is heard"
        );
        pulse.answered(0, later);
        assert!(!pulse.is_dead(now, later));
    }

    #[test]
    fn who_does_not_take_what_it_is_given_owes_as_well() {
        let now = Instant::now();
        let mut pulse = Pulse::new(now);
        pulse.begin(now);
        assert!(pulse.is_dead(now, now + SILENCE_MAX + MOMENT));
        pulse.end();
        assert!(!pulse.is_dead(now, now + SILENCE_MAX + MOMENT));
    }
}
