//! `binnacle_rules_backfill_*`.

use exposition::registry::{Counter, CounterVec, Gauge, Registry};

use super::BackfillState;

#[derive(Clone)]
pub(super) struct Metrics {
    pub(super) running: Gauge,
    pub(super) waiting: Gauge,
    pub(super) samples: Counter,
    pub(super) blocks: Counter,
    pub(super) failures: Counter,
    ended: CounterVec,
}

impl Metrics {
    pub(super) fn register(registry: &Registry, max_waiting: usize) -> Self {
        let most = registry.gauge(
            "binnacle_rules_backfill_waiting_max",
            "Requests to fill in the past of recording rules that may wait (--rules.max-waiting-backfills).",
        );
        most.set(max_waiting as f64);
        let ended = registry.counter_vec(
            "binnacle_rules_backfill_ended_total",
            "Requests to fill in the past of recording rules that ended, by how.",
            &["state"],
        );
        for state in [BackfillState::Done, BackfillState::Failed, BackfillState::Cancelled] {
            ended.with(&[state.as_str()]).add(0.0);
        }
        Metrics {
            running: registry.gauge(
                "binnacle_rules_backfill_running",
                "Requests to fill in the past of recording rules that are being carried out.",
            ),
            waiting: registry.gauge(
                "binnacle_rules_backfill_waiting",
                "Requests to fill in the past of recording rules that wait.",
            ),
            samples: registry.counter(
                "binnacle_rules_backfill_samples_total",
                "Samples written of the past of recording rules.",
            ),
            blocks: registry.counter(
                "binnacle_rules_backfill_blocks_total",
                "Blocks written of the past of recording rules.",
            ),
            failures: registry.counter(
                "binnacle_rules_backfill_failures_total",
                "Evaluations for the past of recording rules that failed.",
            ),
            ended,
        }
    }

    pub(super) fn ended(&self, state: BackfillState) {
        self.ended.with(&[state.as_str()]).inc();
    }
}
