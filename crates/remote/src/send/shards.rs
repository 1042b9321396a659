//! What waits to be sent, in shards: a series is always in the same one, so that its samples stay in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::batch::Item;
use super::place::{Places, Reached, Table};

/// One of them.
pub(super) struct Shard {
    waiting: Mutex<Waiting>,
    /// There is something to send, or nothing will come any more.
    work: Notify,
    /// There is room, or everything was sent.
    room: Condvar,
    capacity: usize,
    batch: usize,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    /// Taken out, and not done.
    in_flight: usize,
    /// What was put in, and what of that is done.
    put: Places,
    done: Places,
    /// What is on its way, or was.
    tried: Places,
    /// Batches that are not full are sent at once.
    flush: bool,
    closed: bool,
}

impl Waiting {
    /// How many items make a batch. What was in one request of a process before, of which nobody knows whether it was taken in,
    /// is sent without anything else: a receiver of 1.0 that has it already refuses all that comes along with it.
    fn next_batch(&self, most: usize) -> usize {
        let first = self.items.front().and_then(|item| item.sent_before);
        self.items.iter().take(most).take_while(|item| item.sent_before == first).count()
    }
}

/// What a wait for a batch ends with.
pub(super) enum Taken {
    Batch(Vec<Item>),
    /// There will be no more.
    Closed,
}

impl Shard {
    pub(super) fn new(capacity: usize, batch: usize) -> Arc<Self> {
        // Whole batches, and one that is being filled.
        let capacity = (capacity / batch).max(1) * batch + batch;
        Arc::new(Shard {
            waiting: Mutex::default(),
            work: Notify::new(),
            room: Condvar::new(),
            capacity,
            batch,
        })
    }

    /// Takes over as many of `items` as there is room for, from the front. Waits a little if there is none; answers how
    /// many were taken.
    pub(super) fn put(&self, items: &mut VecDeque<Item>, log: usize, patience: Duration) -> usize {
        let mut waiting = self.waiting.lock();
        if waiting.items.len() >= self.capacity {
            self.work.notify_one();
            self.room.wait_for(&mut waiting, patience);
        }
        let room = self.capacity.saturating_sub(waiting.items.len()).min(items.len());
        let before = waiting.items.len();
        for item in items.drain(..room) {
            if let Some(put) = waiting.put.get_mut(log) {
                *put = item.place.behind();
            }
            waiting.items.push_back(item);
        }
        if before < self.batch && waiting.items.len() >= self.batch {
            self.work.notify_one();
        }
        room
    }

    /// The next batch: a full one, or at `deadline` what there is.
    pub(super) async fn take(&self, deadline: Instant) -> Taken {
        let mut due = false;
        loop {
            {
                let mut waiting = self.waiting.lock();
                let len = waiting.items.len();
                if len >= self.batch || (len > 0 && (due || waiting.flush || waiting.closed)) {
                    let len = waiting.next_batch(self.batch);
                    let batch: Vec<Item> = waiting.items.drain(..len).collect();
                    waiting.in_flight = batch.len();
                    for item in &batch {
                        if let Some(tried) = waiting.tried.get_mut(usize::from(item.out_of_order)) {
                            *tried = item.place.behind();
                        }
                    }
                    self.room.notify_all();
                    return Taken::Batch(batch);
                }
                if waiting.closed {
                    return Taken::Closed;
                }
            }
            if due {
                return Taken::Batch(Vec::new());
            }
            due = tokio::time::timeout_at(deadline, self.work.notified()).await.is_err();
        }
    }

    /// Notes that a batch is done: sent, or given up for good.
    pub(super) fn done(&self, batch: &[Item], logs: impl Fn(&Item) -> usize) {
        let mut waiting = self.waiting.lock();
        for item in batch {
            if let Some(done) = waiting.done.get_mut(logs(item)) {
                *done = item.place.behind();
            }
        }
        waiting.in_flight = 0;
        self.room.notify_all();
    }

    /// What was put in before, and is done already, when a shard begins.
    pub(super) fn begin_at(&self, places: Places) {
        let mut waiting = self.waiting.lock();
        waiting.put = places;
        waiting.done = places;
        waiting.tried = places;
    }

    /// Up to where all is done or tried, if the reader has got to `read`.
    pub(super) fn reached(&self, read: Places) -> Reached {
        let waiting = self.waiting.lock();
        let done = std::array::from_fn(|log| match waiting.put[log] == waiting.done[log] {
            true => waiting.done[log].max(read[log]),
            false => waiting.done[log],
        });
        Reached { done, tried: std::array::from_fn(|log| waiting.tried[log].max(done[log])) }
    }

    /// Whether nothing waits and nothing is on its way.
    pub(super) fn is_idle(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.items.is_empty() && waiting.in_flight == 0
    }

    /// Has what there is sent without waiting for more; waits a little.
    pub(super) fn drain(&self, patience: Duration) {
        let mut waiting = self.waiting.lock();
        waiting.flush = true;
        self.work.notify_one();
        if !(waiting.items.is_empty() && waiting.in_flight == 0) {
            self.room.wait_for(&mut waiting, patience);
        }
    }

    /// Nothing more comes: what there is is sent, then the shard ends.
    pub(super) fn close(&self) {
        self.waiting.lock().closed = true;
        self.work.notify_one();
    }

    /// Number of items that wait or are on their way, by kind.
    pub(super) fn drop_waiting(&self) -> Vec<Item> {
        self.waiting.lock().items.drain(..).collect()
    }
}

/// How far each shard has got.
pub(super) fn table(shards: &[Arc<Shard>], read: Places) -> Table {
    Table(shards.iter().map(|shard| shard.reached(read)).collect())
}
