//! `wardroom dev`: build, serve, watch, rebuild, swap; and a page to try it all from.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Response};
use notify::{EventKind, RecursiveMode, Watcher};
use serde_json::json;
use tokio::sync::mpsc;

use super::serve::bind;
use super::{Listen, StopSignals, build, say, with_program};
use crate::cluster;
use crate::config::{ConfigFile, Flags, Sources, TenantName};
use crate::server::{Host, Mount, Pages, Patience};
use crate::tenant::PluginSet;

const PAGE: &str = include_str!("dev/page.html");

/// Editors write several files and each several times: a build begins when nothing has changed for so long.
const QUIET: Duration = Duration::from_millis(100);

/// Build the plugins below a folder, serve them, and rebuild them when their sources change
///
/// Connections stay open while plugins are replaced. There is a page at / from which to connect, join, send and
/// watch.
#[derive(Debug, clap::Args)]
pub(super) struct Dev {
    /// Folder to look for plugin crates in
    #[arg(default_value = ".", value_name = "DIR")]
    folder: PathBuf,
    /// File with the configuration; none is looked for when this is not given
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    listen: Listen,
}

impl Dev {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        let out = tempfile::Builder::new().prefix("wardroom-dev-").tempdir()?;
        let sources = Sources {
            file: self.config.map_or(ConfigFile::None, ConfigFile::Named),
            environment: std::env::vars_os().collect(),
            flags: Flags {
                listen: self.listen.listen,
                // Whatever is configured, it is what was built that is served.
                plugins: Some(out.path().to_owned()),
                ..Flags::default()
            },
        };
        let mut config = with_program(sources.load()?.config);
        // Watching begins before building, so that no change falls between the two.
        let (watcher, changes) = watch(&self.folder)?;
        // There is no sense in serving what never built.
        build::build(&self.folder, out.path()).await?;

        // What is built is made live at once.
        config.watch = false;
        // There is nobody for whom to spread it, and an author waits for the end.
        config.drain = Duration::ZERO;
        let address = config.listen;
        let routes = Arc::new(ArcSwap::from_pointee(Bytes::new()));
        let bus = cluster::open(&config);
        let host = Host::new(config, bus)?.with_pages(pages(Arc::clone(&routes)));
        let host = Arc::new(host);
        host.load_plugins().await?;
        let mount = host.tenant(&TenantName::default());
        let mount =
            mount.context("dev serves one tenant; leave [tenants] out of its configuration")?;
        let stopping = StopSignals::listen()?;
        let listener = bind(address).await?;
        let address = listener.local_addr()?;
        say(&format!("ready listen={address}"))?;
        announce(&mount.tenant().plugins(), &routes)?;
        say(&format!("page http://{address}/"))?;

        let rebuilding = rebuild(
            Arc::clone(&mount),
            changes,
            &self.folder,
            out.path(),
            &routes,
        );
        tokio::select! {
            () = host.accept(listener, stopping.asked()) => Ok(()),
            result = rebuilding => result,
        }?;
        drop(watcher);
        Ok(())
    }
}

/// Says what is routed where, on standard output and to the page.
fn announce(plugins: &PluginSet, routes: &ArcSwap<Bytes>) -> anyhow::Result<()> {
    for (event, pattern, target) in plugins.routes().iter() {
        say(&format!(
            "route {event:<14} {:<24} {}",
            pattern.as_str(),
            target.plugin.manifest.name
        ))?;
    }
    routes.store(Arc::new(Bytes::from(routes_json(plugins))));
    Ok(())
}

fn routes_json(plugins: &PluginSet) -> String {
    let plugins = plugins.plugins().iter().map(|plugin| {
        let manifest = &plugin.manifest;
        let routes = manifest.routes.iter();
        let routes = routes.map(|route| json!({ "event": route.event, "path": route.pattern.as_str() }));
        json!({ "name": manifest.name, "version": manifest.version, "routes": routes.collect::<Vec<_>>() })
    });
    json!({ "plugins": plugins.collect::<Vec<_>>() }).to_string()
}

fn pages(routes: Arc<ArcSwap<Bytes>>) -> Box<Pages> {
    Box::new(move |request: &Parts| {
        if request.method != Method::GET {
            return None;
        }
        let (kind, body) = match request.uri.path() {
            "/" => (
                "text/html; charset=utf-8",
                Bytes::from_static(PAGE.as_bytes()),
            ),
            "/dev/routes" => ("application/json", Bytes::clone(&routes.load())),
            _ => return None,
        };
        let mut response = Response::new(Full::new(body));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        Some(response)
    })
}

/// Builds and swaps on every change, for as long as it is polled. A build that fails leaves what is live.
async fn rebuild(
    mount: Arc<Mount>,
    mut changes: mpsc::Receiver<()>,
    folder: &Path,
    out: &Path,
    routes: &ArcSwap<Bytes>,
) -> anyhow::Result<()> {
    while changes.recv().await.is_some() {
        while tokio::time::timeout(QUIET, changes.recv()).await == Ok(Some(())) {}
        tracing::info!("sources changed: building");
        match build::build(folder, out).await {
            Ok(_) => {
                mount.refresh(Patience::None).await?;
                announce(&mount.tenant().plugins(), routes)?;
                tracing::info!(
                    "swapped; {} connections stayed open",
                    mount.tenant().hub.connection_count()
                );
            }
            Err(error) => tracing::error!("{error:#}; what was live stays live"),
        }
    }
    anyhow::bail!("the sources are no longer watched")
}

/// Tells of changes to sources below a folder, for as long as the watcher lives.
fn watch(folder: &Path) -> anyhow::Result<(notify::RecommendedWatcher, mpsc::Receiver<()>)> {
    let folder = folder
        .canonicalize()
        .with_context(|| format!("cannot read {}", folder.display()))?;
    // Full means that a change is known already.
    let (sender, changes) = mpsc::channel(1);
    let root = folder.clone();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let is_change = |event: &notify::Event| {
            !matches!(event.kind, EventKind::Access(_))
                && event.paths.iter().any(|path| is_source(&root, path))
        };
        if event.as_ref().is_ok_and(is_change) {
            let _ = sender.try_send(());
        }
    })?;
    watcher
        .watch(&folder, RecursiveMode::Recursive)
        .with_context(|| format!("cannot watch {}", folder.display()))?;
    Ok((watcher, changes))
}

/// Whether a file is one that builds depend on, and not one that they write.
fn is_source(root: &Path, path: &Path) -> bool {
    let below = path.strip_prefix(root).unwrap_or(path);
    let mut folders = below.iter().map(|part| part.to_string_lossy());
    let is_built = folders.any(|part| part == "target" || part.starts_with('.'));
    let extension = path.extension().unwrap_or_default();
    !is_built
        && ["rs", "toml", "wit"]
            .iter()
            .any(|source| extension == *source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_from_what_is_built() {
        let root = Path::new("/p");
        assert!(is_source(root, Path::new("/p/chat/src/lib.rs")));
        assert!(is_source(root, Path::new("/p/chat/Cargo.toml")));
        assert!(!is_source(root, Path::new("/p/chat/target/debug/build.rs")));
        assert!(!is_source(root, Path::new("/p/chat/src/.lib.rs.swp")));
        assert!(!is_source(root, Path::new("/p/Cargo.lock")));
    }
}
