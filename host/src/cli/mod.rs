//! The command line: what it accepts, and which exit code comes of it.
//!
//! 0 means that all went well, 1 that something failed, 2 that the command line is wrong, 64 that the
//! configuration is.

mod build;
mod check;
mod compile;
mod dev;
mod inspect;
mod serve;

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::config::{Config, ConfigError, ConfigFile, Effective, Flags, Sources};
use crate::server::ServerError;

/// A WebSocket server whose rooms are guarded by sandboxed plugins.
#[derive(Debug, Parser)]
#[command(name = "wardroom", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  wardroom dev plugins                     build the plugins below ./plugins, serve them, rebuild on change
  wardroom build plugins --out dist        build them to dist/<crate name>.wasm
  wardroom serve --plugins dist            serve them
  wardroom check --config wardroom.toml    say what would be served, and with which settings
  wardroom inspect dist/chat.wasm          say what a plugin is and handles

Logs go to stderr; WARDROOM_LOG=debug shows more.";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Dev(dev::Dev),
    Check(check::Check),
    Build(build::Build),
    Inspect(inspect::Inspect),
    #[command(hide = true)]
    Compile(compile::Compile),
}

/// What `serve` and `check` read their configuration from. Values without a default here have it in [`crate::Config`];
/// the environment is read there, too.
#[derive(Clone, Debug, clap::Args)]
struct Configured {
    /// File with the configuration [env: WARDROOM_CONFIG] [default: wardroom.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder whose `*.wasm` files are the plugins [env: WARDROOM_PLUGINS] [default: plugins]
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// Address for those who operate the host; off unless given [env: WARDROOM_ADMIN]
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// Name of this host among those of the cluster [env: WARDROOM_NODE] [default: wardroom]
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Broker through which hosts are one server: redis://HOST:PORT or nats://HOST:PORT [env: WARDROOM_CLUSTER_URL]
    ///
    /// Whoever lists the processes of this machine sees it: a password belongs into the file or the environment.
    #[arg(long, value_name = "URL")]
    cluster: Option<String>,
    #[command(flatten)]
    listen: Listen,
}

/// What `serve` and `dev` have in common.
#[derive(Clone, Debug, clap::Args)]
struct Listen {
    /// Address to accept connections on; port 0 takes a free one [env: WARDROOM_LISTEN] [default: 127.0.0.1:3000]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

impl Configured {
    fn sources(self) -> Sources {
        let flags = Flags {
            listen: self.listen.listen,
            admin: self.admin,
            plugins: self.plugins,
            node: self.node,
            cluster: self.cluster,
        };
        sources(self.config, flags)
    }
}

fn sources(file: Option<PathBuf>, flags: Flags) -> Sources {
    Sources {
        file: file.map_or(ConfigFile::Search, ConfigFile::Named),
        environment: std::env::vars_os().collect(),
        flags,
    }
}

/// Reads the configuration. For a program that reads what is printed, `{"faults": […]}` is printed if it cannot be.
fn load(sources: &Sources, is_json: bool) -> anyhow::Result<Effective> {
    let loaded = sources.load();
    if let Err(ConfigError { faults }) = &loaded
        && is_json
    {
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        say(&serde_json::to_string_pretty(&json!({ "faults": faults }))?)?;
    }
    Ok(loaded?)
}

/// What a program knows that a library does not: where to keep compiled code, if no file says so, and how to compile in
/// a process of its own.
fn with_program(config: Config) -> Config {
    Config {
        cache: config.cache.or_else(cache_folder),
        compiler: own_program(),
        ..config
    }
}

/// Where this user's programs keep what they can make again: `wardroom` in `XDG_CACHE_HOME` or `~/.cache`. A service
/// may have neither.
fn cache_folder() -> Option<PathBuf> {
    // By its specification, a relative path is none.
    let absolute = |name| {
        let folder = PathBuf::from(std::env::var_os(name)?);
        folder.is_absolute().then_some(folder)
    };
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(caches.join("wardroom"))
}

/// This program, to compile with. Where the system has a link to what runs, that is it: at its path there may be
/// another version by now.
fn own_program() -> Option<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() {
        return Some(running);
    }
    match std::env::current_exe() {
        Ok(program) => Some(program),
        Err(error) => {
            tracing::warn!(
                "compiling without limits: the path of this program is unknown: {error}"
            );
            None
        }
    }
}

/// Threads of the runtime, also where there is one core: guests that run for long leave one of them to the others, and
/// only the system can take the core from a guest within a tick, or within one long instruction.
const THREADS_MIN: usize = 2;

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::Compile(command) = &cli.command {
        return command.run();
    }
    start_log(&cli.command);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.max(THREADS_MIN))
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::new(error).context("cannot start the runtime")),
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Serve(command) => command.run().await,
            Command::Dev(command) => command.run().await,
            Command::Check(command) => command.run().await,
            Command::Build(command) => command.run().await,
            Command::Inspect(command) => command.run().await,
            // It has returned above.
            Command::Compile(_) => Ok(()),
        }
    });
    // Not waited for: a compilation that nobody needs any more may still run.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    let mut out = std::io::stderr().lock();
    // Standard error may be closed; there is nobody to tell then.
    let _ = match configuration_error(error) {
        Some(ConfigError { faults }) => faults
            .iter()
            .try_for_each(|fault| writeln!(out, "error: {fault}")),
        None => writeln!(out, "error: {error:#}"),
    };
    let is_configuration = configuration_error(error).is_some()
        || matches!(error.downcast_ref(), Some(ServerError::Plugins { .. }));
    ExitCode::from(if is_configuration { 64 } else { 1 })
}

fn configuration_error(error: &anyhow::Error) -> Option<&ConfigError> {
    match error.downcast_ref() {
        Some(ServerError::Config(error)) => Some(error),
        _ => error.downcast_ref(),
    }
}

fn start_log(command: &Command) {
    // Clients cause unmatched messages at will; only an author wants to read about each.
    let default = match command {
        Command::Dev(_) => "info,async_nats=off",
        // It prints by itself which files would be refused.
        Command::Check(_) => "warn,wardroom::server::live=off",
        // What that library tells of its connections is told by who uses it.
        _ => "info,wardroom::unmatched=off,async_nats=off",
    };
    let filter =
        EnvFilter::try_from_env("WARDROOM_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(ansi)
        .init();
}

/// A line on standard output: what a command was asked for, as opposed to the log.
fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// The signals that ask the process to stop. Made before the process says that it is ready: a signal that nobody
/// waits for yet would kill it.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Completes at the first of them. The second ends the process at once.
    async fn asked(mut self) {
        self.next().await;
        tracing::info!("stopping; a second signal stops at once");
        tokio::spawn(async move {
            self.next().await;
            std::process::exit(1);
        });
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
