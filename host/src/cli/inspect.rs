//! `wardroom inspect`: what a file is, and whether it would be loaded.

use std::path::PathBuf;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::{say, sources, with_program};
use crate::config::Flags;
use crate::metrics::Metrics;
use crate::plugin::{Inspection, Manifest, Route, inspect};
use crate::server::set_up_engine;

/// Say what a plugin is: its manifest, imports and exports
///
/// Fails, with the reason, for a file that `serve` would not load with the same configuration. Exit codes: 0 well, 1 when
/// it would not be loaded, 64 when the configuration cannot be.
#[derive(Debug, clap::Args)]
pub(super) struct Inspect {
    /// The component
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// File with the limits to load it with [env: WARDROOM_CONFIG] [default: wardroom.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let name = self.file.display().to_string();
        let sources = sources(self.config, Flags::default());
        let mut config = with_program(super::load(&sources, self.json)?.config);
        // One instance is all that is needed.
        config.limits.instances_max = 1;
        config.limits.instances_per_plugin_max = 1;
        let engine = set_up_engine(&config, Metrics::of_host())?;
        // Which tenant's folder it is for, nobody has said.
        engine.grant(&config.plugin);
        // Each error says its cause by itself.
        let inspected = inspect(&engine, &self.file).await;
        let inspection = inspected.map_err(|error| anyhow!("{name}: {error}"))?;
        if self.json {
            say(&serde_json::to_string_pretty(&as_json(&inspection))?)?;
        } else {
            say_text(&name, &inspection)?;
        }
        match inspection.result {
            Ok(_) => Ok(()),
            Err(reason) => Err(anyhow!("{name} would not be loaded: {reason}")),
        }
    }
}

fn as_json(inspection: &Inspection) -> Value {
    let manifest = inspection.result.as_ref().ok().map(manifest_json);
    let refused = inspection.result.as_ref().err().map(ToString::to_string);
    json!({
        "bytes": inspection.bytes,
        "imports": inspection.imports,
        "exports": inspection.exports,
        "manifest": manifest,
        "refused": refused,
    })
}

fn manifest_json(manifest: &Manifest) -> Value {
    let route = |route: &Route| json!({ "event": route.event, "path": route.pattern.as_str() });
    json!({
        "name": manifest.name,
        "version": manifest.version,
        "description": manifest.description,
        "routes": manifest.routes.iter().map(route).collect::<Vec<_>>(),
        "hooks": manifest.hooks.names(),
        "mode": manifest.mode.name(),
        "capabilities": manifest.capabilities,
        "config_keys": manifest.config_keys,
        "headers": manifest.headers,
    })
}

fn say_text(name: &str, inspection: &Inspection) -> anyhow::Result<()> {
    say(&format!("{name}: {} bytes", inspection.bytes))?;
    if let Ok(manifest) = &inspection.result {
        say_manifest(manifest)?;
    }
    say_each("import", &inspection.imports)?;
    say_each("export", &inspection.exports)
}

fn say_manifest(manifest: &Manifest) -> anyhow::Result<()> {
    let Manifest {
        name,
        version,
        description,
        routes,
        hooks,
        headers,
        mode,
        capabilities,
        config_keys,
    } = manifest;
    say(&one_line(&format!("{name} {version} - {description}")))?;
    let route = |route: &Route| format!("{:<14} {}", route.event, route.pattern);
    say_each("route", &routes.iter().map(route).collect::<Vec<_>>())?;
    say_each("hook", &hooks.names())?;
    say_each("mode", &[mode.name()])?;
    say_each("capability", capabilities)?;
    say_each("config key", config_keys)?;
    say_each("header", headers)
}

fn say_each<T: AsRef<str>>(kind: &str, names: &[T]) -> anyhow::Result<()> {
    for name in names {
        say(&one_line(&format!("  {kind:<10} {}", name.as_ref())))?;
    }
    Ok(())
}

/// A plugin's own texts may hold anything.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}
