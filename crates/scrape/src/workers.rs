//! Where pages are taken in: a bounded number of threads, and buffers that are used again.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::take_in::Scratch;

/// Buffers that are kept have no more than this, in bytes, together.
const KEPT_BUFFERS: usize = 8 << 20;
/// Longer ones are not kept: they are rare, and would be there instead of many.
const LONGEST_KEPT: usize = KEPT_BUFFERS / 2;

/// Threads for taking in pages, as many as the machine has cores, and the memory they work with.
#[derive(Clone)]
pub(crate) struct Workers(Arc<Inner>);

struct Inner {
    slots: Semaphore,
    kept: usize,
    scratch: Mutex<Vec<Scratch>>,
    buffers: Mutex<Buffers>,
}

/// Unused buffers.
#[derive(Default)]
struct Buffers {
    buffers: Vec<Vec<u8>>,
    /// Of all of them.
    bytes: usize,
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

    /// An empty buffer with room for `len` bytes.
    pub(crate) fn buffer(&self, len: usize) -> Vec<u8> {
        let mut kept = self.0.buffers.lock();
        // The smallest that is large enough: were any of them grown, all would become as large as the largest page.
        let fits = kept.buffers.iter().enumerate().filter(|(_, buffer)| buffer.capacity() >= len);
        let Some((best, _)) = fits.min_by_key(|(_, buffer)| buffer.capacity()) else {
            return Vec::with_capacity(len);
        };
        let buffer = kept.buffers.swap_remove(best);
        kept.bytes -= buffer.capacity();
        buffer
    }

    /// Takes a buffer back.
    pub(crate) fn give_back(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() == 0 || buffer.capacity() > LONGEST_KEPT {
            return;
        }
        buffer.clear();
        let mut kept = self.0.buffers.lock();
        // One body and one decompressed page for each thread, and a body for each scrape that is on its way.
        if kept.buffers.len() < 4 * self.0.kept && kept.bytes + buffer.capacity() <= KEPT_BUFFERS {
            kept.bytes += buffer.capacity();
            kept.buffers.push(buffer);
        }
    }
}
