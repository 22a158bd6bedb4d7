//! From a component's bytes to code in the engine: out of the cache, or compiled and put there.
//!
//! This is the one place where the host takes bytes for machine code, and the only `unsafe` of the host.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::Component;

use super::LoadError;
use super::background;
use super::cache::{Cache, Facts, Key};
use super::compile::{self, Compile, CompileError};
use super::engine::Engine;
use super::loaded::LoadedCode;
use super::manifest::{Described, Said};
use crate::config::Limits;

/// Machine code of a component that this host's own compiler made: it has just come from there, or the cache has
/// found it to be what was put there. There is no other way to one.
pub(super) struct Artefact(Vec<u8>);

impl Artefact {
    /// What a compiler put out, to its end.
    pub(super) fn compiled(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// What was read from the cache's folder, which is the host's alone, and has the digest of what was written.
    pub(super) fn verified(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Copies the code into memory of the engine's. The alternative is to map the cache's file, which would save
    /// pages that several hosts share; but then what runs is what is in the file from now on, not what was verified,
    /// and a file that is cut short, or a disk that fails, is a `SIGBUS` for the whole host.
    fn load(&self, engine: &wasmtime::Engine) -> wasmtime::Result<Component> {
        #[expect(
            unsafe_code,
            reason = "whether bytes are machine code that may be run, no compiler can check"
        )]
        // SAFETY: the bytes must be what `Engine::precompile_component` made, unchanged. An `Artefact` is made in two
        // places. `compiled` is given the output of that function, called in this process, or in a child that runs
        // the operator's own program and has said by its exit code that the output is whole. `verified` is given
        // bytes whose SHA-256, taken after they had been read into memory, is that of such an output; the file that
        // says so is in a folder that only this user can reach into, and who has become this user can do anything
        // to this process as it is. The bytes are copied, and nobody can change them meanwhile. That they are for
        // this wasmtime, these settings and this processor need not be promised: they say themselves what they are
        // for, and what does not fit is refused.
        unsafe {
            Component::deserialize(engine, &self.0)
        }
    }
}

/// Where a plugin's code came from, and how long that took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was compiled before, by this host or one that shares its cache, or is in memory already.
    Cached(Duration),
    /// It was compiled.
    Compiled(Duration),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cached(took) => write!(formatter, "from the cache in {took:.1?}"),
            Self::Compiled(took) => write!(formatter, "compiled in {took:.1?}"),
        }
    }
}

/// A component's code, ready to be instantiated.
pub(super) struct Code {
    pub(super) loaded: Arc<LoadedCode>,
    pub(super) origin: Origin,
    /// What the plugin says of itself, when it had to be asked.
    pub(super) news: Option<Described>,
    entry: Option<Entry>,
}

/// What has to be told to the cache of a component.
enum Entry {
    /// To be made.
    New(Key, Artefact),
    Old(Key, Box<Facts>),
}

impl Code {
    /// What the plugin said of itself when it was last asked, if that was under these limits.
    pub(super) fn described(&self, limits: &Limits) -> Option<Said> {
        self.loaded.described.get()?.under(limits)
    }
}

impl Engine {
    /// A component's code: what is in memory already, or in the cache, and else compiled.
    pub(super) async fn code(&self, component: Vec<u8>) -> Result<Code, LoadError> {
        let component = Arc::new(component);
        let key = match &self.cache {
            None => None,
            Some(cache) => match self.look_up(cache, &component).await? {
                (_, Some(code)) => return Ok(code),
                (key, None) => Some(key),
            },
        };
        let began = Instant::now();
        let artefact = match &self.compile {
            Compile::Here => {
                let engine = self.engine.clone();
                blocking(move || compile::here(&engine, &component)).await??
            }
            Compile::Child(program) => compile::in_child(program, &component, &self.limits).await?,
        };
        let engine = self.engine.clone();
        let (component, artefact) = blocking(move || (artefact.load(&engine), artefact)).await?;
        let component = component.map_err(|error| LoadError::unfit(&error))?;
        let loaded = Arc::new(LoadedCode::new(component, None));
        if let Some(key) = &key {
            self.loaded.insert(key.clone(), &loaded);
        }
        Ok(Code {
            loaded,
            origin: Origin::Compiled(began.elapsed()),
            news: None,
            entry: key.map(|key| Entry::New(key, artefact)),
        })
    }

    /// The key of a component, and the code that is there for it.
    async fn look_up(
        &self,
        cache: &Arc<Cache>,
        component: &Arc<Vec<u8>>,
    ) -> Result<(Key, Option<Code>), LoadError> {
        let (engine, cache) = (self.engine.clone(), Arc::clone(cache));
        let (codes, component) = (Arc::clone(&self.loaded), Arc::clone(component));
        blocking(move || {
            let began = Instant::now();
            let code = |loaded, entry| Code {
                loaded,
                origin: Origin::Cached(began.elapsed()),
                news: None,
                entry,
            };
            let key = Key::of(&engine, &component);
            if let Some(loaded) = codes.get(&key) {
                return Ok((key, Some(code(loaded, None))));
            }
            let Some((artefact, mut facts)) = cache.get(&key) else {
                return Ok((key, None));
            };
            match artefact.load(&engine) {
                Ok(component) => {
                    let loaded = LoadedCode::new(component, facts.described.take());
                    let loaded = Arc::new(loaded);
                    codes.insert(key.clone(), &loaded);
                    let code = code(loaded, Some(Entry::Old(key.clone(), Box::new(facts))));
                    Ok((key, Some(code)))
                }
                Err(error) => {
                    let unfit = LoadError::unfit(&error);
                    // Compiled anew it would be as large.
                    if unfit.limit().is_some() {
                        return Err(unfit);
                    }
                    cache.forget(&key, &format!("{error:#}"));
                    Ok((key, None))
                }
            }
        })
        .await?
    }

    /// Puts into the cache what is not there yet. Also of a plugin that is refused after it was compiled: it would be
    /// compiled at every start, only to be refused again.
    pub(super) async fn keep(&self, code: Code) {
        let (Some(cache), Some(entry)) = (self.cache.clone(), code.entry) else {
            return;
        };
        let news = code.news;
        let kept = blocking(move || match (entry, news) {
            (Entry::New(key, artefact), described) => cache.insert(&key, &artefact, described),
            (Entry::Old(key, facts), Some(described)) => cache.amend(&key, *facts, described),
            (Entry::Old(..), None) => {}
        });
        if let Err(error) = kept.await {
            tracing::warn!("compiled code is not kept: {error}");
        }
    }
}

/// Runs what takes long or waits for the disk [in the background](background).
pub(super) async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, CompileError> {
    let done = background::run(work).await;
    done.map_err(|error| CompileError::Crashed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::plugin::engine;

    #[test]
    fn a_child_compiles_for_the_hosts_engine() {
        let limits = Limits {
            instances_max: 1,
            instances_per_plugin_max: 1,
            ..Limits::default()
        };
        let host = Engine::new(&limits, Metrics::of_host()).expect("one instance has room");
        let child = engine::for_compiling().expect("nothing is reserved");
        assert_eq!(Key::of(&host.engine, b""), Key::of(&child, b""));
    }
}
