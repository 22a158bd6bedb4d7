//! The `connection` import.

use super::{close, denied, limit};
use crate::config::Limit;
use crate::hub::{Connection, Refused};
use crate::plugin::bindings::wardroom::plugin::connection::{
    Host, UpgradeRequestResult, Visibility,
};
use crate::plugin::bindings::wardroom::plugin::types::{HostError, Push};
use crate::plugin::state::{Event, State};
use crate::protocol::{ATTRIBUTE_NAME_BYTES_MAX, check_json};

impl Host for State {
    fn id(&mut self) -> String {
        self.current()
            .map(|connection| connection.id.to_string())
            .unwrap_or_default()
    }

    fn send(&mut self, push: Push) -> Result<(), HostError> {
        let hub = self.pushing()?.hub.clone();
        let frame = self.encode(push)?;
        hub.send(self.connection()?, frame)
            .map_err(|refused| match refused {
                Refused::Closing => HostError::Closed,
                Refused::Overflow(reached) => limit(reached),
            })
    }

    fn close(&mut self, code: Option<u16>, reason: Option<String>) -> Result<(), HostError> {
        let close = close(code, reason.as_deref())?;
        self.connection()?.outbox.close(close);
        Ok(())
    }

    fn attribute(&mut self, name: String) -> Option<String> {
        self.current()?.attribute(&name)
    }

    fn set_attribute(
        &mut self,
        name: String,
        value: Option<String>,
        visibility: Visibility,
    ) -> Result<(), HostError> {
        if !(1..=ATTRIBUTE_NAME_BYTES_MAX).contains(&name.len()) {
            return Err(HostError::Invalid(
                "an attribute's name must have 1 to 256 bytes".to_owned(),
            ));
        }
        let value = match value {
            Some(text) => {
                let value = check_json(&text)
                    .map_err(|error| HostError::Invalid(format!("the value: {error}")))?;
                Some(value.to_owned())
            }
            None => None,
        };
        let public = visibility == Visibility::Public;
        let bytes_max = self.limits.attributes_bytes_max;
        let set = self
            .connection()?
            .set_attribute(&name, value, public, bytes_max);
        set.map_err(|_| self.reached(Limit::AttributesBytesMax))
    }

    fn request(&mut self) -> UpgradeRequestResult {
        let Some(event) = &self.event else {
            return UpgradeRequestResult {
                path: String::new(),
                query: None,
                headers: Vec::new(),
                cookies: Vec::new(),
                peer: String::new(),
                claims: None,
            };
        };
        let request = event.request();
        UpgradeRequestResult {
            path: request.path.clone(),
            query: request.query.clone(),
            headers: request.headers.clone(),
            cookies: request.cookies.clone(),
            peer: request.peer.to_string(),
            claims: request.claims.clone(),
        }
    }

    fn frame(&mut self) -> Option<String> {
        self.event
            .as_ref()?
            .message()
            .map(|routed| routed.message.frame().to_owned())
    }
}

impl State {
    fn current(&self) -> Option<&Connection> {
        self.event
            .as_ref()
            .and_then(Event::connection)
            .map(AsRef::as_ref)
    }

    /// The current connection, for what needs one.
    fn connection(&self) -> Result<&Connection, HostError> {
        if self.event.is_none() {
            return Err(denied());
        }
        self.current().ok_or(HostError::Closed)
    }
}
