//! The bus between hosts: room broadcasts go out on it and come in from it.
//!
//! There is one broadcast path. A host alone has a [`LocalBus`], on which nobody else listens; several hosts share one,
//! or one that a broker carries. What a channel's payload means is the hub's business; the bus carries bytes and never
//! waits.
//!
//! A transport says in one file how its broker is spoken to (`link` says what it has to do); connecting, subscribing
//! again, queueing and proving are the same for all (`broker`). A cluster of Redis is several brokers (`sharded`). Only
//! `redis`, `sharded` and `nats` know their libraries.

mod backoff;
mod broker;
mod channels;
mod flushes;
mod link;
mod local;
mod nats;
mod nats_server;
mod outgoing;
mod pulse;
mod redis;
mod redis_server;
mod sharded;
mod shared;
mod status;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use self::redis::Redis;
use crate::config::{Broker, Config};
pub(crate) use backoff::Backoff;
use broker::BrokerBus;
pub use local::LocalBus;
use nats::Nats;
pub(crate) use nats_server::NatsServer;
use outgoing::Outgoing;
pub(crate) use redis_server::RedisServer;
use sharded::ShardedBus;
pub use status::{Full, Status};

/// One host's end of the bus: publish and subscribe.
///
/// Every call returns at once and only begins the work: rooms are locked while they are made, and that is what
/// keeps the subscribing and unsubscribing of one channel in order.
pub trait Bus: Send + Sync + 'static {
    /// Where what arrives goes. Called once, before anything else.
    fn attach(&self, receiver: Arc<dyn Receive>);

    /// Sends to all hosts that subscribed to the channel; whether this one is among them is the bus's choice, as a
    /// host knows its own by their node's name. At most once: what cannot be delivered is dropped and counted. What one
    /// host publishes arrives in that order, whatever the channels, but for what [`link`](Self::link) tells apart. On a
    /// cluster of brokers it does so channel by channel, and what one of them brings late that was stopped is not told
    /// apart: it may arrive behind what was published after it.
    fn publish(&self, channel: &str, payload: &dyn Payload);

    /// Begins to receive a channel, or says how far that is by now: what was confirmed may be lost again. However often
    /// it is called, one [`unsubscribe`](Self::unsubscribe) ends it.
    fn subscribe(&self, channel: &str) -> Subscription;

    /// Ends receiving it, now or a moment later.
    fn unsubscribe(&self, channel: &str);

    /// Completes when the others have been sent all that was published until now, or when that cannot be had. It may
    /// take as long as a broker does not answer.
    fn flush(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::ready(()))
    }

    /// Bytes of the largest payload that it carries, as far as it knows.
    fn payload_bytes_max(&self) -> usize {
        usize::MAX
    }

    /// Which of its connections to the broker carries what is published now: each has a greater number than those before.
    /// What went out on one that was given up may arrive behind what goes out on the next. A bus with several connections at
    /// a time has no such number, and always says the same.
    fn link(&self) -> u64 {
        0
    }

    /// How it is doing. One that cannot fail is always ready.
    fn status(&self) -> Status {
        Status::always_ready()
    }

    /// How that of it is doing which carries this channel. Of a bus that is whole or away it is the same for all.
    fn status_of(&self, _channel: &str) -> Status {
        self.status()
    }
}

/// The bus that is configured: on the broker at `cluster.url`, or else for this host alone. It connects when a host
/// takes it, which has to be within a tokio runtime, and goes on trying when there is no broker.
///
/// ```
/// use wardroom::{Config, cluster};
///
/// let mut config = Config::default();
/// assert!(cluster::open(&config).status().is_ready);
/// config.set("cluster.url", "redis://127.0.0.1:6379")?;
/// assert!(!cluster::open(&config).status().is_ready);
/// # Ok::<(), wardroom::ConfigError>(())
/// ```
#[must_use]
pub fn open(config: &Config) -> Arc<dyn Bus> {
    let Some(url) = &config.cluster_url else {
        return Arc::new(LocalBus::new());
    };
    let limits = &config.limits;
    let outgoing = Outgoing::new(limits.bus_messages_max, limits.bus_bytes_max);
    // Without the credentials.
    let name = url.to_string();
    let prefix = config.cluster_prefix.as_str();
    match url.broker() {
        Broker::Redis => Arc::new(BrokerBus::new(Redis::new(url), name, prefix, outgoing)),
        Broker::RedisCluster => Arc::new(ShardedBus::new(url, prefix, outgoing)),
        Broker::Nats => Arc::new(BrokerBus::new(
            Nats::new(url, prefix, limits.bus_bytes_max),
            name,
            prefix,
            outgoing,
        )),
    }
}

/// A message that is encoded only when somebody is there to get it.
pub trait Payload {
    /// The bytes to send.
    fn encode(&self) -> Bytes;

    /// Whether it has to go out although there is no room for more: small, seldom, and hosts are thought lost without
    /// it.
    fn is_vital(&self) -> bool {
        false
    }
}

/// Takes what arrives from other hosts. It must not wait.
pub trait Receive: Send + Sync {
    /// One payload. It is as hostile as anything else that comes from outside.
    fn receive(&self, channel: &str, payload: &[u8]);
}

/// The progress of a subscription.
///
/// ```
/// use wardroom::cluster::Subscription;
///
/// assert!(Subscription::done().is_confirmed());
/// assert!(!Subscription::pending(std::future::pending()).is_confirmed());
/// ```
#[derive(Clone)]
pub struct Subscription(Option<Shared<BoxFuture<'static, ()>>>);

impl Subscription {
    /// What is published from now on arrives.
    #[must_use]
    pub fn done() -> Self {
        Self(None)
    }

    /// What is published arrives once this has completed.
    #[must_use]
    pub fn pending(confirmation: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Some(confirmation.boxed().shared()))
    }

    /// Whether the bus has confirmed, as far as somebody has waited for it.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|pending| pending.peek().is_some())
    }

    /// Waits for the bus to confirm.
    pub async fn confirmed(self) {
        if let Some(confirmation) = self.0 {
            confirmation.await;
        }
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = if self.is_confirmed() {
            "Confirmed"
        } else {
            "Pending"
        };
        formatter.write_str(name)
    }
}
