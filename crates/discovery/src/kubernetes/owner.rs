//! Replica sets and jobs: who controls them is attached to targets of pods.

use super::object::{Metadata, Object, OnlyMetadata};
use crate::label_set::NameLists;

/// A replica set.
#[derive(PartialEq)]
pub(super) struct ReplicaSet {
    /// The deployment that controls it, or nothing.
    pub(super) deployment: Box<str>,
}

impl Object for ReplicaSet {
    fn read<'a>(json: &'a str, _: &NameLists) -> Result<(Metadata<'a>, Self), serde_json::Error> {
        let OnlyMetadata { metadata } = serde_json::from_str(json)?;
        let deployment = controller(&metadata, "Deployment");
        Ok((metadata, ReplicaSet { deployment }))
    }
}

/// A job.
#[derive(PartialEq)]
pub(super) struct Job {
    /// The cron job that controls it, or nothing.
    pub(super) cron_job: Box<str>,
}

impl Object for Job {
    fn read<'a>(json: &'a str, _: &NameLists) -> Result<(Metadata<'a>, Self), serde_json::Error> {
        let OnlyMetadata { metadata } = serde_json::from_str(json)?;
        let cron_job = controller(&metadata, "CronJob");
        Ok((metadata, Job { cron_job }))
    }
}

fn controller(metadata: &Metadata<'_>, kind: &str) -> Box<str> {
    metadata
        .controller()
        .filter(|owner| *owner.kind == *kind)
        .map_or_else(Box::default, |owner| (*owner.name).into())
}
