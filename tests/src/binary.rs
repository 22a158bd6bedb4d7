//! The real program, in a process of its own.

use crate::{Client, WAIT, guests};
use anyhow::{Context as _, bail};
use std::net::SocketAddr;
use std::process::{ExitStatus, Output, Stdio};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A running `wardroom serve`. Dropping it kills it.
#[derive(Debug)]
pub struct Program {
    /// Where it says that it listens.
    pub address: SocketAddr,
    /// The whole line in which it says so.
    pub ready: String,
    child: Child,
    errors: tokio::task::JoinHandle<String>,
}

/// Runs the program to its end.
///
/// # Errors
/// When it cannot be started or does not end in time.
pub async fn run(program: &str, arguments: &[&str]) -> anyhow::Result<Output> {
    let mut command = command(program, arguments);
    // Where the guests are built already: `build` then builds little, and waits for no other cargo.
    command.env("CARGO_TARGET_DIR", guests::target_dir().join("guests"));
    let output = timeout(WAIT * 15, command.output()).await;
    Ok(output.with_context(|| format!("{arguments:?} did not end"))??)
}

fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    // Whoever runs the tests may have configured a wardroom of their own.
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("WARDROOM_"))
    {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

impl Program {
    /// Starts it and waits for its ready line.
    ///
    /// # Errors
    /// When it ends before, or says something else, with what it wrote to stderr.
    pub async fn start(program: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = command(program, arguments);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stderr = child.stderr.take().context("stderr is piped")?;
        let errors = tokio::spawn(async move {
            let mut bytes = Vec::new();
            // What was read before an error is all there is to show.
            let _ = stderr.read_to_end(&mut bytes).await;
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let mut lines = BufReader::new(child.stdout.take().context("stdout is piped")?).lines();
        let line = timeout(WAIT * 3, lines.next_line()).await;
        let ready = match line {
            Ok(Ok(Some(line))) => line,
            other => {
                // It may have ended by itself.
                let _ = child.start_kill();
                bail!(
                    "{arguments:?} is not ready: {other:?}; stderr:\n{}",
                    errors.await?
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
            child,
            errors,
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

    /// Waits for its end; returns how it ended and what it wrote to stderr.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn wait(mut self) -> anyhow::Result<(ExitStatus, String)> {
        let status = timeout(WAIT, self.child.wait())
            .await
            .context("it does not end")??;
        Ok((status, self.errors.await?))
    }
}
