//! Work that may take its time, beside connections that may not wait for it: reading, checking and loading plugins.

use std::io;

use tokio::sync::oneshot;
use tracing::dispatcher;

/// How much lower its priority is. A thread that carries connections takes the core from it at once, where between equals
/// it would wait for the other's turn to end, which is milliseconds; and on a busy host it still gets a tenth.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Runs it in a thread of its own: on Linux a priority belongs to a thread, which cannot raise it again. What it logs goes
/// where the caller's lines go.
///
/// # Errors
/// When there is no thread for it, or it panics.
pub(super) async fn run<R: Send + 'static>(
    work: impl FnOnce() -> R + Send + 'static,
) -> io::Result<R> {
    let (done, result) = oneshot::channel();
    let log = dispatcher::get_default(Clone::clone);
    let thread = std::thread::Builder::new().name("background".to_owned());
    thread.spawn(move || {
        stand_back();
        let made = dispatcher::with_default(&log, work);
        // Who does not wait for it any more does not need it.
        let _ = done.send(made);
    })?;
    result.await.map_err(|_| io::Error::other("it panicked"))
}

fn stand_back() {
    #[cfg(target_os = "linux")]
    {
        // Of this thread alone. It is refused to nobody; and if it were, the work would be done all the same.
        let _ = rustix::process::nice(NICE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn its_result_and_its_panic_come_back() {
        assert_eq!(run(|| 1).await.unwrap(), 1);
        let panicked = run(|| panic!("on purpose")).await;
        assert_eq!(panicked.unwrap_err().to_string(), "it panicked");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn only_its_own_priority_is_lower() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let before = priority();
        let there = run(priority).await.unwrap();
        assert_eq!(there, (before + NICE).min(19));
        assert_eq!(priority(), before);
    }
}
