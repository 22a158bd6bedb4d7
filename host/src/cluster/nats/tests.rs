//! Subjects, and a server that is played here.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::*;
use crate::cluster::Receive;
use crate::cluster::outgoing::Outgoing;
use crate::cluster::shared::Shared;

const WAIT: Duration = Duration::from_secs(10);
/// As many events of a connection as the library keeps until they are told.
const EVENTS: usize = 128;

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

/// A server that says what the test has it say, to hosts on which so many bytes may wait.
struct Played(TcpListener, usize);

impl Played {
    async fn new(waiting_bytes_max: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self(listener, waiting_bytes_max)
    }

    fn transport(&self) -> Nats {
        let url = format!("nats://{}", self.0.local_addr().unwrap());
        Nats::new(&url.parse().unwrap(), "", self.1)
    }

    async fn accept(&self) -> BufStream<TcpStream> {
        let (stream, _) = self.0.accept().await.unwrap();
        let mut stream = BufStream::new(stream);
        say(&mut stream, "INFO {\"max_payload\":1048576}\r\n").await;
        heard(&mut stream, "PING").await;
        say(&mut stream, "PONG\r\n").await;
        stream
    }

    /// A connection, and the server's end of it.
    async fn connected(&self, inbox: &Inbox) -> (NatsLink, BufStream<TcpStream>) {
        let transport = self.transport();
        let (link, stream) = tokio::join!(transport.connect(inbox.clone()), self.accept());
        (link.unwrap(), stream)
    }
}

async fn say(stream: &mut BufStream<TcpStream>, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
}

/// Reads up to a line that begins so, and returns it.
async fn heard(stream: &mut BufStream<TcpStream>, begin: &str) -> String {
    loop {
        let mut line = String::new();
        let reading = timeout(WAIT, stream.read_line(&mut line));
        assert!(reading.await.unwrap().unwrap() > 0, "{begin}");
        if line.starts_with(begin) {
            return line;
        }
    }
}

fn inbox() -> (Inbox, Arc<Shared>) {
    let outgoing = Outgoing::new(9, 9_999);
    let shared = Arc::new(Shared::new("played".to_owned(), outgoing));
    (Inbox::new(Arc::clone(&shared), "probes".into()), shared)
}

/// Lets one come after another, and whoever waits for it.
#[derive(Default)]
struct Arrived(Notify);

impl Receive for Arrived {
    fn receive(&self, _: &str, _: &[u8]) {
        self.0.notify_one();
    }
}

/// Subscribes to a channel, and returns the number that the subscription has there.
async fn subscribed(link: &mut NatsLink, stream: &mut BufStream<TcpStream>) -> String {
    let batch = Batch {
        subscribe: vec!["a".into()],
        ..Batch::default()
    };
    link.send(batch).await.unwrap();
    let line = heard(stream, "SUB a ").await;
    line.trim_end().rsplit(' ').next().unwrap().to_owned()
}

fn to(channel: &str) -> Batch {
    Batch {
        publish: vec![(channel.to_owned(), Bytes::from_static(b"x"))],
        ..Batch::default()
    }
}

#[tokio::test]
async fn a_connection_that_the_library_has_replaced_is_lost() {
    let server = Played::new(usize::MAX).await;
    let (inbox, _) = inbox();
    let (mut link, mut stream) = server.connected(&inbox).await;
    link.send(to("a")).await.unwrap();
    heard(&mut stream, "PUB a ").await;
    // So much to tell at once that there is no room left for the news that this was the end.
    say(&mut stream, &"INFO {\"ldm\":true}\r\n".repeat(EVENTS)).await;
    drop(stream);
    let mut next = timeout(WAIT, server.accept()).await.unwrap();
    let _answering = AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            heard(&mut next, "PING").await;
            say(&mut next, "PONG\r\n").await;
        }
    }));
    // Whoever is asked first.
    let lost = LinkError::new("the connection was lost");
    let sent = timeout(WAIT, link.send(to("a"))).await.unwrap();
    assert_eq!(sent, Err(lost.clone()));
    assert_eq!(timeout(WAIT, inbox.ended()).await.unwrap(), lost);
}

#[tokio::test]
async fn what_has_arrived_and_waits_is_bounded_in_bytes() {
    let bytes_max = 16 * 1024;
    let server = Played::new(bytes_max).await;
    let (inbox, shared) = inbox();
    let (mut link, mut stream) = server.connected(&inbox).await;
    let number = subscribed(&mut link, &mut stream).await;
    // Three times as much as there is room for, and much less than what the library would keep.
    let (bytes, count) = (bytes_max / 10, 30);
    let message = format!("MSG a {number} {bytes}\r\n{}\r\n", "x".repeat(bytes));
    say(&mut stream, &message.repeat(count)).await;
    let counting = async {
        loop {
            let status = shared.status();
            if status.received + status.dropped == count as u64 {
                return status;
            }
            tokio::task::yield_now().await;
        }
    };
    let status = timeout(WAIT, counting).await.unwrap();
    assert!(status.received > 0 && status.dropped > 0, "{status:?}");
    assert_eq!(status.full.bytes, status.dropped);
}

#[tokio::test]
async fn others_have_their_turn_while_a_burst_is_passed_on() {
    let server = Played::new(usize::MAX).await;
    let (inbox, shared) = inbox();
    let arrived = Arc::new(Arrived::default());
    shared.attach(Arc::clone(&arrived) as Arc<dyn Receive>);
    let (mut link, mut stream) = server.connected(&inbox).await;
    let number = subscribed(&mut link, &mut stream).await;
    let count = 2_000;
    say(
        &mut stream,
        &format!("MSG a {number} 0\r\n\r\n").repeat(count),
    )
    .await;
    timeout(WAIT, arrived.0.notified()).await.unwrap();
    let received = shared.status().received;
    assert!(received < count as u64 / 4, "{received}");
}

/// Keeps what comes, in its order.
#[derive(Default)]
struct Received(parking_lot::Mutex<Vec<u64>>);

impl Receive for Received {
    fn receive(&self, _: &str, payload: &[u8]) {
        let number = std::str::from_utf8(payload).unwrap();
        self.0.lock().push(number.parse().unwrap());
    }
}

/// Each time that a channel is subscribed, one host says something there, and then something on a channel that was
/// subscribed before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_is_kept_while_channels_are_subscribed() {
    const CHANNELS: usize = 500;
    const ROUNDS: usize = 20;
    let server = Played::new(usize::MAX).await;
    let (inbox, shared) = inbox();
    let received = Arc::new(Received::default());
    shared.attach(Arc::clone(&received) as Arc<dyn Receive>);
    let (mut link, mut stream) = server.connected(&inbox).await;
    let before = subscribed(&mut link, &mut stream).await;
    let saying = tokio::spawn(async move {
        let mut numbers = Numbers::new();
        for number in 0..ROUNDS * CHANNELS {
            let line = heard(&mut stream, "SUB ").await;
            let mut words = line.split_whitespace().skip(1);
            let (channel, subscription) = (words.next().unwrap(), words.next().unwrap());
            let mut both = String::new();
            for (channel, subscription, number) in [
                (channel, subscription, 2 * number),
                ("a", before.as_str(), 2 * number + 1),
            ] {
                let (reply, number) = (numbers.next(), number.to_string());
                let bytes = number.len();
                write!(
                    both,
                    "MSG {channel} {subscription} {reply} {bytes}\r\n{number}\r\n"
                )
                .unwrap();
            }
            say(&mut stream, &both).await;
        }
        stream
    });
    for round in 0..ROUNDS {
        let channel = |number| format!("{round}-{number}").into();
        let subscribe = (0..CHANNELS).map(channel).collect();
        let batch = Batch {
            subscribe,
            ..Batch::default()
        };
        link.send(batch).await.unwrap();
        // All of it, or there would be too much.
        let arriving = async {
            while received.0.lock().len() < (round + 1) * 2 * CHANNELS {
                tokio::task::yield_now().await;
            }
        };
        let arrived = timeout(WAIT, arriving).await;
        assert!(arrived.is_ok(), "{:?}", shared.status());
    }
    let _stream = saying.await.unwrap();
    assert!(received.0.lock().is_sorted());
}
