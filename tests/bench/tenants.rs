//! `tenants`: a host of a thousand tenants, each with a plugin of its own that was compiled before: how long it takes
//! from its start until it is ready, and what it needs.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Write, stdout};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::client::Client;
use crate::process::{Server, allow_files};
use crate::rpc::echo;
use crate::swap::with_section;

const TENANTS: usize = 1000;
/// Connections, and whatever the host needs.
const FILES: u64 = 3000;

/// Measures and prints, with all cores: starting is what they are for. `plugins` holds the components; they are copied.
pub(crate) async fn run(wardroom: &Path, plugins: &Path, rounds: usize) -> Result<()> {
    allow_files(FILES)?;
    let mut out = stdout().lock();
    for (title, are_alike) in [
        ("one plugin, in as many folders", true),
        ("no two plugins alike", false),
    ] {
        let folder = folder(plugins, are_alike)?;
        compile(wardroom, folder.path())?;
        for _ in 0..rounds {
            let log = File::create(folder.path().join("log"))?;
            let serve = command(wardroom, folder.path(), "serve");
            let start = Instant::now();
            let server = Server::start_logging_to(log, &serve, None).await?;
            let ready = start.elapsed();
            let (fresh, files) = (server.resident_bytes()?, server.open_files()?);
            // One connection of each at a time: all of them are there.
            for number in 0..TENANTS {
                let mut client = Client::connect_to(server.addr, &format!("/{number}")).await?;
                echo(&mut client, number as u64).await?;
            }
            writeln!(
                out,
                "{TENANTS} tenants, {title}: ready after {ready:.2?}, {} MB resident, {files} files open; {} MB when each \
                 had answered a request",
                fresh / 1_000_000,
                server.resident_bytes()? / 1_000_000
            )?;
        }
    }
    Ok(())
}

/// A folder for each tenant, and a configuration that has them all.
fn folder(plugins: &Path, are_alike: bool) -> Result<TempDir> {
    let folder = TempDir::new()?;
    let echo = fs::read(plugins.join("echo.wasm"))?;
    let mut config =
        "listen = \"127.0.0.1:0\"\ncache = \"cache\"\n[limits]\ncache_bytes_max = \"8 GiB\"\n"
            .to_owned();
    for number in 0..TENANTS {
        let tenant = folder.path().join("tenants").join(number.to_string());
        fs::create_dir_all(&tenant)?;
        let name = if are_alike {
            String::new()
        } else {
            number.to_string()
        };
        fs::write(tenant.join("echo.wasm"), with_section(&echo, &name))?;
        let _ = writeln!(config, "[tenants.{number}]\npath = \"/{number}\"");
    }
    fs::write(folder.path().join("wardroom.toml"), config)?;
    Ok(folder)
}

/// Has all of them compiled and kept: `check` loads what `serve` would.
fn compile(wardroom: &Path, folder: &Path) -> Result<()> {
    let command = command(wardroom, folder, "check");
    let (program, arguments) = command.split_first().context("there is a program")?;
    let status = Command::new(program)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    ensure!(status.success(), "`wardroom check` failed: {status}");
    Ok(())
}

fn command(wardroom: &Path, folder: &Path, verb: &str) -> Vec<String> {
    let text = |path: &Path| path.display().to_string();
    vec![
        text(wardroom),
        verb.to_owned(),
        "--config".to_owned(),
        text(&folder.join("wardroom.toml")),
    ]
}
