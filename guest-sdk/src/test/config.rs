//! What the test gives its plugin to read, and the functions of [`crate::host`] that ask for it.

use serde_json::Value;

use super::host::hub;
use super::server::Server;
use crate::error::HostError;

impl Server {
    /// Gives the plugin these values for [`config()`](crate::config()), as a table of them, in place of those that it
    /// had. As in a host it is loaded anew for that: what controllers keep in themselves is lost.
    ///
    /// # Panics
    /// When it is no table.
    pub fn configure(&self, values: Value) {
        let Value::Object(values) = values else {
            refuse(&values)
        };
        self.hub().borrow_mut().config = values.into_iter().collect();
        self.drop_instance();
    }
}

pub(crate) fn config_get(key: &str) -> Result<Option<String>, HostError> {
    Ok(hub(|hub, _| hub.config.get(key).map(Value::to_string)))
}

pub(crate) fn config_keys() -> Result<Vec<String>, HostError> {
    Ok(hub(|hub, _| hub.config.keys().cloned().collect()))
}

#[expect(clippy::panic, reason = "a test has nothing to go on with")]
fn refuse(values: &Value) -> ! {
    panic!("a plugin is given a table of values, such as {{\"key\": 1}}, not {values}")
}
