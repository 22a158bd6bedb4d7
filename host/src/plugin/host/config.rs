//! The `config` import.

use crate::plugin::bindings::wardroom::plugin::config::Host;
use crate::plugin::bindings::wardroom::plugin::types::HostError;
use crate::plugin::granted::Grant;
use crate::plugin::state::State;

impl Host for State {
    fn get(&mut self, key: String) -> Result<Option<String>, HostError> {
        let grant = self.given()?;
        Ok(grant.and_then(|grant| grant.values.get(&key).cloned()))
    }

    fn keys(&mut self) -> Result<Vec<String>, HostError> {
        let grant = self.given()?;
        Ok(grant.map_or_else(Vec::new, |grant| grant.values.keys().cloned().collect()))
    }
}

impl State {
    /// What the plugin was given when the event began, if anything.
    fn given(&self) -> Result<Option<&Grant>, HostError> {
        self.event()?;
        Ok(self.grant.as_deref())
    }
}
