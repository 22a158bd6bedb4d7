//! Bad input of every kind, each in the three ways in which it may be met: dropped beside what is live, looked at with
//! `inspect`, looked at with `check`. All three say the same, and what is live stays live.

use crate::bad::{Bad, all, live};
use crate::program::wardroom;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use tempfile::TempDir;
use wardroom_tests::binary::{Invocation, Program};
use wardroom_tests::{Client, Plugin, http};

const TOKEN: &str = "c2VjcmV0";

/// With the same limits for all: the one that is waited for is short, and beside it time is no matter, however busy the
/// machine is. For one that sleeps all would have to wait; `loader.rs` has it.
fn command(folder: &TempDir, arguments: &[&str]) -> Invocation {
    Invocation::new(&wardroom(), arguments)
        .within(folder.path())
        .with("WARDROOM_PLUGINS", "plugins")
        .with("WARDROOM_WATCH", "false")
        .with("WARDROOM_ADMIN_TOKEN", TOKEN)
        .with("WARDROOM_LIMITS_DESCRIBE_CPU_MAX", "100ms")
        .with("WARDROOM_LIMITS_EVENT_WALL_MAX", "60s")
}

/// Exit code, standard output, standard error.
async fn run(invocation: Invocation) -> (Option<i32>, String, String) {
    let output = invocation.run().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

async fn run_json(invocation: Invocation) -> (Option<i32>, Value) {
    let (code, out, errors) = run(invocation).await;
    let value = serde_json::from_str(&out);
    (
        code,
        value.unwrap_or_else(|error| panic!("{error}: {out}\n{errors}")),
    )
}

/// A folder to run in, with this in its folder of plugins.
fn folder(plugins: &[Plugin]) -> TempDir {
    let folder = TempDir::new().unwrap();
    let below = folder.path().join("plugins");
    std::fs::create_dir(&below).unwrap();
    plugins.iter().for_each(|plugin| plugin.write(&below));
    folder
}

struct Host {
    program: Program,
    admin: SocketAddr,
}

impl Host {
    async fn start(invocation: Invocation) -> Self {
        let program = Program::invoke(&invocation).await.unwrap();
        let (_, admin) = program.ready.split_once(" admin=").unwrap();
        let admin = admin.parse().unwrap();
        Self { program, admin }
    }

    async fn ask(&self, request: &str) -> String {
        let head = format!("Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 0");
        let request = format!("{request} HTTP/1.1\r\n{head}\r\n\r\n");
        http::ask(self.admin, &request).await.unwrap().body
    }

    /// Looks at the folder; the files that are not live, and why.
    async fn reload(&self) -> BTreeMap<String, String> {
        let answer: Value = serde_json::from_str(&self.ask("POST /api/reload").await).unwrap();
        reasons(&answer["problems"], "reason")
    }
}

/// By file, without its folder.
fn reasons(files: &Value, key: &str) -> BTreeMap<String, String> {
    let files = files.as_array().unwrap().iter();
    let of = |file: &Value| {
        let name = Path::new(file["file"].as_str()?).file_name()?;
        Some((name.to_str()?.to_owned(), file[key].as_str()?.to_owned()))
    };
    files.filter_map(of).collect()
}

async fn assert_live(client: &mut Client) {
    let answer = client.run("/do", json!([["version"], ["joined"]])).await;
    assert_eq!(answer.unwrap(), json!(["1", ["/r"]]));
}

#[tokio::test]
async fn each_is_refused_in_the_same_words_wherever_it_is_met_and_what_is_live_stays() {
    // A later patch of the contract that uses nothing new is as good as this one.
    let newer = Plugin::puppet(&json!({ "name": "newer", "routes": [["new", "/new"]] }));
    let rival = Plugin::puppet(&json!({ "name": "rival", "routes": [["do", "/do"]] }));
    let folder = folder(&[live(), newer.of_contract("0.1.9"), rival]);
    let plugins = folder.path().join("plugins");
    let all = all();
    for bad in &all {
        bad.write(&plugins, &bad.plugin.file);
    }
    let (code, _, errors) = run(command(&folder, &["inspect", "plugins/newer.wasm"])).await;
    assert_eq!(code, Some(0), "{errors}");
    let refused = check(&folder, all.len() + 1).await;
    for bad in &all {
        let reason = &refused[&bad.plugin.file];
        bad.assert_said(reason);
        inspect(&folder, &bad.plugin.file, reason).await;
    }
    assert!(refused["rival.wasm"].contains("rival handles do /do, which plugin live handles"));
    serve(&folder, &all, &refused).await;
}

/// What `check` refuses, so many of them, and why.
async fn check(folder: &TempDir, count: usize) -> BTreeMap<String, String> {
    let (code, said) = run_json(command(folder, &["check", "--json"])).await;
    let refused = reasons(&said["plugins"], "refused");
    assert_eq!((code, refused.len()), (Some(1), count), "{said}");
    let (code, text, errors) = run(command(folder, &["check"])).await;
    let failed = format!("{count} of {} plugins would be refused", count + 2);
    assert!(code == Some(1) && errors.contains(&failed), "{errors}");
    let refusals = refused.iter();
    let refusals = refusals.map(|(file, reason)| format!("{file}: REFUSED: {reason}"));
    let live = [
        "live.wasm: live 1, 1 route",
        "newer.wasm: newer 0.1.0, 1 route",
    ];
    for line in refusals.chain(live.map(str::to_owned)) {
        let line = format!("# plugins/{line}\n");
        assert!(text.contains(&line), "no {line} in\n{text}");
    }
    refused
}

async fn inspect(folder: &TempDir, file: &str, reason: &str) {
    let file = format!("plugins/{file}");
    let (code, said) = run_json(command(folder, &["inspect", "--json", &file])).await;
    assert_eq!(
        (code, &said["refused"]),
        (Some(1), &json!(reason)),
        "{file}"
    );
    let (code, text, errors) = run(command(folder, &["inspect", &file])).await;
    let error = format!("error: {file} would not be loaded: {reason}\n");
    assert!(code == Some(1) && errors.ends_with(&error), "{errors}");
    let first = format!("{file}: {} bytes\n", said["bytes"]);
    assert!(text.starts_with(&first), "{text}");
}

/// Has a host meet all of them at its start, and then each beside what is live and in its place.
async fn serve(folder: &TempDir, all: &[Bad], refused: &BTreeMap<String, String>) {
    let plugins = folder.path().join("plugins");
    let arguments = ["serve", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0"];
    let host = Host::start(command(folder, &arguments)).await;
    for (file, reason) in refused {
        let line = format!("plugin not loaded: {reason}");
        host.program.logged(&["ERROR", file, &line]).await.unwrap();
        std::fs::remove_file(plugins.join(file)).unwrap();
    }
    assert_eq!(host.reload().await, BTreeMap::new());
    let mut client = host.program.connect("A").await.unwrap();
    client.run("/do", json!([["join", "/r"]])).await.unwrap();
    let reply = client.request("new", "/new", json!(1)).await.unwrap();
    assert_eq!(reply["data"]["plugin"], "newer");
    for bad in all {
        let file = &bad.plugin.file;
        let reason = &refused[file];
        bad.write(&plugins, file);
        assert_eq!(host.reload().await.get(file), Some(reason));
        assert_live(&mut client).await;
        std::fs::remove_file(plugins.join(file)).unwrap();
        // Otherwise it would be known as what was renamed.
        host.reload().await;

        bad.write(&plugins, "live.wasm");
        let in_its_place = BTreeMap::from([("live.wasm".to_owned(), reason.clone())]);
        assert_eq!(host.reload().await, in_its_place);
        assert_live(&mut client).await;
        let line = format!("plugin not loaded, and 1 stays live: {reason}");
        host.program
            .logged(&["ERROR", "live.wasm", &line])
            .await
            .unwrap();
        // A reload loads what is broken anew, and each is to be met as often.
        live().write(&plugins);
        assert_eq!(host.reload().await, BTreeMap::new());
    }
    let metrics = host.ask("GET /metrics").await;
    // Each was met at the start, beside what is live and in its place.
    for (limit, files) in [
        ("component_bytes_max", 1),
        ("routes_max", 1),
        ("manifest_bytes_max", 1),
        ("describe_cpu_max", 2),
    ] {
        let series =
            format!("wardroom_limit_reached_total{{tenant=\"default\",limit=\"{limit}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&series));
        assert_eq!(line, Some((3 * files).to_string().as_str()), "{limit}");
    }
    assert_live(&mut client).await;
}

/// Flips a bit in the middle of each file that is there with this extension.
fn corrupt(cache: &Path) {
    for entry in std::fs::read_dir(cache).unwrap() {
        let file = entry.unwrap().path();
        if file
            .extension()
            .is_some_and(|extension| extension == "cwasm")
        {
            let mut bytes = std::fs::read(&file).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(file, bytes).unwrap();
        }
    }
}

#[tokio::test]
async fn a_corrupt_cache_entry_is_compiled_anew_wherever_it_is_met() {
    let folder = folder(&[Plugin::built("echo")]);
    let caches = folder.path().to_str().unwrap();
    let cache = folder.path().join("wardroom");
    let command = |arguments: &[&str]| command(&folder, arguments).with("XDG_CACHE_HOME", caches);
    let anew = "cached code is not used, and compiled anew";
    let (code, _, errors) = run(command(&["inspect", "plugins/echo.wasm"])).await;
    assert!(code == Some(0) && !errors.contains(anew), "{errors}");
    for arguments in [&["inspect", "plugins/echo.wasm"][..], &["check"]] {
        corrupt(&cache);
        let (code, _, errors) = run(command(arguments)).await;
        assert!(code == Some(0) && errors.contains(anew), "{errors}");
        let (code, _, errors) = run(command(arguments)).await;
        assert!(code == Some(0) && !errors.contains(anew), "{errors}");
    }
    let plugins = folder.path().join("plugins");
    std::fs::remove_file(plugins.join("echo.wasm")).unwrap();
    corrupt(&cache);
    live().write(&plugins);
    let arguments = ["serve", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0"];
    let host = Host::start(command(&arguments)).await;
    let mut client = host.program.connect("A").await.unwrap();
    client.run("/do", json!([["join", "/r"]])).await.unwrap();
    Plugin::built("echo").write(&plugins);
    assert_eq!(host.reload().await, BTreeMap::new());
    host.program.logged(&["WARN", anew]).await.unwrap();
    let reply = client.request("echo", "/echo", json!(1)).await.unwrap();
    assert_eq!(reply["data"], 1);
    assert_live(&mut client).await;
    // What `serve` warns of, and goes on, `check` says too.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&cache, open).unwrap();
    let (code, _, errors) = run(command(&["check"])).await;
    assert!(
        code == Some(0) && errors.contains("is not kept"),
        "{errors}"
    );
}

#[tokio::test]
async fn what_only_a_folder_shows_check_says_as_well() {
    let folder = folder(&[live(), Plugin::built("echo").named("a.wasm")]);
    let plugins = folder.path().join("plugins");
    Plugin::built("echo").named("b.wasm").write(&plugins);
    Plugin::built("echo").write(folder.path());
    std::os::unix::fs::symlink("../echo.wasm", plugins.join("link.wasm")).unwrap();
    std::fs::create_dir(plugins.join("folder.wasm")).unwrap();
    let (code, said) = run_json(command(&folder, &["check", "--json"])).await;
    let refused = reasons(&said["plugins"], "refused");
    assert_eq!((code, refused.len()), (Some(1), 2), "{said}");
    let twice = "plugin echo is in plugins/a.wasm already; rename one of them";
    assert_eq!(refused["b.wasm"], twice);
    assert!(refused["link.wasm"].starts_with("a link that leaves the folder, to "));
    assert!(refused["link.wasm"].ends_with("; copy the file instead"));
    let arguments = ["serve", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0"];
    let host = Host::start(command(&folder, &arguments)).await;
    assert_eq!(host.reload().await, refused);
}

#[tokio::test]
async fn what_has_no_end_or_is_no_file_is_not_inspected_for_long() {
    let folder = folder(&[]);
    let (code, said) = run_json(command(&folder, &["inspect", "--json", "/dev/zero"])).await;
    assert_eq!((code, &said["bytes"]), (Some(1), &json!((64 << 20) + 1)));
    let reason = said["refused"].as_str().unwrap();
    assert!(
        reason.contains("component_bytes_max (67108864)"),
        "{reason}"
    );
    for (file, why) in [
        ("plugins", "Is a directory"),
        ("missing.wasm", "No such file"),
    ] {
        let (code, out, errors) = run(command(&folder, &["inspect", file])).await;
        let start = format!("error: {file}: cannot be read: {why}");
        assert!(
            code == Some(1) && out.is_empty() && errors.starts_with(&start),
            "{errors}"
        );
    }
}
