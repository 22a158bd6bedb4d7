//! Subjects, and a server that is played here.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;
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

/// A server that says what the test has it say.
struct Played(TcpListener);

impl Played {
    async fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn transport(&self) -> Nats {
        let url = format!("nats://{}", self.0.local_addr().unwrap());
        Nats::new(&url.parse().unwrap(), "")
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

fn inbox() -> Inbox {
    let shared = Shared::new("played".to_owned(), Outgoing::new(9, 9_999));
    Inbox::new(Arc::new(shared), "probes".into())
}

fn to(channel: &str) -> Batch {
    Batch {
        publish: vec![(channel.to_owned(), Bytes::from_static(b"x"))],
        ..Batch::default()
    }
}

#[tokio::test]
async fn a_connection_that_the_library_has_replaced_is_lost() {
    let server = Played::new().await;
    let inbox = inbox();
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
