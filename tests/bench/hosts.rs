//! Hosts that are one server: processes with the same plugins, each with a configuration of its own.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::http::get;
use crate::process::{Cores, Server};

/// It may compile its plugins before.
const READY_MAX: Duration = Duration::from_secs(90);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
const ADMIN_TOKEN: &str = "bench";

/// What they have in common.
#[derive(Debug)]
pub(crate) struct Hosts<'a> {
    binary: &'a Path,
    folder: TempDir,
}

impl<'a> Hosts<'a> {
    /// With these plugins, by their names. What one has compiled, the others find in the cache.
    pub(crate) fn new(binary: &'a Path, plugins: &[(&str, Vec<u8>)]) -> Result<Self> {
        let folder = TempDir::new()?;
        let below = folder.path().join("plugins");
        fs::create_dir(&below)?;
        for (name, bytes) in plugins {
            fs::write(below.join(format!("{name}.wasm")), bytes)?;
        }
        Ok(Self { binary, folder })
    }

    /// Starts one of this name, on the broker or alone, and waits until it says that it is ready.
    pub(crate) async fn start(
        &self,
        node: &str,
        broker: Option<String>,
        cores: Option<&Cores>,
    ) -> Result<Server> {
        let cluster = broker.map(|url| format!("[cluster]\nurl = \"{url}\"\n"));
        let config = format!(
            "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nadmin_token = \"{ADMIN_TOKEN}\"\n\
             node = \"{node}\"\nplugins = \"plugins\"\ncache = \"cache\"\ndrain = \"1s\"\n{}\
             [limits]\nmessages_per_second_per_connection_max = 1_000_000\ncompile_wall_max = \"5m\"\n",
            cluster.unwrap_or_default()
        );
        let path = |ending| self.folder.path().join(format!("{node}.{ending}"));
        let file = path("toml");
        fs::write(&file, config)?;
        let text = |path: &Path| path.display().to_string();
        let command = [
            text(self.binary),
            "serve".to_owned(),
            "--config".to_owned(),
            text(&file),
        ];
        let log = path("log");
        let starting = async {
            let server = Server::start_logging_to(File::create(&log)?, &command, cores).await?;
            while get(server.addr, "/readyz", "").await?.0 != 200 {
                sleep(LOOK_INTERVAL).await;
            }
            anyhow::Ok(server)
        };
        let started = timeout(READY_MAX, starting).await;
        let started = started.unwrap_or_else(|_| bail!("not ready within {READY_MAX:?}"));
        started.with_context(|| fs::read_to_string(&log).unwrap_or_default())
    }
}

/// The value of a host's metric without labels.
pub(crate) async fn metric(server: &Server, name: &str) -> Result<f64> {
    let admin = server.admin.context("it has no admin listener")?;
    let token = format!("Authorization: Bearer {ADMIN_TOKEN}\r\n");
    let (status, text) = get(admin, "/metrics", &token).await?;
    ensure!(status == 200, "GET /metrics says {status}");
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(value
        .with_context(|| format!("no metric {name}"))?
        .parse()?)
}
