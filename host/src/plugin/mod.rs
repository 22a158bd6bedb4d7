//! Plugins: loading them, and calling them for an event.
//!
//! The only module that knows wasmtime and the generated types of the contract. A plugin's failure is a value
//! here: it costs the instance and the event, and nothing else.

mod background;
mod bindings;
mod cache;
mod code;
mod compile;
mod contract;
mod engine;
mod failure;
mod folder;
mod granted;
mod guest_log;
mod health;
mod host;
mod lanes;
mod loaded;
mod loader;
mod log_rate;
mod manifest;
mod memory;
mod meter;
mod outbound;
mod pool;
mod quote;
mod share;
mod state;
mod turns;

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::Histogram;
use tokio::time::timeout;

use bindings::exports::wardroom::plugin as exports;
use bindings::exports::wardroom::plugin::messages::Message as WitMessage;
use bindings::wardroom::plugin::connection::UpgradeRequestParam;
use bindings::wardroom::plugin::types::{HandlerError, ParamParam};

pub use cache::{Cache, CacheError};
pub use code::Origin;
pub use compile::{Compile, CompileError};
pub use engine::{Engine, EngineError};
pub use failure::{CallError, Trap};
pub use folder::{Content, Digest, FileError, Stamp, plugin_files, read};
pub use granted::Grants;
pub use loader::{Inspection, LoadError, inspect, load, stem};
pub use manifest::{Hooks, Manifest, ManifestError, Mode, Route};
pub use outbound::Outbound;
pub use state::{Event, RoutedMessage, Subject};

pub(crate) use compile::precompile;

use crate::config::{Limit, Limits};
use crate::hub::Request;
use crate::metrics::{Failure, PluginMetrics};
use health::Health;
use loaded::LoadedCode;
use meter::{Metered, OutOfCpu};
use pool::{Instance, Pool};

/// A loaded plugin.
#[derive(Debug)]
pub struct Plugin {
    /// What it says of itself, checked.
    pub manifest: Manifest,
    /// How logs name it: with its tenant, unless that is the default one.
    pub label: String,
    /// Where its code came from.
    pub origin: Origin,
    pool: Pool,
    health: Health,
    metrics: PluginMetrics,
    /// So that others find it for as long as it is used.
    _code: Arc<LoadedCode>,
}

/// Where the functions of a component are.
struct Exports {
    manifest: exports::manifest::GuestIndices,
    messages: Option<exports::messages::GuestIndices>,
    connections: Option<exports::connections::GuestIndices>,
}

/// A handler's refusal: it goes to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The handler's.
    pub code: u16,
    /// The handler's.
    pub message: String,
}

/// An HTTP answer in place of an upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRefusal {
    /// The handler's.
    pub status: u16,
    /// The handler's.
    pub headers: Vec<(String, String)>,
    /// The handler's.
    pub body: String,
}

impl Plugin {
    /// What its events may use: the limits under which it was loaded.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.pool.engine().limits
    }

    /// Takes the place of another version of itself.
    pub fn succeed(&mut self, before: &Self) {
        self.pool.succeed(&before.pool);
    }

    /// Says how many instances there are.
    pub fn hold_metrics(&self) {
        let (busy, idle) = self.pool.sizes();
        self.metrics.hold(busy, idle);
    }

    /// Whether a line about it may be logged now.
    #[must_use]
    pub fn admits_log_line(&self) -> bool {
        self.pool.log().admits()
    }

    /// Throws away the instances that have not been used for `instance_idle_max`, and says how many lines were not
    /// logged.
    pub fn keep_house(&self) {
        self.pool.log().report();
        self.pool
            .retire_idle(self.pool.engine().limits.instance_idle_max);
    }

    /// For how long the plugin is not called, because it kept failing; `None` when it works.
    #[must_use]
    pub fn quarantine(&self) -> Option<Duration> {
        self.health.left()
    }

    /// Handles a message; the event's subject must be one.
    ///
    /// # Errors
    /// [`CallError`], when it was not handled; the inner error is the handler's own.
    pub async fn on_message(
        &self,
        event: Event,
        message: &RoutedMessage,
    ) -> Result<Result<Option<String>, Refusal>, CallError> {
        let params: Vec<ParamParam<'_>> = message
            .params
            .iter()
            .map(|(name, value)| ParamParam { name, value })
            .collect();
        let said = WitMessage {
            route: message.route,
            event: message.message.event(),
            path: message.message.path(),
            params: &params,
            data: message.message.data(),
            id: message.message.id(),
        };
        let seconds = self.metrics.route(message.route);
        self.call(seconds, event, async |instance| {
            let guest = instance.messages.as_ref().ok_or_else(no_such_export)?;
            let answer = guest.call_on_message(&mut instance.store, said).await?;
            Ok(answer.map_err(Refusal::from))
        })
        .await
    }

    /// Asks whether a connection may be opened; the answer is what was established about the client.
    ///
    /// # Errors
    /// As [`Self::on_message`].
    pub async fn on_upgrade(
        &self,
        event: Event,
        request: &Request,
    ) -> Result<Result<Option<String>, HttpRefusal>, CallError> {
        let (headers, cookies) = (borrowed(&request.headers), borrowed(&request.cookies));
        let peer = request.peer.to_string();
        let said = UpgradeRequestParam {
            path: &request.path,
            query: request.query.as_deref(),
            headers: &headers,
            cookies: &cookies,
            peer: &peer,
            claims: request.claims.as_deref(),
        };
        self.call(self.metrics.upgrade(), event, async |instance| {
            let guest = instance.connections.as_ref().ok_or_else(no_such_export)?;
            let answer = guest.call_on_upgrade(&mut instance.store, said).await?;
            Ok(answer.map_err(|error| HttpRefusal {
                status: error.status,
                headers: error.headers,
                body: error.body,
            }))
        })
        .await
    }

    /// Tells the plugin that a connection has opened.
    ///
    /// # Errors
    /// As [`Self::on_message`].
    pub async fn on_connect(&self, event: Event) -> Result<Result<(), Refusal>, CallError> {
        self.call(self.metrics.connect(), event, async |instance| {
            let guest = instance.connections.as_ref().ok_or_else(no_such_export)?;
            let answer = guest.call_on_connect(&mut instance.store).await?;
            Ok(answer.map_err(Refusal::from))
        })
        .await
    }

    /// Tells the plugin that a connection has closed.
    ///
    /// # Errors
    /// [`CallError`], when it could not be told.
    pub async fn on_disconnect(
        &self,
        event: Event,
        code: u16,
        reason: &str,
    ) -> Result<(), CallError> {
        self.call(self.metrics.disconnect(), event, async |instance| {
            let guest = instance.connections.as_ref().ok_or_else(no_such_export)?;
            guest
                .call_on_disconnect(&mut instance.store, code, reason)
                .await
        })
        .await
    }

    /// Calls a function of an instance for an event, unless the plugin is in quarantine, and keeps in mind how it
    /// went.
    async fn call<R>(
        &self,
        seconds: &Histogram,
        event: Event,
        function: impl AsyncFnOnce(&mut Instance) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        if let Some(left) = self.health.quarantine() {
            self.metrics.failed(Failure::Unavailable);
            return Err(CallError::Unavailable {
                reason: format!("in quarantine for {left:.1?} more"),
                limit: Limit::FailuresInRowMax,
            });
        }
        let start = Instant::now();
        let called = self.call_instance(event, function).await;
        seconds.record(start.elapsed());
        match &called {
            Ok(_) => self.health.went_well(),
            Err(error) => self.count_failure(error),
        }
        called
    }

    fn count_failure(&self, error: &CallError) {
        let metrics = &self.pool.engine().metrics;
        match error {
            CallError::Unavailable { limit, .. } => {
                metrics.reached(*limit);
                self.metrics.failed(Failure::Unavailable);
                return;
            }
            CallError::TimedOut(limit) => {
                metrics.reached(*limit);
                self.metrics.failed(Failure::Timeout);
            }
            CallError::Failed(trap) => {
                if let Some(limit) = trap.limit {
                    metrics.reached(limit);
                }
                self.metrics.failed(Failure::Trap);
            }
        }
        if let Some(length) = self.health.failed() {
            let limits = self.limits();
            metrics.reached(Limit::FailuresInRowMax);
            if length == limits.quarantine_min {
                metrics.reached(Limit::QuarantineMin);
            }
            if length == limits.quarantine_max {
                metrics.reached(Limit::QuarantineMax);
            }
            let plugin = &self.label;
            tracing::error!(%plugin, ?length, "quarantined (failures_in_row_max): its events are answered 503");
        }
    }

    /// Calls a function of an instance for an event, within the event's limits. The instance survives only what
    /// went well: after an error it may not be entered again.
    async fn call_instance<R>(
        &self,
        event: Event,
        function: impl AsyncFnOnce(&mut Instance) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        let mut lease = self.pool.take().await?;
        let state = lease.instance.store.data_mut();
        state.begin(event);
        let (meter, turn) = (Arc::clone(&state.meter), state.turn.clone());
        lease.instance.store.set_epoch_deadline(1);
        let called = {
            let calling = std::pin::pin!(function(&mut lease.instance));
            timeout(
                self.limits().event_wall_max,
                Metered {
                    meter: &meter,
                    turn: &turn,
                    future: calling,
                },
            )
            .await
        };
        match called {
            Ok(Ok(answer)) => {
                self.pool.give_back(lease);
                Ok(answer)
            }
            Ok(Err(error)) if error.is::<OutOfCpu>() => {
                Err(CallError::TimedOut(Limit::EventCpuMax))
            }
            Ok(Err(error)) => Err(CallError::Failed(Trap::of(&error))),
            Err(_) => Err(CallError::TimedOut(Limit::EventWallMax)),
        }
    }
}

fn borrowed(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    pairs
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

fn no_such_export() -> wasmtime::Error {
    wasmtime::Error::msg("the function is not exported")
}

impl From<HandlerError> for Refusal {
    fn from(error: HandlerError) -> Self {
        Self {
            code: error.code,
            message: error.message,
        }
    }
}
