//! Where pages are taken in: a bounded number of threads, and buffers that are used again.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::take_in::Scratch;

/// Buffers with a greater capacity are given back to the allocator.
const MAX_KEPT_BUFFER: usize = 8 << 20;

/// Threads for taking in pages, as many as the machine has cores, and the memory they work with.
#[derive(Clone)]
pub(crate) struct Workers(Arc<Inner>);

struct Inner {
    slots: Semaphore,
    kept: usize,
    scratch: Mutex<Vec<Scratch>>,
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl Workers {
    pub(crate) fn new(threads: usize) -> Self {
        let threads = threads.max(1);
        Workers(Arc::new(Inner {
            slots: Semaphore::new(threads),
            kept: threads,
            scratch: Mutex::default(),
            buffers: Mutex::default(),
        }))
    }

    /// Runs `work` on a thread of its own as soon as one is free. None if it panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Scratch) -> T + Send + 'static,
    ) -> Option<T> {
        let _slot = self.0.slots.acquire().await.ok()?;
        let workers = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let mut scratch = workers.0.scratch.lock().pop().unwrap_or_default();
            let result = work(&mut scratch);
            scratch.trim();
            let mut kept = workers.0.scratch.lock();
            if kept.len() < workers.0.kept {
                kept.push(scratch);
            }
            result
        })
        .await;
        match done {
            Ok(result) => Some(result),
            Err(err) => {
                tracing::error!(component = "scrape manager", %err, "Taking in a page failed");
                None
            }
        }
    }

    /// An empty buffer.
    pub(crate) fn buffer(&self) -> Vec<u8> {
        self.0.buffers.lock().pop().unwrap_or_default()
    }

    /// Takes a buffer back.
    pub(crate) fn give_back(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() == 0 || buffer.capacity() > MAX_KEPT_BUFFER {
            return;
        }
        buffer.clear();
        let mut kept = self.0.buffers.lock();
        // One body and one decompressed page for each thread, and a body for each scrape that is on its way.
        if kept.len() < 4 * self.0.kept {
            kept.push(buffer);
        }
    }
}
