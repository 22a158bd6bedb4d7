//! `cluster`: what a delivery costs a host that shares the room with another, as the one that publishes and as the one
//! that receives, beside a host alone; and what it costs to broadcast to nobody, and to be there while others broadcast.
//!
//! The host that is measured has a core to itself; the other host, the broker and the load have the other core.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::broker::{Broker, Kind};
use crate::client::{Client, Incoming};
use crate::fanout::{Places, join, measure_at, run_at};
use crate::hosts::{Hosts, metric};
use crate::measure::{Figure, Load, Window};
use crate::process::{Cores, Server, allow_files};
use crate::rpc::{Dialogue, converse};
use crate::table::Table;

/// Who broadcast to nobody, with so many requests each in flight as [`converse`] has.
const TALKING: usize = 4;
const EMPTY_ROOM: &str = "/chat/empty";
/// Of a room that is not on the measured host.
const MEMBERS_THERE: u32 = 10;
const FILES: u64 = 2500;
/// For starting, connecting and draining, beside the measured time.
const OVERHEAD_MAX: Duration = Duration::from_secs(180);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What is measured, and with what.
#[derive(Debug)]
pub(crate) struct Measuring<'a> {
    pub(crate) binary: &'a Path,
    /// The example plugins.
    pub(crate) plugins: &'a Path,
    pub(crate) brokers: &'a [Kind],
    pub(crate) cores: Option<&'a Cores>,
    pub(crate) seconds: u64,
    pub(crate) rounds: usize,
}

/// The measured host's part.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// There is no other host.
    Alone,
    /// Sender and members are here, and one more member there.
    Publishing(Kind),
    /// The members are here, the sender is there.
    Receiving(Kind),
    /// Somebody here broadcasts to a room without members.
    ToNobody(Option<Kind>),
    /// There is another host, and nothing happens.
    Idle(Kind),
    /// Sender and members are there.
    Uninvolved(Kind),
}

impl Part {
    fn name(self) -> String {
        match self {
            Self::Alone | Self::ToNobody(None) => "alone".to_owned(),
            Self::Publishing(kind) => format!("{} publishing", kind.name()),
            Self::Receiving(kind) => format!("{} receiving", kind.name()),
            Self::ToNobody(Some(kind)) => kind.name().to_owned(),
            Self::Idle(_) => "nothing happens".to_owned(),
            Self::Uninvolved(_) => "others broadcast".to_owned(),
        }
    }

    fn broker(self) -> Option<Kind> {
        match self {
            Self::Alone => None,
            Self::ToNobody(kind) => kind,
            Self::Publishing(kind)
            | Self::Receiving(kind)
            | Self::Idle(kind)
            | Self::Uninvolved(kind) => Some(kind),
        }
    }
}

impl Measuring<'_> {
    /// Measures and prints.
    pub(crate) async fn run(self) -> Result<()> {
        allow_files(FILES)?;
        let chat = std::fs::read(self.plugins.join("chat.wasm"))?;
        let hosts = Hosts::new(self.binary, &[("chat", chat)])?;
        let brokers = self.brokers.iter().copied();
        let sharing = brokers
            .clone()
            .flat_map(|kind| [Part::Publishing(kind), Part::Receiving(kind)]);
        let sharing: Vec<_> = [Part::Alone].into_iter().chain(sharing).collect();
        for members in [100, 1000] {
            let title = format!("a room of {members} on this host, 4 in flight");
            self.table(title, &hosts, &sharing, members).await?;
        }
        let nobody = [None].into_iter().chain(brokers.map(Some));
        let nobody: Vec<_> = nobody.map(Part::ToNobody).collect();
        let title = "broadcasts to a room without members".to_owned();
        self.table(title, &hosts, &nobody, 0).await?;
        for kind in self.brokers {
            let title = format!("a room of {MEMBERS_THERE} on another host, {}", kind.name());
            let parts = [Part::Idle(*kind), Part::Uninvolved(*kind)];
            self.table(title, &hosts, &parts, MEMBERS_THERE).await?;
        }
        Ok(())
    }

    async fn table(
        &self,
        title: String,
        hosts: &Hosts<'_>,
        parts: &[Part],
        members: u32,
    ) -> Result<()> {
        let mut table = Table::new(title.clone());
        for _ in 0..self.rounds {
            for part in parts {
                let time = OVERHEAD_MAX + Duration::from_secs(self.seconds);
                let measured = timeout(time, self.measure(hosts, *part, members)).await;
                let measured = measured.context("a host stopped answering");
                let measured = measured.and_then(|measured| measured);
                let name = part.name();
                table.add(
                    &name,
                    &measured.with_context(|| format!("{title}, {name}"))?,
                );
            }
        }
        table.print()
    }

    /// Measures one part once, with processes of its own.
    async fn measure(&self, hosts: &Hosts<'_>, part: Part, members: u32) -> Result<Vec<Figure>> {
        let broker = match part.broker() {
            Some(kind) => Some(Broker::new(kind).await?),
            None => None,
        };
        let url = || broker.as_ref().map(Broker::url);
        let here = hosts.start("here", url(), self.cores).await?;
        // On the core of this process, as the broker.
        let there = match broker {
            Some(_) => Some(hosts.start("there", url(), None).await?),
            None => None,
        };
        let seconds = self.seconds;
        let there = there.as_ref().map_or(here.addr, |there| there.addr);
        let places = |members, sender| Places { members, sender };
        match part {
            Part::Alone => run_at(places(here.addr, here.addr), &here, seconds, members).await,
            Part::Publishing(_) => {
                let mut member = Client::connect(there).await?;
                join(&mut member).await?;
                let hearing = tokio::spawn(hear(member));
                let figures = run_at(places(here.addr, here.addr), &here, seconds, members).await?;
                ensure!(
                    !hearing.is_finished(),
                    "the member there: {:?}",
                    hearing.await
                );
                hearing.abort();
                Ok(figures)
            }
            Part::Receiving(_) => run_at(places(here.addr, there), &here, seconds, members).await,
            Part::ToNobody(_) => to_nobody(&here, seconds).await,
            Part::Idle(_) => Ok(per_second(&idle(&here, seconds).await?)),
            Part::Uninvolved(_) => {
                let places = places(there, there);
                let (window, _) = measure_at(places, &here, seconds, members).await?;
                Ok(per_second(&window))
            }
        }
    }
}

/// A member that takes what it gets, for ever.
async fn hear(mut member: Client) -> Result<()> {
    loop {
        member.receive(|_| Ok(())).await?;
    }
}

/// Has a few connections broadcast as fast as they are answered.
async fn to_nobody(here: &Server, seconds: u64) -> Result<Vec<Figure>> {
    let before = Published::read(here).await?;
    let load = Load::default();
    let mut tasks = JoinSet::new();
    for _ in 0..TALKING {
        let dialogue = Dialogue {
            request: say,
            check,
        };
        tasks.spawn(converse(here.addr, load.clone(), dialogue));
    }
    let window = Window::measure(here, seconds, &load, tasks, || ()).await?;
    let broadcasts = load.operations() as f64;
    let after = Published::settled(here).await?;
    let mut figures = vec![
        Figure {
            name: "cpu/broadcast us",
            value: window.cpu_us(),
        },
        Figure {
            name: "published each",
            value: (after.sent - before.sent) / broadcasts,
        },
        Figure {
            name: "dropped",
            value: after.dropped - before.dropped,
        },
        Figure {
            name: "broadcasts/s",
            value: window.per_second(),
        },
    ];
    figures.extend(window.busy());
    Ok(figures)
}

/// What the host has given to the bus, that it is there included, which it says once a second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Published {
    sent: f64,
    dropped: f64,
}

impl Published {
    async fn read(host: &Server) -> Result<Self> {
        Ok(Self {
            sent: metric(host, "wardroom_bus_published_total").await?,
            dropped: metric(host, "wardroom_bus_dropped_total").await?,
        })
    }

    /// When nothing waits any more.
    async fn settled(host: &Server) -> Result<Self> {
        let mut last = Self::read(host).await?;
        loop {
            sleep(LOOK_INTERVAL).await;
            let next = Self::read(host).await?;
            if next == last {
                return Ok(next);
            }
            last = next;
        }
    }
}

fn say(id: u64) -> String {
    let data = json!({ "from": "bench", "text": "The quick brown fox jumps over the lazy dog" });
    json!({ "event": "message", "path": EMPTY_ROOM, "id": id, "data": data }).to_string()
}

fn check(text: &[u8], id: u64) -> Result<()> {
    let reply = Incoming::parse(text)?;
    ensure!(
        reply.id == Some(json!(id)) && reply.error.is_none(),
        "the reply to broadcast {id} is {reply:?}"
    );
    Ok(())
}

/// The host does nothing for anybody.
async fn idle(here: &Server, seconds: u64) -> Result<Window> {
    let load = Load::default();
    let mut tasks = JoinSet::new();
    let waiting = load.clone();
    tasks.spawn(async move {
        while !waiting.is_stopping() {
            sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    });
    Window::measure(here, seconds, &load, tasks, || ()).await
}

fn per_second(window: &Window) -> Vec<Figure> {
    vec![
        Figure {
            name: "cpu ms/s",
            value: window.cpu_ms_per_second(),
        },
        Figure {
            name: "deliveries/s",
            value: window.per_second(),
        },
    ]
}
