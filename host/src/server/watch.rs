//! Watches the plugin folder: what is dropped into it, replaced in it or taken out of it becomes live, or is gone.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::Host;
use super::live::Patience;

/// One copy causes a burst of changes: it is over when there has been none for so long.
const QUIET: Duration = Duration::from_millis(30);
/// A burst is not waited for longer: a file that is written to all the time must not keep the others out.
const BURST_MAX: Duration = Duration::from_millis(500);
/// How often to look without a sign: some file systems, of networks above all, send none.
const UNASKED: Duration = Duration::from_secs(5);

/// Keeps what is live as the folder says, for as long as it is polled.
pub(super) async fn watch(host: Arc<Host>) {
    // Full means that a change is known already.
    let (sender, mut changes) = mpsc::channel(1);
    // Fixed for as long as the host runs.
    let folder = host.config().plugins.clone();
    let mut watched = Watched::new(&folder, &sender);
    let mut ended = host.live.lock().ended();
    let mut wait = UNASKED;
    let mut is_readable = true;
    loop {
        tokio::select! {
            _ = changes.recv() => {
                let quiet = async { while timeout(QUIET, changes.recv()).await.is_ok() {} };
                let _ = timeout(BURST_MAX, quiet).await;
            }
            // Nothing has changed in the folder: it is not looked at.
            _ = ended.changed() => {
                wait = host.settle(Patience::UntilSettled).again.unwrap_or(UNASKED);
                continue;
            }
            () = sleep(wait) => {}
        }
        if watched.is_another() {
            watched = Watched::new(&folder, &sender);
        }
        let refreshed = host.refresh(Patience::UntilSettled).await;
        let again = refreshed
            .as_ref()
            .ok()
            .and_then(|refreshed| refreshed.again);
        wait = again.unwrap_or(UNASKED);
        if let Err(error) = &refreshed
            && is_readable
        {
            tracing::error!("{error}; what is live stays live");
        }
        is_readable = refreshed.is_ok();
    }
}

/// A folder that is watched: this very one, and not another that may take its place.
struct Watched<'a> {
    folder: &'a Path,
    identity: Option<(u64, u64)>,
    /// Held for its drop.
    _watcher: Option<RecommendedWatcher>,
}

impl<'a> Watched<'a> {
    fn new(folder: &'a Path, sender: &mpsc::Sender<()>) -> Self {
        let identity = identity(folder);
        let sender = sender.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let is_read = |event: &Event| matches!(event.kind, EventKind::Access(_));
            if !event.as_ref().is_ok_and(is_read) {
                let _ = sender.try_send(());
            }
        });
        let watcher = watcher.and_then(|mut watcher| {
            watcher.watch(folder, RecursiveMode::NonRecursive)?;
            Ok(watcher)
        });
        if let Err(error) = &watcher {
            tracing::warn!(%error, folder = %folder.display(), "cannot watch: looking every {UNASKED:?}");
        }
        Self {
            folder,
            identity,
            _watcher: watcher.ok(),
        }
    }

    fn is_another(&self) -> bool {
        identity(self.folder) != self.identity
    }
}

fn identity(folder: &Path) -> Option<(u64, u64)> {
    let metadata = folder.metadata().ok()?;
    Some((metadata.dev(), metadata.ino()))
}
