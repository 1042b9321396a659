//! Targets, schedule, fetch, staleness, append.
//!
//! A [`Manager`] holds a pool for each job; a pool turns discovered groups into targets (relabelling, merging) and
//! runs a loop for each of them; a loop fetches its page over a connection of its own and hands it to a bounded set of
//! threads, which read it beside the layout of the target's last page and write one batch into [`storage::Append`].

mod bench;
mod clock;
mod content_type;
mod elements;
mod failure_log;
mod job;
mod layout;
mod line_elements;
mod lines;
mod manager;
mod metadata;
mod metadata_records;
mod metrics;
mod options;
mod pool;
mod preview;
mod report;
mod sample_labels;
mod scrape_loop;
mod synthesis;
mod take_in;
mod target;
mod url;
mod view;
mod walk;
mod workers;

#[doc(hidden)]
pub use bench::PageIntake;
pub use clock::{Clock, SystemClock};
pub use manager::{ApplyError, Manager, ManagerOptions};
pub use metadata::{FamilyMetadata, PageMetadata};
pub use options::{
    DEFAULT_MAX_BODY, HistogramOptions, JobOptions, Limits, NameEscaping, ScrapeProtocol, StartTimes,
};
pub use preview::{Fate, Preview, preview};
pub use target::Health;
pub use url::ExternalAddress;
pub use view::{ActiveTarget, DroppedTarget, TargetsView};
