//! Builds the guests: the example plugins and the fixtures of `tests/guests`, once for each process, into a target
//! folder of their own, so that the outer `cargo test` and this one never wait for each other's lock.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What a plugin is compiled for.
pub const TARGET: &str = "wasm32-wasip2";

type Built = Result<BTreeMap<&'static str, Vec<u8>>, String>;

/// The component of an example plugin (`echo`, `chat`, `poll`, `webhook`) or of a fixture (`puppet`, `bare`).
///
/// # Panics
/// When it does not build, with the compiler's output.
#[must_use]
pub fn component(name: &str) -> &'static [u8] {
    static EXAMPLES: OnceLock<Built> = OnceLock::new();
    static FIXTURES: OnceLock<Built> = OnceLock::new();
    let built = match name {
        "echo" | "chat" | "poll" | "webhook" => {
            EXAMPLES.get_or_init(|| build(&repository(), &["echo", "chat", "poll", "webhook"]))
        }
        _ => {
            FIXTURES.get_or_init(|| build(&repository().join("tests/guests"), &["puppet", "bare"]))
        }
    };
    match built {
        Ok(components) => components
            .get(name)
            .unwrap_or_else(|| panic!("there is no guest `{name}`")),
        Err(problem) => panic!("the guests do not build:\n{problem}"),
    }
}

/// The top folder of the checkout.
///
/// # Panics
/// Never: this crate is in it.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is in the repository")
        .to_owned()
}

/// The target folder of the build that this test belongs to.
#[must_use]
pub fn target_dir() -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    let tagged = exe
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file());
    tagged.map_or_else(|| repository().join("target"), Path::to_owned)
}

fn build(workspace: &Path, packages: &[&'static str]) -> Built {
    install_target()?;
    let target = target_dir().join("guests");
    let mut command = cargo();
    command
        .current_dir(workspace)
        .args(["build", "--release", "--target", TARGET, "--target-dir"])
        .arg(&target);
    for package in packages {
        command.args(["--package", package]);
    }
    run(&mut command)?;
    let folder = target.join(TARGET).join("release");
    let read = |name: &&'static str| {
        let file = folder.join(format!("{name}.wasm"));
        std::fs::read(&file)
            .map(|bytes| (*name, bytes))
            .map_err(|error| format!("{}: {error}", file.display()))
    };
    packages.iter().map(read).collect()
}

/// Adds the rustup target when the toolchain lacks it.
fn install_target() -> Result<(), String> {
    let mut libraries = clean(Command::new("rustc"));
    libraries
        .current_dir(repository())
        .args(["--print", "target-libdir", "--target", TARGET]);
    if Path::new(run(&mut libraries)?.trim()).is_dir() {
        return Ok(());
    }
    eprintln!("adding the target {TARGET}: rustup target add {TARGET}");
    let mut add = clean(Command::new("rustup"));
    run(add
        .current_dir(repository())
        .args(["target", "add", TARGET]))
    .map(drop)
}

/// A cargo that knows nothing of the one that runs this test.
#[must_use]
pub fn cargo() -> Command {
    clean(Command::new(
        std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")),
    ))
}

/// Takes away what an outer cargo set for its own build. Where its downloads are and how to reach registries stays.
fn clean(mut command: Command) -> Command {
    const KEPT: [&str; 4] = ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR"];
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let kept = KEPT.iter().any(|prefix| name.starts_with(prefix));
        let foreign = [
            "RUSTFLAGS",
            "RUSTDOCFLAGS",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTC",
            "CARGO",
        ];
        if foreign.contains(&&*name) || (name.starts_with("CARGO_") && !kept) {
            command.env_remove(&*name);
        }
    }
    command
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!(
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    ))
}
