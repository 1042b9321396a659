//! A projection that outlives its request.

use std::sync::Arc;

use model::Labels;

use crate::Projection;

/// Which labels are wanted, for parts that project labels when they deliver them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Wanted(Kind);

#[derive(Debug, Clone)]
enum Kind {
    All,
    Only(Arc<[String]>),
    Without(Arc<[String]>),
}

impl Wanted {
    /// What `projection` says.
    #[must_use]
    pub fn new(projection: Projection<'_>) -> Self {
        let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Wanted(match projection {
            Projection::All => Kind::All,
            Projection::Only(names) => Kind::Only(own(names)),
            Projection::Without(names) => Kind::Without(own(names)),
        })
    }

    /// Whether a label of this name is wanted.
    #[must_use]
    pub fn keeps(&self, name: &str) -> bool {
        let listed = |names: &[String]| names.binary_search_by(|n| n.as_str().cmp(name)).is_ok();
        match &self.0 {
            Kind::All => true,
            Kind::Only(names) => listed(names),
            Kind::Without(names) => !listed(names),
        }
    }

    /// The wanted labels of a set.
    #[must_use]
    pub fn project(&self, labels: &Labels) -> Labels {
        match self.0 {
            Kind::All => labels.clone(),
            _ => labels.filter(|name| self.keeps(name)),
        }
    }
}
