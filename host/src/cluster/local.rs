//! The bus of hosts within one process: of one alone, which it costs a look into a map, or of several in a test.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;

use super::{Bus, Payload, Receive, Subscription};

/// One host's end of an in-process bus. Nothing is lost or reordered on it.
///
/// ```
/// use wardroom::cluster::LocalBus;
/// let alone = LocalBus::new();
/// // A second host in this process, and one server with the first:
/// let another = alone.another();
/// ```
pub struct LocalBus {
    number: usize,
    network: Arc<RwLock<Network>>,
}

#[derive(Default)]
struct Network {
    /// By the number of the end; `None` until it is attached, and when it is gone.
    receivers: Vec<Option<Arc<dyn Receive>>>,
    /// The numbers of the ends that subscribed, by channel.
    subscribers: HashMap<String, Vec<usize>>,
}

impl LocalBus {
    /// The first end of a new bus.
    #[must_use]
    pub fn new() -> Self {
        Self::on(Arc::default())
    }

    /// A further end of the same bus.
    #[must_use]
    pub fn another(&self) -> Self {
        Self::on(Arc::clone(&self.network))
    }

    fn on(network: Arc<RwLock<Network>>) -> Self {
        let number = {
            let mut network = network.write();
            network.receivers.push(None);
            network.receivers.len() - 1
        };
        Self { number, network }
    }

    fn other_subscribers(&self, channel: &str) -> Vec<Arc<dyn Receive>> {
        let network = self.network.read();
        let numbers = network.subscribers.get(channel).into_iter().flatten();
        let others = numbers.filter(|number| **number != self.number);
        others
            .filter_map(|number| network.receivers.get(*number)?.clone())
            .collect()
    }
}

impl Default for LocalBus {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for LocalBus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LocalBus")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Drop for LocalBus {
    fn drop(&mut self) {
        let mut network = self.network.write();
        network.subscribers.retain(|_, subscribers| {
            subscribers.retain(|number| *number != self.number);
            !subscribers.is_empty()
        });
        let receiver = network.receivers.get_mut(self.number);
        let receiver = receiver.and_then(Option::take);
        // It may have an end of its own.
        drop(network);
        drop(receiver);
    }
}

impl Bus for LocalBus {
    fn attach(&self, receiver: Arc<dyn Receive>) {
        if let Some(place) = self.network.write().receivers.get_mut(self.number) {
            *place = Some(receiver);
        }
    }

    fn publish(&self, channel: &str, payload: &dyn Payload) {
        // Collected first: a receiver may publish in its turn.
        let receivers = self.other_subscribers(channel);
        if receivers.is_empty() {
            return;
        }
        let payload = payload.encode();
        for receiver in receivers {
            receiver.receive(channel, &payload);
        }
    }

    fn subscribe(&self, channel: &str) -> Subscription {
        let mut network = self.network.write();
        let subscribers = network.subscribers.entry(channel.to_owned()).or_default();
        if !subscribers.contains(&self.number) {
            subscribers.push(self.number);
        }
        Subscription::done()
    }

    fn unsubscribe(&self, channel: &str) {
        let mut network = self.network.write();
        if let Some(subscribers) = network.subscribers.get_mut(channel) {
            subscribers.retain(|number| *number != self.number);
            if subscribers.is_empty() {
                network.subscribers.remove(channel);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Text;

    impl Payload for Text {
        fn encode(&self) -> bytes::Bytes {
            panic!("nobody is there to get it")
        }
    }

    struct Kept(#[expect(dead_code, reason = "it is there to be dropped")] LocalBus);

    impl Receive for Kept {
        fn receive(&self, _: &str, _: &[u8]) {}
    }

    #[test]
    fn an_end_that_is_gone_gets_nothing() {
        let here = LocalBus::new();
        let end = here.another();
        end.attach(Arc::new(Kept(here.another())));
        assert!(end.subscribe("a").is_confirmed());
        drop(end);
        here.publish("a", &Text);
    }
}
