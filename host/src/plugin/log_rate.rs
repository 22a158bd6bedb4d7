//! How many lines are logged of one plugin, by itself and about its failures. Whoever can send it a message can cause
//! lines; without end they would fill the disk, and keep those waiting who write to the same log.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::config::{Limit, Limits};
use crate::metrics::Metrics;
use crate::rate::Throttle;

/// The lines of one plugin; all its instances share it.
#[derive(Debug)]
pub(super) struct LogRate {
    /// As its lines name it.
    pub(super) plugin: Arc<str>,
    lines_per_second_max: u32,
    metrics: Metrics,
    throttle: Mutex<Throttle>,
}

impl LogRate {
    pub(super) fn new(plugin: &str, limits: &Limits, metrics: Metrics) -> Self {
        Self {
            plugin: plugin.into(),
            lines_per_second_max: limits.log_lines_per_second_max,
            metrics,
            throttle: Mutex::default(),
        }
    }

    /// Whether a line may be logged now.
    pub(super) fn admits(&self) -> bool {
        let now = Instant::now();
        let is_admitted = self.throttle.lock().admits(now, self.lines_per_second_max);
        if !is_admitted {
            self.report();
        }
        is_admitted
    }

    /// Says how many were not, when it is time to.
    pub(super) fn report(&self) {
        let dropped = self.throttle.lock().dropped(Instant::now());
        if let Some(dropped) = dropped {
            self.metrics.reached(Limit::LogLinesPerSecondMax);
            let plugin = &self.plugin;
            tracing::warn!(%plugin, dropped, "log lines dropped (log_lines_per_second_max)");
        }
    }
}
