//! Lists of connections and rooms, page by page or as a whole.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::HostError;
use crate::host;
use crate::message::ConnectionId;
use crate::push::{Data, Push};

/// Which hosts a query asks. In a message's data it is `"local"` or `"cluster"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The one that the plugin runs on.
    #[default]
    Local,
    /// All that form one server. The query waits for them, up to the host's deadline.
    Cluster,
}

/// How complete an answer is: with [`Scope::Cluster`] some host may not have answered in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// How many hosts were asked.
    pub nodes_expected: u32,
    /// How many of them answered.
    pub nodes_answered: u32,
}

impl Coverage {
    /// Whether every host that was asked has answered.
    pub fn is_complete(&self) -> bool {
        self.nodes_answered >= self.nodes_expected
    }

    /// What a list of pages is worth: as much as its worst page.
    fn worse(self, other: Self) -> Self {
        let missing = |coverage: Self| {
            coverage
                .nodes_expected
                .saturating_sub(coverage.nodes_answered)
        };
        if missing(other) > missing(self) {
            other
        } else {
            self
        }
    }
}

/// What can be known of a connection from outside it, and what can be done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// Its id.
    pub id: ConnectionId,
    /// The name of the host that holds it.
    pub node: String,
    /// The rooms that it is in, sorted.
    pub rooms: Vec<String>,
    /// Its public attributes, names and JSON; see [`attribute`](Self::attribute).
    pub attributes: Vec<(String, String)>,
    /// Milliseconds since the Unix epoch.
    pub connected_at: u64,
}

impl ConnectionInfo {
    /// Pushes to it; false when it is gone by now.
    ///
    /// # Errors
    /// As [`Server::send`](crate::Server::send).
    pub fn send(&self, event: &str, path: &str, data: impl Data) -> Result<bool, HostError> {
        host::send_to(
            self.id.as_str(),
            event,
            path,
            &[],
            data.into_json()?.as_deref(),
        )
    }

    /// Pushes to it, with params; false when it is gone by now.
    ///
    /// # Errors
    /// As [`Server::send`](crate::Server::send).
    pub fn push(&self, push: &Push) -> Result<bool, HostError> {
        host::send_to(
            self.id.as_str(),
            &push.event,
            &push.path,
            &push.params,
            push.data.as_deref(),
        )
    }

    /// Asks the host to close it with code 1000; false when it is gone by now.
    ///
    /// # Errors
    /// [`HostError::Unavailable`] when the host that holds it cannot be reached.
    pub fn close(&self) -> Result<bool, HostError> {
        host::close_other(self.id.as_str(), None, None)
    }

    /// Asks the host to close it with a code, 1000 or 4000 to 4999, and a reason; false when it is
    /// gone by now.
    ///
    /// # Errors
    /// [`HostError::Invalid`] for other codes; as [`close`](Self::close).
    pub fn close_with(&self, code: u16, reason: &str) -> Result<bool, HostError> {
        host::close_other(self.id.as_str(), Some(code), Some(reason))
    }

    /// A public attribute as it was when the host was asked; `None` when there is none of that
    /// name.
    ///
    /// # Errors
    /// [`HostError::Other`] when the value does not fit a `T`.
    pub fn attribute<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, HostError> {
        let Some((_, json)) = self.attributes.iter().find(|(key, _)| key == name) else {
            return Ok(None);
        };
        match serde_json::from_str(json) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(HostError::Other(format!("attribute `{name}`: {error}"))),
        }
    }
}

/// A room from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoomInfo {
    /// Its name.
    pub name: String,
    /// How many members it has.
    pub size: u64,
}

/// A part of a list, or all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The part that was asked for, in order.
    pub items: Vec<T>,
    /// How many there are in the whole list.
    pub total: u64,
    /// How complete the answer is.
    pub coverage: Coverage,
}

impl<T> IntoIterator for Page<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

/// A question for a list, which the host answers in pages. Nothing is asked before
/// [`all`](Self::all), [`page`](Self::page), [`total`](Self::total) or the first step of an
/// iteration.
///
/// ```
/// use wardroom_sdk::prelude::*;
///
/// # #[derive(Default)] struct Desk;
/// # #[controller] impl Desk {
/// #[message("query", "/members/*")]
/// fn members(&self, #[param("*")] room: String) -> Result<Vec<ConnectionId>, WsError> {
///     let members = server().room_connections(&room);
///     if members.total()? > 10_000 {
///         return Err(WsError::new(413, "that is too long a list"));
///     }
///     // As a loop would, `collect` asks for one page after another.
///     members.iter().map(|member| Ok(member?.id)).collect()
/// }
/// # }
/// # wardroom_sdk::plugin!(Desk);
/// # let ann = wardroom_sdk::test::Server::new::<Plugin>().connect();
/// # assert_eq!(ann.request("query", "/members/x", NoData).unwrap(), json!([]));
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is asked before `all`, `page`, `total` or an iteration"]
pub struct Query<T: Listed> {
    list: T::List,
    after: Option<String>,
    page_size: Option<u32>,
    scope: Scope,
}

impl<T: Listed> Query<T> {
    pub(crate) fn new(list: T::List, scope: Scope) -> Self {
        Self {
            list,
            after: None,
            page_size: None,
            scope,
        }
    }

    /// Begins after this key: the id of a connection, the name of a room. It need not exist any
    /// more.
    pub fn after(mut self, key: impl Into<String>) -> Self {
        self.after = Some(key.into());
        self
    }

    /// How many items a page has at most: 100 unless said, 1,000 at most.
    pub fn page_size(mut self, items: u32) -> Self {
        self.page_size = Some(items);
        self
    }

    /// Asks all hosts that form one server.
    pub fn cluster(mut self) -> Self {
        self.scope = Scope::Cluster;
        self
    }

    /// The first page.
    ///
    /// # Errors
    /// [`HostError::Unavailable`] when the other hosts cannot be asked, [`HostError::Denied`] when
    /// the plugin may not.
    pub fn page(&self) -> Result<Page<T>, HostError> {
        T::page(
            &self.list,
            self.after.as_deref(),
            self.page_size,
            self.scope,
        )
    }

    /// How many there are, without listing them.
    ///
    /// # Errors
    /// As [`page`](Self::page).
    pub fn total(&self) -> Result<u64, HostError> {
        Ok(T::page(&self.list, None, Some(0), self.scope)?.total)
    }

    /// The whole list. As it is asked for page by page, what changes meanwhile may or may not be in
    /// it; the total is the last page's, the coverage the worst one's.
    ///
    /// # Errors
    /// As [`page`](Self::page).
    pub fn all(&self) -> Result<Page<T>, HostError> {
        let mut whole = self.page()?;
        let mut last = whole.items.len();
        while last > 0 && (whole.items.len() as u64) < whole.total {
            let after = whole.items.last().map(T::key);
            let page = T::page(&self.list, after, self.page_size, self.scope)?;
            last = page.items.len();
            whole.total = page.total;
            whole.coverage = whole.coverage.worse(page.coverage);
            whole.items.extend(page.items);
        }
        Ok(whole)
    }

    /// The items, asked for page by page as the iteration gets there. It ends after the first
    /// error.
    pub fn iter(&self) -> Items<T> {
        Items {
            query: self.clone(),
            page: Vec::new().into_iter(),
            done: false,
        }
    }
}

impl<T: Listed> IntoIterator for Query<T> {
    type Item = Result<T, HostError>;
    type IntoIter = Items<T>;

    fn into_iter(self) -> Items<T> {
        Items {
            query: self,
            page: Vec::new().into_iter(),
            done: false,
        }
    }
}

impl<T: Listed> IntoIterator for &Query<T> {
    type Item = Result<T, HostError>;
    type IntoIter = Items<T>;

    fn into_iter(self) -> Items<T> {
        self.iter()
    }
}

/// The items of a [`Query`], one page in memory at a time.
#[derive(Clone, Debug)]
pub struct Items<T: Listed> {
    query: Query<T>,
    page: std::vec::IntoIter<T>,
    done: bool,
}

impl<T: Listed> Iterator for Items<T> {
    type Item = Result<T, HostError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.as_slice().is_empty() && !self.done {
            match self.query.page() {
                Ok(page) => {
                    // Only an empty page is surely the last: the host may give fewer than it was
                    // asked for.
                    self.done = page.items.is_empty();
                    self.query.after = page.items.last().map(|item| T::key(item).to_owned());
                    self.page = page.items.into_iter();
                }
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
        self.page.next().map(Ok)
    }
}

/// What a [`Query`] can list: [`ConnectionInfo`] and [`RoomInfo`].
pub trait Listed: Clone + std::fmt::Debug + sealed::Sealed {
    /// Which list it is.
    #[doc(hidden)]
    type List: Clone + std::fmt::Debug;

    /// What the list is sorted by.
    #[doc(hidden)]
    fn key(&self) -> &str;

    #[doc(hidden)]
    fn page(
        list: &Self::List,
        after: Option<&str>,
        limit: Option<u32>,
        scope: Scope,
    ) -> Result<Page<Self>, HostError>;
}

impl Listed for ConnectionInfo {
    /// The room whose members are wanted; all connections otherwise.
    type List = Option<String>;

    fn key(&self) -> &str {
        self.id.as_str()
    }

    fn page(
        room: &Option<String>,
        after: Option<&str>,
        limit: Option<u32>,
        scope: Scope,
    ) -> Result<Page<Self>, HostError> {
        match room {
            Some(room) => host::room_connections(room, after, limit, scope),
            None => host::connections(after, limit, scope),
        }
    }
}

impl Listed for RoomInfo {
    /// What the names begin with.
    type List = String;

    fn key(&self) -> &str {
        &self.name
    }

    fn page(
        prefix: &String,
        after: Option<&str>,
        limit: Option<u32>,
        scope: Scope,
    ) -> Result<Page<Self>, HostError> {
        host::rooms(prefix, after, limit, scope)
    }
}

mod sealed {
    /// Lists are the host's to offer.
    pub trait Sealed {}

    impl Sealed for super::ConnectionInfo {}
    impl Sealed for super::RoomInfo {}
}
