//! `wardroom check`: would `serve` run, with what, and with which plugins?

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;
use serde_json::{Value, json};

use super::{Configured, say, with_program};
use crate::cluster::LocalBus;
use crate::config::{Config, Effective, StateStore};
use crate::server::Host;

/// Check configuration and plugins, and say what would be served
///
/// Prints the effective configuration; a comment behind each value that is not the default says where it was given.
/// Then what each file of the plugin folder is, or why it would be refused. Starts nothing. Exit codes: 0 well, 1 when a
/// plugin would be refused, 64 when the configuration cannot be.
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    #[command(flatten)]
    configured: Configured,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a file of the folder would be.
enum Verdict {
    Live {
        name: String,
        version: String,
        routes: usize,
    },
    Refused(String),
}

impl Check {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let effective = super::load(&self.configured.sources(), self.json)?;
        let files = judge(&effective.config).await?;
        if self.json {
            say(&serde_json::to_string_pretty(&as_json(&effective, &files))?)?;
        } else {
            say_text(&effective, &files)?;
        }
        let refused = |verdict: &Verdict| matches!(verdict, Verdict::Refused(_));
        match files.iter().filter(|(_, verdict)| refused(verdict)).count() {
            0 => Ok(()),
            count => bail!("{count} of {} plugins would be refused", files.len()),
        }
    }
}

/// Loads each file as `serve` would, and throws it away again.
async fn judge(config: &Config) -> anyhow::Result<Vec<(PathBuf, Verdict)>> {
    let config = Config {
        // A host that runs may have the file open, and nothing is to be made.
        state: StateStore::Memory,
        ..with_program(config.clone())
    };
    let host = Host::new(config, Arc::new(LocalBus::new()))?;
    host.load_plugins().await?;
    let mounts = host.mounts().into_iter();
    let files = mounts.flat_map(|mount| mount.files());
    let judged = files.map(|entry| {
        let verdict = match (&entry.plugin, &entry.problem) {
            (Some(plugin), None) => Verdict::Live {
                name: plugin.manifest.name.clone(),
                version: plugin.manifest.version.clone(),
                routes: plugin.manifest.routes.len(),
            },
            (_, Some(reason)) => Verdict::Refused(reason.to_string()),
            (None, None) => Verdict::Refused("it was not looked at".to_owned()),
        };
        (entry.file, verdict)
    });
    Ok(judged.collect())
}

/// A file of TOML, with the plugins in comments, so that it can be kept and compared.
fn say_text(effective: &Effective, files: &[(PathBuf, Verdict)]) -> anyhow::Result<()> {
    say(&effective.to_toml())?;
    for (file, verdict) in files {
        let line = match verdict {
            Verdict::Live {
                name,
                version,
                routes,
            } => {
                let s = if *routes == 1 { "" } else { "s" };
                format!("{name} {version}, {routes} route{s}")
            }
            Verdict::Refused(reason) => format!("REFUSED: {reason}"),
        };
        let line = format!("# {}: {line}", file.display());
        say(&line.replace(char::is_control, " "))?;
    }
    Ok(())
}

fn as_json(effective: &Effective, files: &[(PathBuf, Verdict)]) -> Value {
    let mut all = effective.to_json();
    let plugins = files.iter().map(|(file, verdict)| plugin(file, verdict));
    all.insert("plugins".to_owned(), plugins.collect());
    all.into()
}

fn plugin(file: &Path, verdict: &Verdict) -> Value {
    let file = file.display().to_string();
    match verdict {
        Verdict::Live {
            name,
            version,
            routes,
        } => json!({ "file": file, "name": name, "version": version, "routes": routes }),
        Verdict::Refused(reason) => json!({ "file": file, "refused": reason }),
    }
}
