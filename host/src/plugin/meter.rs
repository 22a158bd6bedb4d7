//! How long an event's code has run, and who may run on.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};

use super::turns::{Permit, TenantTurns};

/// How old a thread's last look at its CPU clock may be where a poll begins. A look is a system call, so there is not
/// one for each event; an event is charged at most so much that was another's.
const LOOK_AGE_MAX: Duration = Duration::from_millis(1);

/// The most that is charged between two looks. A guest that runs is looked at with each tick, and a long host call
/// yields well before, so what is longer was no work of the event: a virtual machine that stood still while its kernel
/// counted on (not each one is told of stolen time), or the kernel that made room in memory.
const GAP_MAX: Duration = Duration::from_millis(10);

thread_local! {
    static LAST_LOOK: Cell<Option<Look>> = const { Cell::new(None) };
}

/// Both clocks of the same moment.
#[derive(Clone, Copy, Debug)]
struct Look {
    wall: Instant,
    /// Of the thread: stands still while the thread does not run, whether another one has the core or, on a virtual
    /// machine, another machine. Those can last longer than an event may.
    cpu: Duration,
}

impl Look {
    fn now(wall: Instant) -> Self {
        let cpu = clock_gettime(ClockId::ThreadCPUTime);
        Self {
            wall,
            cpu: Duration::try_from(cpu).unwrap_or_default(),
        }
    }

    /// The thread's last look, if it is recent enough; else a new one.
    fn recent(wall: Instant) -> Self {
        let last = LAST_LOOK.get();
        if let Some(last) = last.filter(|last| wall.duration_since(last.wall) < LOOK_AGE_MAX) {
            return last;
        }
        let look = Self::now(wall);
        LAST_LOOK.set(Some(look));
        look
    }
}

/// The CPU time of one event: that of its thread while its future is polled. Host calls are in it; waiting, whether
/// for the bus or for the thread, is not.
#[derive(Debug)]
pub(super) struct Meter {
    state: Mutex<MeterState>,
}

#[derive(Debug, Default)]
struct MeterState {
    max: Duration,
    /// Up to the last look.
    used: Duration,
    /// While the future is polled: when that began or was last looked at, and a look at the clocks from then or just
    /// before.
    resumed: Option<(Instant, Look)>,
}

/// The event has used up its CPU time.
#[derive(Debug, thiserror::Error)]
#[error("out of CPU time")]
pub(super) struct OutOfCpu;

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::default(),
        }
    }

    /// Begins an event.
    pub(super) fn start(&self, max: Duration) {
        *self.state.lock() = MeterState {
            max,
            ..MeterState::default()
        };
    }

    /// Asked from within a poll.
    pub(super) fn is_exhausted(&self) -> bool {
        let mut state = self.state.lock();
        state.resumed = state.charge();
        state.used >= state.max
    }

    fn resume(&self) {
        let now = Instant::now();
        self.state.lock().resumed = Some((now, Look::recent(now)));
    }

    fn pause(&self) {
        let mut state = self.state.lock();
        state.charge();
        state.resumed = None;
    }
}

impl MeterState {
    /// Charges what was used since the last look, and looks.
    fn charge(&mut self) -> Option<(Instant, Look)> {
        let (resumed, look) = self.resumed?;
        let now = Instant::now();
        let next = Look::now(now);
        let elapsed = now.duration_since(resumed).min(GAP_MAX);
        self.used += elapsed.min(next.cpu.saturating_sub(look.cpu));
        Some((now, next))
    }
}

/// A future whose polls are metered, and that holds no turn while it waits.
#[derive(Debug)]
pub(super) struct Metered<'a, F> {
    pub(super) meter: &'a Meter,
    pub(super) turn: &'a Turn,
    pub(super) future: F,
}

impl<F: Future + Unpin> Future for Metered<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.meter.resume();
        let poll = Pin::new(&mut self.future).poll(context);
        if poll.is_pending() {
            // A finished event's time is nobody's business, and most finish here.
            self.meter.pause();
            self.turn.pause();
        }
        poll
    }
}

/// A guest's place among those that run for longer than a tick.
///
/// Yielding alone would let a hundred of them cost everyone else a hundred ticks; so they take turns, in order, on
/// all threads but one.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    turns: TenantTurns,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    permit: Option<Permit>,
    /// It waits for nothing but the thread.
    is_yielding: bool,
}

impl Turn {
    pub(super) fn new(turns: TenantTurns) -> Self {
        Self {
            turns,
            held: Arc::default(),
        }
    }

    /// Ends this turn and waits for the next.
    pub(super) async fn next(self) {
        // A permit may be free at once, and others want the thread all the same. Tokio's own yield puts the task
        // behind them, and has tokio look at the sockets first; wasmtime's is polled again at once (wasmtime#10667).
        self.held.lock().is_yielding = true;
        tokio::task::yield_now().await;
        // Only then: whoever waits for the permit would go before all of them, and a round of turns would pass as one.
        self.end();
        let permit = self.turns.next().await;
        self.held.lock().permit = Some(permit);
    }

    /// Gives the permit back, if it holds one, for its guest waits: for a timer, the network, the bus. Others need not
    /// wait for that as well. Who merely yields keeps it: see [`Self::next`].
    fn pause(&self) {
        let mut held = self.held.lock();
        if !held.is_yielding {
            held.permit = None;
        }
    }

    /// Whether it has a permit.
    pub(super) fn is_held(&self) -> bool {
        self.held.lock().permit.is_some()
    }

    /// Gives the permit back, if it holds one.
    pub(super) fn end(&self) {
        *self.held.lock() = Held::default();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt;

    use super::super::turns::Turns;
    use super::*;

    const MAX: Duration = Duration::from_millis(20);

    #[test]
    fn a_thread_that_does_not_run_is_not_charged() {
        let meter = Meter::new();
        meter.start(MAX);
        meter.resume();
        std::thread::park_timeout(2 * MAX);
        assert!(!meter.is_exhausted());
        meter.pause();
        assert!(!meter.is_exhausted());
    }

    #[test]
    fn a_gap_is_charged_up_to_its_most() {
        let spin = |time| {
            let start = Instant::now();
            while start.elapsed() < time {}
        };
        let meter = Meter::new();
        meter.start(MAX);
        meter.resume();
        spin(2 * MAX);
        assert!(!meter.is_exhausted(), "as if the machine had stood still");
        // Whether it did or not, this is charged at least in part, each time.
        while !meter.is_exhausted() {
            spin(Duration::from_millis(1));
        }
    }

    /// Others here is a task that yields as sockets do: it is looked at when nobody else can run.
    #[tokio::test]
    async fn others_go_on_after_each_turn() {
        const TURNS: usize = 100;
        let tenant = Turns::new(1).of_tenant(1);
        let turns = Arc::new(AtomicUsize::new(0));
        for _ in 0..4 {
            let turn = Turn::new(tenant.clone());
            let turns = Arc::clone(&turns);
            tokio::spawn(async move {
                loop {
                    turn.clone().next().await;
                    turns.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut before = 0;
        while before < TURNS {
            tokio::task::yield_now().await;
            let now = turns.load(Ordering::Relaxed);
            assert!(now - before <= 1, "{} turns at once", now - before);
            before = now;
        }
    }

    #[tokio::test]
    async fn who_yields_keeps_the_turn_and_who_waits_does_not() {
        let turns = Turns::new(1);
        let turn = Turn::new(turns.of_tenant(1));
        let meter = Meter::new();
        meter.start(MAX);
        let guest = Box::pin(async {
            turn.clone().next().await;
            turn.clone().next().await;
            std::future::pending::<()>().await;
        });
        let mut guest = Metered {
            meter: &meter,
            turn: &turn,
            future: guest,
        };
        // It yields before its first turn, yields again in it, and waits in its second.
        for free in [1, 0, 1] {
            assert!((&mut guest).now_or_never().is_none());
            assert_eq!(turns.free(), free);
        }
    }

    #[test]
    fn polls_add_up() {
        let meter = Meter::new();
        meter.start(MAX);
        let mut polls = 0;
        while !meter.is_exhausted() {
            meter.resume();
            let start = Instant::now();
            while start.elapsed() < MAX / 4 {}
            meter.pause();
            polls += 1;
        }
        assert!(polls >= 4, "{polls}");
        meter.start(MAX);
        assert!(!meter.is_exhausted(), "the next event starts anew");
    }
}
