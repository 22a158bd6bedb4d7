//! When a host says to the others that it is there, and when it knows who they are. Pure.

use std::time::{Duration, Instant};

use super::peers::ANNOUNCE_INTERVAL;
use crate::cluster::Status;

/// How long the others may take to see who has come, beside the way.
const GREETING_TIME: Duration = Duration::from_millis(100);

/// However long the way is: by then all of them have said that they are there, whether or not they were asked.
const GREETING_WAIT_MAX: Duration = Duration::from_secs(2);

/// How the way there and back is doing, of how either part of the bus is by which it goes.
pub(super) fn both(there: &Status, back: &Status) -> Status {
    Status {
        is_ready: there.is_ready && back.is_ready,
        since: there.since.max(back.since),
        proven: there.proven.min(back.proven),
        round_trip: there.round_trip.max(back.round_trip),
        ..there.clone()
    }
}

/// A host's presence on the bus.
#[derive(Debug, Default)]
pub(super) struct Presence {
    greeted: Option<Greeted>,
    /// When it last said that it is there.
    said: Option<Instant>,
    has_left: bool,
}

#[derive(Debug)]
struct Greeted {
    /// Since when the bus is ready that it did so on: those who came while it was away do not know.
    since: Instant,
    /// When those who are there have answered.
    answered: Instant,
}

/// What there is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Hello,
    Alive,
}

impl Presence {
    /// What to say now, if anything.
    pub(super) fn next(&mut self, now: Instant, bus: &Status) -> Option<Word> {
        if self.has_left {
            return None;
        }
        if bus.is_ready && self.greeted.as_ref().map(|greeted| greeted.since) != Some(bus.since) {
            // The greeting goes to the broker and back, and so does each answer; either may have to wait for as long
            // until the broker has taken what was sent before.
            let way = bus.round_trip.map(|way| 4 * way + GREETING_TIME);
            let wait = way.unwrap_or_default().min(GREETING_WAIT_MAX);
            self.greeted = Some(Greeted {
                since: bus.since,
                answered: now + wait,
            });
            self.said = Some(now);
            return Some(Word::Hello);
        }
        let is_due = |said: Instant| now.saturating_duration_since(said) >= ANNOUNCE_INTERVAL;
        if self.said.is_none_or(is_due) {
            self.said = Some(now);
            return Some(Word::Alive);
        }
        None
    }

    /// From here on it says nothing any more: not even to who has just come.
    pub(super) fn leave(&mut self) {
        self.has_left = true;
    }

    /// Whether it may answer who has come.
    pub(super) fn is_here(&self) -> bool {
        !self.has_left
    }

    /// Whether those who are there have said so. On a bus on which nothing takes time they have before it is asked.
    pub(super) fn knows_others(&self, now: Instant, bus: &Status) -> bool {
        bus.round_trip.is_none()
            || self
                .greeted
                .as_ref()
                .is_some_and(|greeted| greeted.since == bus.since && greeted.answered <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAY: Duration = Duration::from_millis(300);

    fn ready(since: Instant) -> Status {
        Status {
            since,
            round_trip: Some(WAY),
            ..Status::always_ready()
        }
    }

    #[test]
    fn it_greets_once_on_each_bus_and_then_says_each_second_that_it_is_there() {
        let mut presence = Presence::default();
        let start = Instant::now();
        let away = Status {
            is_ready: false,
            ..ready(start)
        };
        assert_eq!(presence.next(start, &away), Some(Word::Alive));
        assert_eq!(presence.next(start, &away), None);
        let bus = ready(start + WAY);
        assert_eq!(presence.next(start + WAY, &bus), Some(Word::Hello));
        let next = start + WAY + ANNOUNCE_INTERVAL;
        assert_eq!(presence.next(next - Duration::from_millis(1), &bus), None);
        assert_eq!(presence.next(next, &bus), Some(Word::Alive));
        assert_eq!(presence.next(next, &bus), None);
        assert_eq!(presence.next(next, &ready(next)), Some(Word::Hello));
        presence.leave();
        let later = next + 2 * ANNOUNCE_INTERVAL;
        assert_eq!(presence.next(later, &ready(later)), None);
        assert!(!presence.is_here());
    }

    #[test]
    fn it_greets_when_it_can_also_be_answered() {
        let start = Instant::now();
        let (there, back) = (ready(start), ready(start + WAY));
        let away = Status {
            is_ready: false,
            ..back.clone()
        };
        let slow = Status {
            round_trip: Some(2 * WAY),
            ..there.clone()
        };
        for (one, other) in [(&there, &away), (&away, &there)] {
            let line = both(one, other);
            let mut presence = Presence::default();
            assert_eq!(presence.next(start, &line), Some(Word::Alive));
        }
        let line = both(&slow, &back);
        assert!(line.is_ready && line.since == start + WAY);
        assert_eq!(line.round_trip, Some(2 * WAY));
        let mut presence = Presence::default();
        assert_eq!(presence.next(start + WAY, &line), Some(Word::Hello));
    }

    #[test]
    fn it_knows_the_others_when_they_have_had_time_to_answer() {
        let mut presence = Presence::default();
        let start = Instant::now();
        let bus = ready(start);
        assert!(
            !presence.knows_others(start + 10 * WAY, &bus),
            "not greeted"
        );
        presence.next(start, &bus);
        assert!(!presence.knows_others(start + 4 * WAY, &bus));
        assert!(presence.knows_others(start + 4 * WAY + GREETING_TIME, &bus));
        let again = ready(start + 3 * WAY);
        assert!(!presence.knows_others(start + 10 * WAY, &again));
        let far = Status {
            round_trip: Some(Duration::from_secs(60)),
            ..again
        };
        presence.next(start, &far);
        assert!(presence.knows_others(start + GREETING_WAIT_MAX, &far));
        assert!(Presence::default().knows_others(start, &Status::always_ready()));
    }
}
