//! What the hubs of a host have in common: the host's name, its end of the bus, what waits for all connections, and what
//! it and the other hosts say to each other.

mod asks;
mod channels;
mod message;
mod origin;
mod peers;
mod presence;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::question::{Coverage, Question};
use super::remote::Malformed;
use super::{Backlog, Hub, Inner};
use crate::cluster::{Bus, Receive, Status};
use crate::config::TenantName;
use asks::Asks;
use message::{Message, ToAll};
pub(super) use origin::Origin;
use peers::{ANNOUNCE_INTERVAL, Peers, Run};
use presence::{Presence, Word};

/// How long other hosts may take to answer. An event has more time than that, by default.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(1);

/// How often to look whether there is something to say, or somebody silent.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How long a host that ends waits for the broker to take what it has said.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(2);

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
    malformed: AtomicU64,
    /// Broadcasts that came too late.
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

    /// Whether a broadcast of another host comes behind what that has sent on a later connection to the broker: a broker
    /// that was stopped reads on where hosts have long given it up. Lost is better than out of order: it was sent while
    /// the bus was away, when broadcasts are lost.
    pub(super) fn is_late(&self, run: &str, link: u64) -> bool {
        let run = Run::read(run);
        let is_late = run.is_some_and(|run| self.peers.lock().is_late(run, link));
        self.late.fetch_add(u64::from(is_late), Ordering::Relaxed);
        is_late
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

    /// Makes this host and the others known to each other, and keeps it so until it is dropped.
    pub async fn announce(&self) {
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
        if peers.is_empty() {
            return (Vec::new(), Coverage::HERE);
        }
        let asking = self.asks.begin(&peers, Box::new(is_enough.clone()));
        self.tell(&Message::Ask {
            from: self.origin.run,
            number: asking.number,
            tenant: tenant.as_str().into(),
            question,
        });
        let answers = asking.answers(ANSWER_WAIT_MAX).await;
        let was_enough = answers.iter().any(|answer| is_enough(answer));
        let read = |answer: Box<RawValue>| serde_json::from_str(answer.get()).ok();
        let answers: Vec<T> = answers.into_iter().filter_map(read).collect();
        let count = |hosts: usize| u32::try_from(hosts).unwrap_or(u32::MAX);
        let answered = count(answers.len() + 1);
        let expected = if was_enough {
            answered
        } else {
            count(peers.len() + 1)
        };
        (answers, Coverage { expected, answered })
    }

    fn tell(&self, message: &Message<'_>) {
        self.bus.publish(&self.all(), message);
    }

    /// Tells one that has come, and only that one.
    fn greet(&self, run: Run) {
        if self.presence.lock().is_here() {
            let alive = Message::Alive {
                from: self.origin.run,
                node: self.origin.node.as_str().into(),
            };
            self.bus
                .publish(&channels::of_host(&self.prefix, run), &alive);
        }
    }

    fn hub(&self, channels: &str) -> Option<Arc<Inner>> {
        self.hubs.read().get(channels).and_then(Weak::upgrade)
    }

    /// That of a tenant; there is none for a name that could not be one.
    fn hub_of(&self, tenant: &str) -> Option<Hub> {
        let inner = self.hub(&self.channels_of(&tenant.parse().ok()?))?;
        Some(Hub { inner })
    }

    /// Takes what another host says.
    fn hear(&self, payload: &[u8]) -> Result<(), Malformed> {
        let message = serde_json::from_slice::<Message<'_>>(payload);
        let message = message.map_err(|_| Malformed::NoMessage)?;
        match message {
            Message::Hello { from, node } => {
                if self.heard(from, &node) {
                    self.greet(from);
                }
            }
            Message::Alive { from, node } => {
                self.heard(from, &node);
            }
            Message::Gone { from } => {
                if let Some(node) = self.peers.lock().gone(from) {
                    tracing::info!(node, "host gone");
                }
                self.asks.gone(from);
            }
            Message::Push { from, tenant, push } if from != self.origin.run => {
                return match self.hub_of(&tenant) {
                    Some(hub) => hub.receive_for_all(push),
                    None => Ok(()),
                };
            }
            Message::Ask {
                from,
                number,
                tenant,
                question,
            } if from != self.origin.run => self.reply(from, number, &tenant, question),
            Message::Answer {
                from,
                number,
                answer,
            } => self.asks.answered(from, number, answer.to_owned()),
            // Its own.
            Message::Push { .. } | Message::Ask { .. } => {}
        }
        Ok(())
    }

    /// Returns whether it was somebody else.
    fn heard(&self, from: Run, node: &str) -> bool {
        if from == self.origin.run {
            return false;
        }
        if self.peers.lock().heard(from, node, Instant::now()) {
            tracing::info!(node, "host found");
            if node == self.origin.node {
                tracing::error!(
                    node,
                    "another host has the same name; give one of them another: key node"
                );
            }
        }
        true
    }

    fn reply(&self, to: Run, number: u64, tenant: &str, question: Question<'_>) {
        let answer = match self.hub_of(tenant) {
            Some(hub) => hub.answer(question),
            None => question.answered_by_nobody(),
        };
        let answer = Message::Answer {
            from: self.origin.run,
            number,
            answer: &answer,
        };
        self.bus
            .publish(&channels::of_host(&self.prefix, to), &answer);
    }
}

/// The host's ear on the bus. It must not keep the hubs alive: the bus belongs to them.
struct Ear(Weak<Exchange>);

impl Receive for Ear {
    fn receive(&self, channel: &str, payload: &[u8]) {
        let Some(exchange) = self.0.upgrade() else {
            return;
        };
        let received = match channels::split(&exchange.prefix, channel) {
            Some((channels, room)) => match exchange.hub(channels) {
                Some(hub) => hub.receive(room, payload),
                None => Ok(()),
            },
            None => exchange.hear(payload),
        };
        if let Err(malformed) = received {
            exchange.malformed.fetch_add(1, Ordering::Relaxed);
            // Not louder: who sends one may send a thousand.
            tracing::debug!(channel, %malformed, "malformed payload on the bus");
        }
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
