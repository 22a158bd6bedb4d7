//! What takes all hosts: pushes to connections that may be anywhere, and questions about all of them.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::question::{Coverage, Part, Question, RoomOf, all_connections, all_rooms};
use super::remote::{ENVELOPE_BYTES_MAX, Envelope, Malformed};
use super::{ConnectionId, ConnectionInfo, Hub, Page, RoomName, deliver};
use crate::protocol::Close;

impl Hub {
    /// Pushes to every open connection, on whatever host.
    pub fn broadcast_all(&self, frame: Bytes) {
        let exchange = &self.inner.exchange;
        exchange.push_to_all(&self.inner.tenant, &frame);
        self.deliver_all(frame);
    }

    /// Takes such a push from another host.
    pub(super) fn receive_for_all(&self, push: &RawValue) -> Result<(), Malformed> {
        self.deliver_all(self.frame_of(push)?);
        Ok(())
    }

    /// A push that another host has encoded, as clients get it.
    pub(super) fn frame_of(&self, push: &RawValue) -> Result<Bytes, Malformed> {
        let bytes_max = self.inner.push_bytes_max();
        if push.get().len() > bytes_max.saturating_add(ENVELOPE_BYTES_MAX) {
            return Err(Malformed::TooLarge);
        }
        let push = serde_json::from_str::<Envelope<'_>>(push.get());
        let push = push.map_err(|_| Malformed::NoEnvelope)?;
        push.frame(bytes_max)
    }

    fn deliver_all(&self, frame: Bytes) {
        let frame = self.inner.exchange.backlog.hold(frame);
        for connection in self.inner.connections.read().values() {
            let _ = deliver(connection, frame.clone());
        }
    }

    /// Pushes to a connection that is not here. Returns whether some host has it.
    pub async fn send_elsewhere(&self, id: ConnectionId, frame: &Bytes) -> (bool, Coverage) {
        let push = serde_json::from_slice(frame).expect("a frame is JSON");
        self.is_elsewhere(Question::Send { id, push }).await
    }

    /// Closes a connection that is not here. Returns whether some host has it.
    pub async fn close_elsewhere(&self, id: ConnectionId, close: &Close) -> (bool, Coverage) {
        let question = Question::Close {
            id,
            code: close.code,
            reason: close.reason.as_str().into(),
        };
        self.is_elsewhere(question).await
    }

    async fn is_elsewhere(&self, question: Question<'_>) -> (bool, Coverage) {
        let is_there = |answer: &RawValue| answer.get() == "true";
        let (answers, coverage): (Vec<bool>, _) = self.ask(question, is_there).await;
        (answers.contains(&true), coverage)
    }

    /// The open connections of all hosts, of a room or all of them, sorted by id.
    pub async fn connections_everywhere(
        &self,
        room: Option<&RoomName>,
        after: Option<ConnectionId>,
        limit: u32,
    ) -> (Page<ConnectionInfo>, Coverage) {
        let question = Question::Connections {
            room: room.cloned(),
            after,
            limit,
        };
        let (parts, coverage) = self.ask(question, never).await;
        let here = match room {
            Some(room) => self.room_connections(room.as_str(), after, limit),
            None => self.connections(after, limit),
        };
        (all_connections(here, parts, limit), coverage)
    }

    /// How many members a room has on all hosts.
    pub async fn room_size_everywhere(&self, room: &RoomName) -> (usize, Coverage) {
        let question = Question::RoomSize { room: room.clone() };
        let (sizes, coverage) = self.ask::<usize>(question, never).await;
        let elsewhere = sizes.into_iter().fold(0, usize::saturating_add);
        (
            self.room_size(room.as_str()).saturating_add(elsewhere),
            coverage,
        )
    }

    /// Which of these rooms have members on other hosts, or in the hub that has taken this one's place; `None` when it
    /// cannot be known that none has been left out: a host has not answered, or there may be hosts that have not been
    /// heard of.
    pub async fn occupied_elsewhere(&self, rooms: Vec<RoomName>) -> Option<BTreeSet<RoomName>> {
        if !self.inner.exchange.has_heard_others().await {
            return None;
        }
        let question = Question::Occupied {
            rooms: rooms.clone(),
        };
        let (mut parts, coverage) = self.ask::<BTreeSet<RoomName>>(question, never).await;
        if let Some(successor) = self.inner.exchange.successor(&self.inner) {
            let occupied = rooms.into_iter();
            let occupied = occupied.filter(|room| successor.rooms.size(room.as_str()) > 0);
            parts.push(occupied.collect());
        }
        coverage
            .is_complete()
            .then(|| parts.into_iter().flatten().collect())
    }

    /// Names and sizes of the rooms of all hosts that begin with `prefix`, sorted by name.
    pub async fn rooms_everywhere(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> (Page<(RoomName, usize)>, Coverage) {
        // From the first on, so that rooms of several hosts are counted once; and those behind, as there may be too many
        // to say all of them at once. Both at the same time: who does not answer is waited for once.
        let all = self.all_rooms_from(prefix, None, None);
        let ((all, is_whole, coverage), rest) = match after {
            None => (all.await, None),
            Some(_) => {
                let (all, rest) =
                    tokio::join!(all, self.all_rooms_from(prefix, after, Some(limit)));
                (all, Some(rest))
            }
        };
        let (mut rooms, coverage) = match rest {
            Some((rest, _, of_rest)) if !is_whole => (rest.entries, coverage.worse(of_rest)),
            _ => (all.entries, coverage),
        };
        rooms.retain(|(name, _)| after.is_none_or(|after| name.as_str() > after));
        rooms.truncate(limit as usize);
        let page = Page {
            total: all.total,
            entries: rooms,
        };
        (page, coverage)
    }

    /// Those behind that one, no more of each host than the limit, and whether no host has more than it could say.
    async fn all_rooms_from(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: Option<u32>,
    ) -> (Page<RoomOf>, bool, Coverage) {
        let question = Question::Rooms {
            prefix: prefix.into(),
            after: after.map(Into::into),
            limit,
        };
        let (parts, coverage) = self.ask::<Part<RoomOf>>(question, never).await;
        let is_whole = parts.iter().all(Part::is_whole);
        let here = self.rooms(prefix, after, limit.unwrap_or(u32::MAX));
        (all_rooms(here, parts), is_whole, coverage)
    }

    /// An open connection, wherever it is.
    pub async fn connection_anywhere(
        &self,
        id: ConnectionId,
    ) -> (Option<ConnectionInfo>, Coverage) {
        if let Some(info) = self.connection_info(id) {
            return (Some(info), Coverage::HERE);
        }
        let is_it = |answer: &RawValue| answer.get() != "null";
        let question = Question::Connection { id };
        let (infos, coverage) = self.ask::<Option<ConnectionInfo>>(question, is_it).await;
        let infos = infos.into_iter().flatten();
        (infos.map(ConnectionInfo::checked).next(), coverage)
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        question: Question<'_>,
        is_enough: impl Fn(&RawValue) -> bool + Clone + Send + 'static,
    ) -> (Vec<T>, Coverage) {
        let exchange = &self.inner.exchange;
        exchange.ask(&self.inner.tenant, question, is_enough).await
    }
}

/// Every answer counts.
fn never(_: &RawValue) -> bool {
    false
}

#[cfg(test)]
mod tests;
