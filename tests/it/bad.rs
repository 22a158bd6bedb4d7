//! Files that are bad by themselves, of every kind, and what is said of each: what is wrong, where, what to do.

use serde_json::{Value, json};
use std::path::Path;
use wardroom_tests::Plugin;

/// Larger than any memory, and no room on a disk: the file has a hole.
const GIANT_BYTES: u64 = 1 << 40;

/// A file, and parts of what is said of it: what is wrong, where, what to do.
pub(crate) struct Bad {
    pub(crate) plugin: Plugin,
    says: Vec<&'static str>,
}

fn bad(plugin: Plugin, says: &[&'static str]) -> Bad {
    let says = says.to_vec();
    Bad { plugin, says }
}

/// One whose manifest is bad, or what makes it.
fn manifest(file: &str, mut manifest: Value, says: &[&'static str]) -> Bad {
    if manifest.get("name").is_none() {
        manifest["name"] = json!("puppet");
    }
    let plugin = Plugin::puppet(&manifest).named(&format!("{file}.wasm"));
    bad(plugin, says)
}

/// What is live, and stays so.
pub(crate) fn live() -> Plugin {
    Plugin::puppet(&json!({ "name": "live", "version": "1", "routes": [["do", "/do"]] }))
}

fn none_of_ours() -> Vec<Bad> {
    let build = "cargo build --target wasm32-wasip2";
    let cut = ["not a valid component", "out of bounds", "copy it again"];
    let bytes = Plugin::built("echo").bytes;
    let half = &bytes[..bytes.len() / 2];
    let command = r#"(component (instance $run) (export "wasi:cli/run@0.2.6" (instance $run)))"#;
    let keys = r#"(component (import "wasi:keyvalue/store@0.2.0" (instance)))"#;
    let proxy = r#"(component (import "wasi:http/incoming-handler@0.2.6" (instance (export "handle" (func)))))"#;
    let large =
        "(component (core module $large (memory 2000)) (core instance (instantiate $large)))";
    vec![
        bad(Plugin::file("half.wasm", half), &cut),
        bad(Plugin::file("empty.wasm", b""), &["not WebAssembly", build]),
        bad(
            Plugin::file("text.wasm", b"#!/bin/sh"),
            &["not WebAssembly", build],
        ),
        bad(
            Plugin::text("module.wasm", "(module)"),
            &["a core module", build],
        ),
        bad(
            Plugin::text("large.wasm", large),
            &["cannot be loaded", "memory_bytes_max"],
        ),
        bad(
            Plugin::text("command.wasm", command),
            &[
                "does not export `wardroom:plugin/manifest`",
                "wardroom_sdk::plugin!",
            ],
        ),
        bad(
            Plugin::text("keys.wasm", keys),
            &[
                "imports `wasi:keyvalue/store@0.2.0`",
                "may import wardroom:plugin, wasi:cli@0.2 and wasi:http@0.2",
            ],
        ),
        bad(
            Plugin::text("proxy.wasm", proxy),
            &["`wasi:http/incoming-handler@0.2.6`"],
        ),
        bad(
            live()
                .with("wardroom:plugin/", "somebody:plugin/")
                .named("somebody.wasm"),
            &["imports `somebody:plugin/", "may import wardroom:plugin"],
        ),
    ]
}

fn of_other_versions() -> Vec<Bad> {
    let rebuild = "rebuild it with an SDK of that version";
    let speaks = "this host speaks wardroom:plugin@0.1.0";
    let update = "or update the host";
    let unversioned = r#"(component (import "wardroom:plugin/rooms" (instance)))"#;
    let function =
        r#"(component (import "wardroom:plugin/rooms@0.1.9" (instance (export "empty" (func)))))"#;
    let interface =
        r#"(component (import "wardroom:plugin/votes@0.1.9" (instance (export "cast" (func)))))"#;
    let types = r#"(component (import "wardroom:plugin/rooms@0.1.0"
        (instance (export "joined" (func (result u32))))))"#;
    let exports = live().with(
        "wardroom:plugin/manifest@0.1.0",
        "wardroom:plugin/manifest@0.2.0",
    );
    vec![
        bad(
            live().of_contract("0.2.0").named("next.wasm"),
            &["@0.2.0`, but", speaks, rebuild],
        ),
        bad(
            live().of_contract("0.0.9").named("before.wasm"),
            &["@0.0.9`, but", speaks, rebuild],
        ),
        bad(
            exports.named("exports.wasm"),
            &["plugin/manifest@0.2.0`, but", speaks, rebuild],
        ),
        bad(
            Plugin::text("unversioned.wasm", unversioned),
            &["plugin/rooms`, but", speaks],
        ),
        bad(
            Plugin::text("function.wasm", function),
            &["rooms@0.1.9", "`empty`", "0.1.0", update],
        ),
        bad(
            Plugin::text("interface.wasm", interface),
            &["votes@0.1.9", "`cast`", "0.1.0", update],
        ),
        bad(
            Plugin::text("types.wasm", types),
            &["`joined`", "expected `list` found `u32`", update],
        ),
    ]
}

fn that_fail_or_go_on() -> Vec<Bad> {
    let pure = "it must be pure, and quick";
    let says = |step: Value| json!({ "describe": [step] });
    let trap = ["describe failed", "unreachable", pure];
    let spin = ["longer than describe_cpu_max (100ms)", pure];
    let many = ["10000 routes", "routes_max (2000)", "raise the limit"];
    let much = ["than manifest_bytes_max (1048576) bytes", "raise the limit"];
    vec![
        manifest("trap", says(json!(["trap"])), &trap),
        manifest("spin", says(json!(["spin"])), &spin),
        bad(Plugin::starting("start", "(loop (br 0))"), &spin),
        bad(Plugin::starting("start-trap", "unreachable"), &trap),
        manifest("exit", says(json!(["exit", 0])), &["describe failed", pure]),
        manifest("many", json!({ "routes": { "generate": 10_000 } }), &many),
        bad(Plugin::repeating("much", 100_000, 1_000), &much),
    ]
}

fn that_lie() -> Vec<Bad> {
    let without = |wanting: &str| Plugin::bare(wanting).named(&format!("no-{wanting}.wasm"));
    let routes = ["has routes", "`wardroom:plugin/messages`", "leave them out"];
    let hooks = ["hooks", "`wardroom:plugin/connections`", "leave them out"];
    vec![
        bad(without("routes"), &routes),
        bad(without("hooks"), &hooks),
        manifest(
            "name",
            json!({ "name": "Capital" }),
            &["the name \"Capital\"", "1 to 63 characters of a-z"],
        ),
        manifest(
            "long",
            json!({ "name": "x".repeat(7_000) }),
            &["the name \"xxx", "…\" must have"],
        ),
        manifest(
            "version",
            json!({ "version": "1\nERROR all is lost" }),
            &["the version \"1\\nERROR", "no control characters"],
        ),
        manifest(
            "empty-event",
            json!({ "routes": [["a", "/a"], ["", "/b"]] }),
            &["route 1: the event \"\"", "1 to 128 bytes"],
        ),
        manifest(
            "event",
            json!({ "routes": [["a\nb", "/a"]] }),
            &["the event \"a\\nb\"", "no control characters"],
        ),
        manifest(
            "path",
            json!({ "routes": [["a", "/a\u{1b}"]] }),
            &["the path \"/a\\u{1b}\"", "no control characters"],
        ),
        manifest(
            "pattern",
            json!({ "routes": [["get", "/a/:id(["]] }),
            &["route 0 (get \"/a/:id([\")", "is never closed: add `)`"],
        ),
        manifest(
            "twice",
            json!({ "routes": [["get", "/a/:x"], ["get", "/a/:y"]] }),
            &["routes 0 and 1 are the same: get /a/:y", "leave one of"],
        ),
        manifest(
            "hook",
            json!({ "hooks": ["birth"] }),
            &["unknown hook \"birth\"", "connect and disconnect are known"],
        ),
        manifest(
            "mode",
            json!({ "mode": "eternal" }),
            &["unknown mode \"eternal\"", "fresh and singleton are known"],
        ),
    ]
}

/// All that is bad by itself.
pub(crate) fn all() -> Vec<Bad> {
    let mut all = none_of_ours();
    all.extend(of_other_versions());
    all.extend(that_fail_or_go_on());
    all.extend(that_lie());
    // Its bytes are made where it is written.
    let giant = [
        "1099511627776 bytes",
        "component_bytes_max (67108864)",
        "raise the limit",
    ];
    all.push(bad(Plugin::file("giant.wasm", b""), &giant));
    all
}

impl Bad {
    pub(crate) fn write(&self, folder: &Path, file: &str) {
        self.plugin.clone().named(file).write(folder);
        if self.plugin.file == "giant.wasm" {
            let file = std::fs::File::options().write(true).open(folder.join(file));
            file.unwrap().set_len(GIANT_BYTES).unwrap();
        }
    }

    pub(crate) fn assert_said(&self, reason: &str) {
        for part in &self.says {
            assert!(
                reason.contains(part),
                "{}: no {part} in {reason}",
                self.plugin.file
            );
        }
        // It fits on a line, and the line ends.
        assert!(
            !reason.contains(char::is_control) && reason.len() < 4_000,
            "{reason}"
        );
    }
}
