//! The peer to be compared with: what a hand would write on tokio-tungstenite for just these routes, with no sandbox,
//! no routing and no limits but the outbox's. It speaks the server's protocol for `echo` on `/echo` and for `join`
//! and `message` on `/chat/:room`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;

use anyhow::{Result, bail};
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

const OUTBOX_MESSAGES_MAX: usize = 1024;
/// Messages written before one flush.
const BATCH_MAX: usize = 64;

/// How it is written.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Variant {
    /// The usual way, with tungstenite's buffers as wardroom sets them.
    Usual,
    /// The same with tungstenite's own buffer sizes.
    DefaultBuffers,
    /// As `Usual`, but all that has arrived on a connection is handled before the replies are flushed at once.
    Batched,
}

impl Variant {
    fn config(self) -> WebSocketConfig {
        const KIB: usize = 1024;
        match self {
            Self::DefaultBuffers => WebSocketConfig::default(),
            Self::Usual | Self::Batched => WebSocketConfig::default()
                .read_buffer_size(4 * KIB)
                .write_buffer_size(16 * KIB)
                .max_write_buffer_size(1024 * KIB)
                .max_message_size(Some(1024 * KIB))
                .max_frame_size(Some(1024 * KIB)),
        }
    }
}

/// Serves until the process is killed.
pub(crate) fn serve(variant: Variant) -> Result<()> {
    let workers = available_parallelism()?.get();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        writeln!(std::io::stdout(), "ready listen={}", listener.local_addr()?)?;
        let rooms = Arc::new(Rooms::default());
        loop {
            let (stream, _) = listener.accept().await?;
            let rooms = Arc::clone(&rooms);
            tokio::spawn(async move {
                // Whatever ends a connection, there is nobody to tell.
                let _ = Connection::serve(stream, variant, &rooms).await;
            });
        }
    })
}

/// A room's members by their connections' numbers.
type Members = HashMap<u64, mpsc::Sender<Utf8Bytes>>;

#[derive(Default)]
struct Rooms {
    next_id: AtomicU64,
    members: Mutex<HashMap<String, Members>>,
}

impl Rooms {
    fn members(&self) -> MutexGuard<'_, HashMap<String, Members>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To all members but the sender; those whose outbox is full are no longer members.
    fn broadcast(&self, room: &str, sender: u64, text: &Utf8Bytes) {
        if let Some(members) = self.members().get_mut(room) {
            members.retain(|id, outbox| *id == sender || outbox.try_send(text.clone()).is_ok());
        }
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    path: Cow<'a, str>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct Reply<'a, T> {
    id: &'a RawValue,
    data: T,
}

#[derive(Serialize)]
struct Push<'a, T> {
    event: &'a str,
    path: &'a str,
    params: Params<'a>,
    data: T,
}

#[derive(Serialize)]
struct Params<'a> {
    room: &'a str,
}

#[derive(Deserialize)]
struct Join<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Serialize)]
struct Joined<'a> {
    joined: bool,
    room: &'a str,
    rooms: &'a [String],
}

#[derive(Serialize)]
struct System {
    text: String,
}

#[derive(Deserialize, Serialize)]
struct Said<'a> {
    #[serde(borrow)]
    from: Cow<'a, str>,
    #[serde(borrow)]
    text: Cow<'a, str>,
}

/// One connection, and the one task that owns it.
struct Connection<'r> {
    id: u64,
    rooms: &'r Rooms,
    joined: Vec<String>,
    outbox: mpsc::Sender<Utf8Bytes>,
}

impl<'r> Connection<'r> {
    async fn serve(stream: TcpStream, variant: Variant, rooms: &'r Rooms) -> Result<()> {
        stream.set_nodelay(true)?;
        let mut socket = accept_async_with_config(stream, Some(variant.config())).await?;
        let (outbox, mut queued) = mpsc::channel(OUTBOX_MESSAGES_MAX);
        let id = rooms.next_id.fetch_add(1, Ordering::Relaxed);
        let mut connection = Connection {
            id,
            rooms,
            joined: Vec::new(),
            outbox,
        };
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                incoming = socket.next() => {
                    let mut incoming = Some(incoming);
                    while let Some(message) = incoming {
                        let Some(message) = message else { return Ok(()) };
                        if let Message::Text(text) = message?
                            && let Some(reply) = connection.handle(text.as_str())?
                        {
                            socket.feed(Message::text(reply)).await?;
                        }
                        incoming = match variant {
                            Variant::Batched => socket.next().now_or_never(),
                            Variant::Usual | Variant::DefaultBuffers => None,
                        };
                    }
                }
                _ = queued.recv_many(&mut batch, BATCH_MAX) => {
                    for text in batch.drain(..) {
                        socket.feed(Message::Text(text)).await?;
                    }
                }
            }
            socket.flush().await?;
        }
    }

    fn handle(&mut self, text: &str) -> Result<Option<String>> {
        let Envelope {
            event,
            path,
            id,
            data,
        } = serde_json::from_str(text)?;
        let data = data.unwrap_or(RawValue::NULL);
        let reply = match (&*event, path.strip_prefix("/chat/")) {
            ("echo", None) if path == "/echo" => serde_json::value::to_raw_value(data)?,
            ("join", Some(room)) => self.join(&path, room, data)?,
            ("message", Some(room)) => {
                let said: Said<'_> = serde_json::from_str(data.get())?;
                self.broadcast(&event, &path, room, said)?;
                RawValue::NULL.to_owned()
            }
            _ => bail!("no route"),
        };
        Ok(id
            .map(|id| serde_json::to_string(&Reply { id, data: reply }))
            .transpose()?)
    }

    fn join(&mut self, path: &str, room: &str, data: &RawValue) -> Result<Box<RawValue>> {
        let Join { name } = serde_json::from_str(data.get())?;
        self.rooms
            .members()
            .entry(path.to_owned())
            .or_default()
            .insert(self.id, self.outbox.clone());
        self.joined.push(path.to_owned());
        self.broadcast(
            "system",
            path,
            room,
            System {
                text: format!("{name} joined"),
            },
        )?;
        Ok(serde_json::value::to_raw_value(&Joined {
            joined: true,
            room,
            rooms: &self.joined,
        })?)
    }

    /// Encodes once, for all members.
    fn broadcast(&self, event: &str, path: &str, room: &str, data: impl Serialize) -> Result<()> {
        let push = Push {
            event,
            path,
            params: Params { room },
            data,
        };
        self.rooms
            .broadcast(path, self.id, &serde_json::to_string(&push)?.into());
        Ok(())
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        let mut rooms = self.rooms.members();
        for room in &self.joined {
            if let Some(members) = rooms.get_mut(room) {
                members.remove(&self.id);
            }
        }
    }
}
