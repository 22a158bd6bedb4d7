//! What goes out to clients that have not asked for it.

use serde::Serialize;
use serde_json::Value;

use crate::error::HostError;
use crate::message::Param;

/// A message to a client that has not asked for it, for when `send` and `broadcast` do not say
/// enough.
///
/// ```
/// use wardroom_sdk::prelude::*;
///
/// fn moved() -> Result<Push, HostError> {
///     Push::new("moved", "/map/7").param("map", "7").data(json!({ "x": 3, "y": 4 }))
/// }
/// # moved().unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Push {
    pub(crate) event: String,
    pub(crate) path: String,
    pub(crate) params: Vec<Param>,
    pub(crate) data: Option<String>,
}

impl Push {
    /// A push without params and data. The event has 1 to 128 bytes, the path 1 to 1024; a leading
    /// slash is added to the path when it lacks one.
    pub fn new(event: impl Into<String>, path: impl Into<String>) -> Self {
        Self {
            event: event.into(),
            path: path.into(),
            params: Vec::new(),
            data: None,
        }
    }

    /// With one more param. A name that occurs several times arrives as an array.
    #[must_use]
    pub fn param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.params.push(Param {
            name: name.into(),
            value: value.into(),
        });
        self
    }

    /// With data.
    ///
    /// # Errors
    /// [`HostError::Other`] when the data cannot be written as JSON, for instance a map whose keys
    /// are no text.
    pub fn data(mut self, data: impl Data) -> Result<Self, HostError> {
        self.data = data.into_json()?;
        Ok(self)
    }
}

/// What a push can carry: a reference to anything that implements [`Serialize`], the [`Value`] that
/// [`json!`](crate::json) makes, an `Option` of a reference, or [`NoData`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a push's data",
    label = "a reference is wanted here",
    note = "hand over `&data` where `data` implements `Serialize`, `json!({{ .. }})`, or `NoData`"
)]
pub trait Data: sealed::Sealed {
    /// The data as JSON text; `None` leaves `data` out of the push.
    ///
    /// # Errors
    /// [`HostError::Other`] when it cannot be written as JSON.
    fn into_json(self) -> Result<Option<String>, HostError>;
}

/// A push without `data`.
#[derive(Clone, Copy, Debug)]
pub struct NoData;

impl<T: Serialize + ?Sized> Data for &T {
    fn into_json(self) -> Result<Option<String>, HostError> {
        match serde_json::to_string(self) {
            Ok(json) => Ok(Some(json)),
            Err(error) => Err(HostError::Other(format!(
                "the data cannot be written as JSON: {error}"
            ))),
        }
    }
}

impl<T: Serialize + ?Sized> Data for Option<&T> {
    fn into_json(self) -> Result<Option<String>, HostError> {
        self.map_or(Ok(None), Data::into_json)
    }
}

impl Data for Value {
    fn into_json(self) -> Result<Option<String>, HostError> {
        (&self).into_json()
    }
}

impl Data for NoData {
    fn into_json(self) -> Result<Option<String>, HostError> {
        Ok(None)
    }
}

mod sealed {
    /// Keeps the list of what is data ours to extend.
    pub trait Sealed {}

    impl<T: super::Serialize + ?Sized> Sealed for &T {}
    impl<T: super::Serialize + ?Sized> Sealed for Option<&T> {}
    impl Sealed for super::Value {}
    impl Sealed for super::NoData {}
}
