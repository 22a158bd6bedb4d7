//! Rooms of several hosts on one Redis, with the other hosts' members made up.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::state::change::Set;
use crate::state::rooms::EMPTY_MAX;
use crate::state::tests::server::Server;
use crate::state::{Owner, Quota};

const QUOTA: Quota = Quota {
    keys_max: usize::MAX,
    bytes_max: usize::MAX,
};
const START: Time = Time::from_millis(1_000);

/// A minute and as many more, and so many milliseconds.
fn later(minutes: u64, millis: i64) -> Time {
    let minute = u64::try_from(EMPTY_MAX.as_millis()).unwrap();
    let time = START.as_millis() + (1 + minutes) * minute;
    Time::from_millis(time.saturating_add_signed(millis))
}

async fn set(host: &Shared, room: &str, key: &str) {
    let owner = Owner::Room(room.to_owned());
    let change = Set {
        value: "1".to_owned(),
        ttl: None,
    };
    host.change(&owner, key, change, QUOTA).await.unwrap();
}

async fn keys(host: &Shared, room: &str) -> Vec<String> {
    let owner = Owner::Room(room.to_owned());
    host.keys(&owner, "", None, 9).await.unwrap().keys
}

/// What the other hosts say, and how often they were asked.
#[derive(Default)]
struct Others {
    here: Vec<&'static str>,
    there: Option<Vec<&'static str>>,
    asked: AtomicU32,
}

impl Others {
    fn have(rooms: &[&'static str]) -> Self {
        Self {
            there: Some(rooms.to_vec()),
            ..Self::default()
        }
    }
}

impl Members for Others {
    fn are_here(&self, room: &str) -> bool {
        self.here.contains(&room)
    }

    async fn elsewhere(&self, _: Vec<String>) -> Option<BTreeSet<String>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let there = self.there.as_ref()?;
        Some(there.iter().map(ToString::to_string).collect())
    }
}

#[tokio::test]
async fn what_a_killed_host_leaves_is_found_by_another() {
    let Some(server) = Server::start() else {
        return;
    };
    let killed = server.shared("a");
    for room in ["left", "there", "here"] {
        set(&killed, room, "k").await;
    }
    drop(killed);
    let host = server.shared("a");
    let others = Others {
        here: vec!["here"],
        ..Others::have(&["there"])
    };
    host.find_abandoned(START, &others).await.unwrap();
    host.find_abandoned(later(0, -1), &others).await.unwrap();
    assert_eq!(others.asked.load(Ordering::Relaxed), 0);
    // Not all have answered: nothing is certain.
    let silent = Others::default();
    host.find_abandoned(later(0, 0), &silent).await.unwrap();
    // From here on it is known that nobody is there.
    host.find_abandoned(later(0, 1), &others).await.unwrap();
    // Who is told that there are members asks again in a minute, and not before.
    host.find_abandoned(later(0, 2), &others).await.unwrap();
    assert_eq!(others.asked.load(Ordering::Relaxed), 1);
    host.find_abandoned(later(1, 0), &others).await.unwrap();
    assert_eq!(keys(&host, "left").await, ["k"]);
    set(&host, "left", "new").await;
    host.find_abandoned(later(1, 1), &silent).await.unwrap();
    assert_eq!(keys(&host, "left").await, ["k", "new"]);
    host.find_abandoned(later(1, 2), &others).await.unwrap();
    assert_eq!(keys(&host, "left").await, ["new"], "it waits for a minute");
    assert_eq!(keys(&host, "there").await, ["k"]);
    assert_eq!(keys(&host, "here").await, ["k"]);
}

/// For however long this host has known of the room: it is another's until that is killed.
#[tokio::test]
async fn what_a_host_leaves_stays_for_a_minute_from_when_it_is_killed() {
    let Some(server) = Server::start() else {
        return;
    };
    let host = server.shared("a");
    set(&host, "r", "k").await;
    let (alive, killed) = (Others::have(&["r"]), Others::have(&[]));
    for now in [START, later(0, 0)] {
        host.find_abandoned(now, &alive).await.unwrap();
    }
    assert_eq!(alive.asked.load(Ordering::Relaxed), 1);
    let seconds = |seconds: i64| later(0, 5_000 + seconds * 1_000);
    for now in (0..=120).step_by(5) {
        host.find_abandoned(seconds(now), &killed).await.unwrap();
        let is_there = keys(&host, "r").await == ["k"];
        assert_eq!(is_there, now < 120, "after {now} s");
    }
    // A host that is back before has it still.
    set(&host, "r", "k").await;
    for (now, others) in [
        (125, &killed),
        (185, &killed),
        (245, &alive),
        (250, &killed),
    ] {
        host.find_abandoned(seconds(now), others).await.unwrap();
    }
    host.find_abandoned(seconds(310), &killed).await.unwrap();
    assert_eq!(keys(&host, "r").await, ["k"]);
}

/// What Redis has evicted is counted for ever: it must not keep others from being asked for.
#[tokio::test]
async fn rooms_that_have_nothing_are_asked_for_once_a_minute() {
    let Some(server) = Server::start() else {
        return;
    };
    let host = server.shared("a");
    set(&host, "r", "k").await;
    server.tell("DEL ws:{a}:state:values");
    let nobody = Others::have(&[]);
    for now in [START, later(0, 0), later(0, 1)] {
        host.find_abandoned(now, &nobody).await.unwrap();
    }
    assert_eq!(nobody.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_room_ends_when_nobody_has_members_and_all_have_said_so() {
    let Some(server) = Server::start() else {
        return;
    };
    let host = server.shared("a");
    set(&host, "r", "k").await;
    let rooms = ["r".to_owned(), "none".to_owned()];
    for others in [Others::have(&["r"]), Others::default()] {
        host.end(&rooms, &others).await.unwrap();
        assert_eq!(keys(&host, "r").await, ["k"]);
    }
    let nobody = Others::have(&[]);
    host.end(&rooms, &nobody).await.unwrap();
    assert!(keys(&host, "r").await.is_empty());
    // Nobody is asked for rooms without values.
    host.end(&rooms, &nobody).await.unwrap();
    assert_eq!(nobody.asked.load(Ordering::Relaxed), 1);
}

/// Writes while it is asked: somebody has joined on another host just after that has answered.
struct Joining(Shared);

impl Members for Joining {
    fn are_here(&self, _: &str) -> bool {
        false
    }

    async fn elsewhere(&self, _: Vec<String>) -> Option<BTreeSet<String>> {
        set(&self.0, "r", "new").await;
        set(&self.0, "r", "again").await;
        Some(BTreeSet::new())
    }
}

#[tokio::test]
async fn what_is_written_meanwhile_stays() {
    let Some(server) = Server::start() else {
        return;
    };
    let host = server.shared("a");
    for key in ["old", "again"] {
        set(&host, "r", key).await;
    }
    let joining = Joining(server.shared("a"));
    host.end(&["r".to_owned()], &joining).await.unwrap();
    assert_eq!(keys(&host, "r").await, ["again", "new"]);
}

/// More than one step of the script takes.
#[tokio::test]
async fn large_rooms_go_as_well() {
    let Some(server) = Server::start() else {
        return;
    };
    let host = server.shared("a");
    for number in 0..1_100 {
        set(&host, "large", &number.to_string()).await;
    }
    set(&host, "large/2", "k").await;
    let nobody = Others::have(&[]);
    host.end(&["large".to_owned()], &nobody).await.unwrap();
    assert!(keys(&host, "large").await.is_empty());
    assert_eq!(keys(&host, "large/2").await, ["k"]);
    let rooms = host.keeper.rooms("a").await.unwrap();
    assert_eq!(rooms, ["large/2"]);
}
