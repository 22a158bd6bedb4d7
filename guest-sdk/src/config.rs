//! What the operator gives the plugin to read.

use serde::de::DeserializeOwned;

use crate::error::HostError;
use crate::host;

/// The values of the plugin's table in the host's configuration: its own alone, and the same for all its instances.
///
/// They are those of the moment when the event began. When they change, the plugin is loaded anew, so that what it keeps
/// of them goes with its instances.
///
/// ```
/// use wardroom_sdk::prelude::*;
///
/// # #[derive(Default)] struct Desk;
/// # #[controller] impl Desk {
/// #[message("order", "/orders")]
/// fn order(&self, #[data] dishes: Vec<String>) -> Result<String, WsError> {
///     let most = config().get("dishes_max")?.unwrap_or(10);
///     if dishes.len() > most {
///         return Err(WsError::bad_request(format!("at most {most} dishes")));
///     }
///     Ok(format!("{} for {}", dishes.join(" and "), config().require::<String>("place")?))
/// }
/// # }
/// # wardroom_sdk::plugin!(Desk);
/// // In a test:
/// let server = wardroom_sdk::test::Server::new::<Plugin>();
/// server.configure(json!({ "place": "table 7", "dishes_max": 1 }));
/// let client = server.connect();
/// assert_eq!(client.request("order", "/orders", &["soup"]), Ok(json!("soup for table 7")));
/// assert_eq!(client.request("order", "/orders", &["soup", "fish"]).unwrap_err().code, 400);
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing is asked before `get`, `require` or `keys`"]
pub struct Config(());

/// What the operator gives the plugin to read.
pub fn config() -> Config {
    Config(())
}

impl Config {
    /// A value; `None` when there is none.
    ///
    /// # Errors
    /// [`Other`](HostError::Other) when it does not fit a `T`. The error does not show the value: it may be a secret.
    pub fn get<T: DeserializeOwned>(self, key: impl AsRef<str>) -> Result<Option<T>, HostError> {
        let key = key.as_ref();
        let Some(json) = host::config_get(key)? else {
            return Ok(None);
        };
        let value = serde_json::from_str(&json).map_err(|_| {
            let wanted = std::any::type_name::<T>();
            HostError::Other(format!("config `{key}`: not a value for {wanted}"))
        });
        value.map(Some)
    }

    /// A value that there has to be.
    ///
    /// # Errors
    /// [`Other`](HostError::Other) when there is none; otherwise as [`get`](Self::get). With `?` in a handler the client
    /// learns that the plugin is at fault, and the log which key it is.
    pub fn require<T: DeserializeOwned>(self, key: impl AsRef<str>) -> Result<T, HostError> {
        let key = key.as_ref();
        let missing = || HostError::Other(format!("config `{key}` is missing"));
        self.get(key)?.ok_or_else(missing)
    }

    /// The keys that have a value, sorted.
    ///
    /// # Errors
    /// None that an event would meet.
    pub fn keys(self) -> Result<Vec<String>, HostError> {
        host::config_keys()
    }
}
