//! Shared values in Redis. Each step is one call of a script (`values.lua`), so that quotas are exact, whoever writes.
//!
//! A tenant has five keys, in one hash slot, so that on a cluster they are on one node (`nodes`). They are named
//! `<prefix>ws:{<tenant>}:state:` and:
//!
//! | key | type | has |
//! |---|---|---|
//! | `values` | hash | by place: version and end, eight bytes each with the highest first, then the text of the value |
//! | `names` | sorted set, all scores 0 | the places, in order |
//! | `expiries` | sorted set | those places whose values end, by the time of that in milliseconds |
//! | `usage` | hash | `keys` and `bytes` that count for the quota, and the last `version` |
//! | `rooms` | hash | by room: how many values it has that go with it |
//!
//! A place is `t`, `p` or `r`, the name of the plugin or the room, the byte 255, and the key. Values end by the server's
//! clock, so that those of the hosts need not agree. What of all that cannot be read makes an operation unavailable; it
//! is left as it is. Keys that Redis evicts are lost: a server that keeps state should have `noeviction`.

mod link;
mod nodes;

use futures_util::FutureExt as _;
use redis::FromRedisValue;

use super::{Answer, Found, Keeper, Lasting, Mark, Next, Replaced, Spot, Wanted};
use crate::config::{BrokerUrl, Limit};
use crate::state::entry::{END, Entry, Kept, Time, own_prefix};
use crate::state::{KeyPage, Owner, Quota, StateError};
use nodes::Nodes;

/// Bytes of the version, before the rest of a value.
const VERSION: usize = 8;

/// A server of Redis, or a cluster of them.
#[derive(Debug)]
pub(in crate::state) struct Redis {
    nodes: Nodes,
    prefix: String,
}

impl Redis {
    /// The steps.
    pub(in crate::state) const SCRIPT: &'static str = include_str!("values.lua");

    /// Begins to connect. To be called within a tokio runtime.
    pub(in crate::state) fn open(url: &BrokerUrl, prefix: &str) -> Self {
        Self::with(Self::SCRIPT, url, prefix)
    }

    /// The same with a script that has the same steps.
    pub(in crate::state) fn with(script: &'static str, url: &BrokerUrl, prefix: &str) -> Self {
        Self {
            nodes: Nodes::open(url, script),
            prefix: prefix.to_owned(),
        }
    }

    /// A call of the script, without the step's own arguments.
    fn step(&self, tenant: &str, name: &str) -> Step<'_> {
        let keys = ["values", "names", "expiries", "usage", "rooms"];
        let keys = keys.map(|key| format!("{}ws:{{{tenant}}}:state:{key}", self.prefix));
        let mut arguments = keys.map(String::into_bytes).to_vec();
        arguments.push(name.into());
        Step {
            nodes: &self.nodes,
            tenant: tenant.to_owned(),
            arguments,
        }
    }
}

/// A call that is being put together.
struct Step<'a> {
    nodes: &'a Nodes,
    tenant: String,
    /// With the keys.
    arguments: Vec<Vec<u8>>,
}

impl Step<'_> {
    fn arg(mut self, argument: impl Into<Vec<u8>>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    async fn call<T: FromRedisValue>(self) -> Result<T, StateError> {
        let answer = self.nodes.call(&self.tenant, &self.arguments).await;
        answer.map_err(|error| StateError::Unavailable(error.to_string()))
    }
}

impl Keeper for Redis {
    fn read<'a>(&'a self, spot: &'a Spot) -> Answer<'a, Found> {
        async move {
            let step = self.step(&spot.tenant, "read").arg(place(spot));
            let (bytes, now): (Option<Vec<u8>>, u64) = step.call().await?;
            let now = Time::from_millis(now);
            let kept = bytes.map(|bytes| Kept::decode(&bytes).ok_or_else(damaged));
            let kept = kept.transpose()?;
            let mark = kept.as_ref().map_or(0, |kept| kept.entry.version);
            Ok(Found {
                kept: kept.filter(|kept| !kept.is_over(now)),
                mark: Mark(mark),
                now,
            })
        }
        .boxed()
    }

    fn replace<'a>(
        &'a self,
        spot: &'a Spot,
        found: Mark,
        next: Next<'a>,
        quota: Quota,
    ) -> Answer<'a, Replaced> {
        async move {
            let Mark(expected) = found;
            let expected = match expected {
                0 => Vec::new(),
                version => version.to_be_bytes().to_vec(),
            };
            let ends = next.and_then(|(_, expires)| expires);
            let next = next.map_or_else(Vec::new, encode);
            loop {
                let step = self.step(&spot.tenant, "replace");
                let step = step
                    .arg(place(spot))
                    .arg(expected.as_slice())
                    .arg(ends.map_or_else(String::new, |ends| ends.as_millis().to_string()))
                    .arg(next.as_slice())
                    .arg(quota.keys_max.to_string())
                    .arg(quota.bytes_max.to_string());
                let (outcome, version): (String, u64) = step.call().await?;
                return Ok(match outcome.as_str() {
                    "done" => Replaced::Done(version),
                    "conflict" => Replaced::Conflict,
                    "keys" => Replaced::Limit(Limit::StateKeysMax),
                    "bytes" => Replaced::Limit(Limit::StateBytesMax),
                    // It has come to the limit with what is over, of which it has taken away some.
                    _ => continue,
                });
            }
        }
        .boxed()
    }

    fn keys<'a>(&'a self, wanted: &'a Wanted<'a>) -> Answer<'a, KeyPage> {
        async move {
            let owner = own_prefix(wanted.owner);
            let first = [b"[", owner.as_slice(), wanted.prefix.as_bytes()].concat();
            let end = behind(&[&owner, wanted.prefix.as_bytes()].concat());
            let after = wanted.after.filter(|after| *after >= wanted.prefix);
            let from = after.map_or_else(
                || first.clone(),
                |after| [b"(", owner.as_slice(), after.as_bytes()].concat(),
            );
            loop {
                let step = self.step(wanted.tenant, "keys");
                let step = step.arg(first.as_slice()).arg(end.as_slice());
                let step = step.arg(from.as_slice()).arg(wanted.limit.to_string());
                let (again, total, places): (u8, usize, Vec<Vec<u8>>) = step.call().await?;
                // Until what is over has been taken away.
                if again == 0 {
                    let keys = places.iter().map(|place| {
                        let key = place.get(owner.len()..).map(std::str::from_utf8);
                        key.and_then(Result::ok).map(ToOwned::to_owned)
                    });
                    let keys = keys.collect::<Option<_>>().ok_or_else(damaged)?;
                    return Ok(KeyPage { total, keys });
                }
            }
        }
        .boxed()
    }

    fn expire<'a>(&'a self, tenant: &'a str) -> Answer<'a, ()> {
        async move {
            while self.step(tenant, "expire").call::<u8>().await? == 1 {}
            Ok(())
        }
        .boxed()
    }

    fn rooms<'a>(&'a self, tenant: &'a str) -> Answer<'a, Vec<String>> {
        async move {
            let names: Vec<Vec<u8>> = self.step(tenant, "rooms").call().await?;
            // Others are nobody's rooms, and stay.
            let names = names
                .into_iter()
                .filter_map(|name| String::from_utf8(name).ok());
            Ok(names.collect())
        }
        .boxed()
    }

    fn lasting<'a>(&'a self, tenant: &'a str, rooms: &'a [String]) -> Answer<'a, Lasting> {
        async move {
            let step = self.step(tenant, "lasting");
            let step = rooms
                .iter()
                .fold(step, |step, room| step.arg(room.as_str()));
            let (newest, rooms): (u64, Vec<String>) = step.call().await?;
            Ok(Lasting { rooms, newest })
        }
        .boxed()
    }

    fn purge<'a>(&'a self, tenant: &'a str, room: &'a str, newest: u64) -> Answer<'a, ()> {
        async move {
            let owner = own_prefix(&Owner::Room(room.to_owned()));
            let end = behind(&owner);
            let mut from = Some(owner);
            while let Some(place) = from {
                let step = self.step(tenant, "purge");
                let step = step.arg([b"(", place.as_slice()].concat());
                let step = step.arg(end.as_slice()).arg(newest.to_string());
                from = step.call().await?;
            }
            Ok(())
        }
        .boxed()
    }
}

fn place(spot: &Spot) -> Vec<u8> {
    let mut place = own_prefix(&spot.owner);
    place.extend(spot.key.as_bytes());
    place
}

/// The end of all places that begin like this: no name and no key has this byte.
fn behind(place: &[u8]) -> Vec<u8> {
    [b"(", place, &[END]].concat()
}

/// Without its version, which the script gives.
fn encode((value, expires): (&str, Option<Time>)) -> Vec<u8> {
    let entry = Entry {
        value: value.to_owned(),
        version: 0,
    };
    Kept { entry, expires }.encode().split_off(VERSION)
}

/// Not what any host has written.
fn damaged() -> StateError {
    StateError::Unavailable("what is kept at the broker is damaged".to_owned())
}
