//! binnacle: the monitoring stack of a Kubernetes cluster as one program. See `binnacle --help`.

mod agent_flags;
mod alerting;
mod alerting_flags;
mod build;
mod cli;
#[cfg(test)]
mod docs;
mod features;
mod load;
mod logging;
mod memory;
mod open_files;
mod past;
mod profiles;
mod replay_progress;
mod runtime;
mod server_flags;
mod signals;
mod storage;
mod storage_flags;
mod store;
mod tool;
mod unsupported;
mod up;
mod wiring;

use std::process::ExitCode;

#[cfg(feature = "jemalloc")]
mod allocator;
mod auto_reload;

fn main() -> ExitCode {
    cli::main()
}
