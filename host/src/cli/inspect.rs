//! `wardroom inspect`: what a file is, and whether it would be loaded.

use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Value, json};

use super::{own_program, say};
use crate::config::Limits;
use crate::metrics::Metrics;
use crate::plugin::{Compile, Engine, Inspection, Manifest, inspect};

/// Say what a plugin is: its manifest, imports and exports
///
/// Fails, with the reason, for a file that the host would not load.
#[derive(Debug, clap::Args)]
pub(super) struct Inspect {
    /// The component
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let name = self.file.display().to_string();
        let bytes = std::fs::read(&self.file).with_context(|| format!("cannot read {name}"))?;
        // One instance is all that is needed.
        let limits = Limits {
            instances_max: 1,
            instances_per_plugin_max: 1,
            ..Limits::default()
        };
        let compile = own_program().map_or(Compile::Here, Compile::Child);
        let engine = Engine::new(&limits, Metrics::new())?.compiling(compile);
        let inspection = inspect(&engine, &name, bytes).await;
        if self.json {
            say(&serde_json::to_string_pretty(&as_json(&inspection))?)?;
        } else {
            say_text(&name, &inspection)?;
        }
        inspection
            .result
            .map(drop)
            .with_context(|| format!("{name} would not be loaded"))
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
    let route = |route: &crate::plugin::Route| json!({ "event": route.event, "path": route.pattern.as_str() });
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
        say(&format!(
            "{} {} - {}",
            manifest.name, manifest.version, manifest.description
        ))?;
        for route in &manifest.routes {
            say(&format!("  route  {:<14} {}", route.event, route.pattern))?;
        }
        for hook in manifest.hooks.names() {
            say(&format!("  hook   {hook}"))?;
        }
    }
    for import in &inspection.imports {
        say(&format!("  import {import}"))?;
    }
    for export in &inspection.exports {
        say(&format!("  export {export}"))?;
    }
    Ok(())
}
