//! Flags of Prometheus that are not there yet: refused by name, so that nobody believes they work.

/// Name and what it is about. A trailing dot stands for every flag that begins so.
const NOT_YET: &[(&str, &str)] = &[("query.", "this limit on queries")];

/// Flags under a prefix above that do work.
const WORKING: &[&str] = &[
    "query.lookback-delta",
    "query.timeout",
    "query.max-concurrency",
    "query.max-memory",
    "query.max-samples",
];

/// What Prometheus says of flags that only it has: `/api/v1/status/flags` names them all, and each has its default here.
const DEFAULTS: &[(&str, &str)] = &[
    ("agent", "false"),
    ("storage.agent.checkpoint-batch-size", "1000"),
    ("storage.agent.checkpoint-from-in-memory-series", "false"),
    ("storage.agent.no-lockfile", "false"),
    ("storage.agent.path", "data-agent/"),
    ("storage.agent.retention.max-time", "4h"),
    ("storage.agent.retention.min-time", "5m"),
    ("storage.agent.wal-compression", "true"),
    ("storage.agent.wal-compression-type", "snappy"),
    ("storage.agent.wal-segment-size", "0B"),
    ("storage.agent.wal-truncate-frequency", "0s"),
    ("write-documentation", "false"),
];

/// Adds the flags that `values` lacks, and sorts.
pub(crate) fn complete(values: &mut Vec<(String, String)>) {
    let lacking: Vec<_> =
        DEFAULTS.iter().filter(|(name, _)| values.iter().all(|(known, _)| known != name)).collect();
    values.extend(lacking.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    values.sort();
}

/// The message for the first argument that names a flag which is not there yet.
pub(crate) fn refused_flag(args: &[String]) -> Option<String> {
    args.iter().skip(1).take_while(|a| *a != "--").find_map(|arg| {
        let flag = arg.strip_prefix("--")?;
        let name = flag.split('=').next().unwrap_or(flag);
        let positive = name.strip_prefix("no-").unwrap_or(name);
        if WORKING.contains(&positive) {
            return None;
        }
        let (_, what) = NOT_YET
            .iter()
            .find(|(known, _)| *known == positive || (known.ends_with('.') && positive.starts_with(known)))?;
        Some(format!("--{name} is not supported yet ({what}): leave it out to start without it"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_are_not_there_are_refused_by_name() {
        let refused = |arg: &str| refused_flag(&["binnacle".into(), "server".into(), arg.into()]);
        assert!(refused("--query.no-such-limit=2").is_some_and(|m| m.contains("--query.no-such-limit")));
        assert_eq!(refused("--rules.max-concurrent-evals=2"), None);
        assert_eq!(refused("--query.timeout=1m"), None);
        assert_eq!(refused("--web.listen-address=:9090"), None);
    }
}
