//! `wardroom build`: plugin crates to components. A thin wrapper around cargo, whose errors are shown as they are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use tokio::process::Command;

use super::say;

const TARGET: &str = "wasm32-wasip2";

/// Build the plugin crates below a folder
///
/// Each becomes one component, OUT/<crate name>.wasm. The rustup target that they need is added when it is missing.
#[derive(Debug, clap::Args)]
pub(super) struct Build {
    /// Folder to look for plugin crates in
    #[arg(default_value = ".", value_name = "DIR")]
    folder: PathBuf,
    /// Where to put the components
    #[arg(long, value_name = "DIR", default_value = "dist")]
    out: PathBuf,
}

impl Build {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        for file in build(&self.folder, &self.out).await? {
            let bytes = std::fs::metadata(&file)?.len();
            say(&format!("{} ({} KB)", file.display(), bytes.div_ceil(1000)))?;
        }
        Ok(())
    }
}

/// Builds the plugin crates below `folder`; returns the components, sorted.
pub(super) async fn build(folder: &Path, out: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let crates = plugin_crates(folder)?;
    ensure!(
        !crates.is_empty(),
        "no plugin crate below {}: a plugin is a crate whose Cargo.toml has `crate-type = [\"cdylib\", \"rlib\"]`",
        folder.display()
    );
    add_target(folder).await?;
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let mut components = Vec::new();
    for (manifest, name) in &crates {
        let built = build_crate(manifest)
            .await
            .with_context(|| format!("cannot build {name}"))?;
        let component = out.join(format!("{name}.wasm"));
        replace(&built, &component)?;
        components.push(component);
    }
    components.sort();
    Ok(components)
}

/// Copied beside its place and renamed into it: who watches the folder never sees half a file.
fn replace(from: &Path, to: &Path) -> anyhow::Result<()> {
    let beside = to.with_extension("wasm.part");
    std::fs::copy(from, &beside)
        .with_context(|| format!("cannot copy {} to {}", from.display(), beside.display()))?;
    std::fs::rename(&beside, to).with_context(|| format!("cannot create {}", to.display()))
}

/// The parts of a Cargo.toml that say whether it is a plugin's.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct CargoToml {
    package: Option<Package>,
    lib: Option<Library>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Library {
    #[serde(default)]
    crate_type: Vec<String>,
}

/// Manifests and names of the plugin crates below a folder: those that make a `cdylib`.
pub(super) fn plugin_crates(folder: &Path) -> anyhow::Result<BTreeMap<PathBuf, String>> {
    let folder = folder
        .canonicalize()
        .with_context(|| format!("cannot read {}", folder.display()))?;
    let mut crates = BTreeMap::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        let manifest = folder.join("Cargo.toml");
        if manifest.is_file()
            && let Some(name) = plugin_name(&manifest)?
        {
            crates.insert(manifest, name);
            continue;
        }
        for entry in std::fs::read_dir(&folder)
            .with_context(|| format!("cannot read {}", folder.display()))?
        {
            let entry = entry?;
            let name = entry.file_name();
            let is_hidden = name.to_string_lossy().starts_with('.');
            // Links are not followed: they may lead back.
            if entry.file_type()?.is_dir() && !is_hidden && name != "target" {
                folders.push(entry.path());
            }
        }
    }
    Ok(crates)
}

fn plugin_name(manifest: &Path) -> anyhow::Result<Option<String>> {
    let text = std::fs::read_to_string(manifest)?;
    let read: CargoToml =
        toml::from_str(&text).with_context(|| format!("cannot read {}", manifest.display()))?;
    let is_plugin = read
        .lib
        .is_some_and(|library| library.crate_type.iter().any(|kind| kind == "cdylib"));
    Ok(read
        .package
        .filter(|_| is_plugin)
        .map(|package| package.name))
}

/// Has rustup add the target. Where there is no rustup, cargo will say whether it is missing.
async fn add_target(folder: &Path) -> anyhow::Result<()> {
    // In the folder, because its toolchain may be pinned.
    let rustup = |arguments: &[&str]| {
        let mut command = Command::new("rustup");
        command
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null());
        command
    };
    let Ok(listed) = rustup(&["target", "list", "--installed"]).output().await else {
        return Ok(());
    };
    if String::from_utf8_lossy(&listed.stdout)
        .lines()
        .any(|line| line == TARGET)
    {
        return Ok(());
    }
    tracing::info!("adding the rustup target {TARGET}");
    let added = rustup(&["target", "add", TARGET])
        .stdout(Stdio::null())
        .status()
        .await?;
    ensure!(
        added.success(),
        "cannot add the target: run `rustup target add {TARGET}`"
    );
    Ok(())
}

/// One line of `cargo build --message-format=json`, as far as it is needed.
#[derive(Deserialize)]
struct CargoMessage {
    reason: String,
    #[serde(default)]
    manifest_path: PathBuf,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// Builds one crate; returns the component that came of it.
async fn build_crate(manifest: &Path) -> anyhow::Result<PathBuf> {
    let folder = manifest.parent().context("a manifest is in a folder")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "build",
            "--lib",
            "--release",
            "--target",
            TARGET,
            "--message-format=json-render-diagnostics",
        ])
        // Names stay: a trap's backtrace needs them. Line tables are twenty times the code.
        .args(["--config", "profile.release.strip='debuginfo'"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        // Meant for the host's own build, if this runs under `cargo run`.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .await
        .context("cannot run cargo; install Rust from https://rustup.rs")?;
    ensure!(
        output.status.success(),
        "cargo build failed in {}",
        folder.display()
    );
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<CargoMessage>(line) else {
            continue;
        };
        if message.reason == "compiler-artifact" && message.manifest_path == manifest {
            let component = message
                .filenames
                .into_iter()
                .find(|file| file.extension().is_some_and(|it| it == "wasm"));
            return component.context("cargo built no component");
        }
    }
    bail!("cargo did not say what it built")
}
