//! Holds the rules of structure: who may use whom, how long a file is, what it may be called, which words are used,
//! and that every limit is tested.

use std::path::{Path, PathBuf};
use wardroom::Limit;
use wardroom_tests::guests::repository;

/// Rust files below a folder of the repository, with their text. Build output and installed packages are none.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    files(&repository().join(folder), &["rs"])
}

fn files(folder: &Path, extensions: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.')
                    && !["target", "node_modules", "dist"].contains(&name.as_str())
                {
                    folders.push(path);
                }
            } else if extensions.contains(
                &path
                    .extension()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .as_ref(),
            ) {
                let text = std::fs::read_to_string(&path).unwrap();
                let relative = path.strip_prefix(repository()).unwrap().to_owned();
                found.push((relative, text));
            }
        }
    }
    found.sort();
    found
}

/// The module of the host that a file is part of: `ws` for `host/src/ws/socket.rs`.
fn module(file: &Path) -> String {
    let below = file.strip_prefix("host/src").unwrap();
    let first = below
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_string_lossy()
        .into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// Code without comments and without the tests at its end.
fn code(text: &str) -> String {
    let text = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect()
}

pub(crate) fn mentions(code: &str, word: &str) -> bool {
    let part_of_name = |letter: char| letter.is_alphanumeric() || letter == '_';
    code.match_indices(word).any(|(start, _)| {
        let before = code[..start].chars().next_back();
        let after = code[start + word.len()..].chars().next();
        !before.is_some_and(part_of_name) && !after.is_some_and(part_of_name)
    })
}

pub(crate) fn none(problems: &[String]) {
    assert!(problems.is_empty(), "\n  {}\n", problems.join("\n  "));
}

/// What each module of the host may use of the others; ARCHITECTURE.md says why.
const MAY_USE: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("reread", &[]),
    ("auth", &["protocol", "reread"]),
    ("config", &["auth"]),
    ("rate", &[]),
    ("cluster", &["config"]),
    ("metrics", &["config", "cluster"]),
    ("hub", &["protocol", "cluster", "config", "rate"]),
    ("state", &["config", "cluster"]),
    (
        "plugin",
        &["hub", "state", "protocol", "config", "metrics", "rate"],
    ),
    (
        "tenant",
        &[
            "hub", "state", "plugin", "config", "protocol", "metrics", "rate",
        ],
    ),
    (
        "dispatch",
        &["plugin", "hub", "protocol", "config", "tenant"],
    ),
    (
        "ws",
        &[
            "dispatch", "hub", "protocol", "config", "tenant", "metrics", "rate",
        ],
    ),
    (
        "server",
        &[
            "ws", "dispatch", "plugin", "hub", "state", "protocol", "config", "tenant", "cluster",
            "metrics", "rate", "auth", "reread",
        ],
    ),
    ("admin", &["config", "server", "tenant", "plugin"]),
    (
        "cli",
        &[
            "config", "server", "plugin", "cluster", "tenant", "metrics", "admin",
        ],
    ),
];

#[test]
fn modules_use_what_is_below_them() {
    let mut problems = Vec::new();
    for (file, text) in sources("host/src") {
        let module = module(&file);
        // Tests put together what they test.
        if ["lib", "main"].contains(&module.as_str()) || file.ends_with("tests.rs") {
            continue;
        }
        let Some((_, may_use)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            problems.push(format!(
                "{}: a new module `{module}`: say here what it may use",
                file.display()
            ));
            continue;
        };
        let code = code(&text);
        for (other, _) in MAY_USE
            .iter()
            .filter(|(other, _)| *other != module && !may_use.contains(other))
        {
            if mentions(&code, &format!("crate::{other}")) {
                problems.push(format!(
                    "{}: `{module}` must not use `{other}`",
                    file.display()
                ));
            }
        }
    }
    none(&problems);
}

#[test]
fn dependencies_stay_where_they_belong() {
    let owners = [
        ("wasmtime", &["plugin"][..]),
        ("wasmtime_wasi", &["plugin"]),
        ("jsonwebtoken", &["auth"]),
        ("tokio_rustls", &["server", "plugin"]),
        ("wasmtime_wasi_http", &["plugin"]),
        ("tokio_tungstenite", &["ws"]),
        ("tungstenite", &["ws"]),
        ("metrics_exporter_prometheus", &["metrics"]),
        ("redb", &["state"]),
        ("async_nats", &["cluster", "state"]),
    ];
    let mut problems = Vec::new();
    for (file, text) in sources("host/src") {
        let (module, code) = (module(&file), code(&text));
        for (dependency, owners) in owners {
            if !owners.contains(&module.as_str()) && mentions(&code, &format!("{dependency}::")) {
                problems.push(format!(
                    "{}: only {owners:?} know {dependency}",
                    file.display()
                ));
            }
        }
        // The bus speaks with it on one server and on a cluster of them, and so does the state that hosts share.
        let is_of_redis = [
            "host/src/cluster/redis.rs",
            "host/src/cluster/redis_server.rs",
            "host/src/cluster/sharded",
            "host/src/state/shared/redis",
        ];
        if !is_of_redis.iter().any(|owner| file.starts_with(owner))
            && ["use redis::", "= redis::"]
                .iter()
                .any(|way| code.contains(way))
        {
            problems.push(format!(
                "{}: only {is_of_redis:?} know redis",
                file.display()
            ));
        }
        if module != "cli" && module != "main" && mentions(&code, "anyhow") {
            problems.push(format!("{}: anyhow is for cli and main", file.display()));
        }
    }
    none(&problems);
}

#[test]
fn protocol_and_router_are_pure() {
    let impure = [
        "async",
        "await",
        "tokio",
        "std::net",
        "std::fs",
        "std::time",
        "Instant",
        "SystemTime",
    ];
    let mut problems = Vec::new();
    let protocol = sources("host/src")
        .into_iter()
        .filter(|(file, _)| module(file) == "protocol");
    for (file, text) in protocol.chain(sources("host/router/src")) {
        let code = code(&text);
        for word in impure.iter().filter(|word| mentions(&code, word)) {
            problems.push(format!("{}: `{word}` is not pure", file.display()));
        }
    }
    none(&problems);
}

#[test]
fn files_are_short_and_named_after_things() {
    const LINES_MAX: usize = 400;
    let vague = [
        "utils", "util", "common", "helpers", "helper", "types", "manager", "misc",
    ];
    let mut problems = Vec::new();
    let folders = ["host", "guest-sdk", "plugins", "tests"];
    for (file, text) in folders.iter().flat_map(|folder| sources(folder)) {
        let lines = text.lines().count();
        if lines > LINES_MAX {
            problems.push(format!(
                "{}: {lines} lines, at most {LINES_MAX}",
                file.display()
            ));
        }
        let named = file.components().any(|part| {
            vague.contains(&part.as_os_str().to_string_lossy().trim_end_matches(".rs"))
        });
        // The cases of the macros' messages are named after what is wrong.
        if named && !file.starts_with("guest-sdk/tests/ui") {
            problems.push(format!("{}: a name that says nothing", file.display()));
        }
    }
    none(&problems);
}

#[test]
fn main_is_small() {
    let main = std::fs::read_to_string(repository().join("host/src/main.rs")).unwrap();
    assert!(
        main.lines().count() <= 80,
        "host/src/main.rs has {} lines, at most 80",
        main.lines().count()
    );
}

#[test]
fn no_test_is_ignored_and_none_sleeps() {
    let mut problems = Vec::new();
    for (file, text) in ["host", "guest-sdk", "plugins", "tests"]
        .iter()
        .flat_map(|folder| sources(folder))
    {
        let ours = file.ends_with("tests/it/tidy.rs") || file.starts_with("tests/guests");
        let test = file.starts_with("tests") && !file.starts_with("tests/bench");
        for (number, line) in text.lines().enumerate().filter(|_| !ours) {
            if line.trim_start().starts_with("#[ignore") {
                problems.push(format!(
                    "{}:{}: an ignored test",
                    file.display(),
                    number + 1
                ));
            }
            if test
                && ["thread::sleep(", "time::sleep("]
                    .iter()
                    .any(|sleep| line.contains(sleep))
            {
                problems.push(format!(
                    "{}:{}: a test waits for what happens",
                    file.display(),
                    number + 1
                ));
            }
        }
    }
    none(&problems);
}

#[test]
fn one_word_for_each_thing() {
    // The words not to be used, and what we say.
    let words = [
        ("topic", "room or event"),
        ("session", "connection"),
        ("subscriber list", "members"),
        ("whitelist", "allow-list"),
    ];
    let mut problems = Vec::new();
    let root = repository();
    let documents = ["host", "guest-sdk", "plugins", "wit"]
        .iter()
        .flat_map(|folder| files(&root.join(folder), &["rs", "wit", "md"]));
    for (file, text) in documents {
        for (number, line) in text.lines().enumerate() {
            for (word, instead) in words
                .iter()
                .filter(|(word, _)| mentions(&line.to_lowercase(), word))
            {
                problems.push(format!(
                    "{}:{}: `{word}`: we say {instead}",
                    file.display(),
                    number + 1
                ));
            }
        }
    }
    none(&problems);
}

/// Each has a test that comes to it, or a transcript, and says how often its metric counted that.
#[test]
fn every_limit_is_tested_and_counted() {
    let tests: String = sources("tests/it")
        .into_iter()
        .filter(|(file, _)| !file.ends_with("tests/it/tidy.rs"))
        .map(|(_, text)| text.split_whitespace().collect::<String>())
        .collect();
    let transcripts: String = files(&repository().join("tests/transcripts"), &["txt"])
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    let is_counted = |limit: &Limit| {
        let asked = ["reached", "reaches"].map(|way| format!("{way}(Limit::{limit:?}"));
        asked.iter().any(|call| tests.contains(call))
            || transcripts.contains(&format!("Host reached {} ", limit.key()))
    };
    let uncounted = Limit::ALL.into_iter().filter(|limit| !is_counted(limit));
    none(
        &uncounted
            .map(|limit| format!("no test and no transcript counts `{}`", limit.key()))
            .collect::<Vec<_>>(),
    );
}
