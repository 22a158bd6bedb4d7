//! The masters that there are, and which channels each of them has. What is wanted is written down here as well as with
//! the master that has it, so that it can be moved to another.
//!
//! A channel is one master's at any time, and what another sends of it is thrown away. So nothing arrives twice while
//! slots move: a payload is published with one master, but both of those that take turns may pass it on.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::master::Master;
use super::slots::{SLOTS, slot, tag_in};
use super::topology::{Address, Topology};
use super::whole;
use crate::cluster::broker::BrokerBus;
use crate::cluster::outgoing::Outgoing;
use crate::cluster::redis::Redis;
use crate::cluster::{Bus, Receive, Status, Subscription};
use crate::config::BrokerUrl;

/// The slots in which a member may have its probes: so many that one of them is soon found.
const LAST: usize = 64;

pub(super) struct Masters {
    pub(super) url: BrokerUrl,
    prefix: String,
    /// What each master begins with: nothing, and so much that may wait for it.
    outgoing: Outgoing,
    receiver: OnceLock<Arc<dyn Receive>>,
    /// Written with `state` locked.
    map: ArcSwap<Map>,
    state: Mutex<State>,
    /// Told when the map is another.
    changes: watch::Sender<()>,
    /// There is a reason to look who has which slots.
    pub(super) look: Notify,
    /// What no master could be given.
    dropped: AtomicU64,
}

/// Who has which slots, as far as this host knows.
struct Map {
    topology: Topology,
    /// In the order of the topology's masters.
    members: Vec<Arc<Member>>,
    since: Instant,
}

/// A master, and the bus with it.
struct Member {
    number: u64,
    address: Address,
    bus: BrokerBus,
}

struct State {
    /// With the slot of each.
    wanted: HashMap<Arc<str>, u16>,
    next_number: u64,
    /// What those counted that are no masters any more.
    retired: Status,
}

impl Map {
    fn owner(&self, slot: u16) -> Option<&Arc<Member>> {
        self.members.get(self.topology.owner(slot)?)
    }

    fn is_owner(&self, number: u64, slot: u16) -> bool {
        self.owner(slot).is_some_and(|owner| owner.number == number)
    }
}

impl Masters {
    pub(super) fn new(url: BrokerUrl, prefix: &str, outgoing: Outgoing) -> Self {
        let since = Instant::now();
        Self {
            url,
            prefix: prefix.to_owned(),
            outgoing,
            receiver: OnceLock::new(),
            map: ArcSwap::from_pointee(Map {
                topology: Topology::default(),
                members: Vec::new(),
                since,
            }),
            state: Mutex::new(State {
                wanted: HashMap::new(),
                next_number: 0,
                retired: Status::unready(since),
            }),
            changes: watch::Sender::new(()),
            look: Notify::new(),
            dropped: AtomicU64::new(0),
        }
    }

    pub(super) fn attach(&self, receiver: Arc<dyn Receive>) {
        // It is attached once.
        let _ = self.receiver.set(receiver);
    }

    // ---- for the host

    /// Calls with the bus that a channel goes by, if there is one.
    pub(super) fn with_owner(&self, channel: &str, call: impl FnOnce(&BrokerBus)) {
        match self.map.load().owner(slot(channel)) {
            Some(member) => call(&member.bus),
            None => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Writes down that the channel is needed.
    pub(super) fn want(&self, channel: &str) {
        let mut state = self.state.lock();
        state.wanted.insert(channel.into(), slot(channel));
    }

    /// Subscribes to the channel with the master that has it now, and says how far that is: `None` when there is none. One
    /// that is not needed any more is left alone, and not waited for.
    pub(super) fn subscribe(&self, channel: &str) -> Option<Subscription> {
        let state = self.state.lock();
        let Some(slot) = state.wanted.get(channel) else {
            return Some(Subscription::done());
        };
        let map = self.map.load();
        Some(map.owner(*slot)?.bus.subscribe(channel))
    }

    pub(super) fn release(&self, channel: &str) {
        let mut state = self.state.lock();
        let slot = state.wanted.remove(channel);
        if let Some(owner) = slot.and_then(|slot| self.map.load().owner(slot).cloned()) {
            owner.bus.unsubscribe(channel);
        }
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    pub(super) fn payload_bytes_max(&self) -> usize {
        let map = self.map.load();
        let all = map
            .members
            .iter()
            .map(|member| member.bus.payload_bytes_max());
        all.min().unwrap_or(usize::MAX)
    }

    /// Completes when each of them has what it was given until now, or is lost.
    pub(super) fn flush(&self) -> impl Future<Output = ()> + Send + use<> {
        let map = self.map.load();
        let flushing = map.members.iter().map(|member| member.bus.flush());
        join_all(flushing.collect::<Vec<_>>()).map(drop)
    }

    pub(super) fn status(&self) -> Status {
        let state = self.state.lock();
        let map = self.map.load();
        let parts = Vec::from_iter(map.members.iter().map(|member| member.bus.status()));
        let is_whole = map.topology.is_whole();
        let mut status = whole::status(&state.retired, &parts, is_whole, map.since);
        drop(state);
        status.dropped += self.dropped.load(Ordering::Relaxed);
        status
    }

    /// That of the master which has the channel, if there is one.
    pub(super) fn status_of(&self, channel: &str) -> Status {
        let map = self.map.load();
        match map.owner(slot(channel)) {
            Some(member) => member.bus.status(),
            None => Status::unready(map.since),
        }
    }

    // ---- for who looks after the masters

    /// Where the masters are.
    pub(super) fn addresses(&self) -> Vec<Address> {
        self.map.load().topology.masters().to_vec()
    }

    /// Something whose slot is one of the last that this member has: when slots are moved, `redis-cli` begins with the
    /// first.
    pub(super) fn tag_of(&self, number: u64) -> Option<String> {
        let map = self.map.load();
        let is_its = |slot: &u16| map.is_owner(number, *slot);
        let last = (0..SLOTS).rev().filter(is_its).take(LAST).last()?;
        tag_in(|slot| slot >= last && is_its(&slot))
    }

    /// Takes over who has which slots: channels go where theirs are. Needs a tokio runtime.
    pub(super) fn take_over(self: &Arc<Self>, topology: Topology) {
        let mut state = self.state.lock();
        let old = self.map.load_full();
        if old.topology == topology {
            return;
        }
        let mut members = Vec::new();
        let mut new = Vec::new();
        for address in topology.masters() {
            let known = old.members.iter().find(|known| known.address == *address);
            members.push(known.cloned().unwrap_or_else(|| {
                state.next_number += 1;
                let member = Arc::new(self.member(state.next_number, address));
                new.push(Arc::clone(&member));
                member
            }));
        }
        let map = Arc::new(Map {
            topology,
            members,
            since: Instant::now(),
        });
        // First it is nobody's who had it, then it is another's, and then that one is told.
        let moved = moved(&state.wanted, &old, &map);
        for (channel, from, _) in &moved {
            if let Some(from) = from {
                from.bus.forget(channel);
            }
        }
        self.map.store(Arc::clone(&map));
        for member in new {
            member.bus.attach(Arc::new(Gate {
                number: member.number,
                masters: Arc::downgrade(self),
            }));
        }
        for member in &map.members {
            let channels = moved.iter().filter_map(|(channel, _, to)| {
                let is_here = to.is_some_and(|to| to.number == member.number);
                is_here.then(|| Arc::clone(channel))
            });
            let channels = Vec::from_iter(channels);
            if !channels.is_empty() {
                member.bus.adopt(&channels);
            }
        }
        let (masters, moved) = (map.members.len(), moved.len());
        for gone in &old.members {
            if !map.members.iter().any(|member| Arc::ptr_eq(member, gone)) {
                whole::add(&mut state.retired, &gone.bus.retire());
            }
        }
        drop(state);
        self.changes.send_replace(());
        tracing::info!(broker = %self.url, masters, channels = moved, "slots have other masters");
    }

    fn member(self: &Arc<Self>, number: u64, address: &Address) -> Member {
        let redis = Redis::at(&self.url, &address.host, address.port);
        let master = Master::new(redis, number, Arc::downgrade(self));
        let outgoing = self.outgoing.clone();
        Member {
            number,
            bus: BrokerBus::new(master, address.to_string(), &self.prefix, outgoing),
            address: address.clone(),
        }
    }
}

/// The channels that are another member's now, with the one that had each and the one that has it.
fn moved<'a>(
    wanted: &'a HashMap<Arc<str>, u16>,
    old: &'a Map,
    new: &'a Map,
) -> Vec<(&'a Arc<str>, Option<&'a Member>, Option<&'a Member>)> {
    let ways = wanted.iter().map(|(channel, slot)| {
        let [from, to] = [old, new].map(|map| map.owner(*slot).map(|member| &**member));
        (channel, from, to)
    });
    let number = |member: Option<&Member>| member.map(|member| member.number);
    ways.filter(|(_, from, to)| number(*from) != number(*to))
        .collect()
}

/// What arrives from one master.
struct Gate {
    number: u64,
    masters: Weak<Masters>,
}

impl Receive for Gate {
    fn receive(&self, channel: &str, payload: &[u8]) {
        let Some(masters) = self.masters.upgrade() else {
            return;
        };
        let is_its = masters.map.load().is_owner(self.number, slot(channel));
        if let (true, Some(receiver)) = (is_its, masters.receiver.get()) {
            receiver.receive(channel, payload);
        }
    }
}
