//! What has to be done from time to time, whether or not there are connections.

use std::sync::Arc;
use std::time::Duration;

use super::Host;

/// How often to look for instances that nobody uses, whatever `instance_idle_max` is.
const RETIRE_INTERVAL_MIN: Duration = Duration::from_millis(10);
const RETIRE_INTERVAL_MAX: Duration = Duration::from_secs(5);

/// How often state is taken away that is over. It is not seen before that either.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

impl Host {
    /// Retires instances and sweeps the state, until it is dropped.
    pub(super) async fn keep_house(self: Arc<Self>) {
        let retiring = async {
            loop {
                let mounts = self.mounts();
                let idle_max = mounts
                    .iter()
                    .map(|mount| mount.tenant().limits().instance_idle_max);
                let interval = idle_max.min().unwrap_or_default() / 4;
                tokio::time::sleep(interval.clamp(RETIRE_INTERVAL_MIN, RETIRE_INTERVAL_MAX)).await;
                for mount in mounts {
                    mount.keep_house();
                }
                self.metrics.settle();
            }
        };
        let sweeping = async {
            loop {
                tokio::time::sleep(SWEEP_INTERVAL).await;
                let host = Arc::clone(&self);
                // There may be as many rooms to ask about as there are keys.
                let sweep = tokio::task::spawn_blocking(move || {
                    for mount in host.mounts() {
                        mount.tenant().sweep_state();
                    }
                });
                // It is as good as the next one.
                let _ = sweep.await;
            }
        };
        tokio::join!(retiring, sweeping);
    }
}
