//! What hosts say to each other, beside the broadcasts of rooms: JSON, one object with one member, which says what it
//! is.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::peers::Run;
use crate::cluster::Payload;
use crate::hub::question::Question;

/// One of them. It is as hostile as anything else that comes from outside.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Message<'a> {
    /// A host has come, and wants to know who is there.
    Hello {
        from: Run,
        #[serde(borrow)]
        node: Cow<'a, str>,
    },
    /// A host is there.
    Alive {
        from: Run,
        #[serde(borrow)]
        node: Cow<'a, str>,
    },
    /// A host ends.
    Gone { from: Run },
    /// For all connections of a tenant.
    Push {
        from: Run,
        /// Which of the sender's connections to the broker carries it. Not every server says so.
        link: Option<u64>,
        /// The number of what the sender has said.
        seq: Option<u64>,
        #[serde(borrow)]
        tenant: Cow<'a, str>,
        #[serde(borrow)]
        push: &'a RawValue,
    },
    /// Something that all hosts are asked.
    Ask {
        from: Run,
        link: Option<u64>,
        seq: Option<u64>,
        number: u64,
        #[serde(borrow)]
        tenant: Cow<'a, str>,
        #[serde(borrow)]
        question: Question<'a>,
    },
    /// What one of them answers, to the one that asked.
    Answer {
        from: Run,
        number: u64,
        #[serde(borrow)]
        answer: &'a RawValue,
    },
}

impl Payload for Message<'_> {
    fn encode(&self) -> Bytes {
        serde_json::to_vec(self)
            .expect("it has no keys but texts")
            .into()
    }

    fn is_vital(&self) -> bool {
        matches!(
            self,
            Self::Hello { .. } | Self::Alive { .. } | Self::Gone { .. }
        )
    }
}

/// A push to all connections of a tenant, on its way. Read again only when there is another host.
pub(super) struct ToAll<'a> {
    pub(super) from: Run,
    pub(super) link: u64,
    pub(super) number: u64,
    pub(super) tenant: &'a str,
    /// As clients get it.
    pub(super) frame: &'a [u8],
}

impl Payload for ToAll<'_> {
    fn encode(&self) -> Bytes {
        let message = Message::Push {
            from: self.from,
            link: Some(self.link),
            seq: Some(self.number),
            tenant: self.tenant.into(),
            push: serde_json::from_slice(self.frame).expect("a frame is JSON"),
        };
        message.encode()
    }
}
