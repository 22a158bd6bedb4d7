//! Which other hosts there are: those that were heard of lately.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::window::{Arrival, Window};

/// How often a host says that it is there.
pub(in crate::hub) const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(1);

/// Who has said nothing for so long is not expected to answer any more: two announcements may be lost, and the third
/// late by half a second. With how late that is noticed, it is within five seconds.
const SILENT_MAX: Duration = Duration::from_millis(3_500);

/// More than there are. Without it, whoever writes to the bus could fill the memory.
const PEERS_MAX: usize = 1_000;

/// Of a node's name, as configurations have them.
const NODE_BYTES_MAX: usize = 63;

/// One run of a host: another one has another, whatever their nodes are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(transparent)]
pub(in crate::hub) struct Run(Uuid);

impl Run {
    pub(super) fn random() -> Self {
        Self(Uuid::new_v4())
    }

    pub(in crate::hub) fn read(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl fmt::Display for Run {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(formatter)
    }
}

/// The other hosts.
#[derive(Debug, Default)]
pub(super) struct Peers {
    known: BTreeMap<Run, Peer>,
}

#[derive(Debug)]
struct Peer {
    node: String,
    heard: Instant,
    /// The last of its connections to the broker that it was heard on.
    link: u64,
    /// The numbers of its broadcasts.
    window: Window,
}

impl Peers {
    /// A host has said that it is there. Returns whether that is news; who is one too many is not taken in.
    pub(super) fn heard(&mut self, run: Run, node: &str, now: Instant) -> bool {
        if let Some(peer) = self.known.get_mut(&run) {
            peer.heard = now;
            return false;
        }
        if self.known.len() >= PEERS_MAX || !(1..=NODE_BYTES_MAX).contains(&node.len()) {
            return false;
        }
        let node = node.to_owned();
        self.known.insert(
            run,
            Peer {
                node,
                heard: now,
                link: 0,
                window: Window::default(),
            },
        );
        true
    }

    /// What has become of a host's broadcast of this number, sent on this of its connections. It is late behind what was
    /// sent on a later one.
    pub(super) fn arrived(&mut self, run: Run, link: u64, number: u64) -> Arrival {
        let Some(peer) = self.known.get_mut(&run) else {
            return Arrival::New;
        };
        peer.link = peer.link.max(link);
        if link < peer.link {
            return Arrival::Late;
        }
        peer.window.arrived(number)
    }

    /// A host has said that it ends. Returns its name.
    pub(super) fn gone(&mut self, run: Run) -> Option<String> {
        self.known.remove(&run).map(|peer| peer.node)
    }

    /// Forgets who has been silent for too long, and returns them with their names. What they have said between these
    /// two would have been heard: who says nothing before the one, or after the other, may be somebody whom this host
    /// cannot hear.
    pub(super) fn forget_silent(&mut self, since: Instant, until: Instant) -> Vec<(Run, String)> {
        let silent = |peer: &Peer| {
            let heard = peer.heard.max(since);
            until.saturating_duration_since(heard) > SILENT_MAX
        };
        let silent = self.known.extract_if(.., |_, peer| silent(peer));
        silent.map(|(run, peer)| (run, peer.node)).collect()
    }

    /// Who is there, sorted.
    pub(super) fn live(&self) -> Vec<Run> {
        self.known.keys().copied().collect()
    }

    /// Their names, sorted.
    pub(super) fn nodes(&self) -> Vec<String> {
        let mut nodes: Vec<_> = self.known.values().map(|peer| peer.node.clone()).collect();
        nodes.sort_unstable();
        nodes
    }

    /// Their names, sorted, and for how long each has been silent.
    pub(super) fn silences(&self, now: Instant) -> Vec<(String, Duration)> {
        let silence = |peer: &Peer| now.saturating_duration_since(peer.heard);
        let silences = self.known.values();
        let silences = silences.map(|peer| (peer.node.clone(), silence(peer)));
        let mut silences: Vec<_> = silences.collect();
        silences.sort_unstable();
        silences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_silent_for_too_long_is_not_expected() {
        let mut peers = Peers::default();
        let (a, b) = (Run::random(), Run::random());
        let start = Instant::now();
        assert!(peers.heard(a, "a", start));
        assert!(peers.heard(b, "b", start));
        assert!(!peers.heard(a, "a", start + ANNOUNCE_INTERVAL));
        assert_eq!(peers.nodes(), ["a", "b"]);
        let silences = peers.silences(start + SILENT_MAX);
        let (a_silent, b_silent) = (SILENT_MAX - ANNOUNCE_INTERVAL, SILENT_MAX);
        assert_eq!(
            silences,
            [("a".to_owned(), a_silent), ("b".to_owned(), b_silent)]
        );
        assert_eq!(peers.forget_silent(start, start + SILENT_MAX), []);
        let later = start + SILENT_MAX + Duration::from_millis(1);
        // Not while it is this host that hears nobody, nor just after.
        let (cut_off, back) = (start + ANNOUNCE_INTERVAL, later + ANNOUNCE_INTERVAL);
        assert_eq!(peers.forget_silent(start, cut_off), []);
        assert_eq!(peers.forget_silent(back, back + SILENT_MAX), []);
        assert_eq!(peers.forget_silent(start, later), [(b, "b".to_owned())]);
        assert_eq!(peers.live(), [a]);
        // It is heard of again, with all it has.
        assert!(peers.heard(b, "b", later));
        assert_eq!(peers.gone(a).as_deref(), Some("a"));
        assert_eq!(peers.gone(a), None);
        assert_eq!(peers.nodes(), ["b"]);
    }

    #[test]
    fn what_comes_behind_a_later_connection_is_late() {
        let mut peers = Peers::default();
        let (a, b) = (Run::random(), Run::random());
        for run in [a, b] {
            peers.heard(run, "n", Instant::now());
        }
        for (run, link, number, arrival) in [
            (a, 1, 5, Arrival::New),
            (a, 3, 7, Arrival::New),
            (a, 3, 6, Arrival::New),
            (a, 3, 7, Arrival::Seen),
            (a, 2, 8, Arrival::Late),
            (b, 2, 7, Arrival::New),
            (Run::random(), 1, 7, Arrival::New),
        ] {
            assert_eq!(peers.arrived(run, link, number), arrival);
        }
        assert_eq!(Run::read(&a.to_string()), Some(a));
        assert_eq!(Run::read("a"), None);
    }

    #[test]
    fn there_are_not_more_than_can_be() {
        let mut peers = Peers::default();
        let now = Instant::now();
        assert!(!peers.heard(Run::random(), "", now));
        assert!(!peers.heard(Run::random(), &"n".repeat(NODE_BYTES_MAX + 1), now));
        for _ in 0..PEERS_MAX {
            assert!(peers.heard(Run::random(), &"n".repeat(NODE_BYTES_MAX), now));
        }
        assert!(!peers.heard(Run::random(), "n", now));
        assert_eq!(peers.live().len(), PEERS_MAX);
    }
}
