//! For measuring: a page taken in again and again, without network and workers.

use std::sync::Arc;

use discovery::{ADDRESS, LabelParts, TargetGroup};
use exposition::registry::Registry;
use httpclient::BodyShare;
use model::Labels;
use storage::Append;
use tokio::time::Instant;

use crate::job::Job;
use crate::manager::{Manager, ManagerOptions};
use crate::options::JobOptions;
use crate::take_in::{Fetched, Scratch, TakeIn, TargetState};
use crate::target::{Built, Discovered, Target, build};

/// One target whose pages come from the caller. Not for anything but benchmarks and fuzzing.
pub struct PageIntake {
    manager: Manager,
    job: Arc<Job>,
    target: Arc<Target>,
    state: TargetState,
    scratch: Scratch,
}

impl PageIntake {
    /// A target of a job with default options, which writes into `store`.
    ///
    /// # Errors
    /// When the options make no target.
    pub fn new(store: Arc<dyn Append>) -> Result<Self, String> {
        Self::with_options(store, JobOptions::new("bench"), ManagerOptions::default())
    }

    /// A target of such a job, which writes into `store`.
    ///
    /// # Errors
    /// When the options make no target.
    pub fn with_options(
        store: Arc<dyn Append>,
        job: JobOptions,
        options: ManagerOptions,
    ) -> Result<Self, String> {
        let manager = Manager::new(options, store, &Registry::new());
        let job = Arc::new(Job::new(job)?);
        let group = TargetGroup {
            source: String::new(),
            targets: [Labels::from_pairs([(ADDRESS, "bench:80")]).into()].into(),
            labels: LabelParts::default(),
        };
        let discovered = Discovered { group: Arc::new(group), index: 0 };
        let Built::Active(target) = build(&job.options, &discovered)? else {
            return Err("dropped".to_owned());
        };
        let (target, state, scratch) = (Arc::from(target), TargetState::default(), Scratch::default());
        Ok(PageIntake { manager, job, target, state, scratch })
    }

    /// Takes in a page as of `stamp` (nanoseconds); the error if it is refused. The buffer comes back empty.
    pub fn take_in(&mut self, page: Vec<u8>, content_type: &str, stamp: i64) -> String {
        let work = TakeIn {
            state: std::mem::take(&mut self.state),
            fetched: Fetched::Page {
                body: page,
                share: BodyShare::default(),
                gzip: false,
                content_type: content_type.to_owned(),
            },
            environment: self.manager.environment().clone(),
            job: self.job.clone(),
            target: self.target.clone(),
            stamp,
            start: Instant::now(),
            last_size: 0,
        };
        (self.state, _) = work.run(&mut self.scratch);
        self.target.status.lock().last_error.clone()
    }

    /// A buffer for the next page: that of the last one, if it was kept.
    #[must_use]
    pub fn buffer(&self) -> Vec<u8> {
        self.manager.environment().workers.buffer(0)
    }
}
