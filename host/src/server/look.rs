//! A look at the plugin folder: what is known of each file, and which has to be loaded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::live::Reason;
use super::load::{Load, Loaded, Verdict};
use crate::plugin::{Engine, FileError, Plugin, Stamp};
use crate::tenant::{Candidate, PluginSet};

/// A file that was changed so recently may still be being written: it is not called broken yet.
const SETTLED: Duration = Duration::from_secs(2);

/// The files of the folder.
pub(super) type Files = BTreeMap<PathBuf, FileState>;

/// What is known of a file.
#[derive(Debug)]
pub(super) struct FileState {
    /// Of the content that was looked at last; `None` when it cannot be told.
    stamp: Option<Stamp>,
    /// What that content is.
    pub(super) found: Found,
    /// The plugin that is live of it, which may be from a content before that.
    pub(super) live: Option<Arc<Plugin>>,
    /// Why what was found last is not live.
    pub(super) reason: Option<Reason>,
}

/// What a content is.
#[derive(Debug)]
pub(super) enum Found {
    /// Not known yet: it is being loaded.
    Loading(Load),
    /// It is known.
    Loaded(Verdict),
}

/// Looks at the files that are `listed`, and begins to load those whose content may be another than it was when they
/// were `known`, or of whom nothing is to be believed any more. Those that are gone, or are another's now, are not
/// loaded any longer. Returns whether anything is new.
pub(super) fn look(
    known: &mut Files,
    listed: BTreeMap<PathBuf, Result<Stamp, FileError>>,
    is_believed: impl Fn(&FileState) -> bool,
    engine: &Engine,
    ended: &watch::Sender<()>,
) -> bool {
    let before = std::mem::take(known);
    let (mut there, gone): (Files, Files) = before
        .into_iter()
        .partition(|(file, _)| listed.contains_key(file));
    let mut is_new = !gone.is_empty();
    // A file may have been renamed.
    let gone = gone.into_values().filter(&is_believed);
    let gone: Vec<Verdict> = gone.filter_map(|state| state.verdict().cloned()).collect();
    for (file, stamp) in listed {
        let before = there.remove(&file);
        let before = match before {
            Some(before) if is_believed(&before) && before.is_same(&stamp) => {
                known.insert(file, before);
                continue;
            }
            before => before,
        };
        is_new = true;
        let own = before.as_ref().filter(|before| is_believed(before));
        let own = own.and_then(FileState::verdict).cloned();
        let begin = |file: &Path| {
            let verdicts = own.into_iter().chain(gone.iter().cloned());
            Found::Loading(Load::begin(engine, file, verdicts.collect(), ended))
        };
        let (stamp, found) = match stamp {
            Ok(stamp) => (Some(stamp), begin(&file)),
            Err(error) => (None, Found::Loaded(Verdict::unreadable(error))),
        };
        let (live, reason) = before.map_or((None, None), |before| (before.live, before.reason));
        let mut state = FileState {
            stamp,
            found,
            live,
            reason,
        };
        state.forget_reason();
        known.insert(file, state);
    }
    is_new
}

impl FileState {
    fn verdict(&self) -> Option<&Verdict> {
        match &self.found {
            Found::Loading(_) => None,
            Found::Loaded(verdict) => Some(verdict),
        }
    }

    /// The name of the plugin that it is, if it is known to be one.
    pub(super) fn name(&self) -> Option<&str> {
        let plugin = self.verdict()?.plugin.as_ref().ok()?;
        Some(&plugin.manifest.name)
    }

    /// Whether it is known to be no plugin.
    pub(super) fn is_broken(&self) -> bool {
        self.verdict()
            .is_some_and(|verdict| verdict.plugin.is_err())
    }

    /// Whether what is known is about what is there now.
    fn is_same(&self, stamp: &Result<Stamp, FileError>) -> bool {
        match (&self.found, self.stamp, stamp) {
            // If it is another all the same, the next look will see it.
            (Found::Loading(_), Some(known), Ok(stamp)) => known.may_be(stamp),
            (Found::Loaded(_), Some(known), Ok(stamp)) => known.is_same(stamp),
            (Found::Loaded(verdict), None, Err(error)) => {
                let known = verdict.plugin.as_ref().err();
                known.is_some_and(|known| known.to_string() == error.to_string())
            }
            _ => false,
        }
    }

    /// Takes what has come of loading it, if that has ended. Returns whether it has.
    pub(super) fn adopt(&mut self, live: &PluginSet) -> bool {
        let Found::Loading(load) = &mut self.found else {
            return false;
        };
        let Some(loaded) = load.take() else {
            return false;
        };
        let verdict = match loaded {
            Loaded::Known(verdict) => verdict,
            Loaded::New(content, plugin) => {
                let succeeding = |mut plugin: Box<Plugin>| {
                    if let Some(live) = &self.live {
                        plugin.succeed(live);
                    }
                    Arc::from(plugin)
                };
                Verdict {
                    content: Some(content),
                    plugin: plugin.map(succeeding).map_err(Arc::new),
                }
            }
            Loaded::Unreadable(error) => Verdict::unreadable(error),
        };
        if self.live.is_none()
            && let Ok(plugin) = &verdict.plugin
        {
            // It was renamed.
            let same = live.plugin(&plugin.manifest.name);
            self.live = same.filter(|live| Arc::ptr_eq(live, plugin)).cloned();
        }
        self.found = Found::Loaded(verdict);
        self.forget_reason();
        true
    }

    /// A reason stands until it is known that what is there now has another, or none.
    fn forget_reason(&mut self) {
        let Some(verdict) = self.verdict() else {
            return;
        };
        let stands = match (&self.reason, &verdict.plugin) {
            (Some(Reason::File(reason)), Err(error)) => Arc::ptr_eq(reason, error),
            _ => false,
        };
        if !stands {
            self.reason = None;
        }
    }

    /// Says that it is broken, if it is; with `patience` only when it has not been changed for a while. Returns
    /// whether that is left for later.
    pub(super) fn judge(&mut self, is_patient: bool) -> bool {
        let Found::Loaded(verdict) = &self.found else {
            return false;
        };
        match &verdict.plugin {
            // Whether it conflicts will be seen.
            Ok(_) => self.reason = None,
            Err(_) if self.reason.is_some() => {}
            Err(_) if is_patient && self.stamp.is_some_and(|stamp| stamp.age() < SETTLED) => {
                return true;
            }
            Err(error) => self.reason = Some(Reason::File(Arc::clone(error))),
        }
        false
    }

    /// What is to be live of it.
    pub(super) fn candidate(&self, file: &Path) -> Option<Candidate> {
        let plugin = match &self.found {
            Found::Loaded(Verdict {
                plugin: Ok(plugin), ..
            }) => Some(plugin),
            _ => self.live.as_ref(),
        };
        Some(Candidate {
            file: file.to_owned(),
            plugin: Arc::clone(plugin?),
            live: self.live.clone(),
        })
    }
}
