//! `GET /api/plugins`: what is live, what is not and why, and what was swapped.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::plugin::Plugin;
use crate::server::{Entry, Host, Problem, Swap};
use crate::tenant::{Change, PluginSet};

/// Everything there is to say.
pub(super) fn describe(host: &Host) -> Value {
    let (files, swaps) = (host.files(), host.swaps());
    let live = host.tenant().plugins();
    let plugins = live.plugins().iter().map(|plugin| of(plugin, &live));
    json!({
        "plugins": plugins.collect::<Vec<_>>(),
        "files": files.iter().map(file).collect::<Vec<_>>(),
        "swaps": swaps.iter().map(swap).collect::<Vec<_>>(),
    })
}

/// The files that are not live.
pub(super) fn problems(problems: &[Problem]) -> Value {
    let problem = |problem: &Problem| json!({ "file": problem.file.display().to_string(), "reason": problem.reason.to_string() });
    problems.iter().map(problem).collect()
}

/// What a swap changed.
pub(super) fn changes(changes: &[Change]) -> Value {
    changes.iter().map(change).collect()
}

fn file(entry: &Entry) -> Value {
    json!({
        "file": entry.file.display().to_string(),
        "plugin": entry.plugin.as_ref().map(|plugin| &plugin.manifest.name),
        "problem": entry.problem.as_ref().map(ToString::to_string),
        "loading": entry.is_loading,
    })
}

fn of(plugin: &Plugin, live: &PluginSet) -> Value {
    let manifest = &plugin.manifest;
    let of_this = live
        .routes()
        .iter()
        .filter(|(_, _, target)| target.plugin.manifest.name == manifest.name);
    let routes = of_this.map(|(event, pattern, target)| {
        json!({ "event": event, "path": pattern.as_str(), "connections": target.used.connections() })
    });
    json!({
        "name": manifest.name,
        "version": manifest.version,
        "description": manifest.description,
        "mode": manifest.mode.name(),
        "routes": routes.collect::<Vec<_>>(),
        "hooks": manifest.hooks.names(),
        "capabilities": manifest.capabilities,
        "configKeys": manifest.config_keys,
        "headers": manifest.headers,
        "quarantineSeconds": plugin.quarantine().map(|left| left.as_secs_f64()),
    })
}

fn swap(swap: &Swap) -> Value {
    json!({ "at": millis(swap.at), "changes": changes(&swap.changes) })
}

fn change(change: &Change) -> Value {
    let removed = change.removed.iter();
    let removed =
        removed.map(|(route, connections)| json!({ "route": route, "connections": connections }));
    json!({
        "plugin": change.plugin,
        "from": change.from,
        "to": change.to,
        "added": change.added,
        "removed": removed.collect::<Vec<_>>(),
    })
}

/// Since the Unix epoch.
fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
