//! The real program, in a process of its own.

use crate::log::Log;
use crate::{Client, WAIT, guests};
use anyhow::{Context as _, bail, ensure};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

/// A command line, and what it is run with.
#[derive(Clone, Debug)]
pub struct Invocation {
    program: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    folder: Option<PathBuf>,
}

impl Invocation {
    /// The program with these arguments.
    #[must_use]
    pub fn new(program: &str, arguments: &[&str]) -> Self {
        Self {
            program: program.to_owned(),
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
            environment: vec![],
            folder: None,
        }
    }

    /// The same with a variable more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same by a clock that is wrong by so much, `+1h` for one. It has what `faketime` gives to those that it runs, but
    /// is not run by that, which would not pass on that it is to end.
    ///
    /// # Errors
    /// When `faketime` cannot be asked.
    pub fn with_clock(self, offset: &str) -> anyhow::Result<Self> {
        let mut library = String::new();
        // It fails where one that was killed has left something behind and had the same number.
        for _ in 0..3 {
            let asked = std::process::Command::new("faketime")
                .args(["-f", offset, "printenv", "LD_PRELOAD"])
                .output()
                .context("cannot run faketime")?;
            library = String::from_utf8(asked.stdout)?;
            if !library.is_empty() {
                break;
            }
        }
        ensure!(!library.is_empty(), "faketime preloads nothing");
        Ok(self
            .with("LD_PRELOAD", library.trim())
            .with("FAKETIME", offset)
            .with("FAKETIME_DONT_FAKE_MONOTONIC", "1"))
    }

    /// The same in another folder.
    #[must_use]
    pub fn within(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time.
    pub async fn run(&self) -> anyhow::Result<Output> {
        let mut command = self.command();
        // Where the guests are built already: `build` then builds little, and waits for no other cargo.
        command.env("CARGO_TARGET_DIR", guests::target_dir().join("guests"));
        let output = timeout(WAIT * 15, command.output()).await;
        Ok(output.with_context(|| format!("{:?} did not end", self.arguments))??)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        // Whoever runs the tests may have configured a wardroom of their own.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WARDROOM_"))
        {
            command.env_remove(name);
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
            .args(&self.arguments)
            .env("NO_COLOR", "1")
            // Not in the cache of whoever runs the tests.
            .env("XDG_CACHE_HOME", guests::target_dir().join("guests/cache"))
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

/// Runs the program to its end.
///
/// # Errors
/// As [`Invocation::run`].
pub async fn run(program: &str, arguments: &[&str]) -> anyhow::Result<Output> {
    Invocation::new(program, arguments).run().await
}

/// A running `wardroom serve`. Dropping it kills it.
#[derive(Debug)]
pub struct Program {
    /// Where it says that it listens.
    pub address: SocketAddr,
    /// The whole line in which it says so.
    pub ready: String,
    /// What it has written to stderr.
    pub log: Log,
    child: Child,
    logging: tokio::task::JoinHandle<()>,
}

impl Program {
    /// Starts it and waits for its ready line.
    ///
    /// # Errors
    /// As [`Self::invoke`].
    pub async fn start(program: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        Self::invoke(&Invocation::new(program, arguments)).await
    }

    /// Starts it and waits for its ready line.
    ///
    /// # Errors
    /// When it ends before, or says something else, with what it wrote to stderr.
    pub async fn invoke(invocation: &Invocation) -> anyhow::Result<Self> {
        let mut command = invocation.command();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let log = Log::default();
        let stderr = child.stderr.take().context("stderr is piped")?;
        let logging = tokio::spawn(copy(stderr, log.clone()));
        let mut lines = BufReader::new(child.stdout.take().context("stdout is piped")?).lines();
        let line = timeout(WAIT * 3, lines.next_line()).await;
        let ready = match line {
            Ok(Ok(Some(line))) => line,
            other => {
                // It may have ended by itself.
                let _ = child.start_kill();
                logging.await?;
                bail!(
                    "{:?} is not ready: {other:?}; stderr:\n{}",
                    invocation.arguments,
                    log.text()
                );
            }
        };
        let address = ready
            .strip_prefix("ready listen=")
            .and_then(|rest| rest.split(' ').next()?.parse().ok());
        let address = address.with_context(|| format!("the ready line is {ready:?}"))?;
        // Whatever else it prints must not block it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self {
            address,
            ready,
            log,
            child,
            logging,
        })
    }

    /// A connection at the default path.
    ///
    /// # Errors
    /// When the program refuses it.
    pub async fn connect(&self, name: &str) -> anyhow::Result<Client> {
        let connected = Client::connect(name, self.address, "/ws", &[]).await?;
        connected.map_err(|refusal| anyhow::anyhow!("{name} was refused: {refusal:?}"))
    }

    /// Sends it a signal, by the name that `kill` knows.
    ///
    /// # Errors
    /// When it has ended already.
    pub async fn signal(&self, name: &str) -> anyhow::Result<()> {
        let process = self.child.id().context("it has ended")?.to_string();
        let status = Command::new("kill")
            .args(["-s", name, &process])
            .status()
            .await?;
        anyhow::ensure!(status.success(), "kill -s {name} {process}: {status}");
        Ok(())
    }

    /// Waits until it has logged a line with all of these.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn logged(&self, parts: &[&str]) -> anyhow::Result<String> {
        let waited = timeout(WAIT, self.log.line_with(parts)).await;
        waited.with_context(|| format!("no log line with {parts:?} in\n{}", self.log.text()))
    }

    /// Waits for its end; returns how it ended and what it wrote to stderr.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn wait(mut self) -> anyhow::Result<(ExitStatus, String)> {
        let status = timeout(WAIT, self.child.wait())
            .await
            .context("it does not end")??;
        self.logging.await?;
        Ok((status, self.log.text()))
    }
}

/// What can be read before an error is all there is to show.
async fn copy(mut stderr: ChildStderr, mut log: Log) {
    let mut bytes = Vec::with_capacity(4 * 1024);
    while matches!(stderr.read_buf(&mut bytes).await, Ok(read) if read > 0) {
        // It cannot fail: it is memory.
        let _ = log.write_all(&bytes);
        bytes.clear();
    }
}
