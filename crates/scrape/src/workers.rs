//! Where targets are scraped and pages taken in: a bounded number of threads, and buffers that are used again.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::take_in::Scratch;

/// Buffers that are kept have no more than this, in bytes, together.
const KEPT_BUFFERS: usize = 8 << 20;
/// Longer ones are not kept: they are rare, and would be there instead of many.
const LONGEST_KEPT: usize = KEPT_BUFFERS / 2;
/// Shorter pages, in bytes, are taken in where they arrive, if nothing but scraping goes on there: a few milliseconds. Handing one
/// to another thread and back costs as much as taking in a hundred samples.
const AT_ONCE: usize = 1 << 20;

/// Threads for taking in pages, as many as the machine has cores, and the memory they work with.
#[derive(Clone)]
pub(crate) struct Workers(Arc<Inner>);

struct Inner {
    /// Threads for scraping alone.
    own: Option<Handle>,
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
    /// `own` has threads that do nothing else than scraping; without it loops run beside whatever the caller does.
    pub(crate) fn new(threads: usize, own: Option<Handle>) -> Self {
        let threads = threads.max(1);
        Workers(Arc::new(Inner {
            own,
            slots: Semaphore::new(threads),
            kept: threads,
            scratch: Mutex::default(),
            buffers: Mutex::default(),
        }))
    }

    /// Starts the loop of a target.
    pub(crate) fn spawn<F>(&self, target_loop: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        match &self.0.own {
            Some(own) => own.spawn(target_loop),
            None => tokio::spawn(target_loop),
        }
    }

    /// Runs `work` on a page of so many bytes, at once or on a thread of its own as soon as one is free. None if it panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        page: usize,
        work: impl FnOnce(&mut Scratch) -> T + Send + 'static,
    ) -> Option<T> {
        let failed = |err: &dyn std::fmt::Display| {
            tracing::error!(component = "scrape manager", %err, "Taking in a page failed");
        };
        if self.0.own.is_some() && page < AT_ONCE {
            let done = catch_unwind(AssertUnwindSafe(|| self.with_scratch(work)));
            return done.inspect_err(|_| failed(&"it panicked")).ok();
        }
        let _slot = self.0.slots.acquire().await.ok()?;
        let workers = self.clone();
        let done = tokio::task::spawn_blocking(move || workers.with_scratch(work)).await;
        done.inspect_err(|err| failed(err)).ok()
    }

    fn with_scratch<T>(&self, work: impl FnOnce(&mut Scratch) -> T) -> T {
        let mut scratch = self.0.scratch.lock().pop().unwrap_or_default();
        let result = work(&mut scratch);
        scratch.trim();
        let mut kept = self.0.scratch.lock();
        if kept.len() < self.0.kept {
            kept.push(scratch);
        }
        result
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
