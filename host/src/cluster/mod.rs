//! The bus between hosts: room broadcasts go out on it and come in from it.
//!
//! There is one broadcast path. A host alone has a [`LocalBus`], on which nobody else listens; several hosts share
//! one. What a channel's payload means is the hub's business; the bus carries bytes and never waits.

mod local;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

pub use local::LocalBus;

/// One host's end of the bus: publish and subscribe.
///
/// Every call returns at once and only begins the work: rooms are locked while they are made, and that is what
/// keeps the subscribing and unsubscribing of one channel in order.
pub trait Bus: Send + Sync + 'static {
    /// Where what arrives goes. Called once, before anything else.
    fn attach(&self, receiver: Arc<dyn Receive>);

    /// Sends to all hosts that subscribed to the channel; whether this one is among them is the bus's choice, as a
    /// host knows its own by their node's name. At most once: what cannot be delivered is dropped and counted.
    fn publish(&self, channel: &str, payload: &dyn Payload);

    /// Begins to receive a channel.
    fn subscribe(&self, channel: &str) -> Subscription;

    /// Ends receiving it.
    fn unsubscribe(&self, channel: &str);
}

/// A message that is encoded only when somebody is there to get it.
pub trait Payload {
    /// The bytes to send.
    fn encode(&self) -> Bytes;
}

/// Takes what arrives from other hosts. It must not wait.
pub trait Receive: Send + Sync {
    /// One payload. It is as hostile as anything else that comes from outside.
    fn receive(&self, channel: &str, payload: &[u8]);
}

/// The progress of a subscription.
#[derive(Clone)]
pub enum Subscription {
    /// What is published from now on arrives.
    Confirmed,
    /// It does so once this has completed.
    Pending(futures_util::future::Shared<Pin<Box<dyn Future<Output = ()> + Send>>>),
}

impl Subscription {
    /// Waits for the bus to confirm.
    pub async fn confirmed(self) {
        if let Self::Pending(confirmation) = self {
            confirmation.await;
        }
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Confirmed => "Confirmed",
            Self::Pending(_) => "Pending",
        })
    }
}
