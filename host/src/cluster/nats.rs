//! NATS: core publish and subscribe, without JetStream.

mod order;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use async_nats::{Client, Event};
use futures_util::stream::AbortHandle;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::link::{Batch, Inbox, Link, LinkError, Transport};
use super::nats_server::NatsServer;
use crate::config::BrokerUrl;
use order::{Numbers, Taker, Takers, taker};

/// Payloads of one channel that have arrived and wait for their turn.
const WAITING_MAX: usize = 4096;

pub(super) struct Nats {
    server: NatsServer,
    /// What the names of all channels begin with. It may have dots, which are a subject's own.
    prefix: String,
}

pub(super) struct NatsLink {
    client: Client,
    prefix: String,
    numbers: Numbers,
    /// By channel: ends who takes what arrives there.
    takers: HashMap<Arc<str>, AbortHandle>,
    more: mpsc::Sender<Taker>,
    /// All of them, which end with this.
    _taking: AbortOnDropHandle<()>,
}

impl Nats {
    pub(super) fn new(url: &BrokerUrl, prefix: &str) -> Self {
        Self {
            server: NatsServer::new(url),
            prefix: prefix.to_owned(),
        }
    }
}

fn take(inbox: &Inbox, event: &Event) {
    match event {
        Event::Disconnected | Event::Closed => inbox.lost("the connection was lost"),
        // Permissions above all: without them channels would be missed in silence.
        Event::ServerError(error) => inbox.lost(error),
        Event::SlowConsumer(_) => inbox.missed(1),
        Event::Connected | Event::LameDuckMode | Event::Draining | Event::ClientError(_) => {}
    }
}

impl Transport for Nats {
    type Link = NatsLink;

    async fn connect(&self, inbox: Inbox) -> Result<NatsLink, LinkError> {
        let told = inbox.clone();
        let connecting = self
            .server
            .connect(WAITING_MAX, move |event| take(&told, event));
        let client = connecting.await.map_err(|error| LinkError::new(&error))?;
        let (more, takers) = mpsc::channel(1);
        let taking = tokio::spawn(Takers::default().run(takers, inbox));
        Ok(NatsLink {
            client,
            prefix: self.prefix.clone(),
            numbers: Numbers::new(),
            takers: HashMap::new(),
            more,
            _taking: AbortOnDropHandle::new(taking),
        })
    }
}

impl NatsLink {
    fn subject(&self, channel: &str) -> String {
        subject(&self.prefix, channel)
    }
}

impl Link for NatsLink {
    async fn send(&mut self, batch: Batch) -> Result<(), LinkError> {
        for channel in batch.unsubscribe {
            if let Some(taker) = self.takers.remove(&channel) {
                // It takes its subscription along.
                taker.abort();
            }
        }
        for channel in batch.subscribe {
            let subscribing = self.client.subscribe(self.subject(&channel));
            let subscriber = subscribing.await.map_err(|error| LinkError::new(&error))?;
            let (taker, end) = taker(Arc::clone(&channel), subscriber);
            self.takers.insert(channel, end);
            let taken = self.more.send(taker).await;
            taken.map_err(|_| LinkError::new("nobody takes what arrives"))?;
        }
        for (channel, payload) in batch.publish {
            let (subject, number) = (self.subject(&channel), self.numbers.next());
            let publishing = self.client.publish_with_reply(subject, number, payload);
            publishing.await.map_err(|error| LinkError::new(&error))?;
        }
        self.client
            .flush()
            .await
            .map_err(|error| LinkError::new(&error))
    }

    fn payload_bytes_max(&self) -> usize {
        self.client.server_info().max_payload
    }
}

/// A channel as a subject: what a subject cannot have is percent-encoded, and so is `%`.
fn subject(prefix: &str, channel: &str) -> String {
    let (prefix, rest) = match channel.strip_prefix(prefix) {
        Some(rest) => (prefix, rest),
        None => ("", channel),
    };
    let mut subject = String::with_capacity(channel.len());
    subject.push_str(prefix);
    for letter in rest.chars() {
        match letter {
            '%' | ' ' | '.' | '*' | '>' | '\0'..='\x1f' | '\x7f' => {
                write!(subject, "%{:02X}", u32::from(letter)).expect("a string takes all writes");
            }
            letter => subject.push(letter),
        }
    }
    subject
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_subject_cannot_have_is_encoded() {
        let name = |channel| subject("a.b:", channel);
        assert_eq!(name("a.b:ws:room:/chat/é"), "a.b:ws:room:/chat/é");
        assert_eq!(
            name("a.b:ws:x:room:a.b *>%"),
            "a.b:ws:x:room:a%2Eb%20%2A%3E%25"
        );
        assert_eq!(name("a.b:\0\t\x7f"), "a.b:%00%09%7F");
        assert_eq!(subject("", "ws:room:v1.0"), "ws:room:v1%2E0");
    }

    #[test]
    fn different_channels_have_different_subjects() {
        let names = ["a.b", "a%2Eb", "a%252Eb", "a b", "a%20b"];
        let subjects: std::collections::HashSet<_> =
            names.iter().map(|name| subject("", name)).collect();
        assert_eq!(subjects.len(), names.len());
    }
}
