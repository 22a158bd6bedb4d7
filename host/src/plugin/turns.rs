//! Whose guest runs on, among those that have run for a tick.
//!
//! As many at a time as there are permits. When one is free it goes to the tenant that has had the least for its share;
//! within a tenant, to who has waited longest. That is start-time fair queueing (Goyal, Vin and Cheng 1996): a tenant's
//! tag is when, in virtual time, it has used up what it had, and who comes back after a rest has saved nothing.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// A turn costs so much virtual time, divided by the share. Sixty-four bits of it last for more than half a million
/// years of ticks at the largest share.
const TURN: u64 = 1 << 32;

/// All turns of a host. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<Mutex<Queue>>);

#[derive(Debug)]
struct Queue {
    free: usize,
    /// The tag of the turn that began last.
    now: u64,
    waiting: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    lane: Arc<Lane>,
    sender: oneshot::Sender<Permit>,
}

/// The turns of one tenant. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct TenantTurns {
    turns: Turns,
    lane: Arc<Lane>,
}

#[derive(Debug)]
struct Lane {
    share: AtomicU32,
    /// Changes under the lock of the queue.
    tag: AtomicU64,
}

/// The right to run on until it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    /// `None` once the right is another's.
    turns: Option<Turns>,
}

impl Turns {
    /// For so many at a time.
    pub(super) fn new(permits: usize) -> Self {
        Self(Arc::new(Mutex::new(Queue {
            free: permits,
            now: 0,
            waiting: VecDeque::new(),
        })))
    }

    /// Those of one more tenant, with this share of them.
    pub(super) fn of_tenant(&self, share: u32) -> TenantTurns {
        let lane = Arc::new(Lane {
            share: AtomicU32::new(share),
            tag: AtomicU64::new(0),
        });
        TenantTurns {
            turns: self.clone(),
            lane,
        }
    }

    /// How many nobody has.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.0.lock().free
    }

    fn pass_on(&self) {
        // Who has given up waiting may not have been there to say so.
        loop {
            let next = self.0.lock().next();
            let Some(sender) = next else { return };
            let permit = Permit {
                turns: Some(self.clone()),
            };
            match sender.send(permit) {
                Ok(()) => return,
                Err(mut refused) => refused.turns = None,
            }
        }
    }
}

impl TenantTurns {
    /// Gives it another share.
    pub(super) fn set_share(&self, share: u32) {
        self.lane.share.store(share, Ordering::Relaxed);
    }

    /// Waits for a turn.
    pub(super) async fn next(&self) -> Permit {
        let waiting = {
            let mut queue = self.turns.0.lock();
            if queue.free > 0 {
                queue.free -= 1;
                queue.begin(&self.lane);
                None
            } else {
                let (sender, receiver) = oneshot::channel();
                let lane = Arc::clone(&self.lane);
                queue.waiting.push_back(Waiter { lane, sender });
                Some(receiver)
            }
        };
        let permit = match waiting {
            Some(receiver) => receiver.await.ok(),
            None => None,
        };
        permit.unwrap_or_else(|| Permit {
            turns: Some(self.turns.clone()),
        })
    }
}

impl Queue {
    /// Whose turn it is; a free permit is kept when it is nobody's.
    fn next(&mut self) -> Option<oneshot::Sender<Permit>> {
        self.waiting.retain(|waiter| !waiter.sender.is_closed());
        let tags = self.waiting.iter().map(|waiter| self.tag(&waiter.lane));
        // The first of those that are equal has waited longest.
        let Some((place, _)) = tags.enumerate().min_by_key(|(_, tag)| *tag) else {
            self.free += 1;
            return None;
        };
        let waiter = self.waiting.remove(place)?;
        self.begin(&waiter.lane);
        Some(waiter.sender)
    }

    /// When, in virtual time, the tenant's next turn begins.
    fn tag(&self, lane: &Lane) -> u64 {
        lane.tag.load(Ordering::Relaxed).max(self.now)
    }

    fn begin(&mut self, lane: &Lane) {
        self.now = self.tag(lane);
        let share = u64::from(lane.share.load(Ordering::Relaxed).max(1));
        lane.tag.store(self.now + TURN / share, Ordering::Relaxed);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(turns) = self.turns.take() {
            turns.pass_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// So many guests of each tenant, with its share, that always want the next turn: who had how many of a thousand.
    async fn turns_of(tenants: &[(usize, u32)]) -> Vec<usize> {
        let turns = Turns::new(1);
        let first = turns.of_tenant(1).next().await;
        let had = Arc::new(Mutex::new(BTreeMap::new()));
        for (tenant, (guests, share)) in tenants.iter().enumerate() {
            let turns = turns.of_tenant(*share);
            for _ in 0..*guests {
                let (turns, had) = (turns.clone(), Arc::clone(&had));
                tokio::spawn(async move {
                    loop {
                        let permit = turns.next().await;
                        *had.lock().entry(tenant).or_insert(0) += 1;
                        tokio::task::yield_now().await;
                        drop(permit);
                    }
                });
            }
        }
        // Until all of them wait.
        while turns.0.lock().waiting.len() < tenants.iter().map(|(guests, _)| guests).sum() {
            tokio::task::yield_now().await;
        }
        drop(first);
        while had.lock().values().sum::<usize>() < 1_000 {
            tokio::task::yield_now().await;
        }
        let had = had.lock();
        (0..tenants.len())
            .map(|tenant| had.get(&tenant).copied().unwrap_or(0))
            .collect()
    }

    #[tokio::test]
    async fn tenants_have_as_many_turns_whatever_their_guests() {
        let had = turns_of(&[(100, 1), (1, 1)]).await;
        // Between two turns of the only one, it must ask again: others go on meanwhile.
        assert!(had[1] >= 330, "{had:?}");
        let had = turns_of(&[(10, 1), (10, 1), (2, 1)]).await;
        assert!(had.iter().all(|had| (320..=345).contains(had)), "{had:?}");
    }

    #[tokio::test]
    async fn shares_are_shares() {
        let had = turns_of(&[(4, 300), (4, 100)]).await;
        assert!((740..=760).contains(&had[0]), "{had:?}");
    }

    #[tokio::test]
    async fn who_gives_up_holds_up_nobody() {
        let turns = Turns::new(1);
        let tenant = turns.of_tenant(1);
        let held = tenant.next().await;
        for _ in 0..3 {
            let mut waiting = Box::pin(tenant.next());
            tokio::select! {
                biased;
                _ = &mut waiting => panic!("there was one"),
                () = tokio::task::yield_now() => {}
            }
        }
        // This one gives up when it has it already.
        let mut waiting = Box::pin(tenant.next());
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("there was one"),
            () = tokio::task::yield_now() => {}
        }
        drop(held);
        drop(waiting);
        assert_eq!(turns.free(), 1);
        drop(tenant.next().await);
        assert_eq!(turns.free(), 1);
    }

    #[tokio::test]
    async fn a_rest_saves_nothing() {
        let turns = Turns::new(1);
        let (busy, idle) = (turns.of_tenant(1), turns.of_tenant(1));
        for _ in 0..1_000 {
            drop(busy.next().await);
        }
        drop(idle.next().await);
        let queue = turns.0.lock();
        assert!(queue.tag(&idle.lane) + TURN >= queue.tag(&busy.lane));
    }
}
