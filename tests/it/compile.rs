//! Compiling in a child process: what it refuses is refused in good order, what goes wrong with it costs one plugin.

use crate::program::wardroom;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use wardroom::cluster::LocalBus;
use wardroom::server::Host;
use wardroom::{Config, Limit};
use wardroom_tests::binary::Invocation;
use wardroom_tests::{Client, Plugin, TestServer, WAIT, guests};

/// Low priority is what a compiler has, and other tests may want both cores.
pub(crate) const PATIENCE: Duration = WAIT.saturating_mul(15);

/// A small component that takes minutes to compile.
fn bomb() -> Plugin {
    let function = "(block (br_if 0 (local.get 0)))".repeat(300_000);
    let text = format!(
        "(component (core module $bomb (func (param i32) {function})) (core instance (instantiate $bomb)))"
    );
    Plugin::text("bomb.wasm", &text)
}

/// A folder with a compiler of this kind, beside the real one. Links: what was just written, no process may run while
/// another, forked by another test, has it open for writing.
pub(crate) fn compiler(kind: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let (program, wardroom_in_it) = (folder.path().join(kind), folder.path().join("wardroom"));
    let script = guests::repository().join("tests/compilers").join(kind);
    std::os::unix::fs::symlink(script, &program).unwrap();
    std::os::unix::fs::symlink(wardroom(), wardroom_in_it).unwrap();
    (folder, program)
}

/// Starts a host that has echo in its cache and must compile this plugin, which it refuses; echo goes on.
async fn refused(
    plugin: Plugin,
    compiler: &Path,
    configure: impl FnOnce(&mut Config),
    parts: &[&str],
) -> TestServer {
    let cache = TempDir::new().unwrap();
    let warm = |config: &mut Config| config.cache = Some(cache.path().join("code"));
    let echo = Plugin::built("echo");
    let server = TestServer::start(std::slice::from_ref(&echo), warm).unwrap();
    server.connect("A").await.unwrap().barrier().await.unwrap();
    drop(server);
    let server = TestServer::start(&[plugin.clone(), echo], |config| {
        warm(config);
        config.compiler = Some(compiler.to_owned());
        configure(config);
    })
    .unwrap();
    let mut wanted = vec!["ERROR", plugin.file.as_str()];
    wanted.extend(parts);
    let line = timeout(PATIENCE, server.log.line_with(&wanted)).await;
    line.unwrap_or_else(|_| panic!("no line with {wanted:?} in\n{}", server.log.text()));
    let mut client = server.connect("A").await.unwrap();
    let reply = client.request("echo", "/echo", json!(1)).await.unwrap();
    assert_eq!(reply["data"], 1, "the others go on");
    server
}

#[tokio::test]
async fn a_child_compiles() {
    let plugins = [Plugin::built("echo"), Plugin::bare("nothing")];
    let server = TestServer::start(&plugins, |config| {
        config.cache = None;
        config.compiler = Some(wardroom().into());
    })
    .unwrap();
    for plugin in ["plugin=echo", "plugin=bare"] {
        let parts = [plugin, "compiled in"];
        let line = timeout(PATIENCE, server.log.line_with(&parts)).await;
        line.unwrap_or_else(|_| panic!("{}", server.log.text()));
    }
    let mut client = server.connect("A").await.unwrap();
    let reply = client.request("echo", "/echo", json!(1)).await.unwrap();
    assert_eq!(reply["data"], 1);
}

#[tokio::test]
async fn compile_wall_max() {
    let (folder, program) = compiler("record.sh");
    let soon = |config: &mut Config| config.limits.compile_wall_max = Duration::from_secs(2);
    let server = refused(bomb(), &program, soon, &["compile_wall_max (2s)"]).await;
    assert_eq!(server.reached(Limit::CompileWallMax), 1);
    let process = std::fs::read_to_string(folder.path().join("pid")).unwrap();
    let alive = Command::new("kill").args(["-0", process.trim()]).output();
    let alive = alive.await.unwrap().status.success();
    assert!(!alive, "the compiler goes on after its time");
}

#[tokio::test]
async fn a_bomb_is_told_before_it_is_served() {
    let folder = TempDir::new().unwrap();
    bomb().write(folder.path());
    let plugins = ["check", "--plugins", "."];
    for arguments in [&plugins[..], &["inspect", "bomb.wasm"]] {
        for json in [&[][..], &["--json"]] {
            let invocation = Invocation::new(&wardroom(), &[arguments, json].concat());
            let invocation = invocation.within(folder.path());
            let soon = invocation.with("WARDROOM_LIMITS_COMPILE_WALL_MAX", "1s");
            let output = soon.run().await.unwrap();
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            let reason = "compiling it took longer than compile_wall_max (1s); make its functions smaller, or raise the limit";
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains(reason), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_are_connected_are_answered_meanwhile() {
    let (folder, cache) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut config = Config {
        plugins: folder.path().to_owned(),
        cache: Some(cache.path().join("code")),
        compiler: Some(wardroom().into()),
        ..Config::default()
    };
    config.limits.instances_max = 64;
    config.limits.compile_wall_max = PATIENCE;
    // Echo is compiled by a host that can wait for it.
    let patient = Host::new(config.clone(), Arc::new(LocalBus::new())).unwrap();
    Plugin::built("echo").write(folder.path());
    assert!(patient.load_plugins().await.unwrap().is_empty());
    drop(patient);
    config.limits.compile_wall_max = Duration::from_secs(2);
    let host = Arc::new(Host::new(config, Arc::new(LocalBus::new())).unwrap());
    host.load_plugins().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(Arc::clone(&host).accept(listener, std::future::pending()));
    let connected = Client::connect("A", address, "/ws", &[]).await.unwrap();
    let mut client = connected.unwrap();
    bomb().write(folder.path());
    let loading = tokio::spawn(async move { host.load_plugins().await.unwrap() });
    let mut answers = 0;
    while !loading.is_finished() {
        let reply = client.request("echo", "/echo", json!(answers)).await;
        let reply = reply.unwrap();
        assert_eq!(reply["data"], answers, "{reply}");
        answers += 1;
    }
    assert!(answers >= 10, "{answers} in two seconds");
    let problems = loading.await.unwrap();
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].contains("compile_wall_max"), "{problems:?}");
    let reply = client.request("echo", "/echo", json!("still")).await;
    assert_eq!(reply.unwrap()["data"], "still");
}

#[tokio::test]
async fn compile_memory_max() {
    // What it takes to start, and little more; that the default is enough, the tests above show.
    let little = |config: &mut Config| config.limits.compile_memory_max = 10 << 20;
    let parts = ["compile_memory_max (10485760 bytes)"];
    let server = refused(Plugin::built("chat"), wardroom().as_ref(), little, &parts).await;
    assert_eq!(server.reached(Limit::CompileMemoryMax), 1);
    // Not even what it takes to start.
    let nothing = |config: &mut Config| config.limits.compile_memory_max = 1;
    let parts = ["compile_memory_max (1 bytes)"];
    refused(Plugin::built("chat"), wardroom().as_ref(), nothing, &parts).await;
}

#[tokio::test]
async fn compilers_that_do_not_compile() {
    let chat = || Plugin::built("chat");
    let (_folder, killed) = compiler("crash.sh");
    refused(chat(), &killed, |_| {}, &["compiler", "signal: 9"]).await;
    let missing = Path::new("/nowhere/wardroom");
    refused(
        chat(),
        missing,
        |_| {},
        &["/nowhere/wardroom", "No such file"],
    )
    .await;
    // Other programs: one that succeeds and says nothing, and one that fails and says nothing.
    refused(
        chat(),
        Path::new("/bin/true"),
        |_| {},
        &["cannot be loaded"],
    )
    .await;
    refused(chat(), Path::new("/bin/false"), |_| {}, &["component"]).await;
}

#[tokio::test]
async fn what_is_no_component_is_said_as_clearly() {
    let program = wardroom();
    let module = Plugin::text("module.wasm", "(module)");
    refused(module, program.as_ref(), |_| {}, &["core module"]).await;
    let whole = Plugin::built("chat").bytes;
    let cut = Plugin::file("cut.wasm", &whole[..whole.len() / 2]);
    refused(cut, program.as_ref(), |_| {}, &["not a valid component"]).await;
    // It is refused before there is a child: this one would say something else.
    let small = |config: &mut Config| config.limits.component_bytes_max = whole.len() - 1;
    let missing = Path::new("/nowhere/wardroom");
    refused(
        Plugin::built("chat"),
        missing,
        small,
        &["component_bytes_max"],
    )
    .await;
}

/// The child itself, with the component written to it, and both ends of its pipes in hand.
async fn child(arguments: &[&str], component: &[u8]) -> Child {
    let mut child = Command::new(wardroom())
        .arg("compile")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(component).await.unwrap();
    child
}

#[tokio::test]
async fn a_child_ends_with_its_host() {
    let arguments = ["--memory-bytes=4000000000", "--cpu-seconds=1000"];
    let mut child = child(&arguments, &bomb().bytes).await;
    drop(child.stdout.take());
    let ended = timeout(PATIENCE, child.wait()).await;
    assert!(!ended.expect("it goes on").unwrap().success());
}

#[tokio::test]
async fn a_child_without_a_host_that_watches_runs_out_of_cpu_time() {
    let arguments = ["--memory-bytes=4000000000", "--cpu-seconds=1"];
    let mut child = child(&arguments, &bomb().bytes).await;
    let ended = timeout(PATIENCE, child.wait()).await;
    let ended = ended.expect("it goes on").unwrap();
    assert_eq!(ended.code(), None, "a signal ends it: {ended}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_child_confines_itself_before_it_reads() {
    let mut child = Command::new(wardroom())
        .args(["compile", "--memory-bytes=123456789", "--cpu-seconds=77"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let process = PathBuf::from(format!("/proc/{}", child.id().unwrap()));
    let start = Instant::now();
    // It has been sent nothing yet. The limit of memory is what it sets last.
    let limits = loop {
        let limits = std::fs::read_to_string(process.join("limits")).unwrap();
        if limits.contains("123456789") {
            break limits;
        }
        assert!(start.elapsed() < PATIENCE, "{limits}");
        tokio::task::yield_now().await;
    };
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        let values: Vec<_> = line[name.len()..].split_whitespace().take(2).collect();
        values.join(" ")
    };
    assert_eq!(limit("Max data size"), "123456789 123456789");
    assert_eq!(limit("Max cpu time"), "77 77");
    assert_eq!(limit("Max core file size"), "0 0");
    let host = nice(Path::new("/proc/self")).unwrap();
    assert_eq!(nice(&process), Some((host + 10).min(19)));
    child.kill().await.unwrap();
}

/// How nice a process or a thread is; `None` when it has ended.
#[cfg(target_os = "linux")]
fn nice(process: &Path) -> Option<i32> {
    let stat = std::fs::read_to_string(process.join("stat")).ok()?;
    // After the name, which ends in a parenthesis: it is the 19th value of the line.
    let nice = stat.rsplit_once(") ").unwrap().1.split(' ').nth(16);
    Some(nice.unwrap().parse().unwrap())
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_child_that_takes_long_gets_what_nobody_else_wants() {
    let arguments = ["--memory-bytes=4000000000", "--cpu-seconds=1000"];
    let mut child = child(&arguments, &bomb().bytes).await;
    let threads = format!("/proc/{}/task", child.id().unwrap());
    let start = Instant::now();
    loop {
        let threads = std::fs::read_dir(&threads).unwrap();
        let nice: Vec<_> = threads
            .filter_map(|thread| nice(&thread.unwrap().path()))
            .collect();
        // The one that compiles, the one that watches, and those who help.
        if nice.len() > 2 && nice.iter().all(|nice| *nice == 19) {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{nice:?}");
        tokio::task::yield_now().await;
    }
    child.kill().await.unwrap();
}
