//! Notices of changes in folders, from one watcher for all of them: each has a descriptor and a thread, and a user has
//! no more than 128 on a usual Linux.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::Mutex;
use tokio::sync::mpsc::Sender;

/// Who is told of changes, by folder.
type Told = HashMap<PathBuf, Vec<Sender<()>>>;

/// Tells of changes in folders.
#[derive(Default)]
pub(super) struct Notices {
    /// Made for the first folder. Held for as long as one is added or taken away; nobody who holds `told` waits for it.
    watcher: Mutex<Option<RecommendedWatcher>>,
    told: Arc<Mutex<Told>>,
}

impl Notices {
    /// Has every change in the folder told to the sender, for as long as the notice is held. A sender that is full
    /// knows already.
    pub(super) fn of(
        self: &Arc<Self>,
        folder: &Path,
        sender: &Sender<()>,
    ) -> notify::Result<Notice> {
        let mut watcher = self.watcher.lock();
        let watcher = match &mut *watcher {
            Some(watcher) => watcher,
            none => none.insert(self.watcher()?),
        };
        // Also when it is watched already: another folder may have come to be there.
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        let mut told = self.told.lock();
        let senders = told.entry(folder.to_owned()).or_default();
        senders.push(sender.clone());
        Ok(Notice {
            notices: Arc::clone(self),
            folder: folder.to_owned(),
            sender: sender.clone(),
        })
    }

    fn watcher(&self) -> notify::Result<RecommendedWatcher> {
        let told = Arc::clone(&self.told);
        notify::recommended_watcher(move |event: notify::Result<Event>| tell(&told.lock(), &event))
    }
}

/// Tells who watches the folder of a change; all when it is not known where it was.
fn tell(told: &Told, event: &notify::Result<Event>) {
    let all = || told.values().flatten().collect::<Vec<_>>();
    let senders = match event {
        Ok(event) if matches!(event.kind, EventKind::Access(_)) => return,
        Ok(event) if event.need_rescan() || event.paths.is_empty() => all(),
        Ok(event) => {
            let paths = event.paths.iter();
            let folders = paths.flat_map(|path| [path.parent(), Some(path.as_path())]);
            let senders = folders.flatten().filter_map(|folder| told.get(folder));
            senders.flatten().collect()
        }
        Err(_) => all(),
    };
    for sender in senders {
        let _ = sender.try_send(());
    }
}

/// Held by who is told of changes.
pub(super) struct Notice {
    notices: Arc<Notices>,
    folder: PathBuf,
    sender: Sender<()>,
}

impl Drop for Notice {
    fn drop(&mut self) {
        let mut watcher = self.notices.watcher.lock();
        let is_last = {
            let mut told = self.notices.told.lock();
            let Some(senders) = told.get_mut(&self.folder) else {
                return;
            };
            let place = senders
                .iter()
                .position(|sender| sender.same_channel(&self.sender));
            if let Some(place) = place {
                senders.swap_remove(place);
            }
            let is_last = senders.is_empty();
            if is_last {
                told.remove(&self.folder);
            }
            is_last
        };
        if let Some(watcher) = &mut *watcher
            && is_last
        {
            // It may be gone already.
            let _ = watcher.unwatch(&self.folder);
        }
    }
}
