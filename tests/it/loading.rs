//! Files that take long to compile: they hold up no others, and their compilers end when nobody needs them any more.

use crate::compile::{PATIENCE, compiler};
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;
use wardroom_tests::{Plugin, TestServer, WAIT};

/// A host that compiles everything anew, and the folder of its compiler.
struct Slow {
    server: TestServer,
    compiler: TempDir,
    _cache: TempDir,
}

impl Slow {
    async fn start() -> Self {
        let (folder, program) = compiler("gate.sh");
        let gate = folder.path().join("gate");
        let made = Command::new("mkfifo").arg(gate).status().await.unwrap();
        assert!(made.success());
        let cache = TempDir::new().unwrap();
        let server = TestServer::start(&[], |config| {
            config.cache = Some(cache.path().join("code"));
            config.compiler = Some(program);
        })
        .unwrap();
        // It watches its folder from now on.
        server.connect("A").await.unwrap().barrier().await.unwrap();
        Self {
            server,
            compiler: folder,
            _cache: cache,
        }
    }

    fn drop_in(&self, plugin: &Plugin) {
        plugin.write(self.server.plugins.path());
    }

    fn path(&self, plugin: &Plugin) -> PathBuf {
        self.server.plugins.path().join(&plugin.file)
    }

    /// The processes that wait, or waited, at the gate, when there have been so many.
    async fn waiting(&self, count: usize) -> Vec<String> {
        let start = Instant::now();
        loop {
            let pids = self.processes();
            if pids.len() == count {
                return pids;
            }
            assert!(start.elapsed() < WAIT, "{pids:?}");
            tokio::task::yield_now().await;
        }
    }

    /// The processes that wait, or waited, at the gate so far.
    fn processes(&self) -> Vec<String> {
        let pids = std::fs::read_to_string(self.compiler.path().join("pids"));
        pids.unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Lets so many compilers go on. For as long as the gate is held, lines that nobody has read yet stay there.
    #[must_use]
    fn open(&self, count: usize) -> File {
        let gate = self.compiler.path().join("gate");
        let opened = File::options().read(true).write(true).open(gate);
        let mut gate = opened.unwrap();
        gate.write_all("\n".repeat(count).as_bytes()).unwrap();
        gate
    }

    async fn is_live(&self, plugin: &str) {
        let parts = ["plugin live", &format!("plugin={plugin} ")];
        let line = timeout(PATIENCE, self.server.log.line_with(&parts)).await;
        line.unwrap_or_else(|_| panic!("{}", self.server.log.text()));
    }

    async fn answers(&self, event: &str, path: &str, data: Value) -> bool {
        let mut client = self.server.connect("B").await.unwrap();
        let reply = client.request(event, path, data).await.unwrap();
        reply["error"]["code"] != 404
    }

    fn assert_no_errors(&self) {
        let errors = self.server.log.lines_with(&["ERROR"]);
        assert!(errors.is_empty(), "{errors:?}");
    }
}

/// A plugin that is not compiled before the gate is open.
fn slow(name: &str) -> Plugin {
    Plugin::puppet(&json!({ "name": name, "description": "SLOW", "routes": [[name, "/do"]] }))
}

fn quick(name: &str) -> Plugin {
    Plugin::puppet(&json!({ "name": name, "routes": [[name, "/do"]] }))
}

async fn is_running(process: &str) -> bool {
    let kill = Command::new("kill").args(["-0", process]).output();
    kill.await.unwrap().status.success()
}

async fn ends(process: &str) {
    let start = Instant::now();
    while is_running(process).await {
        assert!(start.elapsed() < WAIT, "the compiler goes on");
    }
}

#[tokio::test]
async fn a_file_that_takes_long_holds_up_no_other() {
    let host = Slow::start().await;
    // By name the first, and in the same burst.
    host.drop_in(&slow("alpha"));
    host.drop_in(&quick("beside"));
    host.is_live("beside").await;
    host.drop_in(&slow("beta"));
    host.waiting(2).await;
    host.drop_in(&quick("after"));
    host.is_live("after").await;
    for name in ["beside", "after"] {
        assert!(host.answers(name, "/do", json!([])).await, "{name}");
    }
    for name in ["alpha", "beta"] {
        assert!(!host.answers(name, "/do", json!([])).await, "{name}");
    }
    for process in host.waiting(2).await {
        assert!(is_running(&process).await);
    }
    // Nothing is begun anew: what was being compiled all the time becomes live.
    let _gate = host.open(2);
    host.is_live("alpha").await;
    host.is_live("beta").await;
    host.waiting(2).await;
    host.assert_no_errors();
}

#[tokio::test]
async fn a_file_that_is_removed_is_compiled_no_further() {
    let host = Slow::start().await;
    let plugin = slow("alpha");
    host.drop_in(&plugin);
    let process = host.waiting(1).await.remove(0);
    assert!(is_running(&process).await);
    std::fs::remove_file(host.path(&plugin)).unwrap();
    ends(&process).await;
    host.drop_in(&quick("after"));
    host.is_live("after").await;
    host.assert_no_errors();
}

#[tokio::test]
async fn a_file_that_is_replaced_is_compiled_no_further_and_its_successor_at_once() {
    let host = Slow::start().await;
    // As many as there is room for at a time on two cores, and one more.
    let names = ["alpha", "beta", "gamma", "delta"];
    for (count, name) in names.into_iter().enumerate().take(3) {
        host.drop_in(&slow(name));
        host.waiting(count + 1).await;
    }
    host.drop_in(&slow(names[3]));
    for name in names {
        host.drop_in(&quick(name));
    }
    for name in names {
        host.is_live(name).await;
    }
    // The one more may have had its turn, if it was looked at between the first replacement and its own.
    let processes = host.processes();
    assert!([3, 4].contains(&processes.len()), "{processes:?}");
    for process in processes {
        ends(&process).await;
    }
    host.assert_no_errors();
}

#[tokio::test]
async fn a_host_that_stops_leaves_no_compiler_behind() {
    let mut host = Slow::start().await;
    host.drop_in(&slow("alpha"));
    let process = host.waiting(1).await.remove(0);
    host.server.stop().unwrap();
    ends(&process).await;
}
