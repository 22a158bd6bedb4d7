//! What can be done to one value. Pure, so that whatever keeps the values may do it where it likes, and again.

use std::time::Duration;

use super::entry::{Kept, Time};
use super::{Compared, StateError};

/// A change of one value.
pub(super) trait Change: Send + 'static {
    type Answer: Send + 'static;

    /// What is to be written, given what is there, and what is answered then. What is written gets this version.
    fn apply(
        &self,
        before: Option<&Kept>,
        version: u64,
        now: Time,
    ) -> Result<(Write, Self::Answer), StateError>;
}

/// What becomes of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Write {
    Nothing,
    Remove,
    Put {
        value: String,
        expires: Option<Time>,
    },
}

#[derive(Debug)]
pub(super) struct Set {
    pub(super) value: String,
    pub(super) ttl: Option<Duration>,
}

impl Set {
    fn write(&self, now: Time) -> Write {
        Write::Put {
            value: self.value.clone(),
            expires: self.ttl.map(|ttl| now.after(ttl)),
        }
    }
}

impl Change for Set {
    type Answer = u64;

    fn apply(&self, _: Option<&Kept>, version: u64, now: Time) -> Result<(Write, u64), StateError> {
        Ok((self.write(now), version))
    }
}

#[derive(Debug)]
pub(super) struct Delete;

impl Change for Delete {
    type Answer = bool;

    fn apply(&self, before: Option<&Kept>, _: u64, _: Time) -> Result<(Write, bool), StateError> {
        Ok(match before {
            Some(_) => (Write::Remove, true),
            None => (Write::Nothing, false),
        })
    }
}

#[derive(Debug)]
pub(super) struct Increment {
    pub(super) by: i64,
    pub(super) ttl: Option<Duration>,
}

impl Change for Increment {
    type Answer = i64;

    fn apply(&self, before: Option<&Kept>, _: u64, now: Time) -> Result<(Write, i64), StateError> {
        let (number, expires) = match before {
            Some(kept) => {
                let number = kept.entry.value.parse();
                (number.map_err(|_| StateError::NoInteger)?, kept.expires)
            }
            None => (0_i64, self.ttl.map(|ttl| now.after(ttl))),
        };
        let sum = number.checked_add(self.by).ok_or(StateError::Overflow)?;
        let value = sum.to_string();
        Ok((Write::Put { value, expires }, sum))
    }
}

#[derive(Debug)]
pub(super) struct CompareAndSet {
    pub(super) expected: Option<u64>,
    pub(super) set: Set,
}

impl Change for CompareAndSet {
    type Answer = Compared;

    fn apply(
        &self,
        before: Option<&Kept>,
        version: u64,
        now: Time,
    ) -> Result<(Write, Compared), StateError> {
        let current = before.map(|kept| kept.entry.version);
        Ok(if current == self.expected {
            (self.set.write(now), Compared::Written(version))
        } else {
            (Write::Nothing, Compared::Conflict(current))
        })
    }
}
