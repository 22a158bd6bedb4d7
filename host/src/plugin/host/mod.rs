//! The WIT imports: what a guest asks, checked and passed on to the hub.
//!
//! A guest's mistake is an error value, never a trap: a trap would end an instance that did nothing worse than
//! pass a wrong argument.

mod config;
mod connection;
mod log;
mod rooms;
mod server;
mod state;

use std::time::Instant;

use bytes::Bytes;

use super::bindings::wardroom::plugin::types::{self, HostError, Push};
use super::state::{Event, State};
use crate::config::Limit;
use crate::hub::{Hub, RoomName};
use crate::protocol::{
    Close, PATH_BYTES_MAX, PushFrame, check_json, is_event_name, normalise_path,
};

impl types::Host for State {}

/// What imports answer while there is no event: during `describe`.
fn denied() -> HostError {
    HostError::Denied("only while an event is handled, not in describe".to_owned())
}

fn limit(limit: Limit) -> HostError {
    HostError::Limit(limit.key().to_owned())
}

impl State {
    /// The event, if it may cause one more push.
    fn pushing(&mut self) -> Result<&mut Event, HostError> {
        let event = self.event.as_mut().ok_or_else(denied)?;
        if event.pushes >= self.limits.pushes_per_event_max {
            self.metrics.reached(Limit::PushesPerEventMax);
            return Err(limit(Limit::PushesPerEventMax));
        }
        let rate_max = self.limits.bytes_out_per_second_max;
        if !event.hub.may_push(Instant::now(), rate_max) {
            self.metrics.reached(Limit::BytesOutPerSecondMax);
            return Err(limit(Limit::BytesOutPerSecondMax));
        }
        event.pushes += 1;
        Ok(event)
    }

    fn event(&self) -> Result<&Event, HostError> {
        self.event.as_ref().ok_or_else(denied)
    }

    fn check_push_size(&self, frame: &Bytes) -> Result<(), HostError> {
        if frame.len() > self.limits.push_bytes_max {
            self.metrics.reached(Limit::PushBytesMax);
            return Err(HostError::TooLarge(Limit::PushBytesMax.key().to_owned()));
        }
        Ok(())
    }

    /// A limit was reached: the guest is told which.
    fn reached(&self, limit: Limit) -> HostError {
        self.metrics.reached(limit);
        self::limit(limit)
    }

    /// A push that the guest made up, encoded.
    fn encode(&self, push: Push) -> Result<Bytes, HostError> {
        check_event(&push.event)?;
        let Some(path) = normalise_path(push.path) else {
            return Err(HostError::Invalid(format!(
                "the path must have 1 to {PATH_BYTES_MAX} bytes"
            )));
        };
        let data = check_data(push.data.as_deref())?;
        let params: wardroom_router::Params = push
            .params
            .into_iter()
            .map(|param| (param.name.into(), param.value))
            .collect();
        let frame = PushFrame {
            event: &push.event,
            path: &path,
            params: &params,
            data,
        }
        .encode();
        self.check_push_size(&frame)?;
        Ok(frame)
    }
}

/// What the bus does not carry is refused for all: connections here would get what those of other hosts miss.
fn check_carried(hub: &Hub, frame: &Bytes) -> Result<(), HostError> {
    if frame.len() > hub.broadcast_bytes_max() {
        return Err(HostError::TooLarge("the bus between hosts".to_owned()));
    }
    Ok(())
}

fn check_event(event: &str) -> Result<(), HostError> {
    if is_event_name(event) {
        return Ok(());
    }
    Err(HostError::Invalid(
        "the event must have 1 to 128 bytes".to_owned(),
    ))
}

fn check_data(data: Option<&str>) -> Result<Option<&str>, HostError> {
    data.map(check_json)
        .transpose()
        .map_err(|error| HostError::Invalid(format!("the data: {error}")))
}

fn room_name(text: &str) -> Result<RoomName, HostError> {
    RoomName::new(text)
        .ok_or_else(|| HostError::Invalid("a room's name must have 1 to 1024 bytes".to_owned()))
}

fn close(code: Option<u16>, reason: Option<&str>) -> Result<Close, HostError> {
    Close::by_plugin(code, reason)
        .ok_or_else(|| HostError::Invalid("the code must be 1000 or from 4000 to 4999".to_owned()))
}
