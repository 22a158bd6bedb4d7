//! One connection to a server with the bucket: made once, watched, and given up when it is of no use any more.
//!
//! The library reconnects by itself, but not to a bucket that is gone, and it does not notice a server that is stopped.
//! So a connection that fails in whatever way is given up as a whole, and what it had learned of the bucket with it.

use std::fmt::Display;
use std::time::{Duration, Instant};

use async_nats::Event;
use async_nats::datetime::DateTime;
use async_nats::jetstream::consumer::push::{Ordered, OrderedConfig};
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::context::{Context, ContextBuilder, CreateStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, StorageType, Stream};
use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::clock::Clock;
use super::mirror::Mirror;
use super::{message, name};
use crate::cluster::NatsServer;
use crate::state::StateError;

/// How long the server may take to answer one request; to begin with, all that is needed of it.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// How often the server and the bucket are looked after. What is seen of the bucket lags behind by no more than two.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often the server is asked what time it is. Clocks go wrong by some milliseconds meanwhile.
const CLOCK_INTERVAL: Duration = Duration::from_secs(60);
/// Keys that have arrived and wait to be seen. When there are more, they are asked for again.
const WAITING_MAX: usize = 65_536;

/// A connection and what it knows of the bucket.
pub(super) struct Link {
    pub(super) context: Context,
    pub(super) stream: Stream,
    /// What the subjects of all keys begin with.
    subjects: String,
    /// When the bucket was made: another one is made later.
    created: DateTime,
    pub(super) mirror: Mutex<Mirror>,
    pub(super) clock: Mutex<Clock>,
    /// All of the bucket has been seen up to this version.
    seen: watch::Sender<u64>,
    /// Something has failed: it is looked after at once.
    pub(super) look: Notify,
}

/// What keeps a link's knowledge up to date.
pub(super) struct Feed {
    messages: Ordered,
    /// What was in the bucket when it was opened.
    pending: u64,
    losses: mpsc::Receiver<String>,
}

impl Link {
    /// Connects, makes the bucket if it is not there, and reads what is in it.
    ///
    /// # Errors
    /// What to say about it in the log.
    pub(super) async fn open(server: &NatsServer, bucket: &str) -> Result<(Self, Feed), String> {
        let (link, mut feed, last) = timeout(ANSWER_MAX, Self::begin(server, bucket))
            .await
            .map_err(|_| silent())??;
        if feed.pending > 0 {
            link.catch_up(&mut feed.messages).await?;
        }
        // What was there at the beginning and has gone since is not sent.
        link.see(last);
        Ok((link, feed))
    }

    async fn begin(server: &NatsServer, bucket: &str) -> Result<(Self, Feed, u64), String> {
        // The first reason is enough.
        let (lose, losses) = mpsc::channel(1);
        let take = move |event: &Event| match event {
            Event::Disconnected | Event::Closed => drop(lose.try_send(lost())),
            Event::ServerError(error) => drop(lose.try_send(error.to_string())),
            // A gap is noticed, and filled.
            Event::SlowConsumer(_) => {}
            Event::Connected | Event::LameDuckMode | Event::Draining | Event::ClientError(_) => {}
        };
        let client = server.connect(WAITING_MAX, take).await.map_err(told)?;
        let context = ContextBuilder::new().timeout(ANSWER_MAX).build(client);
        let stream = open_bucket(&context, bucket).await?;
        let (created, last) = (
            stream.cached_info().created,
            stream.cached_info().state.last_sequence,
        );
        let subjects = format!("$KV.{bucket}.");
        let asked = Instant::now();
        let consumer = stream
            .create_consumer(OrderedConfig {
                deliver_subject: context.client().new_inbox(),
                description: Some("wardroom: which keys there are".to_owned()),
                filter_subject: format!("{subjects}>"),
                // Without the values.
                headers_only: true,
                deliver_policy: DeliverPolicy::LastPerSubject,
                ..OrderedConfig::default()
            })
            .await
            .map_err(told)?;
        let info = consumer.cached_info();
        let link = Self {
            clock: Mutex::new(Clock::new(message::time(info.created), asked.elapsed())),
            context,
            stream,
            subjects,
            created,
            mirror: Mutex::default(),
            seen: watch::Sender::new(0),
            look: Notify::new(),
        };
        let pending = info.num_pending;
        let messages = consumer.messages().await.map_err(told)?;
        let feed = Feed {
            messages,
            pending,
            losses,
        };
        Ok((link, feed, last))
    }

    /// Takes what was in the bucket when it was opened.
    async fn catch_up(&self, messages: &mut Ordered) -> Result<(), String> {
        loop {
            let next = timeout(ANSWER_MAX, messages.next()).await;
            let next = next.map_err(|_| silent())?.ok_or_else(lost)?;
            if self.take(&next.map_err(told)?)? == 0 {
                return Ok(());
            }
        }
    }

    /// Learns what there is to learn, until the link is lost; answers why it is.
    pub(super) async fn follow(&self, feed: Feed) -> String {
        let Feed {
            mut messages,
            pending: _,
            mut losses,
        } = feed;
        let taking = async {
            loop {
                let Some(next) = messages.next().await else {
                    return lost();
                };
                if let Err(why) = next.map_err(told).and_then(|next| self.take(&next)) {
                    return why;
                }
            }
        };
        tokio::select! {
            why = taking => why,
            why = self.watch() => why,
            why = losses.recv() => why.unwrap_or_else(lost),
        }
    }

    /// Learns from one message what has become of its key; answers how many more there are to take.
    fn take(&self, message: &async_nats::jetstream::Message) -> Result<u64, String> {
        let info = message.info().map_err(told)?;
        let time = message::time(info.published);
        self.clock.lock().at_least(time);
        let spot = message
            .subject
            .strip_prefix(&self.subjects)
            .and_then(name::spot);
        if let Some(spot) = spot {
            let news = message::news(message.headers.as_ref(), message.payload.len());
            let mut mirror = self.mirror.lock();
            mirror.learn(&spot, info.stream_sequence, news, time);
        }
        self.see(info.stream_sequence);
        Ok(info.pending)
    }

    fn see(&self, version: u64) {
        self.seen.send_if_modified(|seen| {
            let is_new = version > *seen;
            *seen = version.max(*seen);
            is_new
        });
    }

    /// Waits until the server has not answered for too long, its bucket is another one, or what it has written in it is
    /// not seen here.
    async fn watch(&self) -> String {
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut clock_set: Option<Instant> = None;
        let mut expected = 0;
        loop {
            let is_due = tokio::select! {
                _ = looks.tick() => true,
                () = self.look.notified() => false,
            };
            // It was written a whole interval ago.
            if is_due && self.seen() < expected {
                return "what is written does not arrive".to_owned();
            }
            if clock_set.is_none_or(|set| set.elapsed() >= CLOCK_INTERVAL) {
                clock_set = Some(Instant::now());
                self.set_clock().await;
            }
            let info = match timeout(ANSWER_MAX, self.stream.get_info()).await {
                Ok(Ok(info)) => info,
                Ok(Err(error)) => return told(error),
                Err(_) => return silent(),
            };
            if info.created != self.created {
                return "the bucket is another one".to_owned();
            }
            if is_due {
                expected = info.state.last_sequence;
            }
        }
    }

    /// Learns what time it is, if it can: from when the server makes what it then forgets, as nobody uses it.
    async fn set_clock(&self) {
        let asked = Instant::now();
        let consumer = self.stream.create_consumer(pull::Config {
            description: Some("wardroom: what time it is".to_owned()),
            filter_subject: self.subject("time"),
            deliver_policy: DeliverPolicy::New,
            inactive_threshold: LOOK_INTERVAL,
            memory_storage: true,
            ..pull::Config::default()
        });
        match timeout(ANSWER_MAX, consumer).await {
            Ok(Ok(consumer)) => {
                let time = message::time(consumer.cached_info().created);
                self.clock.lock().set(time, asked.elapsed());
            }
            Ok(Err(error)) => tracing::debug!(%error, "the server does not say what time it is"),
            // Then it does not answer anything else either.
            Err(_) => {}
        }
    }

    /// Up to which version all of the bucket has been seen.
    pub(super) fn seen(&self) -> u64 {
        *self.seen.borrow()
    }

    /// Waits until all is seen that was written before this was called; answers the last version of that.
    pub(super) async fn catch(&self) -> Result<u64, StateError> {
        let info = self
            .stream
            .get_info()
            .await
            .map_err(|error| self.failed(error))?;
        self.check(&info)?;
        let last = info.state.last_sequence;
        let mut seen = self.seen.subscribe();
        let arrived = seen.wait_for(|seen| *seen >= last).await;
        arrived.map_err(|_| StateError::Unavailable(lost()))?;
        Ok(last)
    }

    fn check(&self, info: &Info) -> Result<(), StateError> {
        if info.created == self.created {
            return Ok(());
        }
        Err(self.failed("the bucket is another one"))
    }

    /// A request has failed.
    pub(super) fn failed(&self, error: impl Display) -> StateError {
        self.look.notify_one();
        StateError::Unavailable(told(error))
    }

    pub(super) fn subject(&self, key: &str) -> String {
        format!("{}{key}", self.subjects)
    }
}

/// The library makes buckets, too, but asks for more than servers of version 2.9 answer.
async fn open_bucket(context: &Context, bucket: &str) -> Result<Stream, String> {
    let name = format!("KV_{bucket}");
    if let Ok(stream) = context.get_stream(&name).await {
        return Ok(stream);
    }
    // As every bucket is made.
    let config = Config {
        name,
        subjects: vec![format!("$KV.{bucket}.>")],
        description: Some("state of wardroom hosts".to_owned()),
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        storage: StorageType::File,
        allow_rollup: true,
        allow_direct: true,
        deny_delete: true,
        ..Config::default()
    };
    // Hosts that do so at once all succeed.
    match context.create_stream(config).await {
        Ok(stream) => {
            tracing::info!(bucket, "a bucket was made for state");
            Ok(stream)
        }
        Err(error) if error.kind() == CreateStreamErrorKind::JetStreamUnavailable => {
            Err("the server has no JetStream: start it with -js".to_owned())
        }
        Err(error) => Err(format!("the bucket {bucket:?} cannot be made: {error}")),
    }
}

fn lost() -> String {
    "the connection was lost".to_owned()
}

fn silent() -> String {
    "it does not answer".to_owned()
}

fn told(error: impl Display) -> String {
    error.to_string()
}
