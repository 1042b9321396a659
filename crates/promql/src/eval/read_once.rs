//! What several queries of one time read in common: read once, by whichever comes first.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use storage::QueryContext;

use super::samples::RawSeries;
use crate::engine::QueryError;
use crate::plan::Read;

/// The reads that queries of one time have in common.
pub(crate) struct Common<'a> {
    /// Accounts what is kept.
    ctx: &'a QueryContext,
    /// Samples that may be kept of one read; 0: any number.
    max_samples: u64,
    reads: Vec<CommonRead>,
}

struct CommonRead {
    read: Read,
    /// How many queries are still to use it.
    users: AtomicUsize,
    state: Mutex<State>,
}

enum State {
    Unread,
    Kept {
        series: Arc<Vec<RawSeries>>,
        samples: u64,
    },
    /// What is wrong with it is for each query to find out by itself.
    Apart,
}

/// The part of it that one query has.
#[derive(Clone, Copy)]
pub(crate) struct CommonReads<'a> {
    common: &'a Common<'a>,
    /// Of each read of its plan, which one it is.
    which: &'a [Option<usize>],
}

/// A read that a query has in common with others.
pub(super) struct Reading<'a> {
    common: &'a Common<'a>,
    read: &'a CommonRead,
}

impl<'a> Common<'a> {
    /// Of each read how many queries use it.
    pub(crate) fn new(ctx: &'a QueryContext, max_samples: u64, reads: Vec<(Read, usize)>) -> Self {
        let reads = reads.into_iter().map(|(read, users)| CommonRead {
            read,
            users: AtomicUsize::new(users),
            state: Mutex::new(State::Unread),
        });
        Common { ctx, max_samples, reads: reads.collect() }
    }

    pub(crate) fn of<'b>(&'b self, which: &'b [Option<usize>]) -> CommonReads<'b> {
        CommonReads { common: self, which }
    }

    /// A query is done with its reads: what nobody is to use any more is forgotten.
    pub(crate) fn leave(&self, which: &[Option<usize>]) {
        for read in which.iter().flatten().filter_map(|&at| self.reads.get(at)) {
            if read.users.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.forget(read);
            }
        }
    }

    fn forget(&self, read: &CommonRead) {
        if let State::Kept { samples, .. } = std::mem::replace(&mut *read.state.lock(), State::Apart) {
            self.ctx.release(samples);
        }
    }
}

impl Drop for Common<'_> {
    fn drop(&mut self) {
        for read in &self.reads {
            self.forget(read);
        }
    }
}

impl<'a> CommonReads<'a> {
    pub(super) fn read(&self, at: usize) -> Option<Reading<'a>> {
        let read = self.common.reads.get((*self.which.get(at)?)?)?;
        Some(Reading { common: self.common, read })
    }
}

impl Reading<'_> {
    /// The series, read by `read` if nobody has yet. None if they cannot be had in common: then the query reads for itself,
    /// and finds what it would have found alone.
    pub(super) fn series(
        &self,
        ctx: &QueryContext,
        read: impl FnOnce(
            &Read,
            &(dyn Fn(u64) -> Result<(), QueryError> + Sync),
        ) -> Result<Vec<RawSeries>, QueryError>,
    ) -> Result<Option<Arc<Vec<RawSeries>>>, QueryError> {
        let mut state = self.read.state.lock();
        match &*state {
            State::Kept { series, .. } => return Ok(Some(Arc::clone(series))),
            State::Apart => return Ok(None),
            State::Unread => {}
        }
        let held = AtomicUsize::new(0);
        let max = self.common.max_samples;
        let hold = |samples: u64| {
            let now = held.fetch_add(samples as usize, Ordering::Relaxed) as u64 + samples;
            self.common.ctx.hold(samples)?;
            if max > 0 && now > max {
                return Err(storage::Interrupted::TooManySamples.into());
            }
            Ok(())
        };
        let outcome = read(&self.read.read, &hold);
        let samples = held.into_inner() as u64;
        *state = State::Apart;
        match outcome {
            // What the store warns of, each query is to be told.
            Ok(series) if ctx.warnings().texts().is_empty() => {
                let series = Arc::new(series);
                *state = State::Kept { series: Arc::clone(&series), samples };
                Ok(Some(series))
            }
            Ok(series) => {
                self.common.ctx.release(samples);
                Ok(Some(Arc::new(series)))
            }
            Err(_) => {
                self.common.ctx.release(samples);
                ctx.check()?;
                Ok(None)
            }
        }
    }
}
