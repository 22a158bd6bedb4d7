//! One file of the plugin folder: what is known of it, and what is in it now.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::live::Reason;
use crate::plugin::{Content, Digest, Engine, FileError, Plugin, Stamp, load, read, stem};

/// What was made of a file.
#[derive(Debug)]
pub(super) struct FileState {
    /// Of the content that was looked at last; `None` when it is to be looked at anew.
    pub(super) stamp: Option<Stamp>,
    /// The same.
    pub(super) content: Option<Digest>,
    /// The plugin that is live of it, which may be from a content before that.
    pub(super) plugin: Option<Arc<Plugin>>,
    /// Why that content is not live.
    pub(super) reason: Option<Reason>,
}

/// What is in a file now.
#[derive(Debug)]
pub(super) struct Look {
    /// `None` when it cannot be told.
    pub(super) stamp: Option<Stamp>,
    /// `None` when it is not read.
    pub(super) content: Option<Digest>,
    /// The plugin, which is the one that is live when the content is the same.
    pub(super) plugin: Result<Arc<Plugin>, Reason>,
    /// What is live of this file, or of the one that was renamed to it.
    pub(super) live: Option<Arc<Plugin>>,
    /// It was looked at before: nothing was loaded.
    pub(super) is_known: bool,
}

impl Look {
    /// Looks at a file; loads what is in it, unless that is known from `files`.
    pub(super) async fn at(
        files: &BTreeMap<PathBuf, FileState>,
        engine: &Engine,
        file: &Path,
        stamp: Result<Stamp, FileError>,
    ) -> Self {
        let known = files.get(file);
        let live = known.and_then(|known| known.plugin.clone());
        let stamped = stamp.as_ref().ok().copied();
        if let Some(known) = known.filter(|known| is_same(known, stamped))
            && let Some(plugin) = known.verdict()
        {
            return Self {
                stamp: stamped,
                content: known.content,
                plugin,
                live,
                is_known: true,
            };
        }
        let content = match stamp {
            Ok(_) => read(engine, file).await,
            Err(error) => Err(error),
        };
        match content {
            Ok(content) => Self {
                stamp: stamped,
                ..Self::at_content(files, engine, file, content).await
            },
            Err(error) => Self {
                stamp: stamped,
                content: None,
                plugin: Err(error.into()),
                live,
                is_known: false,
            },
        }
    }

    async fn at_content(
        files: &BTreeMap<PathBuf, FileState>,
        engine: &Engine,
        file: &Path,
        content: Content,
    ) -> Self {
        let (content, bytes) = (content.digest, content.bytes);
        let own = files.get(file);
        let known = own
            .filter(|own| own.content == Some(content))
            .or_else(|| renamed(files, content));
        let live = own.or(known).and_then(|state| state.plugin.clone());
        let verdict = known.and_then(FileState::verdict);
        let is_known = verdict.is_some();
        let plugin = match verdict {
            Some(plugin) => plugin,
            None => load_anew(engine, file, bytes, live.as_deref()).await,
        };
        Self {
            stamp: None,
            content: Some(content),
            plugin,
            live,
            is_known,
        }
    }
}

fn is_same(known: &FileState, stamp: Option<Stamp>) -> bool {
    known
        .stamp
        .zip(stamp)
        .is_some_and(|(known, stamp)| known.is_same(&stamp))
}

/// A file with this content that is not there any more.
fn renamed(files: &BTreeMap<PathBuf, FileState>, content: Digest) -> Option<&FileState> {
    let mut files = files.iter();
    let renamed = files.find(|(file, state)| state.content == Some(content) && !file.exists());
    renamed.map(|(_, state)| state)
}

impl FileState {
    /// What is known of the content. Not whether it conflicts: that may have gone with what it was in conflict with.
    fn verdict(&self) -> Option<Result<Arc<Plugin>, Reason>> {
        match (&self.reason, &self.plugin) {
            (Some(reason @ Reason::File(_)), _) => Some(Err(reason.clone())),
            (None, Some(plugin)) => Some(Ok(Arc::clone(plugin))),
            _ => None,
        }
    }
}

async fn load_anew(
    engine: &Engine,
    file: &Path,
    bytes: Vec<u8>,
    live: Option<&Plugin>,
) -> Result<Arc<Plugin>, Reason> {
    let loaded = load(engine, &stem(file), bytes).await;
    let mut plugin = loaded.map_err(FileError::from)?;
    if let Some(live) = live {
        plugin.succeed(live);
    }
    Ok(Arc::new(plugin))
}
