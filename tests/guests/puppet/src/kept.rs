//! The calls of `state`. An owner is `"tenant"`, `"plugin"`, `"room"` for that of the current path, or `{"room": name}`.

use crate::calls::{json_text, optional, parsed, value};
use crate::text;
use crate::wardroom::plugin::state::{self, Comparison, Owner};
use serde_json::{Value, json};

/// Makes the call that the word names; `None` when it is none.
pub fn run(word: &str, step: &Value) -> Option<Value> {
    let (owner, key) = (owner(&step[1]), key(&step[2]));
    Some(match word {
        "state-get" => value(state::get(&owner, &key).map(|entry| {
            entry.map_or(Value::Null, |entry| {
                json!([parsed(&entry.value), entry.version])
            })
        })),
        "state-set" => {
            let json = json_text(&step[3]).unwrap_or_default();
            value(state::set(&owner, &key, &json, step[4].as_u64()).map(Value::from))
        }
        "state-delete" => value(state::delete(&owner, &key).map(Value::from)),
        "state-increment" => {
            let by = step[3].as_i64().unwrap_or(1);
            value(state::increment(&owner, &key, by, step[4].as_u64()).map(Value::from))
        }
        "state-compare-and-set" => {
            let json = json_text(&step[4]).unwrap_or_default();
            let compared =
                state::compare_and_set(&owner, &key, step[3].as_u64(), &json, step[5].as_u64());
            value(compared.map(|comparison| match comparison {
                Comparison::Written(version) => json!({ "written": version }),
                Comparison::Conflict(version) => json!({ "conflict": version }),
            }))
        }
        "state-keys" => {
            let limit = step[4].as_u64().map(|limit| limit as u32);
            let page = state::keys(
                &owner,
                &text(&step[2]),
                optional(&step[3]).as_deref(),
                limit,
            );
            value(page.map(|page| json!({ "total": page.total, "keys": page.keys })))
        }
        _ => return None,
    })
}

fn owner(value: &Value) -> Owner {
    match (value.as_str(), value["room"].as_str()) {
        (Some("plugin"), _) => Owner::Plugin,
        (Some("room"), _) => Owner::Room(None),
        (_, Some(room)) => Owner::Room(Some(room.to_owned())),
        _ => Owner::Tenant,
    }
}

/// As it stands, or so many letters.
fn key(value: &Value) -> String {
    match value.as_u64() {
        Some(length) => "k".repeat(length as usize),
        None => text(value),
    }
}
