//! What has to be done from time to time, whether or not there are connections.

use std::sync::Arc;
use std::time::Duration;

use super::{Host, watch};

/// How often to look for instances that nobody uses, whatever `instance_idle_max` is.
const RETIRE_INTERVAL_MIN: Duration = Duration::from_millis(10);
const RETIRE_INTERVAL_MAX: Duration = Duration::from_secs(5);

/// How often state is taken away that is over. It is not seen before that either.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

impl Host {
    /// Watches the plugins, retires instances, sweeps the state, until it is dropped.
    pub(super) async fn keep_house(self: Arc<Self>) {
        let watching = async {
            if self.config().watch {
                watch::watch(Arc::clone(&self)).await;
            }
        };
        let retiring = async {
            loop {
                let idle_max = self.tenant.limits().instance_idle_max;
                let interval = (idle_max / 4).clamp(RETIRE_INTERVAL_MIN, RETIRE_INTERVAL_MAX);
                tokio::time::sleep(interval).await;
                for plugin in self.tenant.plugins().plugins() {
                    plugin.keep_house();
                }
                self.tenant.metrics.settle();
            }
        };
        let sweeping = async {
            loop {
                tokio::time::sleep(SWEEP_INTERVAL).await;
                let host = Arc::clone(&self);
                // There may be as many rooms to ask about as there are keys.
                let sweep = tokio::task::spawn_blocking(move || host.tenant.sweep_state());
                // It is as good as the next one.
                let _ = sweep.await;
            }
        };
        tokio::join!(watching, retiring, sweeping);
    }
}
