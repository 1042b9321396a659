//! Flags of `binnacle server --agent`, and which flags are for which of the two modes.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::{ArgAction, Args};
use model::number::quote;
use model::{duration, size};
use storage::MemoryBudget;

use crate::features::Features;
use crate::server_flags::parse_duration;
use crate::storage_flags::{WalCompression, parse_size};

const MIB: u64 = 1 << 20;

/// What the names of flags begin with that an agent has no use for.
const SERVER_ONLY: [&str; 6] =
    ["storage.tsdb.", "storage.remote.read-", "query.", "rules.", "alertmanager.", "web.search.max-limit"];

/// What the names of flags begin with that are for agents alone.
const AGENT_ONLY: &str = "storage.agent.";

/// Flags of agents.
#[derive(Debug, Args)]
pub(crate) struct AgentFlags {
    /// Run as an agent, which scrapes, logs and sends on (remote_write), and keeps nothing that could be queried
    #[arg(long = "agent", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    pub(crate) agent: bool,

    /// Directory of an agent's data
    #[arg(long = "storage.agent.path", value_name = "DIR", default_value = "data-agent/")]
    data: PathBuf,

    /// Length of a segment of an agent's log; default: 128MB
    #[arg(long = "storage.agent.wal-segment-size", value_name = "SIZE", value_parser = parse_size, hide = true)]
    agent_segment_size: Option<u64>,

    /// Compress an agent's log
    #[arg(long = "storage.agent.wal-compression", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true")]
    agent_compression: bool,

    /// How an agent's log is compressed
    #[arg(long = "storage.agent.wal-compression-type", value_name = "TYPE", value_enum, default_value_t = WalCompression::Snappy, hide = true)]
    agent_compression_type: WalCompression,

    /// How often an agent's log is truncated; default: 2h
    #[arg(long = "storage.agent.wal-truncate-frequency", value_name = "DURATION", value_parser = parse_duration, hide = true)]
    wal_truncate_frequency: Option<Duration>,

    /// How long what was sent stays in an agent's log at least
    #[arg(long = "storage.agent.retention.min-time", value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    min_time: Duration,

    /// After how long without samples an agent forgets a series, whether they were sent or not
    #[arg(long = "storage.agent.retention.max-time", value_name = "DURATION", default_value = "4h", value_parser = parse_duration)]
    max_time: Duration,

    /// Make an agent's checkpoints of the series in memory, without reading its log again
    #[arg(long = "storage.agent.checkpoint-from-in-memory-series", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    checkpoint_from_memory: bool,

    /// Series of a record of such a checkpoint
    #[arg(
        long = "storage.agent.checkpoint-batch-size",
        value_name = "N",
        default_value_t = 1000,
        allow_hyphen_values = true
    )]
    checkpoint_batch_size: i64,

    /// Open an agent's data directory without a lock file
    #[arg(long = "storage.agent.no-lockfile", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    agent_no_lockfile: bool,
}

impl AgentFlags {
    /// Directory and options of the store, if an agent shall run.
    pub(crate) fn resolve(
        &self,
        features: Features,
        memory: MemoryBudget,
    ) -> anyhow::Result<Option<(PathBuf, tsdb::AgentOptions)>> {
        if !self.agent {
            return Ok(None);
        }
        if self.checkpoint_batch_size <= 0 {
            bail!("--storage.agent.checkpoint-batch-size must be greater than 0.");
        }
        let segment_size = self.agent_segment_size.unwrap_or(0);
        if segment_size != 0 && !(10 * MIB..=256 * MIB).contains(&segment_size) {
            bail!("flag 'storage.agent.wal-segment-size' must be set between 10MB and 256MB");
        }
        let options = tsdb::AgentOptions {
            wal_compression: self.agent_compression_type.resolve(self.agent_compression),
            // Zeros stand for the defaults.
            wal_segment_size: segment_size,
            truncate_frequency: self.wal_truncate_frequency.unwrap_or_default(),
            min_time: self.min_time,
            max_time: self.max_time,
            checkpoint_from_memory: self.checkpoint_from_memory,
            checkpoint_batch_size: usize::try_from(self.checkpoint_batch_size).unwrap_or(usize::MAX),
            lock_file: !self.agent_no_lockfile,
            start_times: features.start_times,
            memory,
            ..tsdb::AgentOptions::default()
        };
        Ok(Some((self.data.clone(), options)))
    }

    /// Every flag with its value, for `/api/v1/status/flags`.
    pub(crate) fn values(&self) -> Vec<(String, String)> {
        let time = |d: Duration| duration::format(i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        let segment_size = i64::try_from(self.agent_segment_size.unwrap_or(0)).unwrap_or(i64::MAX);
        let values = [
            ("agent", self.agent.to_string()),
            ("storage.agent.checkpoint-batch-size", self.checkpoint_batch_size.to_string()),
            ("storage.agent.checkpoint-from-in-memory-series", self.checkpoint_from_memory.to_string()),
            ("storage.agent.no-lockfile", self.agent_no_lockfile.to_string()),
            ("storage.agent.path", self.data.display().to_string()),
            ("storage.agent.retention.max-time", time(self.max_time)),
            ("storage.agent.retention.min-time", time(self.min_time)),
            ("storage.agent.wal-compression", self.agent_compression.to_string()),
            ("storage.agent.wal-compression-type", self.agent_compression_type.name().to_owned()),
            ("storage.agent.wal-segment-size", size::format(segment_size)),
            ("storage.agent.wal-truncate-frequency", time(self.wal_truncate_frequency.unwrap_or_default())),
        ];
        values.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Why the arguments do not go with the mode, in Prometheus' words; it ends with code 3 then.
    pub(crate) fn refusal(&self, args: &[String]) -> Option<String> {
        let given = args.iter().skip(2).take_while(|arg| *arg != "--").filter_map(|arg| {
            let name = arg.strip_prefix("--")?.split('=').next()?;
            Some(name.to_owned())
        });
        let (agent, refused): (bool, Vec<String>) = match self.agent {
            true => (true, given.filter(|name| SERVER_ONLY.iter().any(|p| name.starts_with(p))).collect()),
            false => (false, given.filter(|name| name.starts_with(AGENT_ONLY)).collect()),
        };
        if refused.is_empty() {
            return None;
        }
        let names: Vec<String> = refused.iter().map(|name| quote(&format!("--{name}"))).collect();
        let what = if agent { "can not be used" } else { "can only be used" };
        Some(format!("The following flag(s) {what} in agent mode: [{}]", names.join(" ")))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        flags: AgentFlags,
    }

    #[test]
    fn flags_of_the_other_mode_are_refused_in_the_words_of_prometheus() {
        let refusal = |mode: &[&str], given: &[&str]| {
            let flags = Command::parse_from(["x"].iter().chain(mode)).flags;
            let args = ["binnacle", "server"].iter().chain(mode).chain(given);
            flags.refusal(&args.map(ToString::to_string).collect::<Vec<_>>())
        };
        let agent = refusal(&["--agent"], &["--storage.tsdb.path=x", "--query.timeout", "1m"]);
        let want = r#"The following flag(s) can not be used in agent mode: ["--storage.tsdb.path" "--query.timeout"]"#;
        assert_eq!(agent.as_deref(), Some(want));
        let server = refusal(&[], &["--storage.agent.path", "x", "--web.enable-lifecycle"]);
        let want = r#"The following flag(s) can only be used in agent mode: ["--storage.agent.path"]"#;
        assert_eq!(server.as_deref(), Some(want));
        assert_eq!(
            refusal(&["--agent"], &["--storage.agent.path=x", "--storage.remote.flush-deadline=1s"]),
            None
        );
        assert_eq!(refusal(&[], &["--storage.tsdb.path=x"]), None);
    }
}
