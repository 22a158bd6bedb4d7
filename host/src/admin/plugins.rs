//! `GET /api/plugins`: what is live, what is not and why, and what was swapped.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::config::TenantName;
use crate::plugin::Plugin;
use crate::server::{Entry, Host, Mount, Problem, Refreshed, Swap};
use crate::tenant::{Change, PluginSet};

/// Everything there is to say, of all tenants.
pub(super) fn describe(host: &Host) -> Value {
    let mounts = host.mounts();
    let all = |of: &dyn Fn(&Mount) -> Vec<Value>| {
        let described = mounts.iter().flat_map(|mount| {
            let entries = of(mount).into_iter();
            entries.map(|entry| within(mount.name(), entry))
        });
        described.collect::<Vec<_>>()
    };
    json!({
        "plugins": all(&|mount| {
            let live = mount.tenant().plugins();
            live.plugins().iter().map(|plugin| of(plugin, &live)).collect()
        }),
        "files": all(&|mount| mount.files().iter().map(file).collect()),
        "swaps": all(&|mount| mount.swaps().iter().map(swap).collect()),
    })
}

/// With the name of the tenant that it is about.
fn within(tenant: &TenantName, mut entry: Value) -> Value {
    if let Value::Object(entry) = &mut entry {
        entry.insert("tenant".to_owned(), tenant.as_str().into());
    }
    entry
}

/// The files that are not live.
pub(super) fn problems(refreshed: &[(TenantName, Refreshed)]) -> Value {
    let problem = |problem: &Problem| json!({ "file": problem.file.display().to_string(), "reason": problem.reason.to_string() });
    let problems = refreshed.iter().flat_map(|(tenant, refreshed)| {
        let problems = refreshed.problems.iter();
        problems.map(move |known| within(tenant, problem(known)))
    });
    problems.collect()
}

/// What a reload changed.
pub(super) fn changes(refreshed: &[(TenantName, Refreshed)]) -> Value {
    let changes = refreshed.iter().flat_map(|(tenant, refreshed)| {
        let changes = refreshed.changes.iter();
        changes.map(move |known| within(tenant, change(known)))
    });
    changes.collect()
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
    json!({ "at": millis(swap.at), "changes": swap.changes.iter().map(change).collect::<Vec<_>>() })
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
