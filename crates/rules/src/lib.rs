//! Recording and alerting rules, evaluated as Prometheus does: groups with their schedule, the states of alerts, the series
//! that rules make, and what is left of all that over a reload and a restart.
//!
//! A [`Group`] is evaluated for an explicit time and knows no clock; [`Manager`] is what calls it in time. No async runtime:
//! groups run on a bounded number of threads.

mod alert;
mod alerting;
mod backfill;
mod dependencies;
mod environment;
mod error;
mod group;
mod manager;
mod metrics;
mod notify;
mod options;
mod outputs;
mod recording;
mod restore;
mod rule;
mod schedule;
mod texts;
mod threads;
mod time;

pub use alert::{Alert, AlertState, Annotations};
pub use backfill::{
    Backfill, BackfillError, BackfillOptions, BackfillRequest, BackfillState, BackfilledGroup, Backfills,
    FillIn, History, Progress,
};
pub use environment::Settings;
pub use error::{GroupError, RuleError};
pub use group::{Group, GroupStatus};
pub use manager::{Manager, PreparedGroups};
pub use notify::{AlertToSend, Notify};
pub use options::{GroupOptions, ManagerOptions, RuleKind, RuleOptions};
pub use rule::{Health, Rule, RuleStatus};
pub use schedule::slot_of;
pub use template::prometheus::ExternalUrl;
pub use texts::check_text;
pub use time::Time;
