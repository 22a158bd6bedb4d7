//! Which files are live, and how that changes: what is new is loaded, what is broken changes nothing, and all that
//! changed becomes live in one swap.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::look::{FileState, Look};
use crate::config::Limits;
use crate::plugin::{Engine, FileError, Manifest, Plugin, Stamp, plugin_files};
use crate::tenant::{Candidate, Change, Conflict, PluginSet, Tenant};

/// Swaps that are remembered.
const HISTORY: usize = 100;
/// A file that was changed so recently may still be being written: it is not called broken yet.
const SETTLED: Duration = Duration::from_secs(2);

/// A file of the plugin folder that is not live, and why.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {reason}", file.display())]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Why, and what to do.
    pub reason: Reason,
}

/// Why a file is not live.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Reason {
    /// It cannot be loaded.
    #[error("{0}")]
    File(Arc<FileError>),
    /// It conflicts with another.
    #[error("{0}")]
    Conflict(#[from] Conflict),
}

impl From<FileError> for Reason {
    fn from(error: FileError) -> Self {
        Self::File(Arc::new(error))
    }
}

/// A file of the plugin folder.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The file.
    pub file: PathBuf,
    /// What is live of it; with a problem, the version before.
    pub plugin: Option<Arc<Plugin>>,
    /// Why what is in it now is not live.
    pub problem: Option<Reason>,
}

/// A swap that happened.
#[derive(Clone, Debug)]
pub struct Swap {
    /// When.
    pub at: SystemTime,
    /// What it changed; never empty.
    pub changes: Vec<Change>,
}

/// When a broken file is to be believed to be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// At once.
    None,
    /// When it has not changed for a while.
    UntilSettled,
}

/// The files that are live, and those that are not.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// What was made of each file of the folder.
    files: BTreeMap<PathBuf, FileState>,
    /// Those under which they were loaded.
    limits: Option<Arc<Limits>>,
    problems: Vec<Problem>,
    history: VecDeque<Swap>,
}

/// What a look at the folder led to.
#[derive(Debug)]
pub struct Refreshed {
    /// The files whose content is not live.
    pub problems: Vec<Problem>,
    /// What changed.
    pub changes: Vec<Change>,
    /// Some file is broken, and may just not be written to its end: look again.
    pub is_unsettled: bool,
}

impl Live {
    /// The files, sorted.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let files = self.files.iter().map(|(file, state)| Entry {
            file: file.clone(),
            plugin: state.plugin.clone(),
            problem: state.reason.clone(),
        });
        files.collect()
    }

    /// The swaps that happened, the last one last.
    pub(super) fn history(&self) -> impl Iterator<Item = &Swap> {
        self.history.iter()
    }

    /// Makes what is in the folder live.
    ///
    /// # Errors
    /// When the folder cannot be read; nothing has changed then.
    pub(super) async fn refresh(
        &mut self,
        folder: &Path,
        engine: &Engine,
        tenant: &Tenant,
        patience: Patience,
    ) -> std::io::Result<Refreshed> {
        let listed = plugin_files(folder)?;
        self.forget_if_other(engine.limits());
        if self.is_current(&listed) {
            return Ok(Refreshed {
                problems: self.problems.clone(),
                changes: vec![],
                is_unsettled: false,
            });
        }
        let mut looked = BTreeMap::new();
        let mut candidates = Vec::new();
        let mut is_unsettled = false;
        for (file, stamp) in listed {
            let Look {
                stamp,
                content,
                plugin,
                live,
                is_known,
            } = Look::at(&self.files, engine, &file, stamp).await;
            let mut state = FileState {
                stamp,
                content,
                plugin: live.clone(),
                reason: None,
            };
            let candidate = match plugin {
                Ok(plugin) => Some(plugin),
                Err(reason) => {
                    let is_young = stamp.is_some_and(|stamp| stamp.age() < SETTLED);
                    if patience == Patience::UntilSettled && is_young && !is_known {
                        is_unsettled = true;
                        // It is looked at anew.
                        (state.stamp, state.content) = (None, None);
                    } else {
                        state.reason = Some(reason);
                    }
                    live.clone()
                }
            };
            candidates.extend(candidate.map(|plugin| Candidate {
                file: file.clone(),
                plugin,
                live,
            }));
            looked.insert(file, state);
        }
        let changes = self.swap(looked, candidates, tenant);
        Ok(Refreshed {
            problems: self.problems.clone(),
            changes,
            is_unsettled,
        })
    }

    /// Has everything loaded anew when other limits are in force.
    fn forget_if_other(&mut self, limits: &Arc<Limits>) {
        let is_same = self
            .limits
            .as_ref()
            .is_some_and(|known| Arc::ptr_eq(known, limits));
        if !is_same {
            self.limits = Some(Arc::clone(limits));
            for state in self.files.values_mut() {
                (state.stamp, state.content) = (None, None);
            }
        }
    }

    /// Whether all is as it was at the last look.
    fn is_current(&self, listed: &BTreeMap<PathBuf, Result<Stamp, FileError>>) -> bool {
        let is_known = |(file, stamp): (&PathBuf, &Result<Stamp, FileError>)| {
            let known = self.files.get(file).and_then(|state| state.stamp);
            matches!((stamp, known), (Ok(stamp), Some(known)) if known.is_same(stamp))
        };
        listed.len() == self.files.len() && listed.iter().all(is_known)
    }

    fn swap(
        &mut self,
        mut looked: BTreeMap<PathBuf, FileState>,
        candidates: Vec<Candidate>,
        tenant: &Tenant,
    ) -> Vec<Change> {
        let before = tenant.plugins();
        let built = PluginSet::build(candidates, &before);
        for state in looked.values_mut() {
            state.plugin = None;
        }
        for (file, plugin) in built.files {
            if let Some(state) = looked.get_mut(&file) {
                state.plugin = Some(plugin);
            }
        }
        for (file, conflict) in built.conflicts {
            if let Some(state) = looked.get_mut(&file) {
                state.reason = Some(conflict.into());
            }
        }
        let changes = Change::between(&before, &built.set);
        if !changes.is_empty() {
            tenant.set_plugins(built.set);
            self.remember(&changes);
        }
        let live = tenant.plugins();
        for change in &changes {
            log_change(change, &live);
        }
        self.report(looked);
        tenant.metrics.swapped(changes.len(), self.problems.len());
        changes
    }

    fn remember(&mut self, changes: &[Change]) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(Swap {
            at: SystemTime::now(),
            changes: changes.to_vec(),
        });
    }

    /// Logs each problem once: when it is another than it was.
    fn report(&mut self, looked: BTreeMap<PathBuf, FileState>) {
        let known: Vec<_> = self.problems.iter().map(ToString::to_string).collect();
        self.problems = looked
            .iter()
            .filter_map(|(file, state)| {
                let reason = state.reason.clone()?;
                Some(Problem {
                    file: file.clone(),
                    reason,
                })
            })
            .collect();
        self.files = looked;
        for problem in &self.problems {
            if known.contains(&problem.to_string()) {
                continue;
            }
            let live = self
                .files
                .get(&problem.file)
                .and_then(|state| state.plugin.as_ref());
            let (file, reason) = (problem.file.display(), &problem.reason);
            match live {
                Some(plugin) => {
                    let version = &plugin.manifest.version;
                    tracing::error!(%file, "plugin not loaded, and {version} stays live: {reason}");
                }
                None => tracing::error!(%file, "plugin not loaded: {reason}"),
            }
        }
    }
}

fn log_change(change: &Change, set: &PluginSet) {
    let plugin = &change.plugin;
    match (&change.from, set.plugin(plugin)) {
        (None, Some(live)) => {
            let Manifest {
                version,
                routes,
                hooks,
                ..
            } = &live.manifest;
            tracing::info!(%plugin, %version, routes = routes.len(), %hooks, "plugin live");
        }
        (Some(_), Some(_)) => tracing::info!(%plugin, "plugin swapped: {change}"),
        (_, None) => tracing::info!(%plugin, "plugin removed: {change}"),
    }
}
