//! `static_configs`: groups that stand in the configuration.

use std::sync::Arc;

use crate::group::TargetGroup;

/// The groups with their place in the list as source, as Prometheus numbers them.
pub(crate) fn numbered(groups: &[TargetGroup]) -> impl Iterator<Item = Arc<TargetGroup>> {
    groups
        .iter()
        .enumerate()
        .map(|(i, group)| Arc::new(TargetGroup { source: i.to_string(), ..group.clone() }))
}
