//! Flags of Prometheus that are not there yet: refused by name, so that nobody believes they work.

/// Name and what it is about. A trailing dot stands for every flag that begins so.
const NOT_YET: &[(&str, &str)] = &[
    ("agent", "agent mode"),
    ("alertmanager.", "sending alerts"),
    ("config.auto-reload", "reloading by itself (SIGHUP and /-/reload work)"),
    ("config.auto-reload-interval", "reloading by itself (SIGHUP and /-/reload work)"),
    ("query.", "this limit on queries"),
    ("rules.", "rules"),
    ("storage.agent.", "agent mode"),
    ("web.console.libraries", "console templates"),
    ("web.console.templates", "console templates"),
    ("web.enable-otlp-receiver", "OTLP"),
    ("web.page-title", "another page title"),
];

/// Flags under a prefix above that do work.
const WORKING: &[&str] = &[
    "query.lookback-delta",
    "query.timeout",
    "query.max-concurrency",
    "query.max-memory",
    "query.max-samples",
];

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
        assert!(
            refused("--web.enable-otlp-receiver").is_some_and(|m| m.contains("--web.enable-otlp-receiver"))
        );
        assert!(refused("--rules.max-concurrent-evals=2").is_some_and(|m| m.contains("rules")));
        assert!(refused("--no-alertmanager.drain-notification-queue-on-shutdown").is_some());
        assert_eq!(refused("--query.timeout=1m"), None);
        assert_eq!(refused("--web.listen-address=:9090"), None);
    }
}
