//! Whatever services may answer, for fuzzing.

use crate::label_set::NameLists;

/// Reads `body` as every kind of answer of every service that is asked for targets; how often something was found.
#[must_use]
pub fn answers_read(body: &[u8]) -> usize {
    let lists = NameLists::default();
    crate::consul::read_any(body, &lists) + crate::dns::read_any(body) + crate::moby::read_any(body, &lists)
}
