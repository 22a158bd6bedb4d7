//! A real broker on a free port, which a test can kill, stop and start again; and a client that speaks with it by hand.

mod cluster;
mod line;
mod redis_cli;

pub use cluster::RedisCluster;

use crate::WAIT;
use anyhow::{Context as _, bail, ensure};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

pub use line::Line;

/// A running broker, which knows nothing at its start; a NATS with JetStream knows its buckets when it is started again.
/// Dropping it kills it.
#[derive(Debug)]
pub struct Broker {
    kind: Kind,
    /// Where it listens, whenever it runs.
    pub address: SocketAddr,
    guard: Option<Guard>,
    process: Option<Child>,
    folder: TempDir,
}

/// Lets nobody in but by TLS and with a password.
#[derive(Clone, Debug)]
pub struct Guard {
    /// A file with the certificate, for `localhost`.
    pub certificate: PathBuf,
    /// A file with its key.
    pub key: PathBuf,
    /// What clients have to say; `%` in it is escaped in the URL.
    pub password: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Redis,
    Nats,
    /// Without JetStream.
    PlainNats,
}

/// Where a NATS has its buckets, in its folder.
const STORAGE: &str = "jetstream";

impl Broker {
    /// A `redis-server`.
    ///
    /// # Errors
    /// When the program is not there, or does not start.
    pub async fn redis() -> anyhow::Result<Self> {
        Self::begin(Kind::Redis, None).await
    }

    /// A `nats-server` with JetStream.
    ///
    /// # Errors
    /// As [`Self::redis`].
    pub async fn nats() -> anyhow::Result<Self> {
        Self::begin(Kind::Nats, None).await
    }

    /// A `nats-server` as it is by default.
    ///
    /// # Errors
    /// As [`Self::redis`].
    pub async fn plain_nats() -> anyhow::Result<Self> {
        Self::begin(Kind::PlainNats, None).await
    }

    /// A `redis-server` that does not let everybody in; nobody here speaks with it by hand.
    ///
    /// # Errors
    /// As [`Self::redis`].
    pub async fn redis_behind(guard: Guard) -> anyhow::Result<Self> {
        Self::begin(Kind::Redis, Some(guard)).await
    }

    /// A `nats-server` that does not let everybody in.
    ///
    /// # Errors
    /// As [`Self::redis_behind`].
    pub async fn nats_behind(guard: Guard) -> anyhow::Result<Self> {
        Self::begin(Kind::Nats, Some(guard)).await
    }

    async fn begin(kind: Kind, guard: Option<Guard>) -> anyhow::Result<Self> {
        let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let mut broker = Self {
            kind,
            address: free.local_addr()?,
            guard,
            process: None,
            folder: TempDir::new()?,
        };
        drop(free);
        broker.start().await?;
        Ok(broker)
    }

    /// Its URL, as a configuration has it.
    #[must_use]
    pub fn url(&self) -> String {
        let Some(guard) = &self.guard else {
            let scheme = match self.kind {
                Kind::Redis => "redis",
                Kind::Nats | Kind::PlainNats => "nats",
            };
            return format!("{scheme}://{}", self.address);
        };
        let port = self.address.port();
        let password = guard.password.replace('%', "%25");
        match self.kind {
            Kind::Redis => format!("rediss://:{password}@localhost:{port}"),
            Kind::Nats | Kind::PlainNats => format!("tls://me:{password}@localhost:{port}"),
        }
    }

    /// Whether it is a NATS.
    #[must_use]
    pub fn is_nats(&self) -> bool {
        self.kind != Kind::Redis
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Errors
    /// As [`Self::redis`].
    pub async fn start(&mut self) -> anyhow::Result<()> {
        let program = match self.kind {
            Kind::Redis => "redis-server",
            Kind::Nats | Kind::PlainNats => "nats-server",
        };
        let spawned = Command::new(program)
            .args(self.arguments())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        self.process = Some(spawned.with_context(|| {
            format!("cannot start {program}: the tests need it; apt-get install {program}")
        })?);
        let deadline = Instant::now() + WAIT;
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        while self.greet().await.is_err() {
            ensure!(Instant::now() < deadline, "{program} does not answer");
            looks.tick().await;
        }
        Ok(())
    }

    fn arguments(&self) -> Vec<String> {
        let port = self.address.port().to_string();
        let mut arguments = match (self.kind, &self.guard) {
            (Kind::Redis, None) => vec!["--port", &port],
            (Kind::Redis, Some(_)) => vec![
                "--port",
                "0",
                "--tls-port",
                &port,
                "--tls-auth-clients",
                "no",
            ],
            (Kind::Nats | Kind::PlainNats, _) => vec!["-a", "127.0.0.1", "-p", &port],
        };
        if self.kind == Kind::Redis {
            arguments.extend(["--bind", "127.0.0.1", "--save", ""]);
        }
        if self.kind == Kind::Nats {
            arguments.extend(["-js", "-sd", STORAGE]);
        }
        let mut arguments: Vec<_> = arguments.into_iter().map(ToOwned::to_owned).collect();
        if let Some(Guard {
            certificate,
            key,
            password,
        }) = &self.guard
        {
            let (certificate, key) = (certificate.display(), key.display());
            arguments.extend(match self.kind {
                Kind::Redis => [
                    ("--tls-cert-file", certificate.to_string()),
                    ("--tls-key-file", key.to_string()),
                    ("--tls-ca-cert-file", certificate.to_string()),
                    ("--requirepass", password.clone()),
                ]
                .into_iter()
                .flat_map(|(name, value)| [name.to_owned(), value])
                .collect(),
                Kind::Nats | Kind::PlainNats => vec![
                    "--tls".to_owned(),
                    format!("--tlscert={certificate}"),
                    format!("--tlskey={key}"),
                    "--user=me".to_owned(),
                    format!("--pass={password}"),
                ],
            });
        }
        arguments
    }

    /// Whether it is there.
    async fn greet(&self) -> anyhow::Result<()> {
        if self.guard.is_some() {
            TcpStream::connect(self.address).await?;
            return Ok(());
        }
        self.talk(b"").await
    }

    /// Kills it, without a word to anybody. It forgets everything, but for the buckets of a NATS.
    ///
    /// # Errors
    /// When it has ended already.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let mut process = self.process.take().context("it does not run")?;
        process.kill().await?;
        Ok(())
    }

    /// Takes from one that was killed what it would know at its next start.
    ///
    /// # Errors
    /// When it runs.
    pub fn forget(&self) -> anyhow::Result<()> {
        ensure!(self.process.is_none(), "it is still running");
        let storage = self.folder.path().join(STORAGE);
        if storage.exists() {
            std::fs::remove_dir_all(storage)?;
        }
        Ok(())
    }

    /// Stops it where it is: its sockets stay, and it answers nobody.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn pause(&self) -> anyhow::Result<()> {
        self.signal("STOP").await
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn resume(&self) -> anyhow::Result<()> {
        self.signal("CONT").await
    }

    async fn signal(&self, name: &str) -> anyhow::Result<()> {
        let process = self.process.as_ref().and_then(Child::id);
        let process = process.context("it has ended")?.to_string();
        let status = Command::new("kill")
            .args(["-s", name, &process])
            .status()
            .await?;
        ensure!(status.success(), "kill -s {name} {process}: {status}");
        Ok(())
    }

    /// Publishes a payload, and waits until the broker has it.
    ///
    /// # Errors
    /// When it does not take it.
    pub async fn publish(&self, channel: &str, payload: &[u8]) -> anyhow::Result<()> {
        let mut request = match self.kind {
            Kind::Redis => format!(
                "*3\r\n$7\r\nPUBLISH\r\n${}\r\n{channel}\r\n${}\r\n",
                channel.len(),
                payload.len()
            ),
            Kind::Nats | Kind::PlainNats => format!("PUB {channel} {}\r\n", payload.len()),
        }
        .into_bytes();
        request.extend_from_slice(payload);
        request.extend_from_slice(b"\r\n");
        self.talk(&request).await
    }

    /// A client that hears what is published on a channel, by the name that it has there.
    ///
    /// # Errors
    /// When the broker does not take it.
    pub async fn listen(&self, channel: &str) -> anyhow::Result<Listener> {
        let mut stream = TcpStream::connect(self.address).await?;
        let (request, answer) = match self.kind {
            Kind::Redis => (
                format!(
                    "*2\r\n$9\r\nSUBSCRIBE\r\n${}\r\n{channel}\r\n",
                    channel.len()
                ),
                ":1\r\n",
            ),
            Kind::Nats | Kind::PlainNats => (
                format!("CONNECT {{}}\r\nSUB {channel} 1\r\nPING\r\n"),
                "PONG\r\n",
            ),
        };
        stream.write_all(request.as_bytes()).await?;
        read_until(&mut stream, answer).await?;
        Ok(Listener {
            stream,
            heard: String::new(),
        })
    }

    /// Has a Redis do what wardroom did not ask for.
    ///
    /// # Errors
    /// When it does not do it.
    pub async fn redis_command(&self, words: &[&[u8]]) -> anyhow::Result<()> {
        ensure!(self.kind == Kind::Redis, "only Redis has such commands");
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        self.talk(&request).await
    }

    /// Does what a request to NATS says.
    ///
    /// # Errors
    /// When it does not do it.
    pub async fn nats_request(&self, request: &str) -> anyhow::Result<()> {
        self.talk(request.as_bytes()).await
    }

    /// Sends requests and waits for the answer to a last one of its own.
    async fn talk(&self, requests: &[u8]) -> anyhow::Result<()> {
        let mut stream = TcpStream::connect(self.address).await?;
        let (hello, end, answer): (_, &[u8], _) = match self.kind {
            Kind::Redis => ("", b"PING\r\n", "+PONG\r\n"),
            Kind::Nats | Kind::PlainNats => {
                ("CONNECT {\"headers\":true}\r\n", b"PING\r\n", "PONG\r\n")
            }
        };
        stream
            .write_all(&[hello.as_bytes(), requests, end].concat())
            .await?;
        read_until(&mut stream, answer).await.map(drop)
    }
}

/// Hears a channel, past wardroom.
#[derive(Debug)]
pub struct Listener {
    stream: TcpStream,
    heard: String,
}

impl Listener {
    /// The next payload, which has to be JSON.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn next(&mut self) -> anyhow::Result<serde_json::Value> {
        const END: &str = "}\r\n";
        if !self.heard.contains(END) {
            self.heard += &read_until(&mut self.stream, END).await?;
        }
        let end = self.heard.find(END).context("a payload has an end")? + END.len();
        let rest = self.heard.split_off(end);
        let message = std::mem::replace(&mut self.heard, rest);
        // Whatever goes before it is the broker's.
        let start = message.find('{').context("no JSON")?;
        Ok(serde_json::from_str(&message[start..])?)
    }
}

async fn read_until(stream: &mut TcpStream, end: &str) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let reading = async {
        while !bytes.ends_with(end.as_bytes()) {
            if stream.read_buf(&mut bytes).await? == 0 {
                bail!("the broker ended the connection");
            }
        }
        anyhow::Ok(())
    };
    let read = timeout(WAIT, reading).await;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    read.with_context(|| format!("waited for {end:?} and got {text:?}"))??;
    ensure!(!text.contains("-ERR"), "the broker says {text:?}");
    Ok(text)
}
