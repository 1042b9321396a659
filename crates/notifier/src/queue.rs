//! Alerts that wait for one Alertmanager.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use model::Labels;

use crate::alert::Alert;

/// The oldest first; bounded.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: VecDeque<Arc<Alert>>,
    capacity: usize,
}

impl Queue {
    pub(crate) fn new(capacity: usize) -> Self {
        Queue { waiting: VecDeque::new(), capacity }
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Adds alerts; the oldest make room for them. Answers how many are lost by that.
    pub(crate) fn add(&mut self, alerts: &[Arc<Alert>]) -> usize {
        let too_many = alerts.len().saturating_sub(self.capacity);
        let alerts = alerts.get(too_many..).unwrap_or_default();
        let oldest = (self.waiting.len() + alerts.len()).saturating_sub(self.capacity);
        self.waiting.drain(..oldest);
        self.waiting.extend(alerts.iter().cloned());
        too_many + oldest
    }

    pub(crate) fn take(&mut self, at_most: usize) -> Vec<Arc<Alert>> {
        let count = at_most.min(self.waiting.len());
        self.waiting.drain(..count).collect()
    }

    /// Takes back what could not be sent. Answers how many are lost because there is no room.
    pub(crate) fn put_back(&mut self, alerts: Vec<Arc<Alert>>) -> usize {
        for alert in alerts.into_iter().rev() {
            self.waiting.push_front(alert);
        }
        self.keep_newest();
        let lost = self.waiting.len().saturating_sub(self.capacity);
        self.waiting.drain(..lost);
        lost
    }

    /// Of several states of one alert only the newest stays: who was not reached need not hear of the others.
    pub(crate) fn keep_newest(&mut self) {
        let mut seen: HashSet<Labels> = HashSet::with_capacity(self.waiting.len());
        let mut kept = VecDeque::with_capacity(self.waiting.len());
        for alert in self.waiting.drain(..).rev() {
            if seen.insert(alert.labels.clone()) {
                kept.push_front(alert);
            }
        }
        self.waiting = kept;
    }
}
