//! What was broadcast by whom, and who has got it: from that, what was lost, doubled or out of order. It reads no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// What was answered so long before a fault may still have been on its way, or as long as the slowest took that came.
const ON_ITS_WAY: Duration = Duration::from_millis(50);

/// The broadcasts of one host, by its number, to one room, by its number. They are numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stream {
    pub(super) from: usize,
    pub(super) room: usize,
}

#[derive(Debug)]
struct Sent {
    at: Instant,
    answered: Option<Instant>,
}

#[derive(Debug)]
struct Heard {
    number: usize,
    at: Instant,
}

/// All broadcasts, and what the room's one member on each host has got of them.
#[derive(Debug)]
pub(super) struct Ledger {
    hosts: usize,
    sent: BTreeMap<Stream, Vec<Sent>>,
    /// Also by the host of the member.
    heard: BTreeMap<(Stream, usize), Vec<Heard>>,
}

/// From when on broadcasts between hosts may be lost, and until when.
#[derive(Debug)]
pub(super) struct Outage {
    pub(super) began: Instant,
    pub(super) hosts: Vec<Effect>,
}

/// What a fault did to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It said all the time that it was ready.
    None,
    /// It was not, and said at this moment that it was again.
    Until(Instant),
    /// It has ended.
    Gone,
}

/// How many there are of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) sent: usize,
    /// Not got by the member on the sender's host.
    pub(super) lost_here: usize,
    /// Not got by a member on another host.
    pub(super) lost_elsewhere: usize,
    /// Of these: sent while there was no outage between the two.
    pub(super) lost_outside: usize,
    pub(super) doubled: usize,
    pub(super) disordered: usize,
    /// Requests to broadcast that have no reply.
    pub(super) unanswered: usize,
}

impl Counts {
    /// Whether something is not zero that has to be.
    pub(super) fn is_broken(&self) -> bool {
        let Self {
            sent: _,
            lost_here,
            lost_elsewhere: _,
            lost_outside,
            doubled,
            disordered,
            unanswered,
        } = *self;
        [lost_here, lost_outside, doubled, disordered, unanswered] != [0; 5]
    }
}

impl Ledger {
    pub(super) fn new(hosts: usize, rooms: usize) -> Self {
        let streams = (0..hosts).flat_map(|from| (0..rooms).map(move |room| Stream { from, room }));
        Self {
            hosts,
            sent: streams.map(|stream| (stream, Vec::new())).collect(),
            heard: BTreeMap::new(),
        }
    }

    /// A broadcast is about to be sent; its number.
    pub(super) fn send(&mut self, stream: Stream, at: Instant) -> usize {
        let sent = self.sent.entry(stream).or_default();
        sent.push(Sent { at, answered: None });
        sent.len() - 1
    }

    pub(super) fn answer(&mut self, stream: Stream, number: usize, at: Instant) {
        let sent = self.sent.get_mut(&stream);
        if let Some(sent) = sent.and_then(|sent| sent.get_mut(number)) {
            sent.answered = Some(at);
        }
    }

    /// The room's member on the host `to` has got it.
    pub(super) fn hear(&mut self, stream: Stream, number: usize, to: usize, at: Instant) {
        let heard = self.heard.entry((stream, to)).or_default();
        heard.push(Heard { number, at });
    }

    /// Of who and where is still there.
    pub(super) fn count(&self, outage: &Outage) -> Counts {
        let mut counts = Counts::default();
        let on_its_way = self.slowest(outage.began).max(ON_ITS_WAY);
        for (stream, sent) in &self.sent {
            let is_gone = outage.effect(stream.from) == Effect::Gone;
            // What a host that has ended did not answer, nobody was promised.
            let promised = |sent: &&Sent| !is_gone || sent.answered.is_some();
            counts.sent += sent.iter().filter(promised).count();
            counts.unanswered += sent
                .iter()
                .filter(|sent| promised(sent) && sent.answered.is_none())
                .count();
            for to in (0..self.hosts).filter(|to| outage.effect(*to) != Effect::Gone) {
                let heard = self.heard(*stream, to);
                let got = numbers(heard, &mut counts);
                let lost = sent.iter().enumerate();
                let lost = lost.filter(|(number, sent)| promised(sent) && !got.contains(number));
                for (_, sent) in lost {
                    if to == stream.from {
                        counts.lost_here += 1;
                        continue;
                    }
                    counts.lost_elsewhere += 1;
                    if !outage.covers(stream.from, to, sent, on_its_way) {
                        counts.lost_outside += 1;
                    }
                }
            }
        }
        counts
    }

    /// When the last of those that are still there had got the first broadcast of another that was sent after `since` and
    /// after whatever was lost; `None` when one never has.
    pub(super) fn whole(&self, since: Instant, outage: &Outage) -> Option<Instant> {
        let is_there = |host: usize| outage.effect(host) != Effect::Gone;
        let mut whole = since;
        for (stream, sent) in self.sent.iter().filter(|(stream, _)| is_there(stream.from)) {
            for to in (0..self.hosts).filter(|to| *to != stream.from && is_there(*to)) {
                let heard = self.heard(*stream, to);
                let at: BTreeMap<_, _> =
                    heard.iter().map(|heard| (heard.number, heard.at)).collect();
                let tail = sent.iter().enumerate().rev();
                let tail = tail.take_while(|(_, sent)| sent.at >= since);
                let first = tail.map_while(|(number, _)| at.get(&number)).last();
                whole = whole.max(*first?);
            }
        }
        Some(whole)
    }

    /// How long what was answered before this took to come to another host, at most.
    fn slowest(&self, before: Instant) -> Duration {
        let elsewhere = self.heard.iter().filter(|((from, to), _)| from.from != *to);
        let times = elsewhere.flat_map(|((stream, _), heard)| {
            let sent = self.sent.get(stream).map_or(&[][..], Vec::as_slice);
            heard.iter().filter_map(move |heard| {
                let answered = sent.get(heard.number)?.answered?;
                (answered < before).then(|| heard.at.saturating_duration_since(answered))
            })
        });
        times.max().unwrap_or_default()
    }

    fn heard(&self, stream: Stream, to: usize) -> &[Heard] {
        self.heard.get(&(stream, to)).map_or(&[], Vec::as_slice)
    }
}

impl Outage {
    fn effect(&self, host: usize) -> Effect {
        self.hosts.get(host).copied().unwrap_or(Effect::None)
    }

    /// Whether it was sent while there was an outage between these two.
    fn covers(&self, from: usize, to: usize, sent: &Sent, on_its_way: Duration) -> bool {
        let is_after = sent.answered.unwrap_or(sent.at) + on_its_way >= self.began;
        let is_before = [from, to].into_iter().any(|host| match self.effect(host) {
            Effect::None => false,
            Effect::Until(end) => sent.at < end,
            Effect::Gone => true,
        });
        is_after && is_before
    }
}

/// Which were got; those that were got again or too late are counted.
fn numbers(heard: &[Heard], counts: &mut Counts) -> BTreeSet<usize> {
    let mut got = BTreeSet::new();
    for Heard { number, .. } in heard {
        let is_late = got.last().is_some_and(|last| number < last);
        if !got.insert(*number) {
            counts.doubled += 1;
        } else if is_late {
            counts.disordered += 1;
        }
    }
    got
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: Stream = Stream { from: 0, room: 0 };

    /// Ten broadcasts of one host, 100 ms apart, answered at once and got at once by these members: `None` by nobody.
    fn ledger(start: Instant, got: [&[usize]; 2]) -> Ledger {
        let mut ledger = Ledger::new(2, 1);
        for number in 0..10 {
            let at = start + Duration::from_millis(100 * number);
            let number = ledger.send(STREAM, at);
            ledger.answer(STREAM, number, at);
        }
        for (to, numbers) in got.iter().enumerate() {
            for number in *numbers {
                let at = start + Duration::from_millis(100 * *number as u64 + 1);
                ledger.hear(STREAM, *number, to, at);
            }
        }
        ledger
    }

    const ALL: [usize; 10] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

    fn outage(began: Instant, sender: Effect) -> Outage {
        Outage {
            began,
            hosts: vec![sender, Effect::None],
        }
    }

    #[test]
    fn what_is_lost_doubled_or_late_is_counted() {
        let start = Instant::now();
        let none = outage(start, Effect::None);
        let counts = ledger(start, [&ALL, &ALL]).count(&none);
        assert_eq!(
            counts,
            Counts {
                sent: 10,
                ..Counts::default()
            }
        );
        let mut ledger = ledger(start, [&ALL[1..], &[0, 2, 1, 2, 3, 4, 5, 6, 9]]);
        ledger.send(STREAM, start + Duration::from_secs(1));
        let expected = Counts {
            sent: 11,
            lost_here: 2,
            lost_elsewhere: 3,
            lost_outside: 3,
            doubled: 1,
            disordered: 1,
            unanswered: 1,
        };
        assert_eq!(ledger.count(&none), expected);
    }

    #[test]
    fn only_what_was_sent_during_the_outage_may_be_lost() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let got = ledger(start, [&ALL, &[0, 1, 2, 6, 7, 8, 9]]);
        for (began, ended, outside) in [
            (250, 550, 0),
            // It was on its way.
            (340, 550, 0),
            (360, 550, 1),
            (250, 450, 1),
            (250, 350, 2),
        ] {
            let counts = got.count(&outage(at(began), Effect::Until(at(ended))));
            assert_eq!(
                (counts.lost_elsewhere, counts.lost_outside),
                (3, outside),
                "from {began} to {ended}"
            );
        }
        // Where others were as slow, it may have been on its way for as long.
        let mut slow = ledger(start, [&ALL, &[0, 6, 7, 8, 9]]);
        slow.hear(STREAM, 1, 1, at(100 + 170));
        let counts = slow.count(&outage(at(360), Effect::Until(at(550))));
        assert_eq!((counts.lost_elsewhere, counts.lost_outside), (4, 0));
        assert_eq!(got.count(&outage(at(250), Effect::None)).lost_outside, 3);
        assert_eq!(got.count(&outage(at(250), Effect::Gone)).lost_outside, 0);
        assert_eq!(got.count(&outage(at(460), Effect::Gone)).lost_outside, 2);
    }

    #[test]
    fn it_is_whole_when_the_first_of_an_unbroken_tail_is_got() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        // The member of the host that sends nothing has to hear the other; and nobody listens to nobody.
        let outage = outage(start, Effect::None);
        let ledger = |got: &[usize]| {
            let mut ledger = ledger(start, [&ALL, got]);
            ledger.sent.retain(|stream, _| *stream == STREAM);
            ledger
        };
        assert_eq!(
            ledger(&ALL).whole(at(450), &outage),
            Some(at(501)),
            "nothing was lost"
        );
        assert_eq!(
            ledger(&[0, 5, 7, 8, 9]).whole(at(450), &outage),
            Some(at(701))
        );
        assert_eq!(ledger(&ALL[..9]).whole(at(450), &outage), None);
    }
}
