//! The loading of what is in one file, in a task of its own.
//!
//! `look` begins it, `live` takes what has come of it. Who drops it ends it, and the compiler that it runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::plugin::{Digest, Engine, FileError, Plugin, load, read, stem};

/// What is known of a content.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    /// `None` when it cannot be read.
    pub(super) content: Option<Digest>,
    /// The plugin, or why it is none. Not whether it conflicts: that may go with what it is in conflict with.
    pub(super) plugin: Result<Arc<Plugin>, Arc<FileError>>,
}

impl Verdict {
    /// There is no content to be had.
    pub(super) fn unreadable(error: FileError) -> Self {
        Self {
            content: None,
            plugin: Err(Arc::new(error)),
        }
    }
}

/// What has come of a load.
#[derive(Debug)]
pub(super) enum Loaded {
    /// The content is one that is known: nothing was loaded.
    Known(Verdict),
    /// The content is another.
    New(Digest, Result<Box<Plugin>, FileError>),
    /// It cannot be read, or loading it was given up.
    Unreadable(FileError),
}

/// A load that may still be under way.
#[derive(Debug)]
pub(super) struct Load {
    began: Instant,
    loaded: oneshot::Receiver<Loaded>,
    /// Held for its drop.
    _task: AbortOnDropHandle<()>,
}

impl Load {
    /// Begins to load a file when it is its turn, unless what is in it is `known`. `ended` is told when it has ended.
    pub(super) fn begin(
        engine: &Engine,
        file: &Path,
        known: Vec<Verdict>,
        ended: &watch::Sender<()>,
    ) -> Self {
        let (sender, loaded) = oneshot::channel();
        let told = Told(ended.clone());
        let (engine, file) = (engine.clone(), file.to_owned());
        let task = tokio::spawn(async move {
            // The last to go, also when the task panics: who is told finds that there is nothing to wait for.
            let (_told, sender) = (told, sender);
            let loading = load_file(&engine, file, known);
            // Nobody listens when it is not wanted any more.
            let _ = sender.send(engine.in_turn(loading).await);
        });
        Self {
            began: Instant::now(),
            loaded,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// When it began.
    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// What has come of it; `None` while it lasts, and when that was taken already.
    pub(super) fn take(&mut self) -> Option<Loaded> {
        match self.loaded.try_recv() {
            Ok(loaded) => Some(loaded),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => {
                let error =
                    std::io::Error::other("loading it has failed; this is a bug of wardroom");
                Some(Loaded::Unreadable(error.into()))
            }
        }
    }
}

/// Tells at its end that a load has ended.
struct Told(watch::Sender<()>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.send_replace(());
    }
}

async fn load_file(engine: &Engine, file: PathBuf, known: Vec<Verdict>) -> Loaded {
    let content = match read(engine, &file).await {
        Ok(content) => content,
        Err(error) => return Loaded::Unreadable(error),
    };
    if let Some(verdict) = known
        .into_iter()
        .find(|verdict| verdict.content == Some(content.digest))
    {
        return Loaded::Known(verdict);
    }
    let digest = content.digest;
    let plugin = load(engine, &stem(&file), content).await;
    Loaded::New(digest, plugin.map(Box::new).map_err(FileError::from))
}
