//! Watches the plugin folder: what is dropped into it, replaced in it or taken out of it becomes live, or is gone.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::live::Patience;
use super::mount::Mount;
use super::notices::{Notice, Notices};

/// One copy causes a burst of changes: it is over when there has been none for so long.
const QUIET: Duration = Duration::from_millis(30);
/// A burst is not waited for longer: a file that is written to all the time must not keep the others out.
const BURST_MAX: Duration = Duration::from_millis(500);
/// How often to look without a sign: some file systems, of networks above all, send none.
const UNASKED: Duration = Duration::from_secs(5);

/// Keeps what is live of a tenant as its folder says, for as long as it is polled.
pub(super) async fn watch(mount: Arc<Mount>, notices: Arc<Notices>) {
    // Full means that a change is known already.
    let (sender, mut changes) = mpsc::channel(1);
    let mut watched = Watched::new(mount.config().plugins.clone(), &notices, &sender);
    let mut ended = mount.ended();
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
                wait = mount.settle(Patience::UntilSettled).again.unwrap_or(UNASKED);
                continue;
            }
            () = sleep(wait) => {}
        }
        // A reload may have named another.
        let folder = &mount.config().plugins;
        if watched.folder != *folder || watched.is_another() {
            // Gives up the old one first: it may be of the same name.
            drop(watched);
            watched = Watched::new(folder.clone(), &notices, &sender);
        }
        let refreshed = mount.refresh(Patience::UntilSettled).await;
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
struct Watched {
    folder: PathBuf,
    identity: Option<(u64, u64)>,
    /// Held for its drop.
    _notice: Option<Notice>,
}

impl Watched {
    fn new(folder: PathBuf, notices: &Arc<Notices>, sender: &mpsc::Sender<()>) -> Self {
        let identity = identity(&folder);
        let notice = notices.of(&folder, sender);
        if let Err(error) = &notice {
            tracing::warn!(%error, folder = %folder.display(), "cannot watch: looking every {UNASKED:?}");
        }
        Self {
            folder,
            identity,
            _notice: notice.ok(),
        }
    }

    fn is_another(&self) -> bool {
        identity(&self.folder) != self.identity
    }
}

fn identity(folder: &Path) -> Option<(u64, u64)> {
    let metadata = folder.metadata().ok()?;
    Some((metadata.dev(), metadata.ino()))
}
