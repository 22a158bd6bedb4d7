//! NATS: core publish and subscribe, without JetStream.

mod order;
mod waiting;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_nats::{Client, Event};
use futures_util::stream::AbortHandle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::link::{Batch, Inbox, Link, LinkError, Transport};
use super::nats_server::NatsServer;
use crate::config::BrokerUrl;
use order::{Numbers, Takers, Wanted};

/// Messages of one channel that the library keeps until they are taken here. It has no limit in bytes: they may be so
/// many times what the broker takes, 4 GiB at its 1 MiB, for each channel. But they are taken after each turn of `order`
/// and wait here, within a limit, so that with the library is only what arrives in between. With a quarter of them a
/// half of 40,000 small messages that come at once to one channel is lost, with this less than a tenth.
const WAITING_MAX: usize = 4096;

const LOST: &str = "the connection was lost";

pub(super) struct Nats {
    server: NatsServer,
    /// What the names of all channels begin with. It may have dots, which are a subject's own.
    prefix: String,
    waiting_bytes_max: usize,
}

pub(super) struct NatsLink {
    client: Client,
    prefix: String,
    numbers: Numbers,
    /// By channel: ends who takes what arrives there.
    takers: HashMap<Arc<str>, AbortHandle>,
    more: mpsc::Sender<Wanted>,
    /// All of them, which end with this.
    _taking: AbortOnDropHandle<()>,
}

impl Nats {
    /// Of what has arrived no more than so many bytes wait to be passed on.
    pub(super) fn new(url: &BrokerUrl, prefix: &str, waiting_bytes_max: usize) -> Self {
        Self {
            server: NatsServer::new(url),
            prefix: prefix.to_owned(),
            waiting_bytes_max,
        }
    }
}

/// What is told of a connection is not all that happens to it: the library throws away what it cannot tell at once. So
/// what is missed is that much at least, and a connection whose end was not told is known by the next.
fn take(inbox: &Inbox, is_connected: &AtomicBool, event: &Event) {
    match event {
        Event::Disconnected | Event::Closed => inbox.lost(LOST),
        Event::Connected if is_connected.swap(true, Ordering::Relaxed) => inbox.lost(LOST),
        // Permissions above all: without them channels would be missed in silence.
        Event::ServerError(error) => inbox.lost(error),
        Event::SlowConsumer(_) => inbox.missed(1),
        Event::Connected | Event::LameDuckMode | Event::Draining | Event::ClientError(_) => {}
    }
}

impl Transport for Nats {
    type Link = NatsLink;

    async fn connect(&self, inbox: Inbox) -> Result<NatsLink, LinkError> {
        let (told, is_connected) = (inbox.clone(), AtomicBool::new(false));
        let take = move |event: &Event| take(&told, &is_connected, event);
        let connecting = self.server.connect(WAITING_MAX, take);
        let client = connecting.await.map_err(|error| LinkError::new(&error))?;
        let (more, wanted) = mpsc::channel(1);
        let taking = Takers::new(client.clone()).run(wanted, inbox, self.waiting_bytes_max);
        Ok(NatsLink {
            client,
            prefix: self.prefix.clone(),
            numbers: Numbers::new(),
            takers: HashMap::new(),
            more,
            _taking: AbortOnDropHandle::new(tokio::spawn(taking)),
        })
    }
}

impl NatsLink {
    fn subject(&self, channel: &str) -> String {
        subject(&self.prefix, channel)
    }

    async fn subscribe(&mut self, channels: Vec<Arc<str>>) -> Result<(), LinkError> {
        let with_subject = |channel: Arc<str>| {
            let subject = self.subject(&channel);
            (channel, subject)
        };
        let (done, takers) = oneshot::channel();
        let channels = channels.into_iter().map(with_subject).collect();
        // Whatever has become of it, `takers` says so.
        let _ = self.more.send(Wanted { channels, done }).await;
        let takers = takers.await;
        let takers = takers.map_err(|_| LinkError::new("nobody takes what arrives"))?;
        self.takers.extend(takers?);
        Ok(())
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
        if !batch.subscribe.is_empty() {
            self.subscribe(batch.subscribe).await?;
        }
        for (channel, payload) in batch.publish {
            let (subject, number) = (self.subject(&channel), self.numbers.next());
            let publishing = self.client.publish_with_reply(subject, number, payload);
            publishing.await.map_err(|error| LinkError::new(&error))?;
        }
        let flushed = self.client.flush().await;
        flushed.map_err(|error| LinkError::new(&error))?;
        // Another connection by now, and perhaps nobody was told: what was sent may have gone with the first one.
        if self.client.statistics().connects.load(Ordering::Relaxed) > 1 {
            return Err(LinkError::new(LOST));
        }
        Ok(())
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
mod tests;
