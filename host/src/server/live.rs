//! Which files are live, and how that changes. A look at the folder begins to load what is new in it, each file by
//! itself; when that has ended, what came of it becomes live in one swap, and what is broken changes nothing. Files
//! that began together wait for each other, but not for long: what takes longer becomes live in a swap of its own.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use super::load::Load;
use super::look::{FileState, Files, Found, look};
use crate::config::{Limits, TenantName};
use crate::plugin::{Engine, FileError, Grants, Manifest, Plugin, plugin_files};
use crate::tenant::{Change, Conflict, PluginSet, Tenant};

/// Swaps that are remembered.
const HISTORY: usize = 100;
/// For so long, from the beginning of the first, the loads of a burst wait for each other: what was deployed together
/// becomes live together, and one that is hard to compile holds up the others no longer.
const TOGETHER: Duration = Duration::from_secs(1);
/// How soon to look again at a file that may not be written to its end.
const AGAIN: Duration = Duration::from_millis(250);

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
    /// Why what is in it now is not live; or was before, while that is being loaded.
    pub problem: Option<Reason>,
    /// What is in it now is being loaded.
    pub is_loading: bool,
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

/// What a look at the folder led to.
#[derive(Debug)]
pub struct Refreshed {
    /// The files whose content is not live.
    pub problems: Vec<Problem>,
    /// What has changed since the look began.
    pub changes: Vec<Change>,
    /// When to look again, if that is soon: some file is being loaded, or is broken and may just not be written to its
    /// end.
    pub again: Option<Duration>,
}

/// The files that are live, and those that are not.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// What is known of each file of the folder.
    files: Files,
    /// Those under which they were loaded.
    limits: Option<Arc<Limits>>,
    /// What they were given then.
    grants: Arc<Grants>,
    /// Something was found that the plugins which are live do not say yet.
    is_new: bool,
    /// When the first of the loads began that are to become live together.
    burst: Option<Instant>,
    problems: Vec<Problem>,
    history: VecDeque<Swap>,
    /// Tells that a load has ended.
    ended: watch::Sender<()>,
}

impl Live {
    /// The files, sorted.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let files = self.files.iter().map(|(file, state)| Entry {
            file: file.clone(),
            plugin: state.live.clone(),
            problem: state.reason.clone(),
            is_loading: matches!(state.found, Found::Loading(_)),
        });
        files.collect()
    }

    /// The swaps that happened, the last one last.
    pub(super) fn history(&self) -> impl Iterator<Item = &Swap> {
        self.history.iter()
    }

    /// The files whose content is not live.
    pub(super) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Changes with the end of each load.
    pub(super) fn ended(&self) -> watch::Receiver<()> {
        self.ended.subscribe()
    }

    /// Looks at the folder, and begins to load what is new in it: without patience also what is broken, and all of it
    /// when other limits are in force, or what has to be loaded anew because it is given something else.
    ///
    /// # Errors
    /// When the folder cannot be read; nothing has changed then.
    pub(super) fn look(
        &mut self,
        folder: &Path,
        engine: &Engine,
        patience: Patience,
    ) -> std::io::Result<()> {
        let listed = plugin_files(folder)?;
        let known = self.limits.replace(Arc::clone(engine.limits()));
        let is_other = known.is_none_or(|known| !Arc::ptr_eq(&known, engine.limits()));
        let grants = engine.grants();
        let known = std::mem::replace(&mut self.grants, Arc::clone(&grants));
        let is_believed = |state: &FileState| {
            !is_other
                && (patience != Patience::None || !state.is_broken())
                && grants.loads_alike(&known, state.name())
        };
        let began = Instant::now();
        self.is_new |= look(&mut self.files, listed, is_believed, engine, &self.ended);
        if self.burst.is_none() && self.is_loading(|load| load.began() >= began) {
            self.burst = Some(began);
        }
        Ok(())
    }

    /// Whether such a load is under way.
    fn is_loading(&self, is_meant: impl Fn(&Load) -> bool) -> bool {
        let loads = self.files.values().filter_map(|state| match &state.found {
            Found::Loading(load) => Some(load),
            Found::Loaded(_) => None,
        });
        loads.into_iter().any(is_meant)
    }

    /// Takes what loads have come to. Returns whether one that began before that moment is still under way.
    pub(super) fn adopt(&mut self, before: Instant, live: &PluginSet) -> bool {
        for state in self.files.values_mut() {
            self.is_new |= state.adopt(live);
        }
        self.is_loading(|load| load.began() <= before)
    }

    /// Makes what was found live; with patience, not before the rest of the burst is loaded. Returns when to look
    /// again, if that is soon.
    pub(super) fn settle(&mut self, tenant: &Tenant, patience: Patience) -> Option<Duration> {
        self.adopt(Instant::now(), &tenant.plugins());
        let is_patient = patience == Patience::UntilSettled;
        if let Some(burst) = self.burst
            && let Some(left) = TOGETHER.checked_sub(burst.elapsed())
            && self.is_loading(|load| load.began() >= burst)
            && is_patient
        {
            return Some(left);
        }
        self.burst = None;
        if !self.is_new {
            return None;
        }
        self.is_new = false;
        for state in self.files.values_mut() {
            self.is_new |= state.judge(is_patient);
        }
        self.swap(tenant);
        self.is_new.then_some(AGAIN)
    }

    fn swap(&mut self, tenant: &Tenant) {
        let before = tenant.plugins();
        let candidates = self.files.iter();
        let candidates = candidates.filter_map(|(file, state)| state.candidate(file));
        let built = PluginSet::build(candidates.collect(), &before);
        for state in self.files.values_mut() {
            state.live = None;
        }
        for (file, plugin) in built.files {
            if let Some(state) = self.files.get_mut(&file) {
                state.live = Some(plugin);
            }
        }
        for (file, conflict) in built.conflicts {
            if let Some(state) = self.files.get_mut(&file) {
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
            log_change(&tenant.name, change, &live);
        }
        self.report();
        tenant.metrics.swapped(changes.len(), self.problems.len());
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
    fn report(&mut self) {
        let known: Vec<_> = self.problems.iter().map(ToString::to_string).collect();
        self.problems = self
            .files
            .iter()
            .filter_map(|(file, state)| {
                let reason = state.reason.clone()?;
                Some(Problem {
                    file: file.clone(),
                    reason,
                })
            })
            .collect();
        for problem in &self.problems {
            if known.contains(&problem.to_string()) {
                continue;
            }
            let live = self
                .files
                .get(&problem.file)
                .and_then(|state| state.live.as_ref());
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

fn log_change(tenant: &TenantName, change: &Change, set: &PluginSet) {
    let plugin = tenant.qualify(&change.plugin);
    match (&change.from, set.plugin(&change.plugin)) {
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
