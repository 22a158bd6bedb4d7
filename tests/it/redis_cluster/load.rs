//! Broadcasts that go on while something happens to a cluster of Redis, and what became of them.

use super::{ROOMS, Stage, channel, rooms, to_all};
use crate::cluster::run;
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use wardroom_tests::Client;

/// The rooms of a load: others than those which are looked at one broadcast at a time.
fn loaded() -> Vec<String> {
    rooms().map(|room| format!("{room}/load")).collect()
}

/// What comes last, of all numbers.
const LAST: u64 = 1_000_000;

/// Broadcasts that go on while something happens.
pub(super) struct Load {
    /// By room: the server that had its channel at the start.
    owners: HashMap<String, usize>,
    stop: CancellationToken,
    sending: JoinHandle<(Client, u64)>,
    getting: JoinHandle<HashMap<String, Got>>,
}

/// What arrived in a room.
struct Got {
    numbers: Vec<u64>,
    last: Instant,
    longest_silence: Duration,
}

async fn get_until_last(mut member: Client, begun: Instant) -> HashMap<String, Got> {
    let mut all: HashMap<String, Got> = HashMap::new();
    let mut ended = 0;
    while ended < ROOMS {
        let push = member.receive_json().await.unwrap();
        let number = push["data"].as_u64().unwrap();
        let now = Instant::now();
        let room = push["path"].as_str().unwrap().to_owned();
        let got = all.entry(room).or_insert(Got {
            numbers: Vec::new(),
            last: begun,
            longest_silence: Duration::ZERO,
        });
        got.longest_silence = got.longest_silence.max(now - got.last);
        got.last = now;
        got.numbers.push(number);
        ended += usize::from(number == LAST);
    }
    all
}

impl Load {
    /// Begins to broadcast to rooms, from the first host to a further member of the second, which has heard all of them
    /// when this completes.
    pub(super) async fn begin(stage: &Stage) -> Self {
        let mut sender = stage.hosts[0].connect("load").await.unwrap();
        let mut member = stage.hosts[1].connect("loaded").await.unwrap();
        let rooms = loaded();
        let channels = Vec::from_iter(rooms.iter().map(|room| channel(room)));
        let owners = stage.cluster.owners(&channels).await.unwrap();
        let joins = rooms.iter().map(|room| json!(["join", room]));
        run(&mut member, joins.collect()).await;
        run(&mut sender, to_all(&rooms, 1)).await;
        for _ in &rooms {
            assert_eq!(member.receive_json().await.unwrap()["data"], 1);
        }
        let begun = Instant::now();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let sending = async move {
            let (mut sent, mut pace) = (0, interval(Duration::from_millis(20)));
            while !stopped.is_cancelled() {
                pace.tick().await;
                sent += 1;
                run(&mut sender, to_all(&loaded(), sent)).await;
            }
            (sender, sent)
        };
        Self {
            owners: rooms.into_iter().zip(owners).collect(),
            stop,
            sending: tokio::spawn(sending),
            getting: tokio::spawn(get_until_last(member, begun)),
        }
    }

    /// Ends it, when all is well. Nothing may have arrived twice, and nothing may be lost of the rooms whose channels this
    /// server did not have. What a stopped server was given and passes on when it goes on comes late.
    pub(super) async fn end(self, what: &str, touched: usize) {
        self.stop.cancel();
        let (mut sender, sent) = self.sending.await.unwrap();
        run(&mut sender, to_all(&loaded(), LAST)).await;
        let (mut lost, mut late) = (0, 0);
        // Of other rooms, and of those that the server had.
        let mut silence = [Duration::ZERO; 2];
        for (room, got) in self.getting.await.unwrap() {
            let once = HashSet::<u64>::from_iter(got.numbers.iter().copied());
            assert_eq!(once.len(), got.numbers.len(), "{room}: twice");
            late += got.numbers.windows(2).filter(|two| two[1] < two[0]).count();
            let lost_here = sent + 1 - got.numbers.len() as u64;
            let is_touched = self.owners[&room] == touched;
            let longest = &mut silence[usize::from(is_touched)];
            *longest = got.longest_silence.max(*longest);
            assert!(is_touched || lost_here == 0, "{room}: lost {lost_here}");
            lost += lost_here;
        }
        let rooms = self.owners.values().filter(|owner| **owner == touched);
        let (rooms, sent) = (rooms.count(), sent * ROOMS as u64);
        eprintln!(
            "{what}: of {sent} broadcasts {lost} were lost, in {rooms} of {ROOMS} rooms, none came twice, {late} came \
             late; the longest silence there was {:?}, and {:?} elsewhere",
            silence[1], silence[0]
        );
    }
}
