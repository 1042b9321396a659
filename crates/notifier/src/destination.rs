//! From a discovered target to the URL of an Alertmanager.

use discovery::{ADDRESS, TargetGroup};
use model::go_url;
use model::relabel::{self, Config};
use model::{Labels, LabelsBuilder};

const SCHEME: &str = "__scheme__";
const PATH: &str = "__alerts_path__";

/// An Alertmanager that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Where alerts are sent.
    pub url: String,
    /// Rules have left it out: nothing is sent there.
    pub dropped: bool,
}

/// An address holds more than a host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidAddress(pub String);

impl std::fmt::Display for InvalidAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is not a valid hostname", model::number::quote(&self.0))
    }
}

impl std::error::Error for InvalidAddress {}

/// The Alertmanagers of a group, in the group's order.
///
/// # Errors
/// When one of them has no valid address once the rules are through: then none of the group is used.
pub fn destinations(
    group: &TargetGroup,
    scheme: &str,
    path_prefix: &str,
    rules: &[Config],
) -> Result<Vec<Destination>, InvalidAddress> {
    let path = cleaned(&format!("/{path_prefix}/api/v2/alerts"));
    let mut out = Vec::with_capacity(group.targets.len());
    for target in group.targets.iter() {
        let mut labels = LabelsBuilder::new(&Labels::from_pairs(target.iter()));
        labels.set(SCHEME, scheme).set(PATH, &path);
        for (name, value) in group.labels.iter() {
            if target.iter().all(|(own, _)| own != name) {
                labels.set(name, value);
            }
        }
        let found = labels.build();
        let Some(left) = relabel::process(&found, rules) else {
            out.push(Destination { url: url(&found), dropped: true });
            continue;
        };
        let address = left.value(ADDRESS);
        if address.contains('/') {
            return Err(InvalidAddress(address.to_owned()));
        }
        out.push(Destination { url: url(&left), dropped: false });
    }
    Ok(out)
}

fn url(labels: &Labels) -> String {
    let mut out = String::new();
    let scheme = labels.value(SCHEME).to_ascii_lowercase();
    go_url::push_location(&mut out, &scheme, labels.value(ADDRESS), labels.value(PATH));
    out
}

/// A path without empty parts and dots, as Go's `path.Join` leaves it.
fn cleaned(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
