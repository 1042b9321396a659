//! `docker_sd_configs` and `dockerswarm_sd_configs`: containers of a Docker engine; services, tasks and nodes of a
//! swarm.

mod api;
mod docker;
mod swarm;

pub use api::DockerFilter;
pub use docker::DockerOptions;
pub use swarm::{DockerSwarmOptions, SwarmRole};

use crate::label_set::NameLists;

/// Reads every kind of answer: for fuzzing.
pub(crate) fn read_any(body: &[u8], lists: &NameLists) -> usize {
    docker::read_any(body, lists) + swarm::read_any(body, lists)
}
