//! Which rooms of a tenant have values that go with them. Written by whoever keeps the values, once they are kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::Time;
use super::map::Lasting;

/// How long the values of a room without members stay, when it did not have any when they were set: as long as a
/// connection may take to open whose connect handlers set them. With several hosts, they stay for twice that at the most.
pub(super) const EMPTY_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Rooms(Mutex<Marks>);

#[derive(Debug, Default)]
struct Marks {
    /// How many such values a room has; it is not here when it has none, so there are no more than there are values.
    lasting: BTreeMap<String, usize>,
    /// Those of them that have no members.
    vacant: Vacant,
    /// Those whose values are being taken away, and how many times over.
    going: BTreeMap<String, usize>,
}

impl Rooms {
    /// A room has so many more, or fewer.
    pub(super) fn count(&self, room: &str, lasting: Lasting) {
        if lasting == 0 {
            return;
        }
        let mut marks = self.0.lock();
        let count = marks.lasting.entry(room.to_owned()).or_default();
        *count = count.saturating_add_signed(lasting);
        if *count == 0 {
            marks.lasting.remove(room);
        }
    }

    /// Whether what is kept may still show values that are gone.
    pub(super) fn is_going(&self, room: &str) -> bool {
        self.0.lock().going.contains_key(room)
    }

    /// Begins to take away a room's values; `None` when it has none.
    pub(super) fn begin(self: &Arc<Self>, room: &str) -> Option<Going> {
        let mut marks = self.0.lock();
        if !marks.lasting.contains_key(room) {
            return None;
        }
        *marks.going.entry(room.to_owned()).or_default() += 1;
        Some(Going {
            rooms: Arc::clone(self),
            room: room.to_owned(),
        })
    }

    /// Those whose values have waited for members for long enough. To be asked every few seconds.
    pub(super) fn abandoned(&self, now: Time, has_members: impl Fn(&str) -> bool) -> Vec<String> {
        let rooms: Vec<_> = self.0.lock().lasting.keys().cloned().collect();
        // Without the lock: who says that a room has ended holds one of the hub's, and then takes this one.
        let empty: Vec<_> = rooms
            .into_iter()
            .filter(|room| !has_members(room))
            .collect();
        self.0.lock().vacant.due(now, empty.into_iter())
    }
}

/// Rooms that have values and no members here, and since when that is known.
#[derive(Debug, Default)]
pub(super) struct Vacant(BTreeMap<String, Since>);

#[derive(Clone, Copy, Debug)]
struct Since {
    time: Time,
    /// The last version at that time, if it is since then that no other host has members either.
    nowhere: Option<u64>,
}

impl Vacant {
    /// These are all of them now. Returns those that have been for long enough, the longest first: who takes only some of
    /// them must come to all.
    pub(super) fn due(&mut self, now: Time, empty: impl Iterator<Item = String>) -> Vec<String> {
        let new = Since {
            time: now,
            nowhere: None,
        };
        let empty = empty.map(|room| {
            let since = self.0.get(&room).copied().unwrap_or(new);
            (room, since)
        });
        self.0 = empty.collect();
        let due = self.0.iter();
        let due = due.filter(|(_, since)| since.time.after(EMPTY_MAX) <= now);
        let mut due: Vec<_> = due.collect();
        due.sort_by_key(|(_, since)| since.time);
        due.into_iter().map(|(room, _)| room.clone()).collect()
    }

    /// No host has members in this one, which is due; `newest` is the last version by now. Returns up to which version its
    /// values have waited for some, when that has been so since it was due before; if not, they begin to wait.
    pub(super) fn nowhere(&mut self, room: &str, now: Time, newest: u64) -> Option<u64> {
        let since = self.0.get_mut(room)?;
        if since.nowhere.is_none() {
            let nowhere = Some(newest);
            *since = Since { time: now, nowhere };
            return None;
        }
        self.0.remove(room)?.nowhere
    }

    /// These are taken to have members: they begin anew.
    pub(super) fn forget<'a>(&mut self, rooms: impl IntoIterator<Item = &'a String>) {
        for room in rooms {
            self.0.remove(room);
        }
    }
}

/// A room whose values are being taken away. Dropped when they are, or when that has failed.
#[derive(Debug)]
pub(super) struct Going {
    rooms: Arc<Rooms>,
    room: String,
}

impl Going {
    /// It has none any more.
    pub(super) fn done(self) {
        self.rooms.0.lock().lasting.remove(&self.room);
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let mut marks = self.rooms.0.lock();
        if let Some(times) = marks.going.get_mut(&self.room) {
            *times -= 1;
            if *times == 0 {
                marks.going.remove(&self.room);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn due(vacant: &mut Vacant, now: Time, empty: &[&str]) -> Vec<String> {
        vacant.due(now, empty.iter().map(ToString::to_string))
    }

    #[test]
    fn who_has_waited_longest_is_first() {
        let mut vacant = Vacant::default();
        assert!(due(&mut vacant, at(1), &["z"]).is_empty());
        assert!(due(&mut vacant, at(2), &["b", "c", "z"]).is_empty());
        let all = ["a", "b", "c", "z"];
        assert!(due(&mut vacant, at(3), &all).is_empty());
        let minute = u64::try_from(EMPTY_MAX.as_millis()).unwrap();
        assert_eq!(due(&mut vacant, at(2 + minute), &all), ["z", "b", "c"]);
        // These had members, and wait anew.
        vacant.forget(&["b".to_owned(), "z".to_owned()]);
        assert_eq!(due(&mut vacant, at(3 + minute), &all), ["c", "a"]);
        assert_eq!(
            due(&mut vacant, at(3 + 2 * minute), &all),
            ["c", "a", "b", "z"]
        );
    }

    #[test]
    fn where_others_may_have_members_it_waits_from_when_they_have_none() {
        let mut vacant = Vacant::default();
        let minute = u64::try_from(EMPTY_MAX.as_millis()).unwrap();
        assert!(due(&mut vacant, at(0), &["r"]).is_empty());
        assert_eq!(due(&mut vacant, at(minute + 3), &["r"]), ["r"]);
        assert_eq!(vacant.nowhere("r", at(minute + 3), 7), None);
        assert!(due(&mut vacant, at(2 * minute + 2), &["r"]).is_empty());
        assert_eq!(due(&mut vacant, at(2 * minute + 3), &["r"]), ["r"]);
        assert_eq!(vacant.nowhere("r", at(2 * minute + 3), 9), Some(7));
        // From the beginning.
        assert!(due(&mut vacant, at(3 * minute), &["r"]).is_empty());
        assert_eq!(due(&mut vacant, at(4 * minute), &["r"]), ["r"]);
        assert_eq!(vacant.nowhere("r", at(4 * minute), 10), None);
        // Somebody was in it here.
        assert!(due(&mut vacant, at(4 * minute + 1), &[]).is_empty());
        assert!(due(&mut vacant, at(4 * minute + 2), &["r"]).is_empty());
        assert_eq!(due(&mut vacant, at(6 * minute), &["r"]), ["r"]);
        assert_eq!(vacant.nowhere("r", at(6 * minute), 11), None);
    }
}
