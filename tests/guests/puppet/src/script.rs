//! Runs scripts: JSON lists of steps, each a list of a word and its arguments, `["join", "/room"]`.
//!
//! A step is a host call (`calls.rs`), a fault (`faults.rs`), an HTTP request (`web.rs`) or one of the words here,
//! which decide what the handler answers: `reply` (any text), `reply-none`, `reply-big` (bytes), `reply-deep` (levels),
//! `reply-bytes` (no UTF-8), `error` (code, message), `claims` (JSON), `refuse` (status, headers, body). `tell` (event,
//! room, step) broadcasts a step's result, `repeat` (times, step) says how often it succeeded, `twice` runs a whole
//! list.
//! Without any of them the handler answers the list of the steps' results.

use crate::exports::wardroom::plugin::connections::HttpError;
use crate::wardroom::plugin::connection::UpgradeRequest;
use crate::wardroom::plugin::rooms::{self, BroadcastOptions};
use crate::wardroom::plugin::types::HandlerError;
use crate::{calls, faults, pairs, text, web};
use serde_json::{Value, json};

/// What a script came to.
enum Outcome {
    Results(Vec<Value>),
    Reply(Option<String>),
    Error(HandlerError),
    Refuse(HttpError),
}

pub fn run(script: &str) -> Result<Option<String>, HandlerError> {
    match walk(script) {
        Outcome::Results(results) => Ok(Some(Value::from(results).to_string())),
        Outcome::Reply(reply) => Ok(reply),
        Outcome::Error(error) => Err(error),
        Outcome::Refuse(refusal) => Err(HandlerError {
            code: refusal.status,
            message: refusal.body,
        }),
    }
}

/// As [`run`], but a script that decides nothing leaves the claims as they are.
pub fn upgrade(script: &str, request: &UpgradeRequest) -> Result<Option<String>, HttpError> {
    let script = script.replace("\"$claims\"", request.claims.as_deref().unwrap_or("null"));
    match walk(&script) {
        Outcome::Results(_) => Ok(None),
        Outcome::Reply(claims) => Ok(claims),
        Outcome::Error(error) => Err(HttpError {
            status: error.code,
            headers: Vec::new(),
            body: error.message,
        }),
        Outcome::Refuse(refusal) => Err(refusal),
    }
}

fn walk(script: &str) -> Outcome {
    let steps: Vec<Value> = match serde_json::from_str(script) {
        Ok(steps) => steps,
        Err(error) => return failed(&format!("no script: {error}")),
    };
    let mut results = Vec::new();
    for step_ in &steps {
        match decide(step_) {
            Some(outcome) => return outcome,
            None => results.push(step(step_)),
        }
    }
    Outcome::Results(results)
}

fn failed(message: &str) -> Outcome {
    Outcome::Error(HandlerError {
        code: 599,
        message: message.to_owned(),
    })
}

/// The words that end a script.
fn decide(step: &Value) -> Option<Outcome> {
    let count = step[1].as_u64().unwrap_or(0) as usize;
    let reply = |text: String| Outcome::Reply(Some(text));
    Some(match step[0].as_str().unwrap_or_default() {
        "reply" => reply(text(&step[1])),
        "reply-none" => Outcome::Reply(None),
        // The quotes count.
        "reply-big" => reply(format!("\"{}\"", "x".repeat(count.saturating_sub(2)))),
        "reply-deep" => reply("[".repeat(count) + &"]".repeat(count)),
        "reply-bytes" => reply(faults::no_utf8()),
        "claims" => reply(step[1].to_string()),
        "error" => Outcome::Error(HandlerError {
            code: step[1].as_u64().unwrap_or(0) as u16,
            message: text(&step[2]),
        }),
        "refuse" => Outcome::Refuse(HttpError {
            status: step[1].as_u64().unwrap_or(0) as u16,
            headers: pairs(&step[2]),
            body: text(&step[3]),
        }),
        _ => return None,
    })
}

/// Runs one step and says what came of it.
pub fn step(step_: &Value) -> Value {
    match step_[0].as_str().unwrap_or_default() {
        "tell" => {
            let result = step(&step_[3]);
            let options = BroadcastOptions {
                room: Some(text(&step_[2])),
                include_self: true,
            };
            calls::unit(rooms::broadcast(
                &text(&step_[1]),
                Some(&result.to_string()),
                &options,
            ))
        }
        "value" => step_[1].clone(),
        "version" => crate::manifest()["version"].clone(),
        "repeat" => {
            let times = step_[1].as_u64().unwrap_or(0);
            let mut succeeded = 0;
            let mut last = Value::Null;
            for _ in 0..times {
                last = step(&step_[2]);
                succeeded += u64::from(last == "ok");
            }
            json!({ "ok": succeeded, "last": last })
        }
        word => faults::run(word, step_)
            .or_else(|| calls::run(word, step_))
            .or_else(|| web::run(word, step_))
            .unwrap_or_else(|| {
                let unknown = format!("no such step: {step_}");
                json!({ "unknown": unknown })
            }),
    }
}
