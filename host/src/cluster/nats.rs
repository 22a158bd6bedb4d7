//! NATS: core publish and subscribe, without JetStream.

mod order;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use futures_util::stream::AbortHandle;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::link::{Batch, Inbox, Link, LinkError, Transport};
use crate::config::{BrokerUrl, Secret};
use order::{Numbers, Taker, Takers, taker};

/// How often the library asks whether the server is there, and gives up when it is not, three times. It ends what is left
/// of a connection that was given up here while its socket was stuck.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// Payloads of one channel that have arrived and wait for their turn. The library throws away what comes on top.
const WAITING_MAX: usize = 4096;

pub(super) struct Nats {
    /// Without credentials: the library logs it.
    address: String,
    is_tls: bool,
    user: Option<Secret>,
    password: Option<Secret>,
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
            address: format!("nats://{}:{}", url.host(), url.port()),
            is_tls: url.is_tls(),
            user: url.user(),
            password: url.password(),
            prefix: prefix.to_owned(),
        }
    }

    fn options(&self, inbox: &Inbox) -> ConnectOptions {
        let inbox = inbox.clone();
        // Its own reconnecting cannot be switched off, but ends after one attempt, made at once. That one is of no use:
        // by then the link is given up.
        let options = ConnectOptions::new()
            .name("wardroom")
            .require_tls(self.is_tls)
            .max_reconnects(1)
            .reconnect_delay_callback(|_| Duration::ZERO)
            .ignore_discovered_servers()
            .ping_interval(PING_INTERVAL)
            .subscription_capacity(WAITING_MAX)
            .event_callback(move |event| {
                take(&inbox, &event);
                std::future::ready(())
            });
        let exposed = |secret: &Secret| secret.expose().to_owned();
        match (&self.user, &self.password) {
            (Some(token), None) => options.token(exposed(token)),
            (user, Some(password)) => {
                let user = user.as_ref().map(exposed).unwrap_or_default();
                options.user_and_password(user, exposed(password))
            }
            (None, None) => options,
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
        let address: ServerAddr = self
            .address
            .parse()
            .map_err(|error| LinkError::new(&error))?;
        let connecting = self.options(&inbox).connect(address);
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
