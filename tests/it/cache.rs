//! Compiled code on disk: it is used when it is certainly what the host wrote, and otherwise made anew.

use crate::program::wardroom;
use serde_json::{Value, json};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use wardroom::{Config, Limit};
use wardroom_tests::binary::{Invocation, Program};
use wardroom_tests::{Plugin, TestServer};

const CACHED: &str = "from the cache";
const COMPILED: &str = "compiled in";

/// Starts a host with this cache and waits until its plugins are loaded.
async fn start_with(
    cache: &Path,
    plugins: &[Plugin],
    configure: impl FnOnce(&mut Config),
) -> TestServer {
    let server = TestServer::start(plugins, |config| {
        config.cache = Some(cache.to_owned());
        configure(config);
    })
    .unwrap();
    server.connect("A").await.unwrap().barrier().await.unwrap();
    server
}

async fn start(cache: &Path, plugins: &[Plugin]) -> TestServer {
    start_with(cache, plugins, |_| {}).await
}

fn echo() -> Plugin {
    Plugin::built("echo")
}

fn bare() -> Plugin {
    Plugin::bare("nothing")
}

/// Where a plugin's code came from, as the log has it.
fn assert_origin(server: &TestServer, plugin: &str, origin: &str) {
    let name = format!("plugin={plugin}");
    let lines = server.log.lines_with(&[&name, "plugin loaded", origin]);
    assert_eq!(lines.len(), 1, "{origin}?\n{}", server.log.text());
}

async fn assert_answers(server: &TestServer) {
    let mut client = server.connect("B").await.unwrap();
    let reply = client.request("echo", "/echo", json!(1)).await.unwrap();
    assert_eq!(reply["data"], 1, "{}", server.log.text());
}

/// The files of a cache with this extension, the oldest first.
fn files(cache: &Path, extension: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(cache).unwrap();
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|it| it == extension));
    files.sort_by_key(|file| file.metadata().unwrap().modified().unwrap());
    files
}

/// A folder as a cache must be.
fn private_folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    set_mode(folder.path(), 0o700);
    folder
}

/// A cache with echo alone, and its two files.
async fn cache_of_echo() -> (TempDir, PathBuf, PathBuf) {
    let cache = private_folder();
    drop(start(cache.path(), &[echo()]).await);
    let (code, facts) = (files(cache.path(), "cwasm"), files(cache.path(), "json"));
    assert_eq!((code.len(), facts.len()), (1, 1));
    (cache, code[0].clone(), facts[0].clone())
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn a_second_start_compiles_nothing() {
    let folder = TempDir::new().unwrap();
    let cache = folder.path().join("made/as/needed");
    let plugins = [echo(), Plugin::built("chat")];
    let server = start(&cache, &plugins).await;
    assert_origin(&server, "echo", COMPILED);
    assert_origin(&server, "chat", COMPILED);
    drop(server);
    let server = start(&cache, &plugins).await;
    assert_origin(&server, "echo", CACHED);
    assert_origin(&server, "chat", CACHED);
    assert!(server.log.lines_with(&[COMPILED]).is_empty());
    assert!(server.log.lines_with(&["WARN"]).is_empty());
    assert_answers(&server).await;
    assert_eq!(mode(&cache), 0o700);
    for file in files(&cache, "cwasm") {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn the_program_keeps_its_code_for_the_next() {
    let folder = TempDir::new().unwrap();
    echo().write(folder.path());
    let plugins = text(folder.path());
    let arguments = ["serve", "--plugins", plugins, "--listen", "127.0.0.1:0"];
    let invocation = Invocation::new(&wardroom(), &arguments);
    let invocation = invocation.with("XDG_CACHE_HOME", text(folder.path()));
    for origin in [COMPILED, CACHED] {
        let program = Program::invoke(&invocation).await.unwrap();
        program.signal("TERM").await.unwrap();
        let (_, log) = program.wait().await.unwrap();
        assert!(log.contains(origin), "{log}");
    }
    assert_eq!(mode(&folder.path().join("wardroom")), 0o700);
}

#[tokio::test]
async fn what_is_not_what_was_written_is_compiled_anew() {
    let (cache, code, facts) = cache_of_echo().await;
    let other = private_folder();
    drop(start(other.path(), &[bare()]).await);
    let (other_code, other_facts) = (files(other.path(), "cwasm"), files(other.path(), "json"));
    let (whole, known) = (
        std::fs::read(&code).unwrap(),
        std::fs::read(&facts).unwrap(),
    );
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let longer = [&whole[..], b"!"].concat();
    let mut unknown: Value = serde_json::from_slice(&known).unwrap();
    unknown["more"] = json!(true);
    let unknown = unknown.to_string();
    let copy = |from: &Path, to: &Path| {
        std::fs::copy(from, to).unwrap();
    };
    let write = |to: &Path, bytes: &[u8]| std::fs::write(to, bytes).unwrap();
    let changes: [(&str, &dyn Fn()); 14] = [
        ("cut", &|| write(&code, &whole[..whole.len() / 2])),
        ("empty", &|| write(&code, b"")),
        ("longer", &|| write(&code, &longer)),
        ("a bit flipped", &|| write(&code, &flipped)),
        ("another plugin's code", &|| copy(&other_code[0], &code)),
        ("another plugin's facts", &|| copy(&other_facts[0], &facts)),
        ("another plugin's code and facts", &|| {
            copy(&other_code[0], &code);
            copy(&other_facts[0], &facts);
        }),
        ("no code", &|| std::fs::remove_file(&code).unwrap()),
        ("facts of another version", &|| {
            write(&facts, unknown.as_bytes())
        }),
        ("no facts at all", &|| {
            write(&facts, b"it is fine, trust me")
        }),
        ("code that others may write", &|| set_mode(&code, 0o620)),
        ("facts that others may write", &|| set_mode(&facts, 0o602)),
        ("a link to code", &|| {
            let elsewhere = cache.path().join("elsewhere");
            std::fs::rename(&code, &elsewhere).unwrap();
            symlink(&elsewhere, &code).unwrap();
        }),
        ("a pipe", &|| {
            std::fs::remove_file(&facts).unwrap();
            let made = std::process::Command::new("mkfifo").arg(&facts).status();
            assert!(made.unwrap().success());
        }),
    ];
    for (change, make) in changes {
        make();
        let server = start(cache.path(), &[echo()]).await;
        assert_origin(&server, "echo", COMPILED);
        let warnings = server.log.lines_with(&["WARN", "cached code is not used"]);
        assert_eq!(warnings.len(), 1, "{change}: {}", server.log.text());
        assert_answers(&server).await;
        assert_eq!(files(cache.path(), "cwasm"), [code.as_path()], "{change}");
    }
    let server = start(cache.path(), &[echo()]).await;
    assert_origin(&server, "echo", CACHED);
}

#[tokio::test]
async fn half_an_entry_is_none() {
    let (cache, code, facts) = cache_of_echo().await;
    // As a host leaves it that ends between the two.
    std::fs::remove_file(&facts).unwrap();
    std::fs::write(&code, "half").unwrap();
    let server = start(cache.path(), &[echo()]).await;
    assert_origin(&server, "echo", COMPILED);
    assert_answers(&server).await;
    drop(server);
    assert_origin(&start(cache.path(), &[echo()]).await, "echo", CACHED);
}

#[tokio::test]
async fn what_cannot_be_removed_is_not_used_either() {
    let (cache, code, _) = cache_of_echo().await;
    std::fs::remove_file(&code).unwrap();
    std::fs::create_dir_all(code.join("folder")).unwrap();
    for _ in 0..2 {
        let server = start(cache.path(), &[echo()]).await;
        assert_origin(&server, "echo", COMPILED);
        let kept = server.log.lines_with(&["WARN", "is not kept"]);
        assert_eq!(kept.len(), 1, "{}", server.log.text());
        assert_answers(&server).await;
    }
}

#[tokio::test]
async fn folders_that_others_can_reach_into_are_not_used() {
    let folder = TempDir::new().unwrap();
    let in_folder = |name: &str| folder.path().join(name);
    for (name, mode) in [("group", 0o710), ("others", 0o704), ("all", 0o777)] {
        std::fs::create_dir(in_folder(name)).unwrap();
        set_mode(&in_folder(name), mode);
    }
    symlink(in_folder("others"), in_folder("link")).unwrap();
    std::fs::write(in_folder("file"), "").unwrap();
    for (name, why) in [
        ("group", "mode 710"),
        ("others", "mode 704"),
        ("all", "chmod 700"),
        ("link", "mode 704"),
        ("file", "cannot use the folder"),
        ("file/below", "cannot use the folder"),
    ] {
        let server = start(&in_folder(name), &[echo()]).await;
        let warnings = server.log.lines_with(&["WARN", "is not kept", name, why]);
        assert_eq!(warnings.len(), 1, "{name}: {}", server.log.text());
        assert_origin(&server, "echo", COMPILED);
        assert_answers(&server).await;
    }
    assert!(files(&in_folder("others"), "cwasm").is_empty());
    // A link to a good one is good.
    std::fs::remove_file(in_folder("link")).unwrap();
    set_mode(&in_folder("all"), 0o700);
    symlink(in_folder("all"), in_folder("link")).unwrap();
    drop(start(&in_folder("link"), &[echo()]).await);
    let server = start(&in_folder("all"), &[echo()]).await;
    assert_origin(&server, "echo", CACHED);
}

#[tokio::test]
async fn somebody_elses_folder_is_not_used() {
    // Root can give a folder away; anybody else finds one of root's.
    let folder = private_folder();
    let given = std::os::unix::fs::chown(folder.path(), Some(65_534), None).is_ok();
    let elses = if given { folder.path() } else { Path::new("/") };
    let server = start(elses, &[echo()]).await;
    let warnings = server
        .log
        .lines_with(&["WARN", "is not kept", "belongs to user"]);
    assert_eq!(warnings.len(), 1, "{}", server.log.text());
    assert_answers(&server).await;
}

#[tokio::test]
async fn a_manifest_is_kept_with_the_code_and_checked_again() {
    let cache = private_folder();
    let puppet = Plugin::puppet(&json!({
        "name": "puppet",
        "routes": [["do", "/do"], ["do", "/do/:it"]],
        "describe": [["log", "warn", "describing", []]],
    }));
    let plugins = [puppet];
    let asked = |server: &TestServer| !server.log.lines_with(&["describing"]).is_empty();
    assert!(asked(&start(cache.path(), &plugins).await));
    let server = start(cache.path(), &plugins).await;
    assert!(!asked(&server), "{}", server.log.text());
    let mut client = server.connect("B").await.unwrap();
    let answer = client.run("/do/1", json!([["value", 1]])).await.unwrap();
    assert_eq!(answer, json!([1]));
    // Whether it can answer may depend on its memory, so under another limit it is asked again, and only then.
    let more = |config: &mut Config| config.limits.memory_bytes_max += 1 << 16;
    for asks in [true, false] {
        let server = start_with(cache.path(), &plugins, more).await;
        assert_origin(&server, "puppet", CACHED);
        assert_eq!(asked(&server), asks, "{}", server.log.text());
    }
    let one = |config: &mut Config| config.limits.routes_max = 1;
    let server = start_with(cache.path(), &plugins, one).await;
    server
        .logged(&["puppet.wasm", "routes_max (1)"])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_refused_plugin_is_compiled_once() {
    let cache = private_folder();
    let root = Plugin::text("root.wasm", r#"(component (import "shell" (func)))"#);
    drop(start(cache.path(), std::slice::from_ref(&root)).await);
    let code = files(cache.path(), "cwasm");
    assert_eq!(code.len(), 1);
    let used = SystemTime::UNIX_EPOCH;
    let file = std::fs::File::open(&code[0]).unwrap();
    file.set_modified(used).unwrap();
    let server = start(cache.path(), &[root]).await;
    server.logged(&["root.wasm", "shell"]).await.unwrap();
    // The open file has been marked as used, and not replaced by another.
    let modified = file.metadata().unwrap().modified().unwrap();
    assert_ne!(modified, used, "{}", server.log.text());
}

#[tokio::test]
async fn cache_bytes_max() {
    let cache = private_folder();
    let hours_ago = |file: &Path, hours: u64| {
        let time = SystemTime::now() - Duration::from_secs(hours * 3600);
        let file = std::fs::File::open(file).unwrap();
        file.set_modified(time).unwrap();
    };
    let age = |hours: u64| {
        for extension in ["cwasm", "json"] {
            let all = files(cache.path(), extension);
            all.iter().for_each(|file| hours_ago(file, hours));
        }
    };
    let entries = || files(cache.path(), "cwasm").len();
    let bytes = || -> usize {
        let all = [files(cache.path(), "cwasm"), files(cache.path(), "json")].concat();
        let sizes = all.iter().map(|file| file.metadata().unwrap().len());
        usize::try_from(sizes.sum::<u64>()).unwrap()
    };
    drop(start(cache.path(), &[echo()]).await);
    age(3);
    drop(start(cache.path(), &[bare()]).await);
    let two = bytes();
    // Somebody else's file, and what a host left behind that was killed.
    let notes = cache.path().join("notes.txt");
    std::fs::write(&notes, vec![b'x'; 1 << 20]).unwrap();
    let (old, new) = (
        cache.path().join(".old.part"),
        cache.path().join(".new.part"),
    );
    for part in [&old, &new] {
        std::fs::write(part, "half").unwrap();
    }
    hours_ago(&old, 2);
    // Echo becomes the one used last; now there is room for the two, and just none for a third.
    age(2);
    drop(start(cache.path(), &[echo()]).await);
    let puppet = Plugin::puppet(&json!({ "name": "puppet" }));
    drop(start(cache.path(), std::slice::from_ref(&puppet)).await);
    let three = bytes();
    assert_eq!(entries(), 3, "by default there is room");
    assert!(notes.exists() && new.exists() && !old.exists());
    for (max, left) in [(three, 3), (three - 1, 2)] {
        let newest = files(cache.path(), "cwasm").pop().unwrap();
        std::fs::remove_file(newest.with_extension("json")).unwrap();
        std::fs::remove_file(newest).unwrap();
        assert_eq!(bytes(), two);
        let limit = |config: &mut Config| config.limits.cache_bytes_max = max;
        let server = start_with(cache.path(), std::slice::from_ref(&puppet), limit).await;
        assert_eq!(entries(), left, "{}", server.log.text());
        let removed = server.log.lines_with(&["cache_bytes_max"]);
        assert_eq!(removed.len(), 3 - left, "{}", server.log.text());
        assert_eq!(server.reached(Limit::CacheBytesMax), (3 - left) as u64);
    }
    assert_origin(&start(cache.path(), &[echo()]).await, "echo", CACHED);
    assert_origin(&start(cache.path(), &[bare()]).await, "bare", COMPILED);
}

#[tokio::test]
async fn no_folder_is_said_once() {
    let server = TestServer::start(&[echo()], |config| config.cache = None).unwrap();
    assert_answers(&server).await;
    let said = server.log.lines_with(&["INFO", "is not kept", "cache"]);
    assert_eq!(said.len(), 1, "{}", server.log.text());
}
