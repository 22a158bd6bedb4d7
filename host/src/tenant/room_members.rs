//! Says for the state which rooms have members.

use std::collections::BTreeSet;

use crate::hub::{Hub, RoomName};
use crate::state::Members;

pub(super) struct RoomMembers(pub(super) Hub);

impl Members for RoomMembers {
    fn are_here(&self, room: &str) -> bool {
        self.0.room_size(room) > 0
    }

    async fn elsewhere(&self, rooms: Vec<String>) -> Option<BTreeSet<String>> {
        // What can be no room's name has no members anywhere.
        let rooms = rooms.iter().filter_map(|room| RoomName::new(room));
        let occupied = self.0.occupied_elsewhere(rooms.collect()).await?;
        Some(occupied.into_iter().map(String::from).collect())
    }
}
