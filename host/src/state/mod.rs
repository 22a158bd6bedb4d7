//! What plugins keep: JSON values by key, of a tenant, of one of its rooms, or of a plugin's own.
//!
//! Owns the values and where they are kept; knows neither connections nor plugins, and believes those who ask that keys
//! and values are what they may be. `plugin` asks for guests, through the tenant's [`Values`]; `tenant` says when a room
//! has ended, and which rooms have members. The time is passed in with each question; what hosts share goes by that of
//! the broker.
//!
//! Reads and writes of memory and file are the same (`map`) over two sorted maps of bytes. What is done to one value
//! is a pure function of what was there (`change`), because what hosts share (`shared`) has to try again when somebody
//! else was faster.

mod change;
mod entry;
mod file;
mod map;
mod memory;
mod rooms;
mod shared;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

pub use entry::{Entry, Time};
pub use shared::Members;
pub use store::{SharedStore, Store, StoreError, StoreFile};

use crate::config::Limit;
use change::{Change, CompareAndSet, Delete, Increment, Set};
use entry::Prefix;
use file::File;
use map::{Lasting, Place};
use memory::Memory;
use rooms::Rooms;
use shared::Shared;

/// The values of one tenant. Cheap to clone; a handle to them is the only way to reach them.
#[derive(Clone, Debug)]
pub struct Values(Arc<Tenant>);

#[derive(Debug)]
struct Tenant {
    name: String,
    rooms: Arc<Rooms>,
    kept: Backend,
}

#[derive(Debug)]
enum Backend {
    /// Never locked for longer than one operation.
    Memory(RwLock<Memory>),
    File(Arc<File>),
    /// With other hosts.
    Shared(Box<Shared>),
}

/// Whose value it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The tenant's.
    Tenant,
    /// A plugin's, by its name.
    Plugin(String),
    /// A room's, by its name.
    Room(String),
}

/// How much a tenant may keep.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// Keys.
    pub keys_max: usize,
    /// Bytes of keys and values, and for each key the name of its room or plugin.
    pub bytes_max: usize,
}

/// What came of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// The value was set, and has this version.
    Written(u64),
    /// Nothing has changed: there is another version, or no value.
    Conflict(Option<u64>),
}

/// Some of the keys that begin alike, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPage {
    /// How many there are in all.
    pub total: usize,
    /// Those that were asked for.
    pub keys: Vec<String>,
}

/// Why a question is not answered. But for the last, nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Only whole numbers are added to.
    #[error("the value is no whole number of 64 bits")]
    NoInteger,
    /// The sum is too large, or too small.
    #[error("the sum has more than 64 bits")]
    Overflow,
    /// The tenant has as much as it may.
    #[error("{}", .0.key())]
    Limit(Limit),
    /// What keeps the values fails; the text is for the log. A change may have been made or not.
    #[error("{0}")]
    Unavailable(String),
}

impl Values {
    /// A value; `None` when it was not set, was deleted, or is over.
    ///
    /// # Errors
    /// [`StateError::Unavailable`].
    pub async fn get(
        &self,
        owner: &Owner,
        key: &str,
        now: Time,
    ) -> Result<Option<Entry>, StateError> {
        let place = Place::of(&self.0.name, owner, key);
        match &self.0.kept {
            Backend::Memory(memory) => map::get(&*memory.read(), &place, now),
            Backend::File(file) => {
                self.settled(file, owner).await?;
                file.read(move |reading| map::get(reading, &place, now))
                    .await
            }
            Backend::Shared(shared) => shared.get(owner, key).await,
        }
    }

    /// The keys of an owner that begin with `prefix`: those behind `after`, at most `limit`.
    ///
    /// # Errors
    /// [`StateError::Unavailable`].
    pub async fn keys(
        &self,
        owner: &Owner,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
        now: Time,
    ) -> Result<KeyPage, StateError> {
        let of = Prefix::of(&self.0.name, owner);
        match &self.0.kept {
            Backend::Memory(memory) => map::keys(&*memory.read(), &of, prefix, after, limit, now),
            Backend::File(file) => {
                self.settled(file, owner).await?;
                let (prefix, after) = (prefix.to_owned(), after.map(ToOwned::to_owned));
                let read = move |reading: &file::Reading| {
                    map::keys(reading, &of, &prefix, after.as_deref(), limit, now)
                };
                file.read(read).await
            }
            Backend::Shared(shared) => shared.keys(owner, prefix, after, limit).await,
        }
    }

    /// Sets a value, and answers its version. It is over after `ttl`, if that is given.
    ///
    /// # Errors
    /// [`StateError::Limit`] and [`StateError::Unavailable`].
    pub async fn set(
        &self,
        owner: &Owner,
        key: &str,
        value: String,
        ttl: Option<Duration>,
        quota: Quota,
        now: Time,
    ) -> Result<u64, StateError> {
        self.change(owner, key, Set { value, ttl }, quota, now)
            .await
    }

    /// Removes a value; false when there was none.
    ///
    /// # Errors
    /// [`StateError::Unavailable`].
    pub async fn delete(&self, owner: &Owner, key: &str, now: Time) -> Result<bool, StateError> {
        // What is removed needs none.
        let quota = Quota {
            keys_max: 0,
            bytes_max: 0,
        };
        self.change(owner, key, Delete, quota, now).await
    }

    /// Adds to a whole number, and answers the sum. What is not there counts as 0, and is over after `ttl`.
    ///
    /// # Errors
    /// [`StateError`].
    pub async fn increment(
        &self,
        owner: &Owner,
        key: &str,
        by: i64,
        ttl: Option<Duration>,
        quota: Quota,
        now: Time,
    ) -> Result<i64, StateError> {
        self.change(owner, key, Increment { by, ttl }, quota, now)
            .await
    }

    /// Sets a value if it has the version that is expected, or is not there if none is.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    #[expect(
        clippy::too_many_arguments,
        reason = "those of `set`, and the version; a type for them would have one use"
    )]
    pub async fn compare_and_set(
        &self,
        owner: &Owner,
        key: &str,
        expected: Option<u64>,
        value: String,
        ttl: Option<Duration>,
        quota: Quota,
        now: Time,
    ) -> Result<Compared, StateError> {
        let set = Set { value, ttl };
        let change = CompareAndSet { expected, set };
        self.change(owner, key, change, quota, now).await
    }

    async fn change<C: Change>(
        &self,
        owner: &Owner,
        key: &str,
        change: C,
        quota: Quota,
        now: Time,
    ) -> Result<C::Answer, StateError> {
        let place = Place::of(&self.0.name, owner, key);
        let room = match owner {
            Owner::Room(room) => Some(room.clone()),
            Owner::Tenant | Owner::Plugin(_) => None,
        };
        let rooms = Arc::clone(&self.0.rooms);
        let count = move |lasting: Lasting| {
            if let Some(room) = room {
                rooms.count(&room, lasting);
            }
        };
        match &self.0.kept {
            Backend::Memory(memory) => {
                let mut memory = memory.write();
                let (answer, lasting) = map::change(&mut *memory, &place, &change, quota, now)?;
                // Under the lock, or a room's end could come in between.
                count(lasting);
                Ok(answer)
            }
            Backend::File(file) => {
                let written = file.write(file.place().await, move |writing| {
                    // A refusal is an answer: only a file that fails ends the others' transaction.
                    let (answer, lasting) = match map::change(writing, &place, &change, quota, now)
                    {
                        Err(StateError::Unavailable(why)) => {
                            return Err(StateError::Unavailable(why));
                        }
                        Err(refused) => (Err(refused), 0),
                        Ok((answer, lasting)) => (Ok(answer), lasting),
                    };
                    Ok((answer, Box::new(move || count(lasting))))
                });
                written.await?
            }
            Backend::Shared(shared) => shared.change(owner, key, change, quota).await,
        }
    }

    /// The room has no members on this host any more: its values go, but for those with a time to live. Returns at once;
    /// who asks this host after that does not see them. Shared ones go if the room has no members elsewhere, see
    /// [`Self::end_rooms`].
    pub fn end_room(&self, room: &str) {
        let owner = || Prefix::of(&self.0.name, &Owner::Room(room.to_owned()));
        match &self.0.kept {
            Backend::Memory(memory) => {
                if let Some(going) = self.0.rooms.begin(room) {
                    // It cannot fail: it is memory.
                    let _ = map::purge(&mut *memory.write(), &owner());
                    going.done();
                }
            }
            Backend::File(file) => {
                if let Some(going) = self.0.rooms.begin(room) {
                    let owner = owner();
                    // As many as there are rooms with values, which have a limit.
                    file.begin(move |writing| {
                        map::purge(writing, &owner)?;
                        Ok(Box::new(move || going.done()))
                    });
                }
            }
            Backend::Shared(shared) => shared.end_room(room),
        }
    }

    /// Takes away what is over, and says which rooms have values and no members, and for so long that nobody is
    /// expected any more: these are to be [ended](Self::end_room). For housekeeping, every few seconds. Of shared values
    /// it says none, and returns at once: [`Self::end_rooms`] does all of it.
    pub fn sweep(&self, now: Time, has_members: impl Fn(&str) -> bool) -> Vec<String> {
        match &self.0.kept {
            // It cannot fail: it is memory.
            Backend::Memory(memory) => drop(map::expire(&mut *memory.write(), now)),
            Backend::File(file) => file.begin(move |writing| {
                map::expire(writing, now)?;
                Ok(Box::new(|| {}))
            }),
            Backend::Shared(shared) => {
                shared.sweep(now);
                return Vec::new();
            }
        }
        self.0.rooms.abandoned(now, has_members)
    }

    /// Takes away the shared values of rooms that have ended, when they have no members on other hosts either; never
    /// returns. Of values that are not shared there is nothing to do, and it returns at once.
    pub async fn end_rooms(&self, members: &impl Members) {
        if let Backend::Shared(shared) = &self.0.kept {
            shared.end_rooms(members).await;
        }
    }

    /// Waits until the rooms that have ended are dealt with, for two seconds at most: before a host leaves the others.
    pub async fn settle(&self) {
        if let Backend::Shared(shared) = &self.0.kept {
            shared.settle().await;
        }
    }

    /// Whether other hosts have them, too.
    #[must_use]
    pub fn are_shared(&self) -> bool {
        matches!(self.0.kept, Backend::Shared(_))
    }

    /// Waits until the end of a room can be read. Nothing else that is read waits for a writer.
    async fn settled(&self, file: &File, owner: &Owner) -> Result<(), StateError> {
        match owner {
            Owner::Room(room) if self.0.rooms.is_going(room) => {
                let place = file.place().await;
                file.write(place, |_| Ok(((), Box::new(|| {})))).await
            }
            Owner::Tenant | Owner::Plugin(_) | Owner::Room(_) => Ok(()),
        }
    }
}
