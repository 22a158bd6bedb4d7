//! What the host keeps for plugins: JSON values by key.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::HostError;
use crate::host;
use crate::push::Data;

/// Values that the host keeps: shared by all instances of the plugin, and there when an instance is not.
///
/// [`state()`] means the tenant's values, which all its plugins share; [`room`](Self::room) and
/// [`in_room`](Self::in_room) those of a room, which go when its last member leaves, and
/// [`of_plugin`](Self::of_plugin) those of this plugin alone. The same key is another value for each of them.
///
/// A key has 1 to 256 bytes. What one call does, it does as a whole or not at all, and no other call comes in between;
/// what it has changed stays so when the handler fails later. Every call counts against the host's limit of operations
/// for an event.
///
/// ```
/// use wardroom_sdk::prelude::*;
/// use std::time::Duration;
///
/// #[derive(Default, Deserialize, Serialize)]
/// struct Board {
///     best: Vec<(String, u32)>,
/// }
///
/// # #[derive(Default)] struct Game;
/// # #[controller] impl Game {
/// #[message("score", "/game/:name")]
/// fn score(&self, #[connection_id] id: ConnectionId, #[data] points: u32) -> Result<Board, WsError> {
///     state().increment("games", 1)?; // nobody's count is lost
///     state().of_plugin().set_for(id.as_str(), &points, Duration::from_secs(3600))?;
///     let board = state().room().update("board", |board: &mut Board| {
///         board.best.push((id.to_string(), points));
///         board.best.sort_by_key(|(_, points)| std::cmp::Reverse(*points));
///         board.best.truncate(10);
///     })?;
///     Ok(board)
/// }
/// # }
/// # wardroom_sdk::plugin!(Game);
/// # let ann = wardroom_sdk::test::Server::new::<Plugin>().connect();
/// # ann.send("score", "/game/chess", &7);
/// # let board = ann.request("score", "/game/chess", &9).unwrap();
/// # assert_eq!(board, json!({ "best": [[ann.id(), 9], [ann.id(), 7]] }));
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing is asked before `get`, `set` and the like"]
pub struct State<'a> {
    owner: Owner<'a>,
}

/// Whose values are meant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner<'a> {
    Tenant,
    Plugin,
    /// `None` is the current path's.
    Room(Option<&'a str>),
}

/// The values of the tenant, which all its plugins share.
pub fn state() -> State<'static> {
    State {
        owner: Owner::Tenant,
    }
}

/// A value, and which one of its key it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<T> {
    /// As it was set.
    pub value: T,
    /// Changes with every write of this key, and never comes back. Larger means later.
    pub version: u64,
}

/// What came of [`State::compare_and_set`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The value was set, and has this version now.
    Written(u64),
    /// Somebody was faster, and nothing has changed: the version that is there now, `None` when there is no value.
    Conflict(Option<u64>),
}

impl<'a> State<'a> {
    /// The values of the current path's room. Where there is no such path, asking for one is
    /// [`Invalid`](HostError::Invalid).
    ///
    /// They go when its last member leaves, but for those with a time to live. A room without members keeps them for a
    /// minute, for somebody to join.
    pub fn room(self) -> State<'a> {
        State {
            owner: Owner::Room(None),
        }
    }

    /// The values of the room of that name; otherwise as [`room`](Self::room).
    pub fn in_room<'r>(self, room: &'r (impl AsRef<str> + ?Sized)) -> State<'r> {
        State {
            owner: Owner::Room(Some(room.as_ref())),
        }
    }

    /// The values of this plugin, in all its versions; no other one sees them.
    pub fn of_plugin(self) -> State<'a> {
        State {
            owner: Owner::Plugin,
        }
    }

    /// A value; `None` when it was not set, was deleted, or its time is over.
    ///
    /// # Errors
    /// [`Other`](HostError::Other) when the value does not fit a `T`, [`Invalid`](HostError::Invalid) when the key is
    /// empty or too long, [`Limit`](HostError::Limit) when the event has asked as often as it may,
    /// [`Unavailable`](HostError::Unavailable) when what keeps the values does not answer.
    pub fn get<T: DeserializeOwned>(self, key: impl AsRef<str>) -> Result<Option<T>, HostError> {
        Ok(self.entry(key)?.map(|entry| entry.value))
    }

    /// A value with its version, for [`compare_and_set`](Self::compare_and_set).
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn entry<T: DeserializeOwned>(
        self,
        key: impl AsRef<str>,
    ) -> Result<Option<Entry<T>>, HostError> {
        let key = key.as_ref();
        let Some((json, version)) = host::state_get(self.owner, key)? else {
            return Ok(None);
        };
        match serde_json::from_str(&json) {
            Ok(value) => Ok(Some(Entry { value, version })),
            Err(error) => Err(HostError::Other(format!("state `{key}`: {error}"))),
        }
    }

    /// Sets a value, whatever it was, until it is deleted or its room is gone; answers its version.
    ///
    /// # Errors
    /// [`TooLarge`](HostError::TooLarge) when the value is, [`Limit`](HostError::Limit) when the tenant has as much
    /// state as it may: nothing has changed then. Otherwise as [`get`](Self::get).
    pub fn set<T: Serialize + ?Sized>(
        self,
        key: impl AsRef<str>,
        value: &T,
    ) -> Result<u64, HostError> {
        host::state_set(self.owner, key.as_ref(), &json(value)?, None)
    }

    /// Sets a value for so long, in whole milliseconds; afterwards it is not there.
    ///
    /// # Errors
    /// As [`set`](Self::set); [`Invalid`](HostError::Invalid) when the time is zero.
    pub fn set_for<T: Serialize + ?Sized>(
        self,
        key: impl AsRef<str>,
        value: &T,
        time: Duration,
    ) -> Result<u64, HostError> {
        host::state_set(self.owner, key.as_ref(), &json(value)?, Some(millis(time)))
    }

    /// Removes a value; false when there was none.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn delete(self, key: impl AsRef<str>) -> Result<bool, HostError> {
        host::state_delete(self.owner, key.as_ref())
    }

    /// Adds to a whole number and answers the sum; what is not there counts as 0.
    ///
    /// # Errors
    /// [`Invalid`](HostError::Invalid) when the value is no whole number, or the sum has more than 64 bits; otherwise
    /// as [`set`](Self::set).
    pub fn increment(self, key: impl AsRef<str>, by: i64) -> Result<i64, HostError> {
        host::state_increment(self.owner, key.as_ref(), by, None)
    }

    /// The same, and when the number is not there yet, it will be for so long: it counts what happens within that time.
    ///
    /// ```
    /// use wardroom_sdk::prelude::*;
    /// use std::time::Duration;
    ///
    /// fn not_too_fast(user: &str) -> Result<(), WsError> {
    ///     let attempts = state().of_plugin().increment_for(format!("attempts/{user}"), 1, Duration::from_secs(60))?;
    ///     if attempts > 5 {
    ///         return Err(WsError::new(429, "wait a minute"));
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`increment`](Self::increment); [`Invalid`](HostError::Invalid) when the time is zero.
    pub fn increment_for(
        self,
        key: impl AsRef<str>,
        by: i64,
        time: Duration,
    ) -> Result<i64, HostError> {
        host::state_increment(self.owner, key.as_ref(), by, Some(millis(time)))
    }

    /// Sets a value if it still has the version `expected`; with `None`, if there is no value.
    ///
    /// # Errors
    /// As [`set`](Self::set). That somebody was faster is none.
    pub fn compare_and_set<T: Serialize + ?Sized>(
        self,
        key: impl AsRef<str>,
        expected: Option<u64>,
        value: &T,
    ) -> Result<Comparison, HostError> {
        host::state_compare_and_set(self.owner, key.as_ref(), expected, &json(value)?, None)
    }

    /// Changes a value, and answers what it has become. What is not there begins as the type's default.
    ///
    /// When somebody else changes it meanwhile, `change` is called again, with what they have made of it. The value has
    /// no time to live afterwards.
    ///
    /// # Errors
    /// As [`get`](Self::get) and [`set`](Self::set). [`Limit`](HostError::Limit) when others were faster for as often
    /// as an event may ask.
    pub fn update<T: Default + Serialize + DeserializeOwned>(
        self,
        key: impl AsRef<str>,
        mut change: impl FnMut(&mut T),
    ) -> Result<T, HostError> {
        let key = key.as_ref();
        loop {
            let (mut value, version) = match self.entry::<T>(key)? {
                Some(entry) => (entry.value, Some(entry.version)),
                None => (T::default(), None),
            };
            change(&mut value);
            if let Comparison::Written(_) = self.compare_and_set(key, version, &value)? {
                return Ok(value);
            }
        }
    }

    /// The keys that begin with `prefix`, sorted by their bytes. Nothing is asked before [`Keys::all`], [`Keys::page`]
    /// or [`Keys::total`].
    pub fn keys(self, prefix: impl Into<String>) -> Keys<'a> {
        Keys {
            owner: self.owner,
            prefix: prefix.into(),
            after: None,
            page_size: None,
        }
    }
}

/// A question for keys, which the host answers in pages.
///
/// ```
/// use wardroom_sdk::prelude::*;
///
/// # #[derive(Default)] struct Desk;
/// # #[controller] impl Desk {
/// #[message("choices", "/poll/:name")]
/// fn choices(&self) -> Result<Vec<String>, WsError> {
///     state().room().increment("votes/soup", 1)?;
///     let keys = state().room().keys("votes/");
///     Ok(if keys.total()? > 100 { keys.page_size(100).page()?.keys } else { keys.all()? })
/// }
/// # }
/// # wardroom_sdk::plugin!(Desk);
/// # let ann = wardroom_sdk::test::Server::new::<Plugin>().connect();
/// # assert_eq!(ann.request("choices", "/poll/x", NoData).unwrap(), json!(["votes/soup"]));
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is asked before `all`, `page` or `total`"]
pub struct Keys<'a> {
    owner: Owner<'a>,
    prefix: String,
    after: Option<String>,
    page_size: Option<u32>,
}

/// A part of a list of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyPage {
    /// How many keys begin with the prefix.
    pub total: u64,
    /// The part that was asked for, sorted.
    pub keys: Vec<String>,
}

impl Keys<'_> {
    /// Begins after this key, which need not exist any more.
    pub fn after(mut self, key: impl Into<String>) -> Self {
        self.after = Some(key.into());
        self
    }

    /// How many keys a page has at most: 100 unless said, or as many as the host gives for [`all`](Self::all), which are
    /// 1,000.
    pub fn page_size(mut self, keys: u32) -> Self {
        self.page_size = Some(keys);
        self
    }

    /// The first page.
    ///
    /// # Errors
    /// As [`State::get`].
    pub fn page(&self) -> Result<KeyPage, HostError> {
        let after = self.after.as_deref();
        host::state_keys(self.owner, &self.prefix, after, self.page_size)
    }

    /// How many keys begin with the prefix, without listing them.
    ///
    /// # Errors
    /// As [`State::get`].
    pub fn total(&self) -> Result<u64, HostError> {
        Ok(host::state_keys(self.owner, &self.prefix, None, Some(0))?.total)
    }

    /// All of them. As they are asked for page by page, what changes meanwhile may or may not be among them.
    ///
    /// # Errors
    /// As [`State::get`].
    pub fn all(&self) -> Result<Vec<String>, HostError> {
        let most = Some(self.page_size.unwrap_or(u32::MAX));
        let ask = |after: Option<&str>| host::state_keys(self.owner, &self.prefix, after, most);
        let mut all = ask(self.after.as_deref())?.keys;
        let mut last = all.len();
        // Only an empty page is surely the last: the host may give fewer than it was asked for.
        while last > 0 {
            let page = ask(all.last().map(String::as_str))?;
            last = page.keys.len();
            all.extend(page.keys);
        }
        Ok(all)
    }
}

fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, HostError> {
    Ok(value.into_json()?.unwrap_or_default())
}

/// Rounded up: what has any time to live is there for a moment.
fn millis(time: Duration) -> u64 {
    let millis = time.as_nanos().div_ceil(1_000_000);
    u64::try_from(millis).unwrap_or(u64::MAX)
}
