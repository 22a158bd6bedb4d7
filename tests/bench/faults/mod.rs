//! `faults`: three hosts on one broker, of which one or the other is killed, stopped or started again while broadcasts
//! go from everywhere to everywhere. What is lost, doubled or out of order, and how long does it take until all is well?

mod clients;
mod ledger;
mod shared;
mod watch;

use std::io::{Write, stdout};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::ledger::Counts;
use self::shared::{Shared, Well};
use crate::broker::{Broker, Kind};
use crate::hosts::Hosts;
use crate::process::Server;
use crate::puppet::with_manifest;

const HOSTS: usize = 3;
const ROOMS: usize = 4;
const PATH: &str = "/do";
/// Before the fault, and again when all is well.
const STEADY: Duration = Duration::from_secs(2);
const BROKER_AWAY: Duration = Duration::from_secs(3);
/// So long that hosts give it up.
const BROKER_STOPPED: Duration = Duration::from_secs(5);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
const RECOVERY_MAX: Duration = Duration::from_secs(30);

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// The broker is killed, and back after 3 s
    Kill,
    /// The broker is killed, and back at once
    Restart,
    /// The broker stands still for 5 s
    Pause,
    /// A host is killed
    HostKill,
    /// A host is asked to end
    HostEnd,
}

/// What is measured, and with what.
#[derive(Debug)]
pub(crate) struct Measuring<'a> {
    pub(crate) binary: &'a Path,
    /// The guest fixture of that name.
    pub(crate) puppet: Vec<u8>,
    pub(crate) brokers: &'a [Kind],
    pub(crate) faults: &'a [Fault],
    pub(crate) rounds: usize,
}

/// What came of one round.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    counts: Counts,
    /// From the fault until all that were not ready said so.
    noticed: Duration,
    /// From when the broker was back, or a host was not, until all said that they were ready.
    ready: Duration,
    /// And until all got the broadcasts of all, and all queries were complete.
    whole: Duration,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "killed for 3 s",
            Self::Restart => "restarted",
            Self::Pause => "stopped for 5 s",
            Self::HostKill => "a host killed",
            Self::HostEnd => "a host ended",
        }
    }

    /// The host that it takes away.
    fn victim(self) -> Option<usize> {
        matches!(self, Self::HostKill | Self::HostEnd).then_some(HOSTS - 1)
    }

    /// Has it happen, and be over.
    async fn inflict(self, broker: &mut Broker, victim: &mut Server) -> Result<()> {
        match self {
            Self::Kill => {
                broker.kill().await?;
                sleep(BROKER_AWAY).await;
                broker.start().await
            }
            Self::Restart => {
                broker.kill().await?;
                broker.start().await
            }
            Self::Pause => {
                broker.pause()?;
                sleep(BROKER_STOPPED).await;
                broker.resume()
            }
            Self::HostKill => victim.kill().await,
            Self::HostEnd => victim.end().await,
        }
    }
}

impl Measuring<'_> {
    /// Measures and prints.
    ///
    /// # Errors
    /// Also when something was lost, doubled or out of order that must not be, or not answered.
    pub(crate) async fn run(self) -> Result<()> {
        let manifest = json!({ "name": "puppet", "routes": [["do", PATH]] });
        let puppet = with_manifest(self.puppet.clone(), &manifest)?;
        let hosts = Hosts::new(self.binary, &[("puppet", puppet)])?;
        let mut broken = Vec::new();
        print_head()?;
        for broker in self.brokers {
            for fault in self.faults {
                let what = format!("{}, {}", broker.name(), fault.name());
                let mut outcomes = Vec::new();
                for _ in 0..self.rounds {
                    let outcome = round(&hosts, *broker, *fault).await;
                    outcomes.push(outcome.with_context(|| what.clone())?);
                }
                print(&what, &outcomes)?;
                if outcomes.iter().any(|outcome| outcome.counts.is_broken()) {
                    broken.push(what);
                }
            }
        }
        ensure!(
            broken.is_empty(),
            "not all is zero that has to be: {}",
            broken.join("; ")
        );
        Ok(())
    }
}

/// Everything from the start of the broker to the last broadcast.
async fn round(hosts: &Hosts<'_>, kind: Kind, fault: Fault) -> Result<Outcome> {
    let mut broker = Broker::new(kind).await?;
    let shared = Arc::new(Shared::new());
    let (mut servers, mut clients, mut watching) = (Vec::new(), JoinSet::new(), JoinSet::new());
    for node in ["one", "two", "three"] {
        servers.push(hosts.start(node, Some(broker.url()), None).await?);
    }
    for (host, server) in servers.iter().enumerate() {
        watch::start(server.addr, host, &shared, &mut watching);
    }
    for (host, server) in servers.iter().enumerate() {
        clients::join(server.addr, host, &shared, &mut clients).await?;
    }
    recovery(&shared, &mut watching).await?;
    for (host, server) in servers.iter().enumerate() {
        clients::broadcast(server.addr, host, &shared, &mut clients).await?;
    }
    sleep(STEADY).await;
    let began = shared.state().begin(fault.victim());
    let victim = servers.last_mut().context("there are hosts")?;
    fault.inflict(&mut broker, victim).await?;
    let since = match fault.victim() {
        Some(_) => began,
        None => shared.state().expect_all(),
    };
    recovery(&shared, &mut watching).await?;
    sleep(STEADY).await;
    // Before anybody goes.
    let well = shared.state().well();
    let well = well.context("all was well only for a while")?;
    shared.stop();
    for mut tasks in [clients, watching] {
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
    }
    let state = shared.state();
    let outage = state.outage(began);
    let whole = state.ledger.whole(since, &outage);
    let whole = whole.context("a host never got another's broadcasts again")?;
    Ok(Outcome {
        counts: state.ledger.count(&outage),
        noticed: state.noticed(began),
        ready: well.ready - since,
        whole: whole.max(well.ready).max(well.complete) - since,
    })
}

/// Waits until all is well.
async fn recovery(shared: &Shared, watching: &mut JoinSet<Result<()>>) -> Result<Well> {
    let recovering = async {
        loop {
            let well = shared.state().well();
            if let Some(well) = well {
                return Ok(well);
            }
            if let Some(ended) = watching.try_join_next() {
                ended??;
            }
            sleep(LOOK_INTERVAL).await;
        }
    };
    timeout(RECOVERY_MAX, recovering)
        .await
        .with_context(|| format!("not all was well again within {RECOVERY_MAX:?}"))?
}

fn print_head() -> Result<()> {
    let mut out = stdout().lock();
    writeln!(
        out,
        "faults, {HOSTS} hosts, {ROOMS} rooms with a member on each, of all rounds; times in seconds: median - max"
    )?;
    writeln!(
        out,
        "{:<24}{:>10}{:>11}{:>16}{:>17}{:>9}{:>14}{:>12}{:>15}{:>15}{:>15}",
        "",
        "broadcasts",
        "lost here",
        "lost elsewhere",
        "not in outage",
        "doubled",
        "out of order",
        "unanswered",
        "until unready",
        "until ready",
        "until whole"
    )?;
    Ok(())
}

fn print(what: &str, outcomes: &[Outcome]) -> Result<()> {
    let sum = |of: fn(&Counts) -> usize| -> usize {
        outcomes.iter().map(|outcome| of(&outcome.counts)).sum()
    };
    let times = |of: fn(&Outcome) -> Duration| {
        let mut times: Vec<_> = outcomes.iter().map(of).collect();
        times.sort_unstable();
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        let max = times.last().copied().unwrap_or_default();
        format!("{:.2} - {:.2}", median.as_secs_f64(), max.as_secs_f64())
    };
    writeln!(
        stdout(),
        "{what:<24}{:>10}{:>11}{:>16}{:>17}{:>9}{:>14}{:>12}{:>15}{:>15}{:>15}",
        sum(|counts| counts.sent),
        sum(|counts| counts.lost_here),
        sum(|counts| counts.lost_elsewhere),
        sum(|counts| counts.lost_outside),
        sum(|counts| counts.doubled),
        sum(|counts| counts.disordered),
        sum(|counts| counts.unanswered),
        times(|outcome| outcome.noticed),
        times(|outcome| outcome.ready),
        times(|outcome| outcome.whole)
    )?;
    Ok(())
}
