//! Who waits until what was published has gone. Pure.

use tokio::sync::oneshot;

/// All of them, on one connection.
#[derive(Debug, Default)]
pub(super) struct Flushes(Vec<Flush>);

#[derive(Debug)]
struct Flush {
    /// How many messages had been published by then.
    pushed: u64,
    /// The probe that proves it, once the last of them is with the broker.
    probe: Option<u64>,
    done: oneshot::Sender<()>,
}

impl Flushes {
    /// One who waits for the first so many messages.
    pub(super) fn begin(&mut self, pushed: u64) -> oneshot::Receiver<()> {
        let (done, flushed) = oneshot::channel();
        self.0.push(Flush {
            pushed,
            probe: None,
            done,
        });
        flushed
    }

    /// So many messages have gone: whether somebody waits for no more, and now for this probe behind them.
    pub(super) fn await_probe(&mut self, taken: u64, probe: u64) -> bool {
        let mut are_any = false;
        for flush in &mut self.0 {
            if flush.probe.is_none() && flush.pushed <= taken {
                flush.probe = Some(probe);
                are_any = true;
            }
        }
        are_any
    }

    /// The probe of this number has come back. Returns those who waited for that, to be told without a lock.
    pub(super) fn prove(&mut self, probe: u64) -> impl Iterator<Item = oneshot::Sender<()>> {
        let is_proven = move |flush: &mut Flush| flush.probe.is_some_and(|last| last <= probe);
        self.0.extract_if(.., is_proven).map(|flush| flush.done)
    }

    /// The connection is lost: nobody waits any longer.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
