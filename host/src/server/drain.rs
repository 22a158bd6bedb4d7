//! The end of all connections, spread over a while: thousands that came back at the same moment would be a flood for
//! whoever takes over.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::hub::Hub;
use crate::protocol::Close;

/// Closes every open connection, evenly over `time`. Each is told to come back after `time`, which is when the last one
/// has gone, and since they go one after another they come back one after another.
pub(super) async fn drain(hubs: impl Iterator<Item = &Hub>, time: Duration) {
    let start = Instant::now();
    let open: Vec<_> = hubs.flat_map(Hub::open_connections).collect();
    let count = u32::try_from(open.len()).unwrap_or(u32::MAX);
    for (number, connection) in (0..count).zip(open) {
        // The first at once; and tokio's clock has no finer steps than a millisecond.
        sleep_until(start + time * number / count).await;
        connection.outbox.close(Close::restarting(time.as_millis()));
    }
}
