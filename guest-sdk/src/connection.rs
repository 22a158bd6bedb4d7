//! The connection that the current event belongs to.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::HostError;
use crate::host;
use crate::message::ConnectionId;
use crate::push::{Data, Push};
use crate::request::Request;

/// The connection that the current event belongs to.
///
/// ```
/// use wardroom_sdk::prelude::*;
///
/// # #[derive(Default)] struct Desk;
/// # #[controller] impl Desk {
/// #[message("notify", "/self")]
/// fn notify(&self) -> Result<ConnectionId, WsError> {
///     let me = connection();
///     let visits = me.attribute::<u32>("visits")?.unwrap_or(0) + 1;
///     me.set_attribute("visits", &visits)?;
///     me.send("notification", "/alerts", json!({ "text": "Just for you", "visits": visits }))?;
///     Ok(me.id())
/// }
/// # }
/// # wardroom_sdk::plugin!(Desk);
/// # let ann = wardroom_sdk::test::Server::new::<Plugin>().connect();
/// # assert_eq!(ann.request("notify", "/self", NoData).unwrap(), json!(ann.id()));
/// # assert_eq!(ann.pushes()[0]["data"]["visits"], 1);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Connection(());

/// The connection that the current event belongs to.
pub fn connection() -> Connection {
    Connection(())
}

/// Who may see an attribute of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Only handlers of this connection's own events.
    Private,
    /// Whoever queries the connection, too.
    Public,
}

impl Connection {
    /// Its id.
    pub fn id(&self) -> ConnectionId {
        host::connection_id()
    }

    /// Pushes to it alone. Pushes of one handler arrive in their order, and before its reply.
    ///
    /// # Errors
    /// [`Invalid`](HostError::Invalid) when the event or the path is empty or too long,
    /// [`Closed`](HostError::Closed) when the connection is closing or gone,
    /// [`Limit`](HostError::Limit), [`TooLarge`](HostError::TooLarge).
    pub fn send(&self, event: &str, path: &str, data: impl Data) -> Result<(), HostError> {
        host::send(event, path, &[], data.into_json()?.as_deref())
    }

    /// Pushes to it alone, with params.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn push(&self, push: &Push) -> Result<(), HostError> {
        host::send(&push.event, &push.path, &push.params, push.data.as_deref())
    }

    /// Asks the host to close it with code 1000. What is queued goes out first, and so does the
    /// current reply.
    ///
    /// # Errors
    /// [`Closed`](HostError::Closed) when it is closing or gone already.
    pub fn close(&self) -> Result<(), HostError> {
        host::close(None, None)
    }

    /// Asks the host to close it with a code, 1000 or 4000 to 4999, and a reason, which is cut at
    /// 123 bytes.
    ///
    /// # Errors
    /// [`Invalid`](HostError::Invalid) for other codes; as [`close`](Self::close).
    pub fn close_with(&self, code: u16, reason: &str) -> Result<(), HostError> {
        host::close(Some(code), Some(reason))
    }

    /// An attribute as it was last set, by whichever plugin; `None` when it was not.
    ///
    /// # Errors
    /// [`Other`](HostError::Other) when the value does not fit a `T`.
    pub fn attribute<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, HostError> {
        let Some(json) = host::attribute(name) else {
            return Ok(None);
        };
        match serde_json::from_str(&json) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(HostError::Other(format!("attribute `{name}`: {error}"))),
        }
    }

    /// Sets an attribute that only handlers of this connection's own events see. The host keeps it
    /// as long as the connection lives, whatever happens to the plugin and its instances.
    ///
    /// # Errors
    /// [`Invalid`](HostError::Invalid) when the name is empty or longer than 256 bytes,
    /// [`Limit`](HostError::Limit) when all attributes together would be too large.
    pub fn set_attribute<T: Serialize + ?Sized>(
        &self,
        name: &str,
        value: &T,
    ) -> Result<(), HostError> {
        host::set_attribute(name, value.into_json()?.as_deref(), Visibility::Private)
    }

    /// Sets an attribute that whoever queries the connection sees, too.
    ///
    /// # Errors
    /// As [`set_attribute`](Self::set_attribute).
    pub fn set_public_attribute<T: Serialize + ?Sized>(
        &self,
        name: &str,
        value: &T,
    ) -> Result<(), HostError> {
        host::set_attribute(name, value.into_json()?.as_deref(), Visibility::Public)
    }

    /// Removes an attribute; does nothing when there is none of that name.
    ///
    /// # Errors
    /// [`Invalid`](HostError::Invalid) when the name is empty or longer than 256 bytes.
    pub fn remove_attribute(&self, name: &str) -> Result<(), HostError> {
        host::set_attribute(name, None, Visibility::Private)
    }

    /// The HTTP request that opened it.
    pub fn request(&self) -> Request {
        host::request()
    }

    /// The frame that holds the current message, exactly as it came; `None` outside message
    /// handlers.
    pub fn frame(&self) -> Option<String> {
        host::frame()
    }
}
