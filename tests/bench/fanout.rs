//! `fanout`: one sender, a room full of members. What does one delivery cost the server, and how long does a message
//! take until the last member has it?

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::client::{Client, Incoming};
use crate::measure::{Figure, Load, Window};
use crate::process::Server;

const IN_FLIGHT: usize = 4;
pub(crate) const ROOM: &str = "/chat/bench";

pub(crate) async fn run(server: &Server, seconds: u64, members: u32) -> Result<Vec<Figure>> {
    let places = Places {
        members: server.addr,
        sender: server.addr,
    };
    run_at(places, server, seconds, members).await
}

/// Where connections are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    pub(crate) members: SocketAddr,
    pub(crate) sender: SocketAddr,
}

/// The same with members and sender on hosts that are one server. Measured is what it costs this one of them.
pub(crate) async fn run_at(
    places: Places,
    server: &Server,
    seconds: u64,
    members: u32,
) -> Result<Vec<Figure>> {
    let (window, mut times) = measure_at(places, server, seconds, members).await?;
    times.sort_unstable();
    let quantile = |part: usize| {
        let time = times.get((times.len() * part / 100).min(times.len().saturating_sub(1)));
        time.map_or(f64::NAN, Duration::as_secs_f64) * 1e3
    };
    let mut figures = vec![
        Figure {
            name: "cpu/delivery us",
            value: window.cpu_us(),
        },
        Figure {
            name: "deliveries/s",
            value: window.per_second(),
        },
        Figure {
            name: "last p50 ms",
            value: quantile(50),
        },
        Figure {
            name: "last p99 ms",
            value: quantile(99),
        },
    ];
    figures.extend(window.busy());
    Ok(figures)
}

/// The window, and from each message how long it took until the last member had it.
pub(crate) async fn measure_at(
    places: Places,
    server: &Server,
    seconds: u64,
    members: u32,
) -> Result<(Window, Vec<Duration>)> {
    let load = Load::default();
    let room = Arc::new(Room::new(members));
    let mut tasks = JoinSet::new();
    for _ in 0..members {
        let mut client = Client::connect(places.members).await?;
        join(&mut client).await?;
        tasks.spawn(listen(client, Arc::clone(&room), load.clone()));
    }
    tasks.spawn(send(places.sender, Arc::clone(&room), load.clone()));
    let window = Window::measure(server, seconds, &load, tasks, || {
        room.flights().times.clear()
    })
    .await?;
    let times = std::mem::take(&mut room.flights().times);
    Ok((window, times))
}

/// What the sender and the members share.
struct Room {
    members: u32,
    /// One permit per message that may be sent.
    may_send: Semaphore,
    flights: Mutex<Flights>,
}

/// The messages that not all members have, oldest first. Every member gets them in order, so they land in order.
#[derive(Default)]
struct Flights {
    /// How many messages were sent: the number of the next one.
    sent: u64,
    open: VecDeque<Flight>,
    /// Of each that has landed: from sending it to the last member's getting it.
    times: Vec<Duration>,
    /// The number of the message after which there are no more, once it is in flight.
    last: Option<u64>,
}

struct Flight {
    sent_at: Instant,
    missing: u32,
    /// The push as the first member got it, and checked it. All get the same bytes.
    push: Vec<u8>,
}

impl Room {
    fn new(members: u32) -> Self {
        Self {
            members,
            may_send: Semaphore::new(IN_FLIGHT),
            flights: Mutex::default(),
        }
    }

    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message is about to be sent; its number.
    fn take_off(&self, is_last: bool) -> u64 {
        let mut flights = self.flights();
        let number = flights.sent;
        flights.sent += 1;
        flights.last = is_last.then_some(number);
        flights.open.push_back(Flight {
            sent_at: Instant::now(),
            missing: self.members,
            push: Vec::new(),
        });
        number
    }

    /// A member got `text` where it expects message `number`. Whether it was that message: others are the pushes
    /// about those who joined.
    fn arrive(&self, text: &[u8], number: u64) -> Result<bool> {
        let mut flights = self.flights();
        let first = flights.sent - flights.open.len() as u64;
        let flight = number
            .checked_sub(first)
            .and_then(|index| flights.open.get_mut(index as usize));
        let Some(flight) = flight else {
            let push = Incoming::parse(text)?;
            ensure!(push.is_push("system"), "unexpected: {push:?}");
            return Ok(false);
        };
        if flight.push != text {
            let push = Incoming::parse(text)?;
            if push.is_push("system") {
                return Ok(false);
            }
            let is_said = push.is_push("message")
                && push.path.as_deref() == Some(ROOM)
                && push.data == Some(said(number));
            ensure!(is_said, "wrong push instead of message {number}: {push:?}");
            flight.push = text.to_vec();
        }
        flight.missing -= 1;
        if flight.missing == 0 {
            let landed = flights
                .open
                .pop_front()
                .context("the message that landed is not in flight")?;
            flights.times.push(landed.sent_at.elapsed());
            self.may_send.add_permits(1);
        }
        Ok(true)
    }
}

async fn send(addr: SocketAddr, room: Arc<Room>, load: Load) -> Result<()> {
    let mut client = Client::connect(addr).await?;
    let mut is_last = false;
    while !is_last {
        room.may_send.acquire().await?.forget();
        // The end is a message like the others, so that no member waits for one that never comes.
        is_last = load.is_stopping();
        let number = room.take_off(is_last);
        client
            .queue(&json!({ "event": "message", "path": ROOM, "data": said(number) }).to_string());
        client.flush().await?;
    }
    Ok(())
}

async fn listen(mut client: Client, room: Arc<Room>, load: Load) -> Result<()> {
    let mut next = 0;
    loop {
        let before = next;
        client
            .receive(|text| {
                next += u64::from(room.arrive(text, next)?);
                Ok(())
            })
            .await?;
        load.count(next - before);
        if room.flights().last.is_some_and(|last| last < next) {
            return Ok(());
        }
    }
}

fn said(number: u64) -> Value {
    json!({ "from": "bench", "text": format!("{number} The quick brown fox jumps over the lazy dog") })
}

/// Joins the room and waits for the reply.
pub(crate) async fn join(client: &mut Client) -> Result<()> {
    let join = json!({ "event": "join", "path": ROOM, "id": "join", "data": { "name": "member" } });
    client.queue(&join.to_string());
    client.flush().await?;
    let mut joined = false;
    while !joined {
        client
            .receive(|text| {
                let message = Incoming::parse(text)?;
                if message.id.is_some() {
                    let data = message.data.as_ref().and_then(|data| data.get("joined"));
                    ensure!(
                        data == Some(&Value::Bool(true)),
                        "could not join: {message:?}"
                    );
                    joined = true;
                }
                Ok(())
            })
            .await?;
    }
    Ok(())
}
