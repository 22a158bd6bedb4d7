//! Rooms, seen from the connection that the current event belongs to.

use crate::error::HostError;
use crate::host;
use crate::push::Data;

/// The rooms, as the connection of the current event sees them.
///
/// A room is a name of 1 to 1024 bytes and exists while it has members. Where no room is named, the
/// current message's path is it; handlers of [`#[connect]`](crate::connect) and
/// [`#[disconnect]`](crate::disconnect) have no such path and name their rooms.
///
/// ```
/// use wardroom_sdk::prelude::*;
///
/// # #[derive(Default)] struct Chat;
/// # #[controller] impl Chat {
/// #[message("join", "/chat/:room")]
/// fn join(&self, #[data] name: String) -> Result<Vec<String>, WsError> {
///     let rooms = rooms();
///     rooms.join()?; // the current path, for instance `/chat/general`
///     rooms.broadcast("system", json!({ "text": format!("{name} joined") }))?;
///     rooms.to("/lobby").include_self().broadcast("seen", &name)?;
///     Ok(rooms.joined())
/// }
/// # }
/// # wardroom_sdk::plugin!(Chat);
/// # let server = wardroom_sdk::test::Server::new::<Plugin>();
/// # assert_eq!(server.connect().request("join", "/chat/a", &"Ann").unwrap(), json!(["/chat/a"]));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Rooms(());

/// The rooms, seen from the connection that the current event belongs to.
pub fn rooms() -> Rooms {
    Rooms(())
}

impl Rooms {
    /// Joins the room named by the current path. Joining twice is joining once.
    ///
    /// # Errors
    /// [`Limit`](HostError::Limit) when the connection is in as many rooms as it may be,
    /// [`Closed`](HostError::Closed) in a disconnect handler, [`Invalid`](HostError::Invalid) in a
    /// connect handler.
    pub fn join(&self) -> Result<(), HostError> {
        host::join(None)
    }

    /// Joins the room of that name.
    ///
    /// # Errors
    /// As [`join`](Self::join); [`Invalid`](HostError::Invalid) when the name is empty or too long.
    pub fn join_room(&self, room: impl AsRef<str>) -> Result<(), HostError> {
        host::join(Some(room.as_ref()))
    }

    /// Leaves the room named by the current path; does nothing when the connection is not in it.
    ///
    /// # Errors
    /// [`Invalid`](HostError::Invalid) where there is no current path.
    pub fn leave(&self) -> Result<(), HostError> {
        host::leave(None)
    }

    /// Leaves the room of that name.
    ///
    /// # Errors
    /// [`Invalid`](HostError::Invalid) when the name is empty or too long.
    pub fn leave_room(&self, room: impl AsRef<str>) -> Result<(), HostError> {
        host::leave(Some(room.as_ref()))
    }

    /// The names of the rooms that the connection is in, sorted. A closed connection keeps them
    /// until its disconnect handlers have run.
    pub fn joined(&self) -> Vec<String> {
        host::joined()
    }

    /// Pushes to all members of the current path's room but the connection itself. See
    /// [`Broadcast::broadcast`].
    ///
    /// # Errors
    /// As [`Broadcast::broadcast`].
    pub fn broadcast(&self, event: impl AsRef<str>, data: impl Data) -> Result<(), HostError> {
        Broadcast::default().broadcast(event, data)
    }

    /// Addresses another room than the current path's.
    pub fn to<'a>(&self, room: &'a (impl AsRef<str> + ?Sized)) -> Broadcast<'a> {
        Broadcast {
            room: Some(room.as_ref()),
            include_self: false,
        }
    }

    /// Addresses the current connection too.
    pub fn include_self(&self) -> Broadcast<'static> {
        Broadcast {
            room: None,
            include_self: true,
        }
    }
}

/// Whom a broadcast goes to: the members of the current path's room without the current connection,
/// unless it says otherwise.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "nothing is sent before `broadcast`"]
pub struct Broadcast<'a> {
    room: Option<&'a str>,
    include_self: bool,
}

impl<'a> Broadcast<'a> {
    /// To another room than the current path's.
    pub fn to(self, room: &'a (impl AsRef<str> + ?Sized)) -> Self {
        Self {
            room: Some(room.as_ref()),
            ..self
        }
    }

    /// To the current connection too, if it is a member.
    pub fn include_self(self) -> Self {
        Self {
            include_self: true,
            ..self
        }
    }

    /// Pushes `event` to them, from whoever: the sender need not be a member. The push's path is
    /// the room's name.
    ///
    /// All members on one host see a room's broadcasts in the same order. What was broadcast stays
    /// so when the handler fails later.
    ///
    /// # Errors
    /// [`Invalid`](HostError::Invalid) when the event or the room's name is empty or too long, or
    /// where there is no current path; [`Limit`](HostError::Limit) when this event has caused as
    /// many pushes as it may; [`TooLarge`](HostError::TooLarge) when the push is.
    pub fn broadcast(self, event: impl AsRef<str>, data: impl Data) -> Result<(), HostError> {
        let data = data.into_json()?;
        host::broadcast_room(
            event.as_ref(),
            data.as_deref(),
            self.room,
            self.include_self,
        )
    }
}
