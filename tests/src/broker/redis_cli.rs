//! What `redis-cli` has of one server.

use anyhow::{Context as _, ensure};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

/// One that is stopped takes the question and answers nothing.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// Sends a command, of which `input` is the last argument if it has `-x`, and returns the answer.
pub(super) async fn ask(port: u16, arguments: &[&str], input: &[u8]) -> anyhow::Result<String> {
    let mut asking = Command::new("redis-cli")
        .args(["-e", "-p", &port.to_string()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start redis-cli, which comes with redis-server")?;
    let mut stdin = asking.stdin.take().context("it was asked for")?;
    stdin.write_all(input).await?;
    drop(stdin);
    let answered = timeout(ANSWER_WAIT, asking.wait_with_output()).await;
    let output = answered.with_context(|| format!("{arguments:?}: no answer"))??;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let failure = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {said}{failure}");
    Ok(said)
}
