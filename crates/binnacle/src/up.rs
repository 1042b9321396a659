//! `binnacle up`: the whole stack with an embedded configuration.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::load::ConfigSource;
use crate::server_flags::CommonFlags;
use crate::wiring;

const TEMPLATE: &str = include_str!("up.yml");

/// Flags of `binnacle up`.
#[derive(Debug, Args)]
pub(crate) struct UpFlags {
    /// Prints the configuration that would run, and ends
    #[arg(long)]
    print_config: bool,

    #[command(flatten)]
    common: CommonFlags,
}

pub(crate) fn run(flags: &UpFlags) -> anyhow::Result<()> {
    let mut options = flags.common.resolve()?;
    // Behind certificates and passwords it would have to know its own; and they change.
    options.own_socket = options.web_config.as_ref().filter(|_| !flags.print_config).map(|_| private_path());
    let listen = options.listen.first().map_or(":9090", String::as_str);
    let text = configuration(listen, &options.route_prefix, options.own_socket.as_deref());
    if flags.print_config {
        return Ok(std::io::stdout().write_all(text.as_bytes())?);
    }
    wiring::run(options, ConfigSource::Embedded { text, name: "up.yml" })
}

/// A path that no other process has.
fn private_path() -> PathBuf {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let name = format!("binnacle-{}-{:x}", std::process::id(), since.as_nanos());
    std::env::temp_dir().join(name).join("metrics.sock")
}

/// The embedded configuration for a server that listens on `listen`, and that it reaches by `socket` if there is one.
fn configuration(listen: &str, prefix: &str, socket: Option<&Path>) -> String {
    let socket = socket.map(|path| path.display().to_string());
    let socket =
        socket.map(|path| format!("\n        labels: {{__unix_socket__: {}}}", model::number::quote(&path)));
    TEMPLATE
        .replace("@ADDRESS@", &own_address(listen))
        .replace("@PREFIX@", prefix)
        .replace("@SOCKET@", &socket.unwrap_or_default())
}

/// How the process reaches itself: by the address listened on, by `localhost` when that is every address.
fn own_address(listen: &str) -> String {
    let (host, port) = listen.rsplit_once(':').unwrap_or(("", listen));
    match host {
        "" | "0.0.0.0" | "[::]" | "*" => format!("localhost:{port}"),
        _ => listen.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_configuration_names_the_own_address() {
        for (listen, want) in [
            ("0.0.0.0:9090", "localhost:9090"),
            (":9091", "localhost:9091"),
            ("[::]:9090", "localhost:9090"),
            ("127.0.0.1:9090", "127.0.0.1:9090"),
        ] {
            let text = configuration(listen, "/prom", None);
            assert!(text.contains(&format!("targets: [\"{want}\"]")), "{listen}: {text}");
            assert!(text.contains("metrics_path: /prom/metrics/node"));
        }
    }
}
