//! Lists that other hosts wait for. They take longer than anything else that is asked, so the bus's reader leaves them
//! here, for one after another to be answered.

use tokio::sync::{Mutex, mpsc};

use super::peers::Run;
use crate::hub::question::Question;

/// An answer may take some milliseconds: behind more of them, whoever asked would have given it up.
const LISTS_MAX: usize = 64;

/// One of them.
pub(super) struct List {
    pub(super) to: Run,
    pub(super) number: u64,
    pub(super) tenant: String,
    pub(super) question: Question<'static>,
}

/// Those that are not answered yet.
pub(super) struct Lists {
    asked: mpsc::Sender<List>,
    waiting: Mutex<mpsc::Receiver<List>>,
}

impl Default for Lists {
    fn default() -> Self {
        let (asked, waiting) = mpsc::channel(LISTS_MAX);
        Self {
            asked,
            waiting: Mutex::new(waiting),
        }
    }
}

impl Lists {
    /// Returns whether it will be answered: one too many is not.
    pub(super) fn push(&self, list: List) -> bool {
        self.asked.try_send(list).is_ok()
    }

    /// The oldest; waits for one.
    pub(super) async fn next(&self) -> Option<List> {
        self.waiting.lock().await.recv().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn they_have_an_edge() {
        let lists = Lists::default();
        let list = |number: u64| List {
            to: Run::random(),
            number,
            tenant: "default".to_owned(),
            question: Question::Connections {
                room: None,
                after: None,
                limit: 1,
            },
        };
        for number in 0..LISTS_MAX as u64 {
            assert!(lists.push(list(number)));
        }
        assert!(!lists.push(list(1_000)));
        assert_eq!(lists.next().await.unwrap().number, 0);
        assert!(lists.push(list(1_000)));
    }
}
