//! Values that all hosts share: the same operations, over a keeper that can do but single steps.
//!
//! A change is read, applied and put in the place of what was read, and again when somebody else was faster. Nothing
//! waits for longer than [`WAIT_MAX`]; a change whose outcome is not known by then is unavailable, made or not.

mod endings;
mod keeper;
mod nats;
mod redis;
mod rooms;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout;

pub(super) use keeper::{Answer, Found, Keeper, Lasting, Mark, Next, Replaced, Spot, Wanted};

pub(super) use self::nats::Nats;
pub(super) use self::redis::Redis;
use super::change::{Change, Write};
use super::rooms::Vacant;
use super::{Entry, KeyPage, Owner, Quota, StateError, Time};
use endings::Endings;
pub use rooms::Members;
use turns::Turns;

/// How long one operation may take, with all its attempts.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// What one tenant keeps with all hosts.
#[derive(Debug)]
pub(super) struct Shared {
    tenant: String,
    keeper: Arc<dyn Keeper>,
    turns: Turns<Spot>,
    endings: Endings,
    /// When it was time for the last.
    sweeps: watch::Sender<Time>,
    /// Rooms with values, but without members here.
    vacant: Mutex<Vacant>,
}

impl Shared {
    pub(super) fn new(tenant: &str, keeper: Arc<dyn Keeper>) -> Self {
        Self {
            tenant: tenant.to_owned(),
            keeper,
            turns: Turns::new(),
            endings: Endings::new(),
            sweeps: watch::Sender::new(Time::from_millis(0)),
            vacant: Mutex::default(),
        }
    }

    pub(super) async fn get(&self, owner: &Owner, key: &str) -> Result<Option<Entry>, StateError> {
        let spot = self.spot(owner, key);
        let found = in_time(async {
            self.settled(owner).await;
            self.keeper.read(&spot).await
        });
        let found = found.await?;
        Ok(found.kept.map(|kept| kept.entry))
    }

    pub(super) async fn keys(
        &self,
        owner: &Owner,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<KeyPage, StateError> {
        let wanted = Wanted {
            tenant: &self.tenant,
            owner,
            prefix,
            after,
            limit,
        };
        in_time(async {
            self.settled(owner).await;
            self.keeper.keys(&wanted).await
        })
        .await
    }

    pub(super) async fn change<C: Change>(
        &self,
        owner: &Owner,
        key: &str,
        change: C,
        quota: Quota,
    ) -> Result<C::Answer, StateError> {
        let spot = self.spot(owner, key);
        in_time(async {
            self.settled(owner).await;
            let _turn = self.turns.take(&spot).await;
            loop {
                if let Some(answer) = self.attempt(&spot, &change, quota).await? {
                    return Ok(answer);
                }
            }
        })
        .await
    }

    /// `None` when somebody else was faster.
    async fn attempt<C: Change>(
        &self,
        spot: &Spot,
        change: &C,
        quota: Quota,
    ) -> Result<Option<C::Answer>, StateError> {
        let found = self.keeper.read(spot).await?;
        let before = found.kept.as_ref();
        // Which version it will have is not known yet, and matters to the answer alone.
        let (write, answer) = change.apply(before, 0, found.now)?;
        let next = match &write {
            Write::Nothing => return Ok(Some(answer)),
            Write::Remove => None,
            Write::Put { value, expires } => Some((value.as_str(), *expires)),
        };
        let replacing = self.keeper.replace(spot, found.mark, next, quota);
        match replacing.await? {
            Replaced::Done(version) => {
                let (_, answer) = change.apply(before, version, found.now)?;
                Ok(Some(answer))
            }
            Replaced::Conflict => Ok(None),
            Replaced::Limit(limit) => Err(StateError::Limit(limit)),
        }
    }

    /// A room has lost its last member here. Returns at once.
    pub(super) fn end_room(&self, room: &str) {
        self.endings.end(room);
    }

    /// Waits until the rooms that have ended are dealt with, but for no longer than an operation.
    pub(super) async fn settle(&self) {
        // What is left is found by the other hosts.
        let _ = timeout(WAIT_MAX, self.endings.all_settled()).await;
    }

    /// It is time to take away what is over, and to look for rooms that nobody has ended. Returns at once.
    pub(super) fn sweep(&self, now: Time) {
        self.sweeps.send_replace(now);
    }

    /// Waits until the end of a room here can be read.
    async fn settled(&self, owner: &Owner) {
        if let Owner::Room(room) = owner {
            self.endings.settled(room).await;
        }
    }

    fn spot(&self, owner: &Owner, key: &str) -> Spot {
        Spot {
            tenant: self.tenant.clone(),
            owner: owner.clone(),
            key: key.to_owned(),
        }
    }
}

async fn in_time<T>(answer: impl Future<Output = Result<T, StateError>>) -> Result<T, StateError> {
    let late = |_| StateError::Unavailable(format!("no answer within {WAIT_MAX:?}"));
    timeout(WAIT_MAX, answer).await.map_err(late)?
}
