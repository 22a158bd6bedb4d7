//! What a host hears on the bus, and what it answers at once.

use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::lists::List;
use super::message::Message;
use super::{Exchange, MESSAGE_BYTES_MAX, Run, channels};
use crate::cluster::Receive;
use crate::hub::question::Question;
use crate::hub::remote::{ENVELOPE_BYTES_MAX, Malformed};

/// The host's ear on the bus. It must not keep the hubs alive: the bus belongs to them.
pub(super) struct Ear(pub(super) Weak<Exchange>);

impl Receive for Ear {
    fn receive(&self, channel: &str, payload: &[u8]) {
        let Some(exchange) = self.0.upgrade() else {
            return;
        };
        let received = match channels::split(&exchange.prefix, channel) {
            Some((channels, room)) => match exchange.hub(channels) {
                Some(hub) => hub.receive(room, payload),
                None => Ok(()),
            },
            None => exchange.hear(payload),
        };
        if let Err(malformed) = received {
            exchange.malformed.fetch_add(1, Ordering::Relaxed);
            // Not louder: who sends one may send a thousand.
            tracing::debug!(channel, %malformed, "malformed payload on the bus");
        }
    }
}

impl Exchange {
    /// Takes what another host says.
    fn hear(&self, payload: &[u8]) -> Result<(), Malformed> {
        // Not read at all.
        let push_max = || self.push_bytes_max().saturating_add(ENVELOPE_BYTES_MAX);
        if payload.len() > MESSAGE_BYTES_MAX && payload.len() > push_max() {
            return Err(Malformed::TooLarge);
        }
        let message = serde_json::from_slice::<Message<'_>>(payload);
        let message = message.map_err(|_| Malformed::NoMessage)?;
        match message {
            Message::Hello { from, node } => {
                if self.heard(from, &node) {
                    self.greet(from);
                }
            }
            Message::Alive { from, node } => {
                self.heard(from, &node);
            }
            Message::Gone { from } => {
                if let Some(node) = self.peers.lock().gone(from) {
                    tracing::info!(node, "host gone");
                }
                self.asks.gone(from);
            }
            // Its own.
            Message::Push { from, .. } | Message::Ask { from, .. } if from == self.origin.run => {}
            Message::Push {
                from, link, seq, ..
            }
            | Message::Ask {
                from, link, seq, ..
            } if !self.is_news(Some(from), link, seq) => {}
            Message::Push { tenant, push, .. } => {
                return match self.hub_of(&tenant) {
                    Some(hub) => hub.receive_for_all(push),
                    None => Ok(()),
                };
            }
            Message::Ask {
                from,
                number,
                tenant,
                question,
                ..
            } => self.reply(from, number, &tenant, question),
            Message::Answer {
                from,
                number,
                answer,
            } => self.asks.answered(from, number, answer),
        }
        Ok(())
    }

    /// Returns whether it was somebody else.
    fn heard(&self, from: Run, node: &str) -> bool {
        if from == self.origin.run {
            return false;
        }
        if self.peers.lock().heard(from, node, Instant::now()) {
            tracing::info!(node, "host found");
            if node == self.origin.node {
                tracing::error!(
                    node,
                    "another host has the same name; give one of them another: key node"
                );
            }
        }
        true
    }

    fn reply(&self, to: Run, number: u64, tenant: &str, question: Question<'_>) {
        match question.of_list() {
            Ok(question) => {
                let tenant = tenant.to_owned();
                let list = List {
                    to,
                    number,
                    tenant,
                    question,
                };
                if !self.lists.push(list) {
                    tracing::debug!(%to, "more lists are asked for than can be answered in time");
                }
            }
            Err(question) => self.answer(to, number, tenant, question),
        }
    }

    /// Answers what takes longer, for ever.
    pub(super) async fn answer_lists(&self) {
        while let Some(list) = self.lists.next().await {
            self.answer(list.to, list.number, &list.tenant, list.question);
            // Others may be due: this is no more than a part of its task.
            tokio::task::yield_now().await;
        }
    }

    fn answer(&self, to: Run, number: u64, tenant: &str, question: Question<'_>) {
        let answer = match self.hub_of(tenant) {
            Some(hub) => hub.answer(question),
            None => question.answered_by_nobody(),
        };
        let answer = Message::Answer {
            from: self.origin.run,
            number,
            answer: &answer,
        };
        self.bus
            .publish(&channels::of_host(&self.prefix, to), &answer);
    }

    /// Tells one that has come, and only that one.
    fn greet(&self, run: Run) {
        if self.presence.lock().is_here() {
            let alive = Message::Alive {
                from: self.origin.run,
                node: self.origin.node.as_str().into(),
            };
            self.bus
                .publish(&channels::of_host(&self.prefix, run), &alive);
        }
    }
}
