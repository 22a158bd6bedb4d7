//! The values of rooms that have ended, on whichever host. A room ends when its last member anywhere has left; who leaves
//! last on one host cannot see whether somebody is in it elsewhere, so the others are asked.
//!
//! What a member writes is never lost: the last version is read before anyone is asked, and only what was written until
//! then is taken away. Whoever is in the room by the time of asking keeps all of it; who joins later may for a moment
//! still see what is about to go.

use std::collections::BTreeSet;
use std::future::Future;

use super::endings::{BATCH_MAX, Work};
use super::{Lasting, Shared, in_time};
use crate::state::{StateError, Time};

/// Who knows which rooms have members.
pub trait Members: Send + Sync {
    /// Whether a room has some on this host.
    fn are_here(&self, room: &str) -> bool;

    /// Which of these rooms have some on other hosts; `None` when not all of those have answered.
    fn elsewhere(
        &self,
        rooms: Vec<String>,
    ) -> impl Future<Output = Option<BTreeSet<String>>> + Send;
}

impl Shared {
    /// Takes away what rooms leave that have ended, for ever.
    pub(in crate::state) async fn end_rooms(&self, members: &impl Members) {
        let mut is_failing = false;
        loop {
            let ended = match self.endings.next().await {
                Work::End(batch) => self.end(&batch.rooms, members).await,
                Work::Sweep(now) => self.find_abandoned(now, members).await,
            };
            match ended {
                Err(error) if !is_failing => {
                    is_failing = true;
                    let tenant = self.tenant.as_str();
                    tracing::warn!(tenant, %error, "rooms that have ended keep their state");
                }
                Err(_) => {}
                Ok(()) => is_failing = false,
            }
        }
    }

    /// Takes away the values of those rooms that have no members elsewhere. Somebody may be in them here: since they
    /// ended, and until this is done, nobody here has written to them. The sweep will find those that could not be asked
    /// for.
    async fn end(&self, rooms: &[String], members: &impl Members) -> Result<(), StateError> {
        let lasting = in_time(self.keeper.lasting(&self.tenant, rooms)).await?;
        self.purge(lasting, members).await.map(drop)
    }

    /// Returns whether it is known of all the rooms who has members.
    async fn purge(&self, lasting: Lasting, members: &impl Members) -> Result<bool, StateError> {
        let Lasting { rooms, newest } = lasting;
        if rooms.is_empty() {
            return Ok(true);
        }
        let Some(elsewhere) = members.elsewhere(rooms.clone()).await else {
            return Ok(false);
        };
        for room in rooms.iter().filter(|room| !elsewhere.contains(*room)) {
            in_time(self.keeper.purge(&self.tenant, room, newest)).await?;
        }
        Ok(true)
    }

    /// Takes away what is over, and the values of rooms that nobody has ended: those of a host that was killed, or that
    /// could not ask, and those that were set and never joined.
    async fn find_abandoned(&self, now: Time, members: &impl Members) -> Result<(), StateError> {
        in_time(self.keeper.expire(&self.tenant)).await?;
        let rooms = in_time(self.keeper.rooms(&self.tenant)).await?;
        let empty = rooms.into_iter().filter(|room| !members.are_here(room));
        let mut due = self.vacant.lock().due(now, empty);
        due.truncate(BATCH_MAX);
        if due.is_empty() {
            return Ok(());
        }
        let mut lasting = in_time(self.keeper.lasting(&self.tenant, &due)).await?;
        // Whoever joined before the version was read may have written before it.
        lasting.rooms.retain(|room| !members.are_here(room));
        if self.purge(lasting, members).await? {
            // Those that are still there, with members elsewhere or with nothing that could go, are asked for again in a
            // minute: others come first until then.
            self.vacant.lock().forget(&due);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
