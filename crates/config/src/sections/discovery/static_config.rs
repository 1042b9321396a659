//! `static_configs`.

use discovery::{ADDRESS, TargetGroup};
use model::Labels;

use super::Entry;
use crate::decode::{Section, section};
use crate::kinds::LabelSet;

section! {
    /// Targets with their labels.
    StaticConfig "targetgroup.Group" "struct { Targets []string \"yaml:\\\"targets\\\"\"; Labels model.LabelSet \"yaml:\\\"labels\\\"\" }" {
        /// Addresses.
        targets: Vec<String> = "targets" keep,
        /// Labels of all of them.
        labels: LabelSet = "labels",
    }
}
impl Section for StaticConfig {}

impl StaticConfig {
    /// The targets with their labels.
    pub(crate) fn to_group(&self) -> TargetGroup {
        let addresses = self.targets.iter();
        TargetGroup {
            source: String::new(),
            targets: addresses.map(|address| Labels::from_pairs([(ADDRESS, address)]).into()).collect(),
            labels: Labels::from_pairs(&self.labels.0).into(),
        }
    }
}

/// All static entries of a job are one provider: their places in the list are their names.
impl Entry for StaticConfig {
    fn runs(&self) -> bool {
        true
    }
}
