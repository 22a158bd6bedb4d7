//! What an operation costs the server, in CPU time of its process: wardroom beside a server written by hand.
//!
//! Absolute times on shared machines mean little. So the peers are measured one after another, several times over, the
//! server alone on one core and the load generator (this process) on another; the table shows medians and ratios.
//!
//! ```text
//! cargo build --release
//! cargo run --release -p wardroom-bench -- rpc --seconds 3 --rounds 5
//! ```

mod broker;
mod client;
mod cluster;
mod fanout;
mod faults;
mod hosts;
mod http;
mod idle;
mod measure;
mod native;
mod neighbour;
mod noise;
mod process;
mod puppet;
mod rpc;
mod smoke;
mod stalls;
mod swap;
mod table;
mod tenants;

use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, ValueEnum};
use tokio::time::timeout;

use crate::faults::Fault;
use crate::measure::Figure;
use crate::native::Variant;
use crate::noise::Noise;
use crate::process::{Cores, Server};
use crate::table::Table;

/// For starting, connecting, filling the room and draining, beside the measured time.
const OVERHEAD_MAX: Duration = Duration::from_secs(120);

/// Measures the server's CPU time per operation.
#[derive(Debug, Parser)]
#[command(name = "wardroom-bench")]
struct Args {
    /// What to measure.
    #[arg(value_enum, default_value = "all")]
    scenario: Scenario,
    /// The measured time of one run; a second of warm-up comes before it.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How often each peer is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Whom to measure; ratios are to the first. `native` flushes each reply, `native-batched` those to
    /// all that has arrived, `native-default` is `native` with tungstenite's own buffer sizes. Then
    /// `wardroom`, and `NAME=COMMAND` for any server that speaks the protocol at /ws and prints
    /// `ready listen=IP:PORT`.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "native,native-batched,wardroom"
    )]
    peer: Vec<String>,
    /// The binary; the one of the release build when not given.
    #[arg(long)]
    wardroom: Option<PathBuf>,
    /// A folder with the example plugins as components; they are built when it is not given.
    #[arg(long)]
    plugins: Option<PathBuf>,
    /// How the other plugin of `neighbour` misbehaves.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Noise::value_variants())]
    noise: Vec<Noise>,
    /// What carries the bus of `faults` and `cluster`.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = broker::Kind::value_variants())]
    broker: Vec<broker::Kind>,
    /// What happens in `faults`.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Fault::value_variants())]
    fault: Vec<Fault>,
    /// Let the server and the load share all cores.
    #[arg(long)]
    unpinned: bool,
    /// Be the native peer.
    #[arg(long, hide = true)]
    serve_native: Option<Variant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// 50 connections with 32 requests in flight each
    Rpc,
    /// One sender and a room of 100, then 1000
    Fanout,
    /// Memory of 10,000 silent connections
    Idle,
    /// Whether both example plugins answer; nothing is measured
    Smoke,
    /// 200 connections talk while their plugin is replaced 1050 times; of wardroom alone
    Swap,
    /// What a plugin that spins, hogs, floods or traps costs those of another one; of wardroom alone
    Neighbour,
    /// A thousand tenants with a plugin each start from the cache; of wardroom alone
    Tenants,
    /// What is lost, and for how long, when a broker or a host of three goes away; of wardroom alone
    Faults,
    /// What a delivery costs a host that shares its rooms with others; of wardroom alone
    Cluster,
    /// rpc, fanout, idle
    All,
}

/// One table's worth of [`Scenario`].
#[derive(Clone, Copy, Debug)]
enum Load {
    Rpc,
    Fanout { members: u32 },
    Idle,
    Smoke,
}

/// A server to measure: what it is called and how it is started.
#[derive(Debug)]
struct Peer {
    name: String,
    command: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    if let Some(variant) = args.serve_native {
        return native::serve(variant);
    }
    let is_pinned = !matches!(args.scenario, Scenario::Smoke | Scenario::Faults) && !args.unpinned;
    let cores = is_pinned.then(Cores::split).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let loads = args.scenario.loads();
    if loads.is_empty() {
        let wardroom = Wardroom::find(args, &std::env::current_exe()?)?;
        return runtime.block_on(wardroom.measure(args, cores.as_ref()));
    }
    let peers = args
        .peer
        .iter()
        .map(|name| Peer::find(name, args))
        .collect::<Result<Vec<_>>>()?;
    for load in loads {
        let mut table = Table::new(load.title());
        for _ in 0..args.rounds {
            for peer in &peers {
                let run = runtime.block_on(load.run(peer, cores.as_ref(), args.seconds));
                table.add(
                    &peer.name,
                    &run.with_context(|| format!("{}, {}", load.title(), peer.name))?,
                );
            }
        }
        table.print()?;
    }
    Ok(())
}

impl Scenario {
    /// Of those that compare peers.
    fn loads(self) -> Vec<Load> {
        let fanouts = [
            Load::Fanout { members: 100 },
            Load::Fanout { members: 1000 },
        ];
        match self {
            Self::Rpc => vec![Load::Rpc],
            Self::Fanout => fanouts.to_vec(),
            Self::Idle => vec![Load::Idle],
            Self::Smoke => vec![Load::Smoke],
            Self::Swap | Self::Neighbour | Self::Tenants | Self::Faults | Self::Cluster => vec![],
            Self::All => [&[Load::Rpc], &fanouts[..], &[Load::Idle]].concat(),
        }
    }
}

impl Load {
    fn title(self) -> String {
        match self {
            Self::Rpc => "rpc, 50 connections x 32 in flight".to_owned(),
            Self::Fanout { members } => format!("fan-out, {members} members, 4 in flight"),
            Self::Idle => "idle, 10,000 connections".to_owned(),
            Self::Smoke => "smoke".to_owned(),
        }
    }

    /// Measures one peer once, in a process of its own.
    async fn run(self, peer: &Peer, cores: Option<&Cores>, seconds: u64) -> Result<Vec<Figure>> {
        if let Self::Idle = self {
            idle::prepare()?;
        }
        let server = Server::start(&peer.command, cores).await?;
        let run = async {
            match self {
                Self::Rpc => rpc::run(&server, seconds).await,
                Self::Fanout { members } => fanout::run(&server, seconds, members).await,
                Self::Idle => idle::run(&server).await,
                Self::Smoke => smoke::run(&server).await,
            }
        };
        timeout(OVERHEAD_MAX + Duration::from_secs(seconds), run)
            .await
            .context("the server stopped answering")?
    }
}

impl Peer {
    fn find(name: &str, args: &Args) -> Result<Self> {
        let own = std::env::current_exe()?;
        let native = |variant: &str| -> Result<Vec<String>> {
            Ok(vec![
                path_string(&own)?,
                "--serve-native".to_owned(),
                variant.to_owned(),
            ])
        };
        let (name, command) = match name {
            "native" => (name, native("usual")?),
            "native-batched" => (name, native("batched")?),
            "native-default" => (name, native("default-buffers")?),
            "wardroom" => (name, Wardroom::find(args, &own)?.serve()?),
            _ => match name.split_once('=') {
                Some((name, command)) => (
                    name,
                    command.split_whitespace().map(str::to_owned).collect(),
                ),
                None => bail!("no peer {name}: `--help` lists them"),
            },
        };
        let name = name.to_owned();
        Ok(Self { name, command })
    }
}

/// The binary, and the plugins for it.
struct Wardroom {
    binary: PathBuf,
    plugins: PathBuf,
}

impl Wardroom {
    /// Builds the plugins when none were given.
    fn find(args: &Args, own: &Path) -> Result<Self> {
        let release = own.parent().context("this binary is in no target folder")?;
        let binary = args
            .wardroom
            .clone()
            .unwrap_or_else(|| release.join("wardroom"));
        ensure!(
            binary.is_file(),
            "{} is missing: `cargo build --release` makes it",
            binary.display()
        );
        let plugins = args
            .plugins
            .clone()
            .unwrap_or_else(|| release.join("bench-plugins"));
        let wardroom = Self { binary, plugins };
        if args.plugins.is_none() {
            wardroom.build("../../plugins", &wardroom.plugins)?;
        }
        Ok(wardroom)
    }

    /// What is measured of wardroom alone.
    async fn measure(&self, args: &Args, cores: Option<&Cores>) -> Result<()> {
        let Self { binary, plugins } = self;
        let (rounds, time) = (args.rounds, Duration::from_secs(args.seconds));
        match args.scenario {
            Scenario::Swap => swap::run(binary, plugins, cores).await,
            Scenario::Tenants => tenants::run(binary, plugins, rounds).await,
            Scenario::Neighbour => {
                let measuring = neighbour::Measuring {
                    binary,
                    plugins,
                    puppet: self.build_puppet()?,
                    cores,
                    time,
                    rounds,
                    noises: &args.noise,
                };
                measuring.run().await
            }
            Scenario::Faults => {
                let measuring = faults::Measuring {
                    binary,
                    puppet: self.build_puppet()?,
                    brokers: &args.broker,
                    faults: &args.fault,
                    rounds,
                };
                measuring.run().await
            }
            Scenario::Cluster => {
                let measuring = cluster::Measuring {
                    binary,
                    plugins,
                    brokers: &args.broker,
                    cores,
                    seconds: args.seconds,
                    rounds,
                };
                measuring.run().await
            }
            Scenario::Rpc | Scenario::Fanout | Scenario::Idle | Scenario::Smoke | Scenario::All => {
                bail!("it compares peers")
            }
        }
    }

    fn build(&self, sources: &str, out: &Path) -> Result<()> {
        let status = Command::new(&self.binary)
            .arg("build")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(sources))
            .arg("--out")
            .arg(out)
            .status()?;
        ensure!(status.success(), "`wardroom build` failed: {status}");
        Ok(())
    }

    /// The fixture that misbehaves as it is told.
    fn build_puppet(&self) -> Result<Vec<u8>> {
        let release = self.binary.parent().context("the binary is in no folder")?;
        let out = release.join("bench-guests");
        self.build("../guests/puppet", &out)?;
        Ok(std::fs::read(out.join("puppet.wasm"))?)
    }

    fn serve(&self) -> Result<Vec<String>> {
        let mut command = vec![path_string(&self.binary)?];
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--plugins"];
        command.extend(arguments.map(str::to_owned));
        command.push(path_string(&self.plugins)?);
        Ok(command)
    }
}

fn path_string(path: &Path) -> Result<String> {
    path.to_str()
        .map(str::to_owned)
        .with_context(|| format!("{} is not UTF-8", path.display()))
}
