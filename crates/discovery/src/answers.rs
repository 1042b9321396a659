//! Whatever services may answer, for fuzzing.

use crate::label_set::NameLists;

/// Reads a body as each kind of answer of a service; how often something was found.
type Reader = fn(&[u8], &NameLists) -> usize;

const READERS: &[Reader] = &[
    crate::cloud::read_any,
    crate::consul::read_any,
    crate::dns::read_any,
    crate::eureka::read_any,
    crate::group::read_any,
    crate::kuma::read_any,
    crate::marathon::read_any,
    crate::moby::read_any,
    crate::nomad::read_any,
    crate::puppetdb::read_any,
    crate::triton::read_any,
    crate::uyuni::read_any,
    crate::zookeeper::read_any,
];

/// Reads `body` as every kind of answer of every service that is asked for targets; how often something was found.
#[must_use]
pub fn answers_read(body: &[u8]) -> usize {
    let lists = NameLists::default();
    READERS.iter().map(|read| read(body, &lists)).sum()
}
