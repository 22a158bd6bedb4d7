//! What hosts ask each other about a tenant's connections and rooms, what one of them answers, and what all answers are
//! together.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::{ConnectionId, ConnectionInfo, Hub, PAGE_LIMIT_MAX, Page, Refused, RoomName};
use crate::protocol::{Close, check_json};

/// Of the entries of one answer, if the bus carries as much: nobody is to take in more at a go.
const ANSWER_BYTES_MAX: usize = 512 * 1024;

/// How complete an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// So many hosts were asked, this one among them.
    pub expected: u32,
    /// So many of them have answered in time.
    pub answered: u32,
}

impl Coverage {
    /// Of an answer that is this host's alone.
    pub const HERE: Self = Self {
        expected: 1,
        answered: 1,
    };

    /// Whether nobody is missing.
    #[must_use]
    pub const fn is_complete(self) -> bool {
        self.answered >= self.expected
    }

    /// Of what two answers make up together: that of the one which more hosts are missing from.
    pub(super) fn worse(self, other: Self) -> Self {
        let missing = |of: Self| of.expected.saturating_sub(of.answered);
        std::cmp::max_by_key(self, other, |of| missing(*of))
    }
}

/// One question.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Question<'a> {
    /// Answered by a [`Part`] of [`ConnectionInfo`]s.
    Connections {
        room: Option<RoomName>,
        after: Option<ConnectionId>,
        limit: u32,
    },
    /// Answered by a [`Part`] of names and sizes.
    Rooms {
        #[serde(borrow)]
        prefix: Cow<'a, str>,
        #[serde(borrow)]
        after: Option<Cow<'a, str>>,
        /// As many as fit into an answer if there is none.
        limit: Option<u32>,
    },
    /// Answered by a number.
    RoomSize { room: RoomName },
    /// Answered by those that have members.
    Occupied { rooms: Vec<RoomName> },
    /// Answered by a [`ConnectionInfo`] or nothing.
    Connection { id: ConnectionId },
    /// Answered by whether it is here.
    Send {
        id: ConnectionId,
        #[serde(borrow)]
        push: &'a RawValue,
    },
    /// Answered by whether it is here.
    Close {
        id: ConnectionId,
        code: u16,
        #[serde(borrow)]
        reason: Cow<'a, str>,
    },
}

/// What one host has of a sorted list.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Part<T> {
    /// Of the whole list.
    total: usize,
    entries: Vec<T>,
    /// Whether there are more behind these that would have been wanted.
    is_cut: bool,
}

/// A room's name and how many members it has.
pub(super) type RoomOf = (RoomName, usize);

impl<T> Part<T> {
    /// Whether it is all that the host has.
    pub(super) const fn is_whole(&self) -> bool {
        !self.is_cut
    }

    const EMPTY: Self = Self {
        total: 0,
        entries: Vec::new(),
        is_cut: false,
    };
}

impl Part<Box<RawValue>> {
    /// As many of a page's entries, encoded, as an answer can have: one at least. One that the bus does not carry even so
    /// makes the host one that has not answered, which is what the asker is to know.
    fn of(page: &Page<impl Serialize>, is_cut: bool, bytes_max: usize) -> Self {
        let (mut entries, mut bytes) = (Vec::new(), 0_usize);
        for entry in &page.entries {
            let entry = to_raw_value(entry).expect("it has no keys but texts");
            // And what is between them.
            bytes += entry.get().len() + 1;
            if bytes > bytes_max && !entries.is_empty() {
                break;
            }
            entries.push(entry);
        }
        Self {
            total: page.total,
            is_cut: is_cut || entries.len() < page.entries.len(),
            entries,
        }
    }
}

impl Question<'_> {
    /// Gives it back if it is none that takes longer: a part of a list.
    pub(super) fn of_list(self) -> Result<Question<'static>, Self> {
        match self {
            Self::Connections { room, after, limit } => {
                Ok(Question::Connections { room, after, limit })
            }
            Self::Rooms {
                prefix,
                after,
                limit,
            } => Ok(Question::Rooms {
                prefix: Cow::Owned(prefix.into_owned()),
                after: after.map(|after| Cow::Owned(after.into_owned())),
                limit,
            }),
            other => Err(other),
        }
    }

    /// What a host answers that does not have the tenant.
    pub(super) fn answered_by_nobody(&self) -> Box<RawValue> {
        let answer = match self {
            Self::Connections { .. } | Self::Rooms { .. } => to_raw_value(&Part::<()>::EMPTY),
            Self::RoomSize { .. } => to_raw_value(&0),
            Self::Occupied { .. } => to_raw_value::<[RoomName]>(&[]),
            Self::Connection { .. } => to_raw_value(&()),
            Self::Send { .. } | Self::Close { .. } => to_raw_value(&false),
        };
        answer.expect("it has no keys but texts")
    }
}

impl Hub {
    /// What this host answers to another.
    pub(super) fn answer(&self, question: Question<'_>) -> Box<RawValue> {
        let answer = match question {
            Question::Connections { room, after, limit } => {
                let limit = limit.min(PAGE_LIMIT_MAX);
                let page = match room {
                    Some(room) => self.room_connections(room.as_str(), after, limit),
                    None => self.connections(after, limit),
                };
                to_raw_value(&Part::of(&page, false, self.answer_bytes_max()))
            }
            Question::Rooms {
                prefix,
                after,
                limit,
            } => to_raw_value(&self.part_of_rooms(&prefix, after.as_deref(), limit)),
            Question::RoomSize { room } => to_raw_value(&self.room_size(room.as_str())),
            Question::Occupied { mut rooms } => {
                rooms.retain(|room| self.room_size(room.as_str()) > 0);
                to_raw_value(&rooms)
            }
            Question::Connection { id } => to_raw_value(&self.connection_info(id)),
            Question::Send { id, push } => to_raw_value(&self.send_here(id, push)),
            Question::Close { id, code, reason } => {
                let close = Close::by_plugin(Some(code), Some(&reason));
                let target = self.find(id).zip(close);
                to_raw_value(&target.is_some_and(|(target, close)| {
                    target.outbox.close(close);
                    true
                }))
            }
        };
        answer.expect("it has no keys but texts")
    }

    fn part_of_rooms(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: Option<u32>,
    ) -> Part<Box<RawValue>> {
        let bytes_max = self.answer_bytes_max();
        let (page, is_cut) = match limit {
            Some(limit) => (self.rooms(prefix, after, limit.min(PAGE_LIMIT_MAX)), false),
            // No entry is smaller than the name and what is around it.
            None => self.first_rooms(prefix, after, bytes_max, |(name, _)| {
                (name.as_str().len() + r#"["",1],"#.len()).min(bytes_max)
            }),
        };
        Part::of(&page, is_cut, bytes_max)
    }

    /// An answer adds no more to its entries than the envelope of a broadcast to a push.
    fn answer_bytes_max(&self) -> usize {
        ANSWER_BYTES_MAX.min(self.broadcast_bytes_max())
    }

    fn send_here(&self, id: ConnectionId, push: &RawValue) -> bool {
        let Some(target) = self.find(id) else {
            return false;
        };
        let Ok(frame) = self.frame_of(push) else {
            return false;
        };
        self.send(&target, frame) != Err(Refused::Closing)
    }
}

impl ConnectionInfo {
    /// Without what plugins could not read.
    pub(super) fn checked(mut self) -> Self {
        self.attributes
            .retain(|(_, value)| check_json(value).is_ok());
        self
    }
}

/// A page of the connections of all hosts: sorted, each once.
pub(super) fn all_connections(
    here: Page<ConnectionInfo>,
    parts: Vec<Part<ConnectionInfo>>,
    limit: u32,
) -> Page<ConnectionInfo> {
    // Behind the last that a host could say, another one may have some that come before what it could not.
    let cuts = parts.iter().filter(|part| part.is_cut);
    let end = cuts.filter_map(|part| Some(part.entries.last()?.id)).min();
    let totals = parts.iter().map(|part| part.total);
    let total = totals.fold(here.total, usize::saturating_add);
    let others = parts.into_iter().flat_map(|part| part.entries);
    let mut entries: Vec<_> = here
        .entries
        .into_iter()
        .chain(others.map(ConnectionInfo::checked))
        .filter(|info| end.is_none_or(|end| info.id <= end))
        .collect();
    entries.sort_by_key(|info| info.id);
    entries.dedup_by_key(|info| info.id);
    entries.truncate(limit as usize);
    Page { total, entries }
}

/// The rooms of all hosts: sorted, each once, with the members that it has on all of them. The total counts each once
/// as well, but for those that a host could not say: they may be the same.
pub(super) fn all_rooms(here: Page<RoomOf>, parts: Vec<Part<RoomOf>>) -> Page<RoomOf> {
    // Behind the last that a host could say, what others have of a room is not all of it.
    let cuts = parts.iter().filter(|part| part.is_cut);
    let end = cuts.filter_map(|part| Some(part.entries.last()?.0.clone()));
    let end = end.min();
    let mut rooms: BTreeMap<RoomName, usize> = here.entries.into_iter().collect();
    let mut unsaid: usize = 0;
    for part in parts {
        unsaid = unsaid.saturating_add(part.total.saturating_sub(part.entries.len()));
        for (name, size) in part.entries {
            let known = rooms.entry(name).or_insert(0);
            *known = known.saturating_add(size);
        }
    }
    let total = rooms.len().saturating_add(unsaid);
    let rooms = rooms.into_iter();
    let entries = rooms.filter(|(name, _)| end.as_ref().is_none_or(|end| name <= end));
    Page {
        total,
        entries: entries.collect(),
    }
}
