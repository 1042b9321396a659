//! What bodies on their way take in memory, together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::error::Error;

/// Memory is shared out in pieces of this many bytes.
const PIECE: usize = 4 << 10;

/// Memory that bodies share; cloned to share. By default any amount.
#[derive(Debug, Clone, Default)]
pub struct BodyMemory(Option<Bound>);

#[derive(Debug, Clone)]
struct Bound {
    pieces: Arc<Semaphore>,
    total: usize,
}

impl BodyMemory {
    /// At most `bytes` at any time.
    #[must_use]
    pub fn bounded(bytes: usize) -> Self {
        let total = (bytes / PIECE).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        BodyMemory(Some(Bound { pieces: Arc::new(Semaphore::new(total)), total: total * PIECE }))
    }

    /// The bound in bytes, if there is one.
    #[must_use]
    pub fn total(&self) -> Option<usize> {
        self.0.as_ref().map(|bound| bound.total)
    }

    /// What one body will have of it: nothing until its head is read, then as much as is `expected` or announced, whichever is more. A
    /// body waits for that; one that turns out to be longer gets more if there is more, and fails if not.
    #[must_use]
    pub fn share(&self, expected: usize) -> BodyShare {
        BodyShare { bound: self.0.clone(), expected, held: None }
    }
}

/// What one body has of a [`BodyMemory`], until it is dropped.
#[derive(Debug, Default)]
pub struct BodyShare {
    bound: Option<Bound>,
    expected: usize,
    held: Option<OwnedSemaphorePermit>,
}

impl BodyShare {
    /// The body begins; it has `announced` bytes if that is not 0.
    pub(crate) async fn begin(&mut self, announced: usize) -> Result<(), Error> {
        let Some(bound) = &self.bound else { return Ok(()) };
        if announced > bound.total {
            return Err(Error::NoMemory { needed: announced, total: bound.total });
        }
        let wanted = announced.max(self.expected.min(bound.total));
        self.held = None;
        let pieces = Arc::clone(&bound.pieces);
        // It is never closed.
        self.held = pieces.acquire_many_owned(count(wanted)).await.ok();
        Ok(())
    }

    /// The body has `len` bytes by now, or what is made of it has.
    ///
    /// # Errors
    /// [`Error::NoMemory`] when others have what there is.
    pub fn grow(&mut self, len: usize) -> Result<(), Error> {
        let Some(bound) = &self.bound else { return Ok(()) };
        let have = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if len.div_ceil(PIECE) <= have {
            return Ok(());
        }
        // In large steps, as buffers grow.
        let more = (len.div_ceil(PIECE) - have).max(have / 2).max(1);
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        match Arc::clone(&bound.pieces).try_acquire_many_owned(more) {
            Ok(got) => {
                match &mut self.held {
                    Some(held) => held.merge(got),
                    held => *held = Some(got),
                }
                Ok(())
            }
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => {
                Err(Error::NoMemory { needed: len, total: bound.total })
            }
        }
    }

    /// The body has ended with `len` bytes: gives back what is left over.
    pub fn end(&mut self, len: usize) {
        if let Some(held) = &mut self.held {
            let over = held.num_permits().saturating_sub(len.div_ceil(PIECE));
            drop(held.split(over));
        }
    }
}

fn count(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn free(memory: &BodyMemory) -> usize {
        memory.0.as_ref().unwrap().pieces.available_permits() * PIECE
    }

    #[tokio::test]
    async fn bodies_have_what_they_need_and_give_it_back() {
        let memory = BodyMemory::bounded(100 * PIECE);
        let mut one = memory.share(60 * PIECE);
        assert_eq!(free(&memory), 100 * PIECE, "nothing before the head is there");
        one.begin(0).await.unwrap();
        assert_eq!(free(&memory), 40 * PIECE);
        one.grow(70 * PIECE).unwrap();
        assert_eq!(free(&memory), 10 * PIECE, "more than asked for, so that not every piece is asked for");
        one.end(65 * PIECE);
        assert_eq!(free(&memory), 35 * PIECE);
        let mut other = memory.share(0);
        other.begin(30 * PIECE).await.unwrap();
        assert!(matches!(other.grow(50 * PIECE), Err(Error::NoMemory { .. })));
        drop(one);
        other.grow(50 * PIECE).unwrap();
        drop(other);
        assert_eq!(free(&memory), 100 * PIECE);
    }

    #[tokio::test]
    async fn a_body_waits_for_others_and_is_refused_if_that_cannot_help() {
        let memory = BodyMemory::bounded(100 * PIECE);
        let mut first = memory.share(0);
        first.begin(100 * PIECE).await.unwrap();
        let mut second = memory.share(1000 * PIECE);
        let mut waiting = Box::pin(second.begin(0));
        assert!(timeout(Duration::from_millis(1), &mut waiting).await.is_err());
        drop(first);
        waiting.await.unwrap();
        assert_eq!(free(&memory), 0, "what is expected is no reason to refuse");
        drop(second);
        assert!(memory.share(0).begin(101 * PIECE).await.is_err());
        let mut unbounded = BodyMemory::default().share(usize::MAX);
        unbounded.begin(usize::MAX).await.unwrap();
        unbounded.grow(usize::MAX).unwrap();
    }
}
