//! A broker as a process of its own on a free port: started, killed, stopped, and started again as one that knows nothing.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::process::send_signal;

const START_MAX: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// redis-server
    Redis,
    /// nats-server
    Nats,
}

/// Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Broker {
    kind: Kind,
    address: SocketAddr,
    child: Option<Child>,
    folder: TempDir,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Nats => "nats",
        }
    }
}

impl Broker {
    /// One that answers.
    ///
    /// # Errors
    /// When its program is not installed, or does not answer.
    pub(crate) async fn new(kind: Kind) -> Result<Self> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let mut broker = Self {
            kind,
            address: free.local_addr()?,
            child: None,
            folder: TempDir::new()?,
        };
        drop(free);
        broker.start().await?;
        Ok(broker)
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.kind.name(), self.address)
    }

    /// Starts it where it was before, and waits until it answers.
    pub(crate) async fn start(&mut self) -> Result<()> {
        let port = self.address.port().to_string();
        let (program, arguments) = match self.kind {
            Kind::Redis => (
                "redis-server",
                vec!["--port", &port, "--bind", "127.0.0.1", "--save", ""],
            ),
            Kind::Nats => ("nats-server", vec!["-a", "127.0.0.1", "-p", &port]),
        };
        let child = Command::new(program)
            .args(arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        self.child = Some(child.with_context(|| format!("cannot start {program}"))?);
        let deadline = Instant::now() + START_MAX;
        while self.greet().await.is_err() {
            ensure!(Instant::now() < deadline, "{program} does not answer");
            sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }

    async fn greet(&self) -> Result<()> {
        let mut stream = TcpStream::connect(self.address).await?;
        // NATS speaks first.
        let (question, answer): (&[u8], &[u8]) = match self.kind {
            Kind::Redis => (b"PING\r\n", b"+PONG"),
            Kind::Nats => (b"", b"INFO "),
        };
        stream.write_all(question).await?;
        let mut got = [0; 5];
        timeout(START_MAX, stream.read_exact(&mut got)).await??;
        ensure!(got == answer, "it says something else");
        Ok(())
    }

    /// Without a word to anybody.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the broker does not run")?;
        child.kill().await?;
        Ok(())
    }

    /// Its sockets stay open, and it answers nobody.
    pub(crate) fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    pub(crate) fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.child.as_ref().and_then(Child::id);
        send_signal(id.context("the broker does not run")?, signal)
    }
}
