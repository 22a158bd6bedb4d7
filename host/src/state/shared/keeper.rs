//! What a keeper of shared values has to do: single steps at one place, each of them atomic. It neither tries again nor
//! minds the time nor knows what a change means: all that is done above it, for every keeper alike.

use std::fmt;

use futures_util::future::BoxFuture;

use crate::config::Limit;
use crate::state::entry::{Kept, Time};
use crate::state::{KeyPage, Owner, Quota, StateError};

/// What a keeper answers. It may be dropped at any time, and then its outcome is unknown.
///
/// The only error is [`StateError::Unavailable`], also for what cannot be read: others may write there, and what they
/// write is believed in nothing.
pub(in crate::state) type Answer<'a, T> = BoxFuture<'a, Result<T, StateError>>;

/// Keeps the values of all tenants, for all hosts.
///
/// The time is the keeper's own, the same for all hosts. What is over is not there, counts for nothing and is listed
/// nowhere, whether or not it has been taken away yet.
pub(in crate::state) trait Keeper: fmt::Debug + Send + Sync + 'static {
    /// What is at a place.
    fn read<'a>(&'a self, spot: &'a Spot) -> Answer<'a, Found>;

    /// Puts something in the place of what was [found](Found::mark), or takes it away, if that is still there. Counts
    /// it in the same step. Tried once: a failure whose outcome is unknown is an error.
    fn replace<'a>(
        &'a self,
        spot: &'a Spot,
        found: Mark,
        next: Next<'a>,
        quota: Quota,
    ) -> Answer<'a, Replaced>;

    /// As [`Values::keys`](crate::state::Values::keys).
    fn keys<'a>(&'a self, wanted: &'a Wanted<'a>) -> Answer<'a, KeyPage>;

    /// Takes away what is over. What it leaves is for the next time.
    fn expire<'a>(&'a self, tenant: &'a str) -> Answer<'a, ()>;

    /// The rooms of a tenant that have values without a time to live.
    fn rooms<'a>(&'a self, tenant: &'a str) -> Answer<'a, Vec<String>>;

    /// Which of these rooms have some, and the last version that the tenant has given to a value by then.
    fn lasting<'a>(&'a self, tenant: &'a str, rooms: &'a [String]) -> Answer<'a, Lasting>;

    /// Takes away those values of a room that have no time to live, and no version above this.
    fn purge<'a>(&'a self, tenant: &'a str, room: &'a str, newest: u64) -> Answer<'a, ()>;
}

/// Where one value is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::state) struct Spot {
    pub(in crate::state) tenant: String,
    pub(in crate::state) owner: Owner,
    pub(in crate::state) key: String,
}

/// Which content of a place is meant. The keeper's own, given back as it was: no two contents of a place have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::state) struct Mark(pub(in crate::state) u64);

/// What is at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::state) struct Found {
    /// `None` when there is nothing, or what there is is over.
    pub(in crate::state) kept: Option<Kept>,
    pub(in crate::state) mark: Mark,
    /// What time it is for this keeper: what is written ends by the same clock.
    pub(in crate::state) now: Time,
}

/// What is to be at a place: a value with its end, or nothing.
pub(in crate::state) type Next<'a> = Option<(&'a str, Option<Time>)>;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::state) enum Replaced {
    /// It is so, and the value has this version, which is larger than all before of the tenant. Taking away gives none:
    /// the number means nothing then.
    Done(u64),
    /// Something else is there: nothing has changed.
    Conflict,
    /// The tenant would have more than it may, and more than it has: nothing has changed.
    Limit(Limit),
}

/// Which keys are asked for: those of an owner that begin with `prefix`, are behind `after`, and at most `limit`.
#[derive(Clone, Copy, Debug)]
pub(in crate::state) struct Wanted<'a> {
    pub(in crate::state) tenant: &'a str,
    pub(in crate::state) owner: &'a Owner,
    pub(in crate::state) prefix: &'a str,
    pub(in crate::state) after: Option<&'a str>,
    pub(in crate::state) limit: usize,
}

/// Those of some rooms that have values which go with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::state) struct Lasting {
    pub(in crate::state) rooms: Vec<String>,
    /// Whatever is written later has a larger version.
    pub(in crate::state) newest: u64,
}
