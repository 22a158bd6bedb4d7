//! A plugin that does what it is told: its manifest is text that the harness writes into the built component, its
//! handlers run the script that the message's data or the connection's query holds. So one build is every well
//! and badly behaved plugin that the tests need. It is written on the bare contract, without the SDK.
//!
//! The event `do` runs its data as a script (see `script.rs`) and answers the list of results, `random` misbehaves
//! by the number in its data, `whoami` answers `{id, rooms}`, and any other event answers what the handler was
//! given. The hooks run the scripts in the query's `upgrade`, `connect` and `disconnect`, or `NAME.connect` and so
//! on for the plugin of that name alone.

wit_bindgen::generate!({ path: "../../../wit", world: "plugin" });

mod calls;
mod faults;
mod kept;
mod script;
mod web;

use exports::wardroom::plugin::connections::{Guest as Connections, HttpError};
use exports::wardroom::plugin::manifest::{Guest as Describe, Manifest, Route};
use exports::wardroom::plugin::messages::{Guest as Messages, Message};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use wardroom::plugin::connection::UpgradeRequest;
use wardroom::plugin::types::HandlerError;
use wardroom::plugin::{connection, rooms};

/// The manifest as JSON, after the word by which the harness finds it; spaces fill the rest.
static MANIFEST: [u8; 8192] = padded(b"PUPPET-MANIFEST:{\"name\":\"puppet\"}");

const fn padded(text: &[u8]) -> [u8; 8192] {
    let mut slot = [b' '; 8192];
    let mut i = 0;
    while i < text.len() {
        slot[i] = text[i];
        i += 1;
    }
    slot
}

fn manifest() -> Value {
    // Not a constant to the compiler: the harness changes it afterwards.
    let slot: &[u8] = std::hint::black_box(&MANIFEST);
    serde_json::from_slice(&slot["PUPPET-MANIFEST:".len()..]).expect("the harness writes JSON")
}

fn name() -> String {
    text(&manifest()["name"])
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

fn pairs(value: &Value) -> Vec<(String, String)> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .map(|pair| (text(&pair[0]), text(&pair[1])))
        .collect()
}

struct Puppet;

impl Describe for Puppet {
    fn describe() -> Manifest {
        let told = manifest();
        let mut description = text(&told["description"]);
        if let Some(steps) = told["describe"].as_array() {
            description =
                Value::from(steps.iter().map(script::step).collect::<Vec<_>>()).to_string();
        }
        let many = told["routes"]["generate"].as_u64().unwrap_or(0);
        let generated = (0..many).map(|n| Route {
            event: "generated".into(),
            path: format!("/generated/{n}"),
        });
        let routes = pairs(&told["routes"])
            .into_iter()
            .map(|(event, path)| Route { event, path });
        Manifest {
            name: text(&told["name"]),
            version: told["version"].as_str().unwrap_or("0.1.0").to_owned(),
            description,
            routes: routes.chain(generated).collect(),
            hooks: texts(&told["hooks"]),
            mode: told["mode"].as_str().map(str::to_owned),
            capabilities: texts(&told["capabilities"]),
            config_keys: texts(&told["configKeys"]),
            headers: texts(&told["headers"]),
            extra: pairs(&told["extra"]),
        }
    }
}

impl Messages for Puppet {
    fn on_message(message: Message) -> Result<Option<String>, HandlerError> {
        calls::count_event();
        match message.event.as_str() {
            "do" => script::run(message.data.as_deref().unwrap_or("[]")),
            "random" => faults::random(message.data.as_deref().unwrap_or("0")),
            "whoami" => Ok(Some(
                json!({ "id": connection::id(), "rooms": rooms::joined() }).to_string(),
            )),
            _ => Ok(Some(mirror(&message))),
        }
    }
}

/// What the handler was given, with data and id as they came.
fn mirror(message: &Message) -> String {
    let raw = |text: &Option<String>| {
        text.clone()
            .and_then(|text| RawValue::from_string(text).ok())
    };
    let params: Vec<_> = message
        .params
        .iter()
        .map(|param| json!([param.name, param.value]))
        .collect();
    let head = json!({
        "plugin": name(), "route": message.route, "event": message.event, "path": message.path, "params": params,
    });
    let mut head = head.to_string();
    head.pop();
    for (member, value) in [("data", raw(&message.data)), ("id", raw(&message.id))] {
        if let Some(value) = value {
            head.push_str(&format!(",\"{member}\":{}", value.get()));
        }
    }
    head + "}"
}

/// The script that the query holds for this hook of this plugin, or an empty one.
fn hook_script(query: Option<&str>, hook: &str) -> String {
    let own = format!("{}.{hook}", name());
    let find = |wanted: &str| {
        query?.split('&').find_map(|part| {
            part.split_once('=')
                .filter(|(key, _)| *key == wanted)
                .map(|(_, value)| value)
        })
    };
    find(&own)
        .or_else(|| find(hook))
        .map_or_else(|| "[]".to_owned(), percent_decode)
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escape = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match escape.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Connections for Puppet {
    fn on_upgrade(request: UpgradeRequest) -> Result<Option<String>, HttpError> {
        script::upgrade(&hook_script(request.query.as_deref(), "upgrade"), &request)
    }

    fn on_connect() -> Result<(), HandlerError> {
        script::run(&hook_script(
            connection::request().query.as_deref(),
            "connect",
        ))
        .map(|_| ())
    }

    fn on_disconnect(code: u16, reason: String) {
        let query = connection::request().query;
        let script = hook_script(query.as_deref(), "disconnect");
        let reason = json!(reason).to_string();
        let script = script
            .replace("\"$code\"", &code.to_string())
            .replace("\"$reason\"", &reason);
        // A refusal has nowhere to go: the connection is closed.
        let _ = script::run(&script);
    }
}

export!(Puppet);
