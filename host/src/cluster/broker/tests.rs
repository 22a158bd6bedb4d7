//! The bus on a broker that is played here, on paused time.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::*;

/// What a transport was asked for.
enum Asked {
    Connect(Inbox),
    Send(Batch),
}

/// A broker that does what the test does.
struct Played {
    asked: mpsc::Sender<Asked>,
    attempts: Arc<AtomicUsize>,
}

struct PlayedLink(mpsc::Sender<Asked>);

impl Transport for Played {
    type Link = PlayedLink;

    async fn connect(&self, inbox: Inbox) -> Result<PlayedLink, LinkError> {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        let asked = self.asked.send(Asked::Connect(inbox)).await;
        asked.map_err(|_| LinkError::new("nobody is there"))?;
        Ok(PlayedLink(self.asked.clone()))
    }
}

impl Link for PlayedLink {
    async fn send(&mut self, batch: Batch) -> Result<(), LinkError> {
        let sent = self.0.send(Asked::Send(batch)).await;
        sent.map_err(|_| LinkError::new("nobody is there"))
    }

    fn payload_bytes_max(&self) -> usize {
        100
    }
}

struct Text(&'static str);

impl Payload for Text {
    fn encode(&self) -> Bytes {
        Bytes::from_static(self.0.as_bytes())
    }
}

/// Keeps what arrives.
#[derive(Default)]
struct Kept(Mutex<Vec<String>>);

impl Receive for Kept {
    fn receive(&self, channel: &str, payload: &[u8]) {
        let payload = String::from_utf8_lossy(payload);
        self.0.lock().push(format!("{channel} {payload}"));
    }
}

struct Stage {
    bus: BrokerBus,
    asked: mpsc::Receiver<Asked>,
    attempts: Arc<AtomicUsize>,
    kept: Arc<Kept>,
}

fn stage() -> Stage {
    stage_with(Outgoing::new(3, 1_000))
}

fn stage_with(outgoing: Outgoing) -> Stage {
    let (sender, asked) = mpsc::channel(1);
    let attempts = Arc::new(AtomicUsize::new(0));
    let transport = Played {
        asked: sender,
        attempts: Arc::clone(&attempts),
    };
    let bus = BrokerBus::new(transport, "played".to_owned(), "p:", outgoing);
    let kept = Arc::new(Kept::default());
    bus.attach(Arc::clone(&kept) as Arc<dyn Receive>);
    Stage {
        bus,
        asked,
        attempts,
        kept,
    }
}

impl Stage {
    async fn connected(&mut self) -> Inbox {
        loop {
            match self.asked.recv().await.unwrap() {
                Asked::Connect(inbox) => return inbox,
                Asked::Send(_) => {}
            }
        }
    }

    async fn sent(&mut self) -> Batch {
        match self.asked.recv().await.unwrap() {
            Asked::Send(batch) => batch,
            Asked::Connect(_) => panic!("it connects again"),
        }
    }
}

/// Sends back what a broker would: the probes.
fn echo(inbox: &Inbox, batch: &Batch) {
    for (channel, payload) in &batch.publish {
        if **channel == **inbox.probes() {
            inbox.message(channel, payload);
        }
    }
}

fn refused() -> LinkError {
    LinkError::new("the test says so")
}

fn names(channels: &[Arc<str>]) -> Vec<&str> {
    channels.iter().map(|channel| &**channel).collect()
}

#[tokio::test(start_paused = true)]
async fn it_is_ready_when_a_probe_has_come_back() {
    let mut stage = stage();
    let waiting = stage.bus.subscribe("a");
    let inbox = stage.connected().await;
    assert!(inbox.probes().starts_with("p:ws:probe:"));
    let batch = stage.sent().await;
    assert_eq!(names(&batch.subscribe), [&**inbox.probes(), "a"]);
    assert!(!stage.bus.status().is_ready);
    echo(&inbox, &batch);
    waiting.confirmed().await;
    let status = stage.bus.status();
    assert!(status.is_ready && status.round_trip.is_some());
    assert_eq!(status.reconnects, 0);
    inbox.message("a", b"1");
    assert_eq!(*stage.kept.0.lock(), ["a 1"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_published_goes_out_in_order_and_within_bounds() {
    let mut stage = stage();
    stage.bus.publish("a", &Text("too early"));
    let inbox = stage.connected().await;
    let first = stage.sent().await;
    // Here a batch is taken when the one before is; behind those two there is room for three.
    for text in ["1", "2", "3", "4", "5", "6", "7", "8"] {
        stage.bus.publish("a", &Text(text));
        tokio::task::yield_now().await;
    }
    echo(&inbox, &first);
    let mut payloads = Vec::new();
    while payloads.len() < 5 {
        let batch = stage.sent().await;
        let of_room = batch.publish.into_iter();
        let of_room = of_room.filter(|(channel, _)| channel == "a");
        payloads.extend(of_room.map(|(_, payload)| payload));
    }
    tokio::task::yield_now().await;
    assert_eq!(payloads, ["1", "2", "3", "4", "5"]);
    let status = stage.bus.status();
    assert_eq!((status.published, status.dropped), (5, 1 + 3));
    assert_eq!((status.full.messages, status.full.bytes), (3, 0));
    let large = "x".repeat(101);
    stage.bus.publish("a", &Text(large.leak()));
    assert_eq!(stage.bus.status().dropped, status.dropped + 1);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_answer_is_given_up() {
    let mut stage = stage();
    let inbox = stage.connected().await;
    let batch = stage.sent().await;
    echo(&inbox, &batch);
    assert!(stage.bus.status().is_ready);
    // It takes what it is given, and says nothing any more.
    let began = Instant::now();
    let again = stage.connected().await;
    let took = began.elapsed();
    assert!(
        took > Duration::from_secs(2) && took < Duration::from_secs(4),
        "{took:?}"
    );
    assert!(!stage.bus.status().is_ready);
    inbox.message("a", b"late");
    assert!(stage.kept.0.lock().is_empty(), "it is over");
    let batch = stage.sent().await;
    echo(&again, &batch);
    assert!(stage.bus.status().is_ready);
    assert_eq!(stage.bus.status().reconnects, 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_loss_it_is_ready_only_when_all_channels_are_proven() {
    const MANY: usize = 1_200;
    let mut stage = stage();
    for number in 0..MANY {
        stage.bus.subscribe(&format!("c{number}"));
    }
    for _ in 0..2 {
        let inbox = stage.connected().await;
        let mut subscribed = 0;
        while subscribed < MANY + 1 {
            assert!(!stage.bus.status().is_ready, "{subscribed}");
            let batch = stage.sent().await;
            subscribed += batch.subscribe.len();
            echo(&inbox, &batch);
        }
        assert_eq!(subscribed, MANY + 1);
        assert!(stage.bus.status().is_ready);
        inbox.lost("the test says so");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_is_not_asked_too_often() {
    let mut stage = stage();
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    while began.elapsed() < Duration::from_secs(60) {
        let before = Instant::now();
        let inbox = stage.connected().await;
        longest = longest.max(before.elapsed());
        inbox.lost("refused");
    }
    let attempts = stage.attempts.load(Ordering::Relaxed);
    assert!((120..260).contains(&attempts), "{attempts}");
    assert!(longest <= Duration::from_millis(600), "{longest:?}");
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_bus() {
    let Stage { bus, mut asked, .. } = stage();
    assert!(asked.recv().await.is_some());
    drop(bus);
    while asked.recv().await.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn what_was_published_is_flushed_when_a_probe_behind_it_has_come_back() {
    let mut stage = stage();
    // There is nobody to take anything.
    stage.bus.flush().await;
    let inbox = stage.connected().await;
    let first = stage.sent().await;
    echo(&inbox, &first);
    stage.bus.publish("a", &Text("1"));
    stage.bus.publish("a", &Text("2"));
    let mut flushed = stage.bus.flush();
    let mut sent = 0;
    while sent < 2 {
        assert!((&mut flushed).now_or_never().is_none());
        let batch = stage.sent().await;
        let of_room = batch.publish.iter().filter(|(channel, _)| channel == "a");
        sent += of_room.count();
        assert!((&mut flushed).now_or_never().is_none());
        echo(&inbox, &batch);
    }
    let began = Instant::now();
    flushed.await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    // Nor does it wait for a connection that is lost.
    stage.bus.publish("a", &Text("3"));
    let flushed = stage.bus.flush();
    inbox.lost("gone");
    flushed.await;
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_flush_does_not_wait_for_what_is_published_after_it() {
    let mut stage = stage_with(Outgoing::new(10_000, usize::MAX));
    let inbox = stage.connected().await;
    echo(&inbox, &stage.sent().await);
    let publish = |stage: &Stage| {
        for _ in 0..300 {
            stage.bus.publish("a", &Text("1"));
        }
    };
    publish(&stage);
    let mut flushed = stage.bus.flush();
    for _ in 0..2 {
        assert!((&mut flushed).now_or_never().is_none());
        // There is always more to send than one batch holds.
        publish(&stage);
        echo(&inbox, &stage.sent().await);
    }
    assert!(flushed.now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_channels_that_need_nothing_is_not_the_last() {
    let shared = Shared::new("played".to_owned(), Outgoing::new(3, 1_000));
    let probes = Arc::from("p:probes");
    shared.begin(usize::MAX);
    let names = Vec::from_iter((0..1_100).map(|number| number.to_string()));
    for name in &names {
        shared.subscribe(name);
    }
    while shared.take(&probes).is_ok() {}
    for name in &names {
        shared.unsubscribe(name);
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(shared.take(&probes).unwrap().unsubscribe.len(), 512);
    for name in &names[512..] {
        shared.subscribe(name);
    }
    shared.subscribe("new");
    let mut subscribed = Vec::new();
    while shared.work.notified().now_or_never().is_some() {
        subscribed.extend(
            shared
                .take(&probes)
                .into_iter()
                .flat_map(|batch| batch.subscribe),
        );
    }
    assert_eq!(subscribed, [Arc::from("new")]);
}

#[tokio::test(start_paused = true)]
async fn it_is_not_ready_while_a_channel_is_missed() {
    let mut stage = stage();
    stage.bus.subscribe("a");
    let inbox = stage.connected().await;
    let batch = stage.sent().await;
    echo(&inbox, &batch);
    assert!(stage.bus.status().is_ready);
    assert!(inbox.interrupted("a", &refused()) && !inbox.interrupted("b", &refused()));
    assert!(!stage.bus.status().is_ready);
    let again = stage.sent().await;
    assert_eq!(names(&again.subscribe), ["a"]);
    assert!(!stage.bus.status().is_ready);
    echo(&inbox, &again);
    assert!(stage.bus.status().is_ready);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_lost_and_not_sent() {
    let mut stage = stage();
    let inbox = stage.connected().await;
    let first = stage.sent().await;
    echo(&inbox, &first);
    // The second is on its way for as long as nobody takes the first.
    for text in ["1", "2"] {
        stage.bus.publish("a", &Text(text));
        tokio::task::yield_now().await;
    }
    inbox.refused(1);
    // So were probes.
    inbox.refused(9);
    for _ in 0..2 {
        stage.sent().await;
        tokio::task::yield_now().await;
    }
    let status = stage.bus.status();
    assert_eq!((status.published, status.dropped), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn channels_that_come_and_go_are_proven_at_once() {
    let mut stage = stage();
    let inbox = stage.connected().await;
    let batch = stage.sent().await;
    echo(&inbox, &batch);
    stage.bus.adopt(&["a".into(), "b".into()]);
    assert!(!stage.bus.status().is_ready);
    let batch = stage.sent().await;
    assert_eq!(names(&batch.subscribe), ["a", "b"]);
    echo(&inbox, &batch);
    assert!(stage.bus.status().is_ready);
    assert!(inbox.interrupted("a", &refused()));
    stage.bus.forget("a");
    let batch = stage.sent().await;
    assert!(batch.subscribe.is_empty());
    echo(&inbox, &batch);
    assert!(stage.bus.status().is_ready, "nothing is missed any more");
    let counted = stage.bus.retire();
    assert!(!counted.is_ready);
    while stage.asked.recv().await.is_some() {}
}
