//! Why an event was not handled, or a plugin could not say what it is.

use wasmtime::component::ResourceTableError;

use super::meter::OutOfCpu;
use super::pool::Unavailable;
use super::quote::one_line;
use crate::config::Limit;

/// Why a plugin did not handle an event. Not for clients: it names causes.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no instance for it: the limit says why.
    #[error("{reason} ({})", limit.key())]
    Unavailable {
        /// What is the matter.
        reason: String,
        /// What made it so.
        limit: Limit,
    },
    /// It ran out of CPU time or of time.
    #[error("timed out: {}", .0.key())]
    TimedOut(Limit),
    /// It trapped.
    #[error("{0}")]
    Failed(Trap),
}

/// A guest's end.
#[derive(Debug, thiserror::Error)]
#[error("{cause}{}", limit.map(|limit| format!(" ({})", limit.key())).unwrap_or_default())]
pub struct Trap {
    /// Why, and where.
    cause: String,
    /// What it ran into, where the answer to that can only be a trap.
    pub(super) limit: Option<Limit>,
}

impl Trap {
    pub(super) fn of(error: &wasmtime::Error) -> Self {
        Self {
            cause: one_line(&cause_of(error)),
            limit: limit_of(error),
        }
    }
}

/// Frames of a trap's backtrace that are worth a log line; the innermost come first.
const FRAMES: usize = 12;

/// Why a guest failed, and where, in one line.
fn cause_of(error: &wasmtime::Error) -> String {
    let cause = error.root_cause().to_string();
    let Some(backtrace) = error.downcast_ref::<wasmtime::WasmBacktrace>() else {
        return cause;
    };
    // One line for a frame, `0: 0x1d964 - puppet.wasm!puppet::script::step`: only here are the names demangled.
    let backtrace = backtrace.to_string();
    let names = backtrace
        .lines()
        .filter_map(|line| line.split_once(" - ").map(|(_, name)| name));
    let names: Vec<_> = names.take(FRAMES).collect();
    format!("{cause}, in {}", names.join(" < "))
}

/// The limit that a guest ran into, where the answer to that is a trap. For two of them wasmtime has no type.
fn limit_of(error: &wasmtime::Error) -> Option<Limit> {
    let cause = error.root_cause();
    if let Some(ResourceTableError::Full) = cause.downcast_ref() {
        return Some(Limit::HandlesMax);
    }
    let cause = cause.to_string();
    if cause.ends_with("fuel allocated for hostcalls has been exhausted") {
        return Some(Limit::HostCallBytesMax);
    }
    (cause.starts_with("requested len ") && cause.contains(" exceeds limit "))
        .then_some(Limit::RandomBytesMax)
}

/// Which of the two limits a component's memory or table does not fit; wasmtime has no type for it.
pub(super) fn limit_of_unfit(cause: &str) -> Option<Limit> {
    if cause.contains("table index ") {
        return Some(Limit::TableElementsMax);
    }
    cause
        .contains("memory has a minimum byte size ")
        .then_some(Limit::MemoryBytesMax)
}

impl From<Unavailable> for CallError {
    fn from(unavailable: Unavailable) -> Self {
        match unavailable {
            Unavailable::Failed(error) if error.is::<OutOfCpu>() => {
                Self::TimedOut(Limit::EventCpuMax)
            }
            Unavailable::Failed(error) if error.is::<wasmtime::PoolConcurrencyLimitError>() => {
                Self::Unavailable {
                    reason: "no room for another instance".to_owned(),
                    limit: Limit::InstancesMax,
                }
            }
            Unavailable::Failed(error) => {
                let Trap { cause, limit } = Trap::of(&error);
                let cause = format!("cannot instantiate: {cause}");
                Self::Failed(Trap { cause, limit })
            }
            Unavailable::NoMemory(limit) => Self::Unavailable {
                reason: unavailable.to_string(),
                limit,
            },
            Unavailable::TenantFull => Self::Unavailable {
                reason: unavailable.to_string(),
                limit: Limit::InstancesPerTenantMax,
            },
            Unavailable::StartTimedOut => Self::TimedOut(Limit::EventWallMax),
            Unavailable::TimedOut => Self::Unavailable {
                reason: unavailable.to_string(),
                limit: Limit::InstanceWaitMax,
            },
            Unavailable::QueueFull => Self::Unavailable {
                reason: unavailable.to_string(),
                limit: Limit::WaitingEventsMax,
            },
        }
    }
}
