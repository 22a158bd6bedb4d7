//! The noise of `neighbour`: a plugin that does what a message tells it to, clients that tell it to misbehave as
//! fast as they can, and what each of its events has to be answered with.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use clap::ValueEnum;
use rustix::process::setpriority_process;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::client::{Client, Incoming};
use crate::puppet::with_manifest;

const CONNECTIONS: usize = 4;
/// As many as fit into the outbox when all are answered and the client reads nothing.
const FLOOD_IN_FLIGHT: u64 = 1000;
const TRAPS_IN_FLIGHT: u64 = 32;
const ROOM: &str = "/noise/room";
const MEMBERS: u64 = 1000;
/// What one event may push, and what one outbox holds.
const PUSHES: u64 = 1000;
/// The least of all: the clients of the noise run only when those who measure have nothing to do.
const NICENESS: i32 = 19;

/// The component to be noisy with, made of the fixture `puppet`.
///
/// # Errors
/// When it is another component.
pub(crate) fn plugin(puppet: Vec<u8>) -> Result<Vec<u8>> {
    let manifest = json!({ "name": "noisy", "routes": [["do", "/noise/:number"]] });
    with_manifest(puppet, &manifest)
}

/// How the plugin misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Noise {
    /// Every event spins until it is ended.
    Spin,
    /// Every event takes all the memory that it is given, and fills most of it.
    Hog,
    /// Every event pushes as often as it may, to its client's own room.
    Push,
    /// The same, to a room of a thousand members.
    Room,
    /// The plugin does nothing, and its clients have a thousand messages in flight each.
    Flood,
    /// Every event traps.
    Trap,
}

impl Noise {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Spin => "spins",
            Self::Hog => "hogs memory",
            Self::Push => "pushes",
            Self::Room => "pushes to 1000",
            Self::Flood => "is flooded",
            Self::Trap => "traps",
        }
    }

    /// What each event is told to do.
    fn script(self) -> Value {
        let broadcast = json!(["broadcast", "noise", "The quick brown fox", null, true]);
        match self {
            Self::Spin => json!([["spin"]]),
            Self::Hog => json!([["fill", 56], ["hog"]]),
            Self::Push | Self::Room => json!([["repeat", PUSHES, broadcast]]),
            Self::Flood => json!([["value", 1]]),
            Self::Trap => json!([["trap"]]),
        }
    }

    fn in_flight(self) -> u64 {
        match self {
            Self::Spin | Self::Hog | Self::Push | Self::Room => 1,
            Self::Flood => FLOOD_IN_FLIGHT,
            Self::Trap => TRAPS_IN_FLIGHT,
        }
    }

    /// Whether README.md promises this answer: an error of this code, or a reply with this data.
    fn is_promised(self, code: Option<u64>, data: &Value) -> bool {
        let number = |place: &str| data.pointer(place).and_then(Value::as_u64);
        match self {
            // Its quarantine is 503.
            Self::Spin => matches!(code, Some(503 | 504)),
            Self::Trap => matches!(code, Some(500 | 503)),
            // On a busy machine, or with so many members, it may take more than an event's CPU time.
            Self::Hog => code == Some(504) || (data[0] == "ok" && number("/1/held") >= Some(56)),
            Self::Push | Self::Room => code == Some(504) || number("/0/ok") == Some(PUSHES),
            Self::Flood => data[0] == 1,
        }
    }
}

/// How often each answer was given.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// `None` is a reply, a number an error's code.
    answers: BTreeMap<Option<u64>, u64>,
    pushes: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        for (code, count) in &other.answers {
            *self.answers.entry(*code).or_default() += count;
        }
        self.pushes += other.pushes;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (code, count) in &self.answers {
            match code {
                Some(code) => write!(formatter, "{count} x {code}  ")?,
                None => write!(formatter, "{count} replies  ")?,
            }
        }
        match self.pushes {
            0 => Ok(()),
            pushes => write!(formatter, "{pushes} pushes"),
        }
    }
}

/// Noise that is being made, in a thread of its own.
#[derive(Debug)]
pub(crate) struct Running {
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<Result<Tally>>,
}

impl Running {
    /// Starts, and waits until all its clients are connected.
    pub(crate) async fn start(noise: Noise, addr: SocketAddr, mount: &'static str) -> Result<Self> {
        let stopping = Arc::new(AtomicBool::new(false));
        let (ready, is_ready) = oneshot::channel();
        let clients = Clients {
            noise,
            addr,
            mount,
            stopping: Arc::clone(&stopping),
        };
        let name = std::thread::Builder::new().name("noise".to_owned());
        let thread = name.spawn(move || {
            setpriority_process(None, NICENESS)?;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(clients.run(ready))
        })?;
        // If it does not come, the thread has ended, and says why when it is joined.
        let _ = is_ready.await;
        Ok(Self { stopping, thread })
    }

    /// Ends it when all that was asked has been answered.
    ///
    /// # Errors
    /// When an answer was not what is promised, or missing.
    pub(crate) fn stop(self) -> Result<Tally> {
        self.stopping.store(true, Ordering::Relaxed);
        let made = self.thread.join();
        made.map_err(|_| anyhow!("the noise's thread panicked"))?
    }
}

/// Those who make the noise.
#[derive(Clone, Debug)]
struct Clients {
    noise: Noise,
    addr: SocketAddr,
    /// The path of their WebSockets.
    mount: &'static str,
    stopping: Arc<AtomicBool>,
}

impl Clients {
    async fn run(self, ready: oneshot::Sender<()>) -> Result<Tally> {
        if self.noise == Noise::Room {
            return self.fill_room(ready).await;
        }
        let mut asking = JoinSet::new();
        for number in 0..CONNECTIONS {
            let path = format!("/noise/{number}");
            // Only pushes need a room; and a plugin in quarantine lets nobody join.
            let client = match self.noise {
                Noise::Push => self.member(&path).await?,
                _ => Client::connect_to(self.addr, self.mount).await?,
            };
            let clients = self.clone();
            asking.spawn(async move { clients.ask(client, &path).await });
        }
        let _ = ready.send(());
        let mut tally = Tally::default();
        while let Some(asked) = asking.join_next().await {
            tally.add(&asked??);
        }
        Ok(tally)
    }

    /// A connection that has joined the room of its path.
    async fn member(&self, path: &str) -> Result<Client> {
        let mut client = Client::connect_to(self.addr, self.mount).await?;
        let mut has_joined = false;
        client.queue(&request(path, &json!([["join"]]), 0));
        client.flush().await?;
        while !has_joined {
            client
                .receive(|text| {
                    let answer = Incoming::parse(text)?;
                    ensure!(answer.data == Some(json!(["ok"])), "not joined: {answer:?}");
                    has_joined = true;
                    Ok(())
                })
                .await?;
        }
        Ok(client)
    }

    /// One connection: a message goes out for each answer that came in.
    async fn ask(&self, mut client: Client, path: &str) -> Result<Tally> {
        let mut tally = Tally::default();
        let script = self.noise.script();
        let (mut asked, mut answered) = (0, 0);
        loop {
            while asked < answered + self.noise.in_flight() && !self.is_stopping() {
                client.queue(&request(path, &script, asked));
                asked += 1;
            }
            if answered == asked {
                return Ok(tally);
            }
            client.flush().await?;
            client
                .receive(|text| {
                    let before = tally.answers_count();
                    count(text, self.noise, answered, &mut tally)?;
                    answered += tally.answers_count() - before;
                    Ok(())
                })
                .await?;
        }
    }

    /// One of a room's members asks, when all have got what came of the question before.
    async fn fill_room(&self, ready: oneshot::Sender<()>) -> Result<Tally> {
        let received = Arc::new(AtomicU64::new(0));
        let mut members = JoinSet::new();
        for _ in 0..MEMBERS {
            members.spawn(listen(self.member(ROOM).await?, Arc::clone(&received)));
        }
        let mut client = self.member(ROOM).await?;
        let _ = ready.send(());
        let mut tally = Tally::default();
        let script = self.noise.script();
        let mut asked = 0;
        while !self.is_stopping() {
            client.queue(&request(ROOM, &script, asked));
            client.flush().await?;
            while tally.answers_count() == asked {
                client
                    .receive(|text| count(text, self.noise, asked, &mut tally))
                    .await?;
            }
            asked += 1;
            while received.load(Ordering::Relaxed) < tally.pushes * MEMBERS {
                sleep(Duration::from_millis(1)).await;
                if let Some(ended) = members.try_join_next() {
                    return Err(ended?.context("a member of the room"));
                }
            }
        }
        tally.pushes += received.load(Ordering::Relaxed);
        Ok(tally)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

impl Tally {
    fn answers_count(&self) -> u64 {
        self.answers.values().sum()
    }
}

fn request(path: &str, script: &Value, id: u64) -> String {
    json!({ "event": "do", "path": path, "data": script, "id": id }).to_string()
}

/// Takes in what a client of the noise got: a push, or the answer to request `id`.
fn count(text: &[u8], noise: Noise, id: u64, tally: &mut Tally) -> Result<()> {
    if text.starts_with(b"{\"event\":") {
        tally.pushes += 1;
        return Ok(());
    }
    let answer = Incoming::parse(text)?;
    let code = answer
        .error
        .as_ref()
        .and_then(|error| error["code"].as_u64());
    let data = answer.data.as_ref().unwrap_or(&Value::Null);
    ensure!(
        answer.id == Some(json!(id)) && noise.is_promised(code, data),
        "the answer to request {id} of a plugin that {} is {answer:?}",
        noise.name()
    );
    *tally.answers.entry(code).or_default() += 1;
    Ok(())
}

/// A member of the room; returns what ended it.
async fn listen(mut client: Client, received: Arc<AtomicU64>) -> anyhow::Error {
    loop {
        let mut pushes = 0;
        let receiving = client.receive(|_| {
            pushes += 1;
            Ok(())
        });
        if let Err(error) = receiving.await {
            return error;
        }
        received.fetch_add(pushes, Ordering::Relaxed);
    }
}
