//! What a bus on a broker, its task and its connection have in common: what is wanted, what waits, what was counted.
//! Everybody writes down here what is to be done; nobody sends, receives or waits under the lock.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::channels::Channels;
use super::flushes::Flushes;
use super::link::{Batch, LinkError};
use super::outgoing::{Outgoing, Refusal};
use super::pulse::Pulse;
use super::status::Status;
use super::{Payload, Receive, Subscription};

/// Of one batch, so that a probe never waits for long behind what was published.
const BATCH_CHANNELS: usize = 512;
const BATCH_MESSAGES: usize = 256;
const BATCH_BYTES: usize = 256 * 1024;

pub(super) struct Shared {
    /// Where the broker is, for the log.
    pub(super) name: String,
    receiver: OnceLock<Arc<dyn Receive>>,
    state: Mutex<State>,
    /// There may be something to send.
    pub(super) work: Notify,
    /// There is a connection: what is published can be sent.
    is_linked: AtomicBool,
    /// How many connections there have been.
    links: AtomicU64,
    /// Of the last connection.
    payload_bytes_max: AtomicUsize,
    /// When something last arrived: milliseconds after `base`.
    heard: AtomicU64,
    base: Instant,
    published: AtomicU64,
    received: AtomicU64,
    dropped: AtomicU64,
}

struct State {
    channels: Channels,
    outgoing: Outgoing,
    /// Of the connection that there is.
    pulse: Pulse,
    /// The probe that proves all channels which were lost with the connection before.
    restoring: Option<u64>,
    /// How many published messages the broker was given and has not taken yet.
    sending: u64,
    flushes: Flushes,
    was_ready: bool,
    /// It was told that a channel does not arrive, and it was not ready since.
    is_told: bool,
    /// But for what is counted beside it.
    status: Status,
}

impl Shared {
    pub(super) fn new(name: String, outgoing: Outgoing) -> Self {
        let now = Instant::now();
        Self {
            name,
            receiver: OnceLock::new(),
            state: Mutex::new(State {
                channels: Channels::default(),
                outgoing,
                pulse: Pulse::new(now),
                restoring: None,
                sending: 0,
                flushes: Flushes::default(),
                was_ready: false,
                is_told: false,
                status: Status::unready(now.into_std()),
            }),
            work: Notify::new(),
            is_linked: AtomicBool::new(false),
            links: AtomicU64::new(0),
            payload_bytes_max: AtomicUsize::new(usize::MAX),
            heard: AtomicU64::new(0),
            base: now,
            published: AtomicU64::new(0),
            received: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    pub(super) fn attach(&self, receiver: Arc<dyn Receive>) {
        // It is attached once.
        let _ = self.receiver.set(receiver);
    }

    // ---- for the host

    pub(super) fn publish(&self, channel: &str, payload: &dyn Payload) {
        if !self.is_linked.load(Ordering::Relaxed) {
            return self.dropped(1);
        }
        let (payload, is_vital) = (payload.encode(), payload.is_vital());
        if payload.len() > self.payload_bytes_max() {
            return self.dropped(1);
        }
        let mut state = self.state.lock();
        let message = (channel.to_owned(), payload);
        let pushed = state.outgoing.push(message, is_vital);
        match pushed {
            Ok(()) => {}
            Err(Refusal::Bytes) => state.status.full.bytes += 1,
            Err(Refusal::Messages) => state.status.full.messages += 1,
        }
        drop(state);
        match pushed {
            Ok(()) => self.work.notify_one(),
            Err(_) => self.dropped(1),
        }
    }

    pub(super) fn subscribe(&self, channel: &str) -> Subscription {
        let subscription = self.state.lock().channels.want(channel);
        if !subscription.is_confirmed() {
            self.work.notify_one();
        }
        subscription
    }

    /// These channels were another broker's.
    pub(super) fn adopt(&self, channels: &[Arc<str>]) {
        let mut state = self.state.lock();
        state.channels.adopt(channels);
        state.interrupt(Instant::now());
        drop(state);
        self.work.notify_one();
    }

    /// This channel is another broker's.
    pub(super) fn forget(&self, channel: &str) {
        let now = Instant::now();
        self.state.lock().channels.forget(channel, now);
        self.work.notify_one();
    }

    pub(super) fn unsubscribe(&self, channel: &str) {
        let now = Instant::now();
        self.state.lock().channels.release(channel, now);
        // Its end may come before anything else does.
        self.work.notify_one();
    }

    /// Completes when the broker has proven to have all that was published until now, or is lost.
    pub(super) fn flush(&self) -> oneshot::Receiver<()> {
        let mut state = self.state.lock();
        if !self.is_linked.load(Ordering::Relaxed) {
            return oneshot::channel().1;
        }
        let pushed = state.outgoing.pushed();
        let flushed = state.flushes.begin(pushed);
        drop(state);
        self.work.notify_one();
        flushed
    }

    pub(super) fn payload_bytes_max(&self) -> usize {
        self.payload_bytes_max.load(Ordering::Relaxed)
    }

    pub(super) fn link(&self) -> u64 {
        self.links.load(Ordering::Relaxed)
    }

    pub(super) fn status(&self) -> Status {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Status {
            published: count(&self.published),
            received: count(&self.received),
            dropped: count(&self.dropped),
            ..self.state.lock().status.clone()
        }
    }

    // ---- for the connection

    /// Something arrived.
    pub(super) fn heard(&self) {
        let since = u64::try_from(self.base.elapsed().as_millis());
        self.heard
            .store(since.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// A payload of another host arrived, or one of this host came back.
    pub(super) fn receive(&self, channel: &str, payload: &[u8]) {
        self.received.fetch_add(1, Ordering::Relaxed);
        if let Some(receiver) = self.receiver.get() {
            receiver.receive(channel, payload);
        }
    }

    /// The broker does not send a channel. Says whether it was to.
    pub(super) fn interrupted(&self, channel: &str, cause: &LinkError) -> bool {
        let now = Instant::now();
        let mut state = self.state.lock();
        if !state.channels.interrupt(channel, now) {
            return false;
        }
        state.interrupt(now);
        let was_told = std::mem::replace(&mut state.is_told, true);
        drop(state);
        self.work.notify_one();
        if !was_told {
            // The first of them, as there may be thousands, and each is asked for again and again.
            tracing::warn!(broker = %self.name, channel, "channels do not arrive: {cause}");
        }
        true
    }

    /// A probe came back.
    pub(super) fn proven(&self, payload: &[u8]) {
        let number = std::str::from_utf8(payload).ok();
        let Some(number) = number.and_then(|number| number.parse().ok()) else {
            return;
        };
        let now = Instant::now();
        let mut state = self.state.lock();
        let Some(round_trip) = state.pulse.answered(number, now) else {
            return;
        };
        state.status.round_trip = Some(round_trip);
        state.status.proven = now.into_std();
        let mut waiting = state.channels.prove(number);
        waiting.extend(state.flushes.prove(number));
        let is_restored = state.restoring.is_some_and(|last| number >= last);
        let away = (is_restored && !state.status.is_ready).then(|| state.become_ready(now));
        drop(state);
        for waiting in waiting {
            // Who has given up waits no longer.
            let _ = waiting.send(());
        }
        if let Some(away) = away {
            let dropped = self.dropped.load(Ordering::Relaxed);
            tracing::info!(broker = %self.name, ?away, dropped, "the bus is ready");
        }
    }

    /// Payloads were lost.
    pub(super) fn dropped(&self, payloads: u64) {
        self.dropped.fetch_add(payloads, Ordering::Relaxed);
    }

    /// There was no room for payloads that arrived.
    pub(super) fn overflowed(&self, payloads: u64) {
        self.state.lock().status.full.bytes += payloads;
        self.dropped(payloads);
    }

    // ---- for the task

    /// Begins a connection.
    pub(super) fn begin(&self, payload_bytes_max: usize) {
        let mut state = self.state.lock();
        state.pulse = Pulse::new(Instant::now());
        state.restoring = None;
        state.channels.lose();
        drop(state);
        self.heard();
        self.links.fetch_add(1, Ordering::Relaxed);
        self.payload_bytes_max
            .store(payload_bytes_max, Ordering::Relaxed);
        self.is_linked.store(true, Ordering::Relaxed);
    }

    /// Ends it, if it began. Returns for how long it was ready.
    pub(super) fn end(&self) -> Option<Duration> {
        self.is_linked.store(false, Ordering::Relaxed);
        let mut state = self.state.lock();
        // A probe whose answer is just being read proves nothing any more.
        state.restoring = None;
        state.channels.lose();
        state.flushes.clear();
        let lost = state.outgoing.clear() as u64 + std::mem::take(&mut state.sending);
        let was_ready = state.become_unready(Instant::now());
        drop(state);
        self.dropped(lost);
        was_ready
    }

    /// What there is to send now; `None` until this time, or until there is work. `probes` is where a probe goes.
    pub(super) fn take(&self, probes: &Arc<str>) -> Result<Batch, Instant> {
        let now = Instant::now();
        let mut state = self.state.lock();
        let State {
            channels,
            outgoing,
            pulse,
            restoring,
            sending,
            flushes,
            ..
        } = &mut *state;
        let changes = channels.take(now, BATCH_CHANNELS, pulse.next());
        let mut batch = Batch {
            unsubscribe: changes.unsubscribe,
            subscribe: changes.subscribe,
            publish: outgoing.take(BATCH_MESSAGES, BATCH_BYTES),
        };
        *sending = batch.publish.len() as u64;
        // Behind the last that they wait for.
        let is_flushing = flushes.await_probe(outgoing.taken(), pulse.next());
        let is_to_prove = restoring.is_none() && channels.is_restored();
        let is_due = is_flushing || is_to_prove || pulse.due() <= now;
        if !batch.subscribe.is_empty() || is_due {
            let probe = Bytes::from(pulse.next().to_string());
            batch.publish.push((probes.to_string(), probe));
            if channels.is_restored() {
                restoring.get_or_insert(pulse.next());
            }
            pulse.probe(now);
        }
        // Also when nothing came of those that were looked at.
        if channels.is_changed() || !outgoing.is_empty() {
            self.work.notify_one();
        }
        if batch.unsubscribe.is_empty() && batch.publish.is_empty() {
            let due = pulse.due();
            return Err(channels.next_end().map_or(due, |end| end.min(due)));
        }
        pulse.begin(now);
        Ok(batch)
    }

    /// The broker has not taken these payloads of the batch; of more than there are, the rest were probes.
    pub(super) fn refused(&self, payloads: u64) {
        let mut state = self.state.lock();
        let refused = payloads.min(state.sending);
        state.sending -= refused;
        drop(state);
        self.dropped(refused);
    }

    /// The broker has taken the batch.
    pub(super) fn sent(&self) {
        let mut state = self.state.lock();
        state.pulse.end();
        let sent = std::mem::take(&mut state.sending);
        drop(state);
        self.published.fetch_add(sent, Ordering::Relaxed);
    }

    /// Whether the broker has not answered for too long.
    pub(super) fn is_dead(&self, now: Instant) -> bool {
        let heard = self.base + Duration::from_millis(self.heard.load(Ordering::Relaxed));
        self.state.lock().pulse.is_dead(heard, now)
    }
}

impl State {
    /// Channels are missed on a connection that there is.
    fn interrupt(&mut self, now: Instant) {
        self.restoring = None;
        self.become_unready(now);
    }

    /// Returns for how long it was not.
    fn become_ready(&mut self, now: Instant) -> Duration {
        let status = &mut self.status;
        let away = now.into_std() - status.since;
        status.is_ready = true;
        status.since = now.into_std();
        status.reconnects += u64::from(self.was_ready);
        self.was_ready = true;
        self.is_told = false;
        away
    }

    /// Returns for how long it was, if it was.
    fn become_unready(&mut self, now: Instant) -> Option<Duration> {
        let status = &mut self.status;
        let since = now.into_std() - status.since;
        let was_ready = std::mem::take(&mut status.is_ready);
        if was_ready {
            status.since = now.into_std();
        }
        was_ready.then_some(since)
    }
}
