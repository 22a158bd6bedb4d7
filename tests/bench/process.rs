//! The servers under measurement, as processes: pinned to a core, started, read through `/proc`, stopped.
//!
//! All that is known of a server here is that it prints `ready listen=IP:PORT` once it accepts.

use std::fs;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use core_affinity::{CoreId, get_core_ids, set_for_current};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

/// A server may compile its plugins before it accepts.
const START_MAX: Duration = Duration::from_secs(60);
/// It lets its clients go first.
const END_MAX: Duration = Duration::from_secs(30);

/// One core for the server and another for everything in this process.
#[derive(Debug)]
pub(crate) struct Cores {
    server: CoreId,
    generator: CoreId,
}

impl Cores {
    /// Takes the first two cores that this process may use, and moves it to the second.
    ///
    /// # Errors
    /// When there are not two.
    pub(crate) fn split() -> Result<Self> {
        let allowed = get_core_ids().context("cannot tell which cores this process may use")?;
        let [server, generator, ..] = allowed.as_slice() else {
            bail!(
                "the server and the load generator need a core each, and this process may use only one"
            );
        };
        let cores = Self {
            server: *server,
            generator: *generator,
        };
        move_to(cores.generator)?;
        Ok(cores)
    }

    pub(crate) fn all(&self) -> [CoreId; 2] {
        [self.server, self.generator]
    }

    /// Starts a process on the server's core. A child inherits the core of the thread that starts it, so this thread
    /// goes there for a moment: no code has to run between fork and exec.
    fn spawn_pinned(&self, command: &mut Command) -> Result<Child> {
        move_to(self.server)?;
        let child = spawn(command);
        move_to(self.generator)?;
        child
    }
}

/// Moves this thread.
pub(crate) fn move_to(core: CoreId) -> Result<()> {
    ensure!(set_for_current(core), "cannot move to core {}", core.id);
    Ok(())
}

/// The command, with its output to be read.
fn piped(command: &[String]) -> Result<Command> {
    let (program, args) = command
        .split_first()
        .context("a server's command is empty")?;
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    Ok(command)
}

fn spawn(command: &mut Command) -> Result<Child> {
    let child = command.spawn();
    child.with_context(|| format!("cannot start {}", command.as_std().get_program().display()))
}

/// A running server; dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    /// Where it answers those who operate it, when it does.
    pub(crate) admin: Option<SocketAddr>,
    pid: u32,
    child: Child,
    /// Kept open, or the server's next line would be a write to a closed pipe.
    _stdout: Lines<BufReader<ChildStdout>>,
    /// Its log, when that was asked for.
    log: Option<Lines<BufReader<ChildStderr>>>,
}

impl Server {
    /// Starts the command, on its core when there are cores to choose from, and waits until it accepts.
    ///
    /// # Errors
    /// When it cannot be started, ends, or is not ready in time.
    pub(crate) async fn start(command: &[String], cores: Option<&Cores>) -> Result<Self> {
        Self::await_ready(&mut piped(command)?, cores).await
    }

    /// The same with its log, to be read by [`Self::logged`].
    pub(crate) async fn start_logged(command: &[String], cores: Option<&Cores>) -> Result<Self> {
        let mut command = piped(command)?;
        command.stderr(Stdio::piped());
        Self::await_ready(&mut command, cores).await
    }

    /// The same with its log in a file: for one that has much to say.
    pub(crate) async fn start_logging_to(
        log: fs::File,
        command: &[String],
        cores: Option<&Cores>,
    ) -> Result<Self> {
        let mut command = piped(command)?;
        command.stderr(log);
        Self::await_ready(&mut command, cores).await
    }

    async fn await_ready(command: &mut Command, cores: Option<&Cores>) -> Result<Self> {
        let program = command.as_std().get_program().display().to_string();
        let mut child = match cores {
            Some(cores) => cores.spawn_pinned(command)?,
            None => spawn(command)?,
        };
        let pid = child.id().context("the server ended at once")?;
        let stdout = child
            .stdout
            .take()
            .context("the server's output was not piped")?;
        let mut stdout = BufReader::new(stdout).lines();
        let log = child.stderr.take().map(|log| BufReader::new(log).lines());
        let (addr, admin) = timeout(START_MAX, ready_addresses(&mut stdout))
            .await
            .with_context(|| format!("{program}: no ready line within {START_MAX:?}"))?
            .with_context(|| program.clone())?;
        Ok(Self {
            addr,
            admin,
            pid,
            child,
            _stdout: stdout,
            log,
        })
    }

    /// Waits for the next line of its log that contains this.
    pub(crate) async fn logged(&mut self, part: &str) -> Result<()> {
        let log = self.log.as_mut().context("its log is not read")?;
        while let Some(line) = log.next_line().await? {
            if line.contains(part) {
                return Ok(());
            }
            ensure!(!line.contains("ERROR"), "the server says: {line}");
        }
        bail!("the server ended");
    }

    /// Kills it, without a word to anybody.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn end(&mut self) -> Result<()> {
        send_signal(self.pid, Signal::TERM)?;
        let status = timeout(END_MAX, self.child.wait()).await;
        let status = status.with_context(|| format!("it has not ended within {END_MAX:?}"))??;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }

    /// CPU time of all its threads since it started, in user and kernel mode.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu_of(&self.pid.to_string())
    }

    /// Its open files, sockets among them.
    pub(crate) fn open_files(&self) -> Result<usize> {
        let path = format!("/proc/{}/fd", self.pid);
        Ok(fs::read_dir(&path).with_context(|| path.clone())?.count())
    }

    /// Bytes of its memory that are resident.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        // not VmRSS, which lags by what the threads have not yet added up
        let path = format!("/proc/{}/smaps_rollup", self.pid);
        let rollup = fs::read_to_string(&path).with_context(|| path.clone())?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
        let kib = line
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .with_context(|| format!("{path}: no Rss"))?;
        Ok(kib.parse::<u64>()? * 1024)
    }
}

/// Where it listens, and where to those who operate it.
async fn ready_addresses(
    stdout: &mut Lines<BufReader<ChildStdout>>,
) -> Result<(SocketAddr, Option<SocketAddr>)> {
    while let Some(line) = stdout.next_line().await? {
        if let Some(rest) = line.strip_prefix("ready listen=") {
            let addr = rest.split(' ').next().unwrap_or_default().parse()?;
            let admin = rest.split(' ').find_map(|word| word.strip_prefix("admin="));
            return Ok((addr, admin.map(str::parse).transpose()?));
        }
    }
    bail!("ended before it was ready");
}

/// To a child of this process, which is not to be waited for meanwhile.
pub(crate) fn send_signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    Ok(kill_process(pid.context("no process")?, signal)?)
}

/// CPU time of this process: what the load generator uses.
pub(crate) fn own_cpu() -> Result<Duration> {
    cpu_of("self")
}

fn cpu_of(pid: &str) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path)
        .with_context(|| format!("{path}: the CPU time of a process is read there"))?;
    // The name in parentheses may hold anything; behind it the third field is the first.
    let fields = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest)
        .unwrap_or_default();
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let (Some(user), Some(system)) = (ticks.next(), ticks.next()) else {
        bail!("{path}: no utime and stime")
    };
    let ticks = Duration::from_secs(user? + system?);
    Ok(ticks.div_f64(rustix::param::clock_ticks_per_second() as f64))
}

/// Makes room for `count` open files, here and in the servers started later.
///
/// # Errors
/// When the system's limit for this process is lower.
pub(crate) fn allow_files(count: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|maximum| maximum < count) {
        bail!(
            "needs {count} open files, and the limit is {} (ulimit -Hn)",
            limit.maximum.unwrap_or_default()
        );
    }
    if limit.current.is_some_and(|current| current < count) {
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(count),
                ..limit
            },
        )?;
    }
    Ok(())
}
