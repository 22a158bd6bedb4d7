//! A cluster of real `redis-server`s on free ports, which a test can kill, stop, and have its slots moved.

use super::redis_cli;
use crate::WAIT;
use anyhow::{Context as _, ensure};
use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// A cluster whose servers are told apart by their number. Dropping it kills them.
#[derive(Debug)]
pub struct RedisCluster {
    servers: Vec<Server>,
}

#[derive(Debug)]
struct Server {
    port: u16,
    /// Where servers speak with each other.
    bus_port: u16,
    /// Keeps what it knows of the cluster.
    folder: TempDir,
    process: Option<Child>,
}

/// After this time a server that is silent is away for the others.
const SILENCE: &str = "1000";

impl RedisCluster {
    /// Masters that share the slots evenly, and for each of them so many replicas: the replica of master 1 of 3 is
    /// server 4. One that is away takes its own slots along, no others.
    ///
    /// # Errors
    /// When the program is not there, or the servers do not become a cluster.
    pub async fn start(masters: u16, replicas: u16) -> anyhow::Result<Self> {
        let mut cluster = Self {
            servers: Vec::new(),
        };
        let (slots, count) = (16_384 / masters, masters * (1 + replicas));
        for number in 0..count {
            cluster.add().await?;
            // They must differ, or the servers have to agree on that first.
            let epoch = (number + 1).to_string();
            let server = usize::from(number);
            cluster.ask(server, &["SET-CONFIG-EPOCH", &epoch]).await?;
            if number < masters {
                let last = if number + 1 == masters {
                    16_383
                } else {
                    (number + 1) * slots - 1
                };
                let [first, last] = [number * slots, last].map(|slot| slot.to_string());
                cluster
                    .ask(server, &["ADDSLOTSRANGE", &first, &last])
                    .await?;
            }
        }
        for number in 1..usize::from(count) {
            cluster.introduce(number).await?;
        }
        cluster.know_each_other().await?;
        for replica in masters..count {
            let id = cluster.id(usize::from(replica % masters)).await?;
            let replica = usize::from(replica);
            cluster.ask(replica, &["REPLICATE", &id]).await?;
            let is_up = |info: &str| info.contains("master_link_status:up");
            let wanted = ["INFO", "replication"];
            cluster.says(replica, &wanted, is_up).await?;
        }
        Ok(cluster)
    }

    /// The URL of the cluster, as a configuration has it.
    #[must_use]
    pub fn url(&self) -> String {
        let servers = self.servers.iter();
        let named = servers.map(|server| format!("127.0.0.1:{}", server.port));
        format!("redis-cluster://{}", Vec::from_iter(named).join(","))
    }

    /// Starts one more server, which knows nobody. Returns its number.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn add(&mut self) -> anyhow::Result<usize> {
        let [free, of_bus] = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let (free, of_bus) = (free?, of_bus?);
        self.servers.push(Server {
            port: free.local_addr()?.port(),
            bus_port: of_bus.local_addr()?.port(),
            folder: TempDir::new()?,
            process: None,
        });
        drop((free, of_bus));
        let number = self.servers.len() - 1;
        self.restart(number).await?;
        Ok(number)
    }

    /// Makes a server known to the first, and so to all.
    ///
    /// # Errors
    /// When that is refused.
    pub async fn introduce(&self, number: usize) -> anyhow::Result<()> {
        let server = &self.servers[number];
        let [port, bus_port] = [server.port, server.bus_port].map(|port| port.to_string());
        let request = ["MEET", "127.0.0.1", &port, &bus_port];
        self.ask(0, &request).await.map(drop)
    }

    /// Waits until all servers know all, and that all slots are served.
    ///
    /// # Errors
    /// When they do not in time.
    pub async fn know_each_other(&self) -> anyhow::Result<()> {
        let known = format!("cluster_known_nodes:{}", self.servers.len());
        for number in 0..self.servers.len() {
            let is_whole = |info: &str| {
                let mut lines = info.lines().map(str::trim);
                let is_ok = info.contains("cluster_state:ok");
                let are_all = info.contains("cluster_slots_ok:16384");
                is_ok && are_all && lines.any(|line| line == known)
            };
            self.says(number, &["CLUSTER", "INFO"], is_whole).await?;
        }
        Ok(())
    }

    /// Kills a server, without a word to anybody.
    ///
    /// # Errors
    /// When it has ended already.
    pub async fn kill(&mut self, number: usize) -> anyhow::Result<()> {
        let process = self.servers[number].process.take();
        process.context("it does not run")?.kill().await?;
        Ok(())
    }

    /// Starts a server, with what it knew of the cluster, and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn restart(&mut self, number: usize) -> anyhow::Result<()> {
        let server = &mut self.servers[number];
        let [port, bus_port] = [server.port, server.bus_port].map(|port| port.to_string());
        let spawned = Command::new("redis-server")
            .args(["--port", &port, "--cluster-port", &bus_port])
            .args(["--bind", "127.0.0.1", "--save", ""])
            .args(["--cluster-enabled", "yes"])
            .args(["--cluster-node-timeout", SILENCE])
            .args(["--cluster-require-full-coverage", "no"])
            .args(["--repl-diskless-sync-delay", "0"])
            .current_dir(&server.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let context = "cannot start redis-server: the tests need it; apt-get install redis-server";
        server.process = Some(spawned.context(context)?);
        self.says(number, &["PING"], |answer| answer.contains("PONG"))
            .await
    }

    /// Stops a server where it is, or lets it go on: its sockets stay.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn signal(&self, number: usize, name: &str) -> anyhow::Result<()> {
        let process = self.servers[number].process.as_ref();
        let process = process.and_then(Child::id).context("it has ended")?;
        let arguments = ["-s", name, &process.to_string()];
        let status = Command::new("kill").args(arguments).status().await?;
        ensure!(status.success(), "kill -s {name} {process}: {status}");
        Ok(())
    }

    /// Moves slots to a server that others have, one after another.
    ///
    /// # Errors
    /// When that is refused.
    pub async fn move_slots(&self, from: usize, to: usize, slots: u32) -> anyhow::Result<()> {
        let address = format!("127.0.0.1:{}", self.servers[0].port);
        let [source, target] = [self.id(from).await?, self.id(to).await?];
        let slots = slots.to_string();
        let output = Command::new("redis-cli")
            .args(["--cluster", "reshard", &address, "--cluster-yes"])
            .args(["--cluster-from", &source, "--cluster-to", &target])
            .args(["--cluster-slots", &slots])
            .stdin(Stdio::null())
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "redis-cli: {said}");
        Ok(())
    }

    /// Waits until a server has become a master.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn is_promoted(&self, number: usize) -> anyhow::Result<()> {
        let is_master = |info: &str| info.contains("role:master");
        self.says(number, &["INFO", "replication"], is_master).await
    }

    /// Waits until a server has become a replica that follows its master.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn is_replica(&self, number: usize) -> anyhow::Result<()> {
        let is_replica =
            |info: &str| info.contains("role:slave") && info.contains("master_link_status:up");
        self.says(number, &["INFO", "replication"], is_replica)
            .await
    }

    /// Waits until a replica has all that its master was told: a new one hears nothing for up to a second.
    ///
    /// # Errors
    /// When it has not in time.
    pub async fn is_in_step(&self, replica: usize, master: usize) -> anyhow::Result<()> {
        let asked = ["INFO", "replication"];
        let of_master = self.run(master, &asked, b"").await?;
        let mut lines = of_master.lines();
        let told = lines.find_map(|line| line.strip_prefix("master_repl_offset:"));
        let told = told.context("it counts what it was told")?.trim();
        let told: u64 = told.parse()?;
        let has_all = |info: &str| {
            let mut lines = info.lines();
            let has = lines.find_map(|line| line.strip_prefix("slave_repl_offset:"));
            has.is_some_and(|has| has.trim().parse().is_ok_and(|has: u64| has >= told))
        };
        self.says(replica, &asked, has_all).await
    }

    /// Makes a replica the master while all are well, and waits until it is.
    ///
    /// # Errors
    /// When it does not become one in time.
    pub async fn fail_over(&self, replica: usize) -> anyhow::Result<()> {
        let id = self.id(replica).await?;
        for number in 0..self.servers.len() {
            // Its master does not listen to it before, nor has anybody a vote for it.
            let is_known = |known: &str| {
                let its = |line: &str| line.starts_with(&id) && line.contains("slave");
                known.lines().any(its)
            };
            let asked = ["CLUSTER", "NODES"];
            self.says(number, &asked, is_known).await?;
        }
        self.ask(replica, &["FAILOVER"]).await?;
        self.is_promoted(replica).await
    }

    /// The channels that somebody subscribed with this server.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn shard_channels(&self, number: usize) -> anyhow::Result<Vec<String>> {
        let said = self.run(number, &["PUBSUB", "SHARDCHANNELS"], b"").await?;
        let lines = said.lines().filter(|line| !line.is_empty());
        Ok(lines.map(ToOwned::to_owned).collect())
    }

    /// How many subscribed each of these channels with this server.
    ///
    /// # Errors
    /// As [`Self::shard_channels`].
    pub async fn subscribers(
        &self,
        number: usize,
        channels: &[String],
    ) -> anyhow::Result<Vec<u64>> {
        let mut asked = vec!["PUBSUB", "SHARDNUMSUB"];
        asked.extend(channels.iter().map(String::as_str));
        let said = self.run(number, &asked, b"").await?;
        // A channel, its number, and so on.
        let counts = said.lines().skip(1).step_by(2);
        Ok(counts
            .map(|count| count.trim().parse())
            .collect::<Result<_, _>>()?)
    }

    /// The numbers of the servers that have the slots of these channels.
    ///
    /// # Errors
    /// When nobody has one.
    pub async fn owners(&self, channels: &[String]) -> anyhow::Result<Vec<usize>> {
        let questions = channels.iter();
        let questions = questions.map(|channel| format!("CLUSTER KEYSLOT {channel}\n"));
        let input = questions.collect::<String>();
        let slots = self.run(0, &[], input.as_bytes()).await?;
        let known = self.ask(0, &["NODES"]).await?;
        let owner = |slot: u16| {
            known.lines().find_map(|line| {
                let mut words = line.split(' ');
                let address = words.nth(1)?;
                let has = |range: &str| {
                    let (first, last) = range.split_once('-').unwrap_or((range, range));
                    let bounds = (first.parse::<u16>(), last.parse::<u16>());
                    matches!(bounds, (Ok(first), Ok(last)) if (first..=last).contains(&slot))
                };
                if !words.skip(6).any(has) {
                    return None;
                }
                let port = address.split(['@', ',']).next()?.rsplit(':').next()?;
                let port = port.parse::<u16>().ok()?;
                self.servers.iter().position(|server| server.port == port)
            })
        };
        let slots = slots.lines().filter(|line| !line.trim().is_empty());
        let owners = slots.map(|slot| {
            let slot = slot.trim().parse()?;
            owner(slot).with_context(|| format!("nobody has slot {slot}: {known}"))
        });
        owners.collect()
    }

    /// Publishes a payload with whoever has the channel.
    ///
    /// # Errors
    /// When it is not taken.
    pub async fn publish(&self, channel: &str, payload: &[u8]) -> anyhow::Result<()> {
        let owner = self.owners(&[channel.to_owned()]).await?;
        let owner = *owner.first().context("it has an owner")?;
        // The last argument is read from the standard input.
        let publishing = ["-x", "SPUBLISH", channel];
        self.run(owner, &publishing, payload).await.map(drop)
    }

    /// What a server answers to a `CLUSTER` command.
    ///
    /// # Errors
    /// When that is an error.
    pub async fn ask(&self, number: usize, arguments: &[&str]) -> anyhow::Result<String> {
        let arguments = [&["CLUSTER"], arguments].concat();
        self.run(number, &arguments, b"").await
    }

    /// Has all servers do something.
    ///
    /// # Errors
    /// When one of them does not take it.
    pub async fn tell_all(&self, command: &[&str]) -> anyhow::Result<()> {
        for number in 0..self.servers.len() {
            self.run(number, command, b"").await?;
        }
        Ok(())
    }

    async fn id(&self, number: usize) -> anyhow::Result<String> {
        Ok(self.ask(number, &["MYID"]).await?.trim().to_owned())
    }

    async fn says(
        &self,
        number: usize,
        arguments: &[&str],
        is_right: impl Fn(&str) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + WAIT;
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        loop {
            let said = self.run(number, arguments, b"").await;
            match said {
                Ok(said) if is_right(&said) => return Ok(()),
                said => ensure!(
                    Instant::now() < deadline,
                    "server {number}, {arguments:?}: {said:?}"
                ),
            }
            looks.tick().await;
        }
    }

    async fn run(&self, number: usize, arguments: &[&str], input: &[u8]) -> anyhow::Result<String> {
        redis_cli::ask(self.servers[number].port, arguments, input).await
    }
}
