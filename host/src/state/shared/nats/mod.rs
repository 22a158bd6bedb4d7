//! Values in a key-value bucket of NATS (JetStream), on servers of version 2.9 and later.
//!
//! A value is a key of one bucket for all hosts of a prefix (`name`); its version is the revision that the server gives
//! it, so that replacing what was read is one request. What is in the bucket but for the values is known here as well
//! (`mirror`): quotas and lists need more than one key. What was taken away, and what is over, stays in the bucket for
//! some seconds, for those who have not seen yet that it is gone.
//!
//! A quota is exact for all that is written one after the other, and for what one host writes. Where a tenant has more
//! than half of what it may, a write counts only if nobody has written anything to the bucket since it was counted: so
//! hosts that write at once do not exceed it together. Below that it would take half a quota, written in the
//! milliseconds that others take to see it.

mod clock;
mod link;
mod message;
mod mirror;
mod name;

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::stream::RawMessageErrorKind;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::turns::Turns;
use super::{Answer, Found, Keeper, Lasting, Mark, Next, Replaced, Spot, Wanted};
use crate::cluster::{Backoff, NatsServer};
use crate::config::BrokerUrl;
use crate::state::{KeyPage, Quota, StateError, Time};
use link::Link;
use mirror::{News, Size, Verdict};

/// How long what is gone stays in the bucket. A host whose view lags behind by more has given its connection up.
const LITTER_MAX: Duration = Duration::from_secs(10);
/// A connection that was of use for so long was a good one: the next is tried at once.
const GOOD: Duration = Duration::from_secs(1);
/// How much of what is gone is swept before it is looked how long that has taken, and how long it may take.
const SWEPT_AT_ONCE: usize = 1_000;
const SWEEP_MAX: Duration = Duration::from_secs(1);
/// Requests that one operation has under way.
const AT_ONCE: usize = 16;

/// The bucket, as seen from this host.
pub(in crate::state) struct Nats {
    standing: watch::Receiver<Standing>,
    /// By tenant: who writes where its quota is near.
    near: Turns<String>,
    _stop: DropGuard,
}

/// How it stands with the server.
#[derive(Clone)]
enum Standing {
    /// For the first time, or again after a connection that was good: it is worth waiting for.
    Connecting,
    Up(Arc<Link>),
    Away(Arc<str>),
}

impl Nats {
    /// Begins to connect, which has to be within a tokio runtime, and goes on trying for ever.
    pub(in crate::state) fn open(url: &BrokerUrl, prefix: &str) -> Self {
        let (standing, seen) = watch::channel(Standing::Connecting);
        let stopping = CancellationToken::new();
        let task = run(NatsServer::new(url), name::bucket(prefix), standing);
        tokio::spawn(stopping.clone().run_until_cancelled_owned(task));
        Self {
            standing: seen,
            near: Turns::new(),
            _stop: stopping.drop_guard(),
        }
    }

    async fn link(&self) -> Result<Arc<Link>, StateError> {
        let mut standing = self.standing.clone();
        let known = standing.wait_for(|standing| !matches!(standing, Standing::Connecting));
        match known.await.as_deref() {
            Ok(Standing::Up(link)) => Ok(Arc::clone(link)),
            Ok(Standing::Away(why)) => Err(StateError::Unavailable(why.to_string())),
            Ok(Standing::Connecting) | Err(_) => {
                Err(StateError::Unavailable("the host is stopping".to_owned()))
            }
        }
    }

    async fn read(&self, spot: &Spot) -> Result<Found, StateError> {
        let link = self.link().await?;
        let subject = link.subject(&name::key(spot));
        // Of the one that decides what is written: what others answer may be older.
        let message = match link.stream.get_last_raw_message_by_subject(&subject).await {
            Ok(message) => Some(message),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => None,
            Err(error) => return Err(link.failed(error)),
        };
        let now = link.clock.lock().now();
        let kept = message.as_ref().map(message::kept).transpose();
        let kept = kept.map_err(|why| StateError::Unavailable(why.to_owned()))?;
        Ok(Found {
            kept: kept.flatten().filter(|kept| !kept.is_over(now)),
            mark: Mark(message.map_or(0, |message| message.sequence)),
            now,
        })
    }

    async fn replace(
        &self,
        spot: &Spot,
        Mark(over): Mark,
        next: Next<'_>,
        quota: Quota,
    ) -> Result<Replaced, StateError> {
        let link = self.link().await?;
        let news = next.map(|(value, expires)| (value.len(), expires));
        if let (Verdict::Far(size), _) = verdict(&link, spot, news, quota) {
            let _reserved = Reserved::new(&link, spot, size);
            return write(&link, spot, over, next, None).await;
        }
        let _turn = self.near.take(&spot.tenant).await;
        link.catch().await?;
        match verdict(&link, spot, news, quota) {
            (Verdict::Refused(limit), _) => Ok(Replaced::Limit(limit)),
            (Verdict::Far(size), _) => {
                let _reserved = Reserved::new(&link, spot, size);
                write(&link, spot, over, next, None).await
            }
            (Verdict::Near, seen) => write(&link, spot, over, next, Some(seen)).await,
        }
    }

    async fn keys(&self, wanted: &Wanted<'_>) -> Result<KeyPage, StateError> {
        let link = self.link().await?;
        link.catch().await?;
        let now = link.clock.lock().now();
        Ok(link.mirror.lock().keys(wanted, now))
    }

    async fn expire(&self, tenant: &str) -> Result<(), StateError> {
        let link = self.link().await?;
        let now = link.clock.lock().now();
        let until = u64::try_from(LITTER_MAX.as_millis()).unwrap_or(u64::MAX);
        let until = Time::from_millis(now.as_millis().saturating_sub(until));
        let began = Instant::now();
        while began.elapsed() < SWEEP_MAX {
            let litter = link.mirror.lock().litter(tenant, until, now, SWEPT_AT_ONCE);
            if litter.is_empty() {
                break;
            }
            let swept =
                stream::iter(litter).map(|(spot, version)| drop_version(&link, spot, version));
            let swept = swept.buffer_unordered(AT_ONCE);
            swept.try_collect::<()>().await?;
        }
        Ok(())
    }

    async fn rooms(&self, tenant: &str) -> Result<Vec<String>, StateError> {
        let link = self.link().await?;
        link.catch().await?;
        Ok(link.mirror.lock().rooms(tenant))
    }

    async fn lasting(&self, tenant: &str, rooms: &[String]) -> Result<Lasting, StateError> {
        let link = self.link().await?;
        let newest = link.catch().await?;
        let mirror = link.mirror.lock();
        let has_some = |room: &&String| !mirror.lasting(tenant, room, newest).is_empty();
        Ok(Lasting {
            rooms: rooms.iter().filter(has_some).cloned().collect(),
            newest,
        })
    }

    async fn purge(&self, tenant: &str, room: &str, newest: u64) -> Result<(), StateError> {
        let link = self.link().await?;
        link.catch().await?;
        let lasting = link.mirror.lock().lasting(tenant, room, newest);
        let gone = stream::iter(lasting).map(|(spot, version)| {
            let link = &link;
            // What was written there since is somebody's who has come since.
            async move { write(link, &spot, version, None, None).await.map(drop) }
        });
        gone.buffer_unordered(AT_ONCE).try_collect().await
    }
}

/// Takes what is gone out of the bucket, but not what was written there since. Only this goes for buckets that others have
/// made, too: they are made so that no message can be deleted by its number.
async fn drop_version(link: &Link, spot: Spot, version: u64) -> Result<(), StateError> {
    let purge = link.stream.purge().filter(link.subject(&name::key(&spot)));
    let purged = purge.sequence(version + 1).await;
    purged.map_err(|error| link.failed(error))?;
    link.mirror.lock().forget(&spot, version);
    Ok(())
}

/// Whether there is room, and up to which version all was seen that says so.
fn verdict(link: &Link, spot: &Spot, news: News, quota: Quota) -> (Verdict, u64) {
    let now = link.clock.lock().now();
    // Before the mirror is asked: what it sees in between makes it know more, not less.
    let seen = link.seen();
    let value = news.map(|(value, _)| value);
    (link.mirror.lock().reserve(spot, value, quota, now), seen)
}

/// Writes over this version of a key, if it is the newest, and this one of the whole bucket, if one is given.
async fn write(
    link: &Link,
    spot: &Spot,
    over: u64,
    next: Next<'_>,
    last: Option<u64>,
) -> Result<Replaced, StateError> {
    let mut message = message::of(next, over);
    if let Some(last) = last {
        message = message.expected_last_sequence(last);
    }
    let subject = link.subject(&name::key(spot));
    let written = async { link.context.send_publish(subject, message).await?.await };
    match written.await {
        Ok(done) => {
            let news = next.map(|(value, expires)| (value.len(), expires));
            let now = link.clock.lock().now();
            link.mirror.lock().learn(spot, done.sequence, news, now);
            Ok(Replaced::Done(done.sequence))
        }
        Err(error) if is_conflict(&error) => Ok(Replaced::Conflict),
        Err(error) => Err(link.failed(error)),
    }
}

/// Whether somebody else has written. Where the bucket has copies, newer servers say so in other words while what the other
/// has written is still on its way to them, and the library does not know these
/// ([nats.java #1463](https://github.com/nats-io/nats.java/pull/1463)).
fn is_conflict(error: &PublishError) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    let cause = cause.map(async_nats::jetstream::Error::error_code);
    error.kind() == PublishErrorKind::WrongLastSequence
        || cause == Some(ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT)
}

/// Room for what is being written; afterwards, the mirror knows it or it is not there.
struct Reserved<'a> {
    link: &'a Link,
    tenant: &'a str,
    size: Size,
}

impl<'a> Reserved<'a> {
    fn new(link: &'a Link, spot: &'a Spot, size: Size) -> Self {
        let tenant = &spot.tenant;
        Self { link, tenant, size }
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.link.mirror.lock().release(self.tenant, self.size);
    }
}

/// Has one connection after another, for ever.
async fn run(server: NatsServer, bucket: String, standing: watch::Sender<Standing>) {
    let mut backoff = Backoff::default();
    let mut told = None;
    loop {
        let why = match Link::open(&server, &bucket).await {
            Ok((link, feed)) => {
                let link = Arc::new(link);
                standing.send_replace(Standing::Up(Arc::clone(&link)));
                tracing::info!(bucket, "state is kept with NATS");
                let began = Instant::now();
                let why = link.follow(feed).await;
                if began.elapsed() >= GOOD {
                    backoff.reset();
                    told = None;
                }
                standing.send_replace(Standing::Connecting);
                why
            }
            Err(why) => {
                standing.send_replace(Standing::Away(why.as_str().into()));
                why
            }
        };
        // An outage is told once, and again when there is another cause.
        if told.as_ref() != Some(&why) {
            tracing::warn!(bucket, "state is unavailable, NATS is away: {why}");
            told = Some(why);
        }
        let (random, _) = Uuid::new_v4().as_u64_pair();
        sleep(backoff.next(random)).await;
    }
}

impl Keeper for Nats {
    fn read<'a>(&'a self, spot: &'a Spot) -> Answer<'a, Found> {
        self.read(spot).boxed()
    }

    fn replace<'a>(
        &'a self,
        spot: &'a Spot,
        found: Mark,
        next: Next<'a>,
        quota: Quota,
    ) -> Answer<'a, Replaced> {
        self.replace(spot, found, next, quota).boxed()
    }

    fn keys<'a>(&'a self, wanted: &'a Wanted<'a>) -> Answer<'a, KeyPage> {
        self.keys(wanted).boxed()
    }

    fn expire<'a>(&'a self, tenant: &'a str) -> Answer<'a, ()> {
        self.expire(tenant).boxed()
    }

    fn rooms<'a>(&'a self, tenant: &'a str) -> Answer<'a, Vec<String>> {
        self.rooms(tenant).boxed()
    }

    fn lasting<'a>(&'a self, tenant: &'a str, rooms: &'a [String]) -> Answer<'a, Lasting> {
        self.lasting(tenant, rooms).boxed()
    }

    fn purge<'a>(&'a self, tenant: &'a str, room: &'a str, newest: u64) -> Answer<'a, ()> {
        self.purge(tenant, room, newest).boxed()
    }
}

impl fmt::Debug for Nats {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Nats").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_is_one_in_all_words_of_the_server() {
        // As 2.9 answers, and as newer ones do where there are copies; and another reason not to write.
        for (code, kind, expected) in [
            (10_071, PublishErrorKind::WrongLastSequence, true),
            (10_164, PublishErrorKind::Other, true),
            (10_077, PublishErrorKind::Other, false),
        ] {
            let said = serde_json::json!({ "code": 400, "err_code": code, "description": "no" });
            let said: async_nats::jetstream::Error = serde_json::from_value(said).unwrap();
            assert_eq!(
                is_conflict(&PublishError::with_source(kind, said)),
                expected
            );
        }
        assert!(!is_conflict(&PublishError::new(PublishErrorKind::TimedOut)));
    }
}
