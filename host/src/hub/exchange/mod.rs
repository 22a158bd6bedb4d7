//! What the hubs of a host have in common: the host's name, its end of the bus, what waits for all connections, and what
//! it and the other hosts say to each other.

mod asks;
mod channels;
mod ear;
mod lists;
mod message;
mod origin;
mod peers;
mod presence;
mod window;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::question::{Coverage, Question};
use super::{Backlog, Hub, Inner, RoomName};
use crate::cluster::{Bus, Status};
use crate::config::TenantName;
use asks::Asks;
use ear::Ear;
use lists::Lists;
use message::{Message, ToAll};
pub(super) use origin::Origin;
pub(super) use peers::Run;
use peers::{ANNOUNCE_INTERVAL, Peers};
use presence::{Presence, Word};
use window::Arrival;

/// How long other hosts may take to answer. An event has more time than that, by default.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(1);

/// How often to look whether there is something to say, or somebody silent.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How long a host that ends waits for the broker to take what it has said.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(2);

/// Of what hosts say to each other, unless it is a larger push. A connection that is in 128 rooms of the longest names, each
/// of their letters six in JSON, is not a quarter of it.
pub(super) const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Shared by all hubs of a host.
pub struct Exchange {
    pub(super) origin: Origin,
    /// What the names of all channels begin with.
    prefix: String,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) backlog: Arc<Backlog>,
    /// By what the names of their channels begin with.
    hubs: RwLock<HashMap<String, Weak<Inner>>>,
    peers: Mutex<Peers>,
    presence: Mutex<Presence>,
    asks: Asks,
    lists: Lists,
    /// The number of what is said next, for whichever tenant.
    pub(super) next_number: AtomicU64,
    malformed: AtomicU64,
    /// What came too late.
    late: AtomicU64,
}

impl Exchange {
    /// For a host of this name, on its end of the bus, where the names of all channels begin with `prefix`.
    #[must_use]
    pub fn new(node: &str, prefix: &str, bus: Arc<dyn Bus>, backlog: Arc<Backlog>) -> Arc<Self> {
        let exchange = Arc::new(Self {
            origin: Origin::new(node),
            prefix: prefix.to_owned(),
            bus,
            backlog,
            hubs: RwLock::default(),
            peers: Mutex::default(),
            presence: Mutex::default(),
            asks: Asks::default(),
            lists: Lists::default(),
            next_number: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            late: AtomicU64::new(0),
        });
        let ear = Ear(Arc::downgrade(&exchange));
        exchange.bus.attach(Arc::new(ear));
        exchange
    }

    /// How the bus is doing. What came too late counts as dropped.
    #[must_use]
    pub fn bus_status(&self) -> Status {
        let mut status = self.bus.status();
        status.dropped += self.late.load(Ordering::Relaxed);
        status
    }

    /// Whether something that another host has said counts: not when it has come already, and not when it comes behind what
    /// that has sent on a later connection to the broker: a broker that was stopped reads on where hosts have long given
    /// it up. Lost is better than out of order, or than done when its plugin has been told that it is not: it was sent
    /// while the bus was away, when broadcasts are lost. Not every server says what this asks for.
    pub(super) fn is_news(
        &self,
        from: Option<Run>,
        link: Option<u64>,
        number: Option<u64>,
    ) -> bool {
        let (Some(from), Some(link), Some(number)) = (from, link, number) else {
            return true;
        };
        let arrival = self.peers.lock().arrived(from, link, number);
        let is_late = arrival == Arrival::Late;
        self.late.fetch_add(u64::from(is_late), Ordering::Relaxed);
        arrival == Arrival::New
    }

    /// Payloads of the bus that were nothing to deliver.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        self.malformed.load(Ordering::Relaxed)
    }

    /// What the names of the channels of a tenant's rooms begin with.
    pub(super) fn channels_of(&self, tenant: &TenantName) -> String {
        channels::of_rooms(&self.prefix, tenant)
    }

    fn all(&self) -> String {
        channels::of_all(&self.prefix)
    }

    /// From here on the hub gets what arrives on its channels, in place of another that had them.
    pub(super) fn attach(&self, channels: &str, hub: Weak<Inner>) {
        self.backlog.attach(Weak::clone(&hub));
        let mut hubs = self.hubs.write();
        hubs.retain(|_, hub| hub.strong_count() > 0);
        hubs.insert(channels.to_owned(), hub);
    }

    /// The hub that has taken this one's place, if there is one: that of a tenant that was removed and is there again.
    pub(super) fn successor(&self, hub: &Inner) -> Option<Arc<Inner>> {
        let current = self.hub(&hub.channels)?;
        (!std::ptr::eq(&raw const *current, hub)).then_some(current)
    }

    /// Calls `end` for a room that this hub is done with, unless another has taken its place and has members in it: what
    /// arrives on the channel, and what is kept for the room, is theirs then. It is called under that room's lock, so that
    /// nobody joins it meanwhile.
    pub(super) fn unless_in_use(&self, hub: &Inner, room: &RoomName, end: impl FnOnce()) {
        match self.successor(hub) {
            Some(successor) => successor.rooms.if_empty(room.as_str(), end),
            None => end(),
        }
    }

    /// Makes this host and the others known to each other, and keeps it so until it is dropped. Until then, their
    /// questions are answered.
    pub async fn announce(&self) {
        tokio::join!(self.keep_known(), self.answer_lists());
    }

    async fn keep_known(&self) {
        let own = self
            .bus
            .subscribe(&channels::of_host(&self.prefix, self.origin.run));
        let all = self.bus.subscribe(&self.all());
        let subscribed = async {
            own.confirmed().await;
            all.confirmed().await;
        };
        // Who comes late is heard of all the same: at the next announcement.
        let _ = tokio::time::timeout(ANNOUNCE_INTERVAL, subscribed).await;
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.look();
        }
    }

    fn look(&self) {
        // While that is away by which all say that they are there, nobody can be heard.
        let all = self.bus.status_of(&self.all());
        if all.is_ready {
            let silent = self.peers.lock().forget_silent(all.since, all.proven);
            for (run, node) in silent {
                tracing::warn!(node, "host lost: it has not been heard of");
                self.asks.gone(run);
            }
        }
        let word = self.presence.lock().next(Instant::now(), &self.line());
        let (from, node) = (self.origin.run, self.origin.node.as_str().into());
        match word {
            Some(Word::Hello) => self.tell(&Message::Hello { from, node }),
            Some(Word::Alive) => self.tell(&Message::Alive { from, node }),
            None => {}
        }
    }

    /// How that of the bus is doing by which this host greets the others, and is answered.
    fn line(&self) -> Status {
        let own = channels::of_host(&self.prefix, self.origin.run);
        let all = self.bus.status_of(&self.all());
        presence::both(&all, &self.bus.status_of(&own))
    }

    /// Has the others do without this host, and waits until they have been sent that and all that was sent before.
    pub async fn leave(&self) {
        self.presence.lock().leave();
        self.tell(&Message::Gone {
            from: self.origin.run,
        });
        if tokio::time::timeout(FLUSH_WAIT_MAX, self.bus.flush())
            .await
            .is_err()
        {
            tracing::warn!("the bus has not taken what was last sent");
        }
        self.bus.unsubscribe(&self.all());
        self.bus
            .unsubscribe(&channels::of_host(&self.prefix, self.origin.run));
    }

    /// Waits until the others are known. False when that of the bus is away by which they would say so.
    pub(super) async fn has_heard_others(&self) -> bool {
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        while self.line().is_ready {
            if self.knows_others() {
                return true;
            }
            looks.tick().await;
        }
        false
    }

    /// Whether the other hosts are known, as far as they are there: after its start, and after the bus was away, they
    /// first have to say so.
    #[must_use]
    pub fn knows_others(&self) -> bool {
        let line = self.line();
        self.presence.lock().knows_others(Instant::now(), &line)
    }

    /// The names of all hosts that are there, this one among them, sorted.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        let mut nodes = self.peers.lock().nodes();
        nodes.push(self.origin.node.clone());
        nodes.sort_unstable();
        nodes
    }

    /// The names of the other hosts that are there, sorted, and for how long each has been silent.
    #[must_use]
    pub fn peers(&self) -> Vec<(String, Duration)> {
        self.peers.lock().silences(Instant::now())
    }

    /// Sends a push to the connections that a tenant has on other hosts.
    pub(super) fn push_to_all(&self, tenant: &TenantName, frame: &[u8]) {
        let push = ToAll {
            from: self.origin.run,
            link: self.bus.link(),
            number: self.take_number(),
            tenant: tenant.as_str(),
            frame,
        };
        self.bus.publish(&self.all(), &push);
    }

    /// Asks the other hosts, and waits for those that are there, until one of their answers `is_enough`. What cannot be
    /// read is no answer. The coverage is of all hosts, this one included; where one answer was enough, of those that
    /// have given one.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        tenant: &TenantName,
        question: Question<'_>,
        is_enough: impl Fn(&RawValue) -> bool + Clone + Send + 'static,
    ) -> (Vec<T>, Coverage) {
        let peers = self.peers.lock().live();
        let count = |hosts: usize| u32::try_from(hosts).unwrap_or(u32::MAX);
        if !self.line().is_ready || (peers.is_empty() && !self.knows_others()) {
            // They cannot be asked, or are not known yet: what there is here is not all.
            let expected = count(peers.len().max(1) + 1);
            let answered = 1;
            return (Vec::new(), Coverage { expected, answered });
        }
        if peers.is_empty() {
            return (Vec::new(), Coverage::HERE);
        }
        // There may be one more, whose answer counts for nothing as nobody expects it.
        let unknown = usize::from(!self.knows_others());
        let asking = self.asks.begin(&peers, Box::new(is_enough.clone()));
        self.tell(&Message::Ask {
            from: self.origin.run,
            link: Some(self.bus.link()),
            seq: Some(self.take_number()),
            number: asking.number,
            tenant: tenant.as_str().into(),
            question,
        });
        let answers = asking.answers(ANSWER_WAIT_MAX).await;
        let was_enough = answers.iter().any(|answer| is_enough(answer));
        let read = |answer: Box<RawValue>| serde_json::from_str(answer.get()).ok();
        let answers: Vec<T> = answers.into_iter().filter_map(read).collect();
        let answered = count(answers.len() + 1);
        let expected = if was_enough {
            answered
        } else {
            count(peers.len() + 1 + unknown)
        };
        (answers, Coverage { expected, answered })
    }

    fn take_number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    fn tell(&self, message: &Message<'_>) {
        self.bus.publish(&self.all(), message);
    }

    fn hub(&self, channels: &str) -> Option<Arc<Inner>> {
        self.hubs.read().get(channels).and_then(Weak::upgrade)
    }

    /// Of the largest push that one of them takes.
    fn push_bytes_max(&self) -> usize {
        let hubs = self.hubs.read();
        let hubs = hubs.values().filter_map(Weak::upgrade);
        hubs.map(|hub| hub.push_bytes_max()).max().unwrap_or(0)
    }

    /// That of a tenant; there is none for a name that could not be one.
    fn hub_of(&self, tenant: &str) -> Option<Hub> {
        let inner = self.hub(&self.channels_of(&tenant.parse().ok()?))?;
        Some(Hub { inner })
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Exchange")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}
