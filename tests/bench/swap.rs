//! `swap`: what 200 talking connections notice while the plugin that serves them is replaced, a thousand times by one
//! of two versions that the host has seen before, and fifty times by one that nobody has.

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::client::{Client, Incoming};
use crate::measure::quantile;
use crate::process::{Cores, Server};
use crate::stalls::{Span, Stalls, Watch};

const CONNECTIONS: usize = 200;
const MEMBERS_PER_ROOM: usize = 10;
/// Of one connection; all of them together send 2000 messages a second, and get ten times as many pushes.
const MESSAGE_INTERVAL: Duration = Duration::from_millis(100);
const KNOWN_SWAPS: usize = 1000;
const NEW_SWAPS: usize = 50;
/// Swaps and their baseline are measured in so many turns, so that both meet the same noise of the machine.
const TURNS: usize = 10;
const BASELINE: Duration = Duration::from_millis(2500);
const SWAP_MAX: Duration = Duration::from_secs(60);

/// What a latency was measured beside.
#[derive(Clone, Copy, Debug)]
enum Phase {
    WarmUp,
    Baseline,
    Known,
    New,
}

const PHASES: [(Phase, &str); 3] = [
    (Phase::Baseline, "no swaps"),
    (Phase::Known, "known versions"),
    (Phase::New, "new versions"),
];

/// What the connections and the swapping know of each other.
#[derive(Debug, Default)]
struct Shared {
    phase: AtomicUsize,
    stopping: AtomicBool,
    turn: AtomicUsize,
    /// From each message to its reply, by phase and turn.
    replies: Mutex<[[Vec<Span>; TURNS]; 4]>,
}

impl Shared {
    fn enter(&self, phase: Phase) {
        self.phase.store(phase as usize, Ordering::Relaxed);
    }

    fn add(&self, reply: Span) {
        let phase = self.phase.load(Ordering::Relaxed);
        let turn = self.turn.load(Ordering::Relaxed);
        let mut replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(replies) = replies.get_mut(phase).and_then(|of| of.get_mut(turn)) {
            replies.push(reply);
        }
    }
}

/// Measures and prints. `plugins` holds the components; they are copied.
pub(crate) async fn run(wardroom: &Path, plugins: &Path, cores: Option<&Cores>) -> Result<()> {
    let folder = Folder::of(plugins)?;
    let mut server = Server::start_logged(&folder.serve(wardroom), cores).await?;
    let shared = Arc::new(Shared::default());
    let mut talking = JoinSet::new();
    for number in 0..CONNECTIONS {
        talking.spawn(talk(server.addr, number, Arc::clone(&shared)));
    }
    sleep(Duration::from_secs(2)).await;
    let before = server.resident_bytes()?;
    let watch = Watch::start(cores);
    let mut times: [Vec<Duration>; 2] = Default::default();
    for turn in 0..TURNS {
        shared.turn.store(turn, Ordering::Relaxed);
        shared.enter(Phase::Baseline);
        sleep(BASELINE).await;
        shared.enter(Phase::Known);
        for number in 0..KNOWN_SWAPS / TURNS {
            times[0].push(
                folder
                    .swap(&mut server, &format!("known {}", number % 2))
                    .await?,
            );
        }
        shared.enter(Phase::New);
        for number in 0..NEW_SWAPS / TURNS {
            times[1].push(
                folder
                    .swap(&mut server, &format!("new {turn} {number}"))
                    .await?,
            );
        }
    }
    shared.enter(Phase::WarmUp);
    shared.stopping.store(true, Ordering::Relaxed);
    let mut messages = 0;
    while let Some(talked) = talking.join_next().await {
        messages += talked??;
    }
    writeln!(
        stdout(),
        "swap, {CONNECTIONS} connections, {messages} messages, each with one reply; no connection closed"
    )?;
    print_latencies(&shared, &watch.stop())?;
    print_times(&mut times)?;
    writeln!(
        stdout(),
        "server: {} MB resident before, {} MB after",
        before / 1_000_000,
        server.resident_bytes()? / 1_000_000
    )?;
    Ok(())
}

/// The folder of plugins that changes.
#[derive(Debug)]
struct Folder {
    folder: TempDir,
    /// Of this run alone: in the one of the run before, no version would be new.
    cache: TempDir,
    chat: Vec<u8>,
}

impl Folder {
    fn of(plugins: &Path) -> Result<Self> {
        let folder = TempDir::new()?;
        let cache = TempDir::new()?;
        for name in ["chat.wasm", "echo.wasm"] {
            let from = plugins.join(name);
            std::fs::copy(&from, folder.path().join(name))
                .with_context(|| format!("cannot copy {}", from.display()))?;
        }
        let chat = std::fs::read(plugins.join("chat.wasm"))?;
        Ok(Self {
            folder,
            cache,
            chat,
        })
    }

    fn serve(&self, wardroom: &Path) -> Vec<String> {
        let text = |path: &Path| path.display().to_string();
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--plugins"];
        let cache = format!("WARDROOM_CACHE={}", text(&self.cache.path().join("code")));
        let mut command = vec!["env".to_owned(), cache, text(wardroom)];
        command.extend(arguments.map(str::to_owned));
        command.push(text(self.folder.path()));
        command
    }

    /// Puts a version in place of the one before; returns the time until it is live.
    async fn swap(&self, server: &mut Server, version: &str) -> Result<Duration> {
        let beside: PathBuf = self.folder.path().join("chat.part");
        std::fs::write(&beside, with_section(&self.chat, version))?;
        let start = Instant::now();
        std::fs::rename(beside, self.folder.path().join("chat.wasm"))?;
        timeout(SWAP_MAX, server.logged("plugin swapped"))
            .await
            .with_context(|| format!("version `{version}` is not live after {SWAP_MAX:?}"))??;
        Ok(start.elapsed())
    }
}

/// The same component, but for a section that says which version it is. To the host it is another one.
pub(crate) fn with_section(component: &[u8], version: &str) -> Vec<u8> {
    let name = "version";
    let length = 1 + name.len() + version.len();
    assert!(length < 128, "longer lengths take more than a byte");
    let mut bytes = component.to_vec();
    bytes.extend([0, length as u8, name.len() as u8]);
    bytes.extend(name.bytes().chain(version.bytes()));
    bytes
}

/// One connection: a message at a time, each answered once and in order. Returns how many there were.
async fn talk(addr: std::net::SocketAddr, number: usize, shared: Arc<Shared>) -> Result<u64> {
    let mut client = Client::connect(addr).await?;
    let path = format!("/chat/room-{}", number / MEMBERS_PER_ROOM);
    let mut sent = 0;
    ask(
        &mut client,
        &json!({ "event": "join", "path": path, "data": { "name": "x" }, "id": sent }),
    )
    .await?;
    // Not all at the same moment.
    sleep(MESSAGE_INTERVAL.mul_f64(number as f64 / CONNECTIONS as f64)).await;
    let mut next = Instant::now();
    while !shared.stopping.load(Ordering::Relaxed) {
        sent += 1;
        let data = json!({ "from": "x", "text": "The quick brown fox" });
        let start = Instant::now();
        ask(
            &mut client,
            &json!({ "event": "message", "path": path, "data": data, "id": sent }),
        )
        .await?;
        shared.add((start, Instant::now()));
        next += MESSAGE_INTERVAL;
        listen(&mut client, next).await?;
    }
    Ok(sent)
}

/// Sends a request and waits for its reply, which must be the next one.
async fn ask(client: &mut Client, request: &serde_json::Value) -> Result<()> {
    client.queue(&request.to_string());
    client.flush().await?;
    let mut replies = 0;
    while replies == 0 {
        client
            .receive(|text| check(text, Some(&request["id"]), &mut replies))
            .await?;
    }
    ensure!(replies == 1, "{replies} replies to {request}");
    Ok(())
}

/// Takes in pushes until it is time for the next message.
async fn listen(client: &mut Client, until: Instant) -> Result<()> {
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        let mut replies = 0;
        match timeout(left, client.receive(|text| check(text, None, &mut replies))).await {
            Ok(received) => received?,
            Err(_) => break,
        }
    }
    Ok(())
}

fn check(text: &[u8], id: Option<&serde_json::Value>, replies: &mut u32) -> Result<()> {
    // Most are pushes, and all of those look like this.
    if text.starts_with(b"{\"event\":") {
        return Ok(());
    }
    let reply = Incoming::parse(text)?;
    ensure!(
        reply.id.as_ref() == id && reply.error.is_none(),
        "waited for a reply to {id:?} and got {reply:?}"
    );
    *replies += 1;
    Ok(())
}

/// Without the messages during which the machine stood still; how many those were, and for how long, is printed.
fn print_latencies(shared: &Shared, stalls: &Stalls) -> Result<()> {
    let mut out = stdout().lock();
    writeln!(
        out,
        "{:<16}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}   p99 ms of each turn",
        "", "messages", "p50 ms", "p99 ms", "max ms", "ratio", "left out", "stalls ms"
    )?;
    let replies = shared.replies.lock();
    let replies = replies.unwrap_or_else(PoisonError::into_inner);
    let mut baseline = None;
    for (phase, name) in PHASES {
        let Some(turns) = replies.get(phase as usize) else {
            continue;
        };
        let mut measured = turns.each_ref().map(|turn| stalls.undisturbed(turn));
        let p99s = measured.each_mut().map(|turn| quantile(turn, 0.99));
        let mut all = measured.concat();
        let ratio = median_ratio(&p99s, baseline.get_or_insert(p99s));
        let left_out = turns.iter().map(Vec::len).sum::<usize>() - all.len();
        let stalled: Duration = turns.iter().map(|turn| stalls.within(whole(turn))).sum();
        writeln!(
            out,
            "{name:<16}{:>10}{:>10.2}{:>10.2}{:>10.2}{ratio:>10.2}{left_out:>10}{:>10}   {}",
            all.len(),
            quantile(&mut all, 0.5),
            quantile(&mut all, 0.99),
            quantile(&mut all, 1.0),
            stalled.as_millis(),
            p99s.map(|p99| format!("{p99:.1}")).join(" "),
        )?;
    }
    Ok(())
}

/// From the first to the last of a turn's replies.
fn whole(replies: &[Span]) -> Span {
    let replied = replies.iter().map(|(_, replied)| *replied);
    match (replied.clone().min(), replied.max()) {
        (Some(first), Some(last)) => (first, last),
        _ => (Instant::now(), Instant::now()),
    }
}

fn print_times(times: &mut [Vec<Duration>; 2]) -> Result<()> {
    let mut out = stdout().lock();
    for (times, name) in times.iter_mut().zip(["known versions", "new versions"]) {
        times.sort_unstable();
        let at = |share: usize| {
            times
                .get((times.len() * share / 100).min(times.len() - 1))
                .copied()
                .unwrap_or_default()
        };
        writeln!(
            out,
            "from file to live, {} {name}: p50 {:.0?}, p99 {:.0?}, max {:.0?}",
            times.len(),
            at(50),
            at(99),
            at(100)
        )?;
    }
    Ok(())
}

/// Of the turns' ratios the middle one: a machine that stalls for half a second spoils a turn, not the figure.
fn median_ratio(p99s: &[f64; TURNS], baseline: &[f64; TURNS]) -> f64 {
    let mut ratios: Vec<f64> = p99s
        .iter()
        .zip(baseline)
        .map(|(p99, of)| p99 / of)
        .collect();
    ratios.sort_unstable_by(f64::total_cmp);
    ratios.get(TURNS / 2).copied().unwrap_or_default()
}
