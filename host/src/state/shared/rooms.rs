//! The values of rooms that have ended, on whichever host. A room ends when its last member anywhere has left; who leaves
//! last on one host cannot see whether somebody is in it elsewhere, so the others are asked.
//!
//! What a member writes is never lost: the last version is read before anyone is asked, and only what was written until
//! then is taken away. Whoever is in the room by the time of asking keeps all of it; who joins later may for a moment
//! still see what is about to go.

use std::collections::BTreeSet;
use std::future::Future;

use super::endings::BATCH_MAX;
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
    /// Takes away what rooms leave that have ended, and what nobody has taken away, for ever. Who asks for a room that has
    /// ended waits for the one, and must not for the other.
    pub(in crate::state) async fn end_rooms(&self, members: &impl Members) {
        tokio::join!(self.end_ended(members), self.sweep_when_due(members));
    }

    async fn end_ended(&self, members: &impl Members) {
        let mut is_failing = false;
        loop {
            let batch = self.endings.next().await;
            let ended = self.end(&batch.rooms, members).await;
            self.tell(
                &mut is_failing,
                ended,
                "rooms that have ended keep their state",
            );
        }
    }

    async fn sweep_when_due(&self, members: &impl Members) {
        let mut is_failing = false;
        let mut sweeps = self.sweeps.subscribe();
        // The sender is this one's own.
        while sweeps.changed().await.is_ok() {
            let now = *sweeps.borrow_and_update();
            let swept = self.find_abandoned(now, members).await;
            self.tell(&mut is_failing, swept, "what is over stays at the broker");
        }
    }

    /// Says what has failed, if it did not fail before.
    fn tell(&self, is_failing: &mut bool, done: Result<(), StateError>, what: &str) {
        match done {
            Err(error) if !*is_failing => {
                *is_failing = true;
                let tenant = self.tenant.as_str();
                tracing::warn!(tenant, %error, "{what}");
            }
            Err(_) => {}
            Ok(()) => *is_failing = false,
        }
    }

    /// Takes away the values of those rooms that have no members elsewhere. Somebody may be in them here: since they
    /// ended, and until this is done, nobody here has written to them. The sweep will find those that could not be asked
    /// for.
    async fn end(&self, rooms: &[String], members: &impl Members) -> Result<(), StateError> {
        let Lasting { rooms, newest } = in_time(self.keeper.lasting(&self.tenant, rooms)).await?;
        for room in nowhere(rooms, members).await.unwrap_or_default() {
            in_time(self.keeper.purge(&self.tenant, &room, newest)).await?;
        }
        Ok(())
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
        let Lasting { mut rooms, newest } =
            in_time(self.keeper.lasting(&self.tenant, &due)).await?;
        // Whoever joined before the version was read may have written before it.
        rooms.retain(|room| !members.are_here(room));
        let Some(nowhere) = nowhere(rooms, members).await else {
            return Ok(());
        };
        let gone: Vec<_> = {
            let mut vacant = self.vacant.lock();
            // The others have members, or nothing that could go: they are asked for again in a minute.
            vacant.forget(due.iter().filter(|room| !nowhere.contains(room)));
            let gone = nowhere.into_iter().filter_map(|room| {
                let newest = vacant.nowhere(&room, now, newest)?;
                Some((room, newest))
            });
            gone.collect()
        };
        for (room, newest) in gone {
            in_time(self.keeper.purge(&self.tenant, &room, newest)).await?;
        }
        Ok(())
    }
}

/// Those of the rooms that have no members elsewhere; `None` when not all hosts have said so.
async fn nowhere(rooms: Vec<String>, members: &impl Members) -> Option<Vec<String>> {
    if rooms.is_empty() {
        return Some(rooms);
    }
    let elsewhere = members.elsewhere(rooms.clone()).await?;
    let nowhere = rooms.into_iter().filter(|room| !elsewhere.contains(room));
    Some(nowhere.collect())
}

#[cfg(test)]
mod tests;
