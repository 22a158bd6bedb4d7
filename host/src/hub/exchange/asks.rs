//! Questions to other hosts that are not answered yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::peers::Run;

/// Whether an answer makes all others needless.
type IsEnough = dyn Fn(&RawValue) -> bool + Send;

/// All of them.
#[derive(Default)]
pub(super) struct Asks {
    next: AtomicU64,
    open: Mutex<BTreeMap<u64, Ask>>,
}

struct Ask {
    waiting: BTreeSet<Run>,
    answers: Vec<Box<RawValue>>,
    is_enough: Box<IsEnough>,
    done: Arc<Notify>,
}

impl Ask {
    fn end_if_done(&self) {
        if self.waiting.is_empty() {
            self.done.notify_one();
        }
    }
}

impl Asks {
    /// Begins one, which these are to answer.
    pub(super) fn begin(&self, of: &[Run], is_enough: Box<IsEnough>) -> Asking<'_> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let done = Arc::new(Notify::new());
        let ask = Ask {
            waiting: of.iter().copied().collect(),
            answers: Vec::new(),
            is_enough,
            done: Arc::clone(&done),
        };
        ask.end_if_done();
        self.open.lock().insert(number, ask);
        Asking {
            asks: self,
            number,
            done,
        }
    }

    /// One has answered. What was not asked of it, or is answered, counts for nothing.
    pub(super) fn answered(&self, by: Run, number: u64, answer: &RawValue) {
        if let Some(ask) = self.open.lock().get_mut(&number)
            && ask.waiting.remove(&by)
        {
            if (ask.is_enough)(answer) {
                ask.waiting.clear();
            }
            ask.answers.push(answer.to_owned());
            ask.end_if_done();
        }
    }

    /// One is not there any more: nobody waits for it.
    pub(super) fn gone(&self, run: Run) {
        for ask in self.open.lock().values_mut() {
            if ask.waiting.remove(&run) {
                ask.end_if_done();
            }
        }
    }
}

/// One of them. It ends when it is dropped: the event that asked may have run out of time.
pub(super) struct Asking<'a> {
    asks: &'a Asks,
    pub(super) number: u64,
    done: Arc<Notify>,
}

impl Asking<'_> {
    /// What was answered when all had, or one that was enough, or in this time.
    pub(super) async fn answers(self, wait_max: Duration) -> Vec<Box<RawValue>> {
        // Too late is not an error here: those who did not answer are counted.
        let _ = timeout(wait_max, self.done.notified()).await;
        let mut open = self.asks.open.lock();
        let ask = open.get_mut(&self.number);
        ask.map(|ask| std::mem::take(&mut ask.answers))
            .unwrap_or_default()
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.asks.open.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn hosts() -> [Run; 2] {
        [Run::random(), Run::random()]
    }

    /// What has been answered by now.
    async fn answers(asking: Asking<'_>) -> Vec<String> {
        let answers = asking.answers(Duration::ZERO).await;
        answers.iter().map(ToString::to_string).collect()
    }

    fn never() -> Box<IsEnough> {
        Box::new(|_| false)
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_all_have_answered_once() {
        let asks = Asks::default();
        let [a, b] = hosts();
        let asking = asks.begin(&[a, b], never());
        let number = asking.number;
        asks.answered(a, number, &json("1"));
        asks.answered(a, number, &json("2"));
        asks.answered(Run::random(), number, &json("3"));
        asks.answered(b, number + 1, &json("4"));
        asks.answered(b, number, &json("5"));
        let start = tokio::time::Instant::now();
        let answers = asking.answers(Duration::from_secs(1)).await;
        let answers: Vec<_> = answers.iter().map(ToString::to_string).collect();
        assert_eq!(answers, ["1", "5"]);
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert!(asks.open.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_in_time_is_done_without() {
        let asks = Asks::default();
        let [a, b] = hosts();
        let asking = asks.begin(&[a, b], never());
        asks.answered(b, asking.number, &json("1"));
        assert_eq!(answers(asking).await, ["1"]);
        let asking = asks.begin(&[], never());
        assert_eq!(answers(asking).await, [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_who_is_gone_or_for_more_than_enough() {
        let asks = Asks::default();
        let [a, b] = hosts();
        let asking = asks.begin(&[a, b], never());
        asks.gone(b);
        asks.answered(a, asking.number, &json("1"));
        let start = tokio::time::Instant::now();
        assert_eq!(asking.answers(Duration::from_secs(1)).await.len(), 1);
        let asking = asks.begin(&[a, b], Box::new(|answer| answer.get() == "true"));
        asks.answered(b, asking.number, &json("true"));
        assert_eq!(asking.answers(Duration::from_secs(1)).await.len(), 1);
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
