//! Polls: the path of a message is the question's room, for instance `/poll/lunch`. Who watches sees every vote; the
//! votes are the room's state, and go when nobody watches any more.

use std::collections::BTreeMap;

use wardroom_sdk::prelude::*;

/// Before each choice: the room keeps other things too.
const VOTES: &str = "votes/";
const CHOICES_MAX: u64 = 20;
const CHOICE_BYTES_MAX: usize = 100;

#[derive(Deserialize)]
struct Vote {
    choice: String,
}

type Tally = BTreeMap<String, i64>;

#[derive(Default)]
struct Poll;

#[controller("poll")]
impl Poll {
    #[message("watch", ":question")]
    fn watch(&self) -> Result<Tally, HostError> {
        rooms().join()?;
        tally()
    }

    /// One vote for each connection, which may change its mind.
    #[message("vote", ":question")]
    fn vote(
        &self,
        #[connection_id] voter: ConnectionId,
        #[data] vote: Vote,
    ) -> Result<Tally, WsError> {
        if !(1..=CHOICE_BYTES_MAX).contains(&vote.choice.len()) {
            return Err(WsError::bad_request("choose something short"));
        }
        rooms().join()?;
        let voter = format!("voters/{voter}");
        let before = state().room().get::<String>(&voter)?;
        if before.as_ref() != Some(&vote.choice) {
            count(&vote.choice, 1)?;
            if let Some(before) = before {
                count(&before, -1)?;
            }
            state().room().set(&voter, &vote.choice)?;
        }
        let tally = tally()?;
        rooms().broadcast("tally", &tally)?;
        Ok(tally)
    }
}

/// Two who vote at once are both counted, on whichever instances.
fn count(choice: &str, by: i64) -> Result<(), WsError> {
    let votes = state().room();
    let key = format!("{VOTES}{choice}");
    if votes.get::<i64>(&key)?.is_none() && votes.keys(VOTES).total()? >= CHOICES_MAX {
        return Err(WsError::conflict("there are enough choices"));
    }
    votes.increment(&key, by)?;
    Ok(())
}

fn tally() -> Result<Tally, HostError> {
    let votes = state().room();
    let keys = votes.keys(VOTES).all()?.into_iter();
    keys.map(|key| {
        let count = votes.get(&key)?.unwrap_or_default();
        Ok((key.replacen(VOTES, "", 1), count))
    })
    .collect()
}

wardroom_sdk::plugin!(Poll);
