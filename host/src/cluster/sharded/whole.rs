//! How several masters are doing, as one bus. Pure.

use std::time::Instant;

use crate::cluster::Status;

/// Of what each of them says. The whole is ready when all of them are, and slots have masters as of `whole_since`.
pub(super) fn status(
    retired: &Status,
    parts: &[Status],
    is_whole: bool,
    whole_since: Instant,
) -> Status {
    let mut status = retired.clone();
    for part in parts {
        add(&mut status, part);
    }
    status.is_ready = is_whole && parts.iter().all(|part| part.is_ready);
    let times = parts.iter().map(|part| (part.is_ready, part.since));
    let times = times.chain([(is_whole, whole_since)]);
    let since = |is_ready| {
        times
            .clone()
            .filter(move |(ready, _)| *ready == is_ready)
            .map(|(_, since)| since)
    };
    // Ready since the last of them is, away since the first of those is that are.
    let since = if status.is_ready {
        since(true).max()
    } else {
        since(false).min()
    };
    status.since = since.unwrap_or(whole_since);
    // What one of them has not brought may still come.
    let proven = parts.iter().map(|part| part.proven).min();
    status.proven = proven.unwrap_or(whole_since);
    status.round_trip = parts.iter().filter_map(|part| part.round_trip).max();
    status
}

/// Adds what another has counted.
pub(super) fn add(status: &mut Status, part: &Status) {
    status.reconnects += part.reconnects;
    status.published += part.published;
    status.received += part.received;
    status.dropped += part.dropped;
    status.full.bytes += part.full.bytes;
    status.full.messages += part.full.messages;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cluster::Full;

    fn part(is_ready: bool, since: Instant, number: u64) -> Status {
        Status {
            is_ready,
            since,
            proven: since,
            reconnects: number,
            published: number,
            received: number,
            dropped: number,
            full: Full {
                bytes: number,
                messages: number,
            },
            round_trip: Some(Duration::from_secs(number)),
        }
    }

    #[test]
    fn it_is_ready_when_all_are_and_counts_what_all_count() {
        let early = Instant::now();
        let (late, last) = (
            early + Duration::from_secs(1),
            early + Duration::from_secs(2),
        );
        let retired = part(false, last, 100);
        let of = |parts: &[Status], is_whole| status(&retired, parts, is_whole, early);
        let all = of(&[part(true, late, 1), part(true, early, 2)], true);
        assert!(all.is_ready && all.since == late);
        assert_eq!(
            (all.published, all.full.bytes, all.dropped),
            (103, 103, 103)
        );
        assert_eq!((all.received, all.reconnects), (103, 103));
        assert_eq!(all.proven, early);
        assert_eq!(all.round_trip, Some(Duration::from_secs(2)));
        let some = of(&[part(false, last, 1), part(false, late, 2)], true);
        assert!(!some.is_ready && some.since == late);
        let holed = of(&[part(true, last, 1)], false);
        assert!(!holed.is_ready && holed.since == early);
        assert!(!of(&[], false).is_ready);
    }
}
