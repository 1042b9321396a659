//! Replica sets and jobs: who controls them is attached to targets of pods.

use kubeapi::{Encoded, Unreadable, schema};

use super::object::{Metadata, Object, OnlyMetadata};
use crate::label_set::NameLists;

/// A replica set.
#[derive(PartialEq)]
pub(super) struct ReplicaSet {
    /// The deployment that controls it, or nothing.
    pub(super) deployment: Box<str>,
}

impl Object for ReplicaSet {
    fn read<'a>(object: Encoded<'a>, _: &NameLists) -> Result<(Metadata<'a>, Self), Unreadable> {
        let OnlyMetadata { metadata } = object.read(&schema::ONLY_METADATA)?;
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
    fn read<'a>(object: Encoded<'a>, _: &NameLists) -> Result<(Metadata<'a>, Self), Unreadable> {
        let OnlyMetadata { metadata } = object.read(&schema::ONLY_METADATA)?;
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
