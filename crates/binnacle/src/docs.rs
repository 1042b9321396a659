//! `docs/flags.md`, written from the command line's own definition so that it cannot go stale.

use clap::{Arg, Command, CommandFactory as _};

use crate::cli::Cli;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/flags.md");

fn rendered() -> String {
    let mut out = String::from(
        "# Flags\n\nWritten from `binnacle --help` by `BINNACLE_UPDATE_DOCS=1 cargo test --package binnacle docs`. \
         A flag of Prometheus that is not listed is refused by name.\n",
    );
    for role in Cli::command().get_subcommands().filter(|c| c.get_name() != "help") {
        push_command(&mut out, "binnacle", role);
    }
    out
}

fn push_command(out: &mut String, parent: &str, command: &Command) {
    let name = format!("{parent} {}", command.get_name());
    let subcommands: Vec<_> =
        command.get_subcommands().filter(|c| c.get_name() != "help" && !c.is_hide_set()).collect();
    if subcommands.is_empty() {
        push_flags(out, &name, command);
    }
    for subcommand in subcommands {
        push_command(out, &name, subcommand);
    }
}

fn push_flags(out: &mut String, name: &str, command: &Command) {
    let arguments: String = command.get_positionals().map(|a| format!(" [{}]", value_name(a))).collect();
    out.push_str(&format!("\n## {name}{arguments}\n\n{}.\n\n", text(command.get_about())));
    let flags: Vec<_> =
        command.get_arguments().filter(|a| !a.is_hide_set() && a.get_long().is_some()).collect();
    if flags.is_empty() {
        return;
    }
    out.push_str("| flag | default | |\n| --- | --- | --- |\n");
    for flag in flags {
        let default: Vec<_> = flag.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
        let shown = default.iter().any(|v| !v.is_empty()) && !flag.is_hide_default_value_set();
        let takes_value = flag.get_action().takes_values();
        let default = if shown && takes_value { format!("`{}`", default.join(",")) } else { String::new() };
        let name = flag.get_long().unwrap_or_default();
        out.push_str(&format!("| `--{name}` | {default} | {} |\n", text(flag.get_help())));
    }
}

fn value_name(argument: &Arg) -> String {
    argument.get_value_names().unwrap_or_default().iter().map(|name| name.to_string()).collect()
}

fn text(styled: Option<&clap::builder::StyledStr>) -> String {
    styled.map(ToString::to_string).unwrap_or_default()
}

#[test]
fn docs_flags_md_lists_every_flag() {
    let want = rendered();
    if std::env::var_os("BINNACLE_UPDATE_DOCS").is_some() {
        std::fs::write(FILE, &want).unwrap();
    }
    let have = std::fs::read_to_string(FILE).unwrap_or_default();
    assert_eq!(
        have, want,
        "docs/flags.md is stale: BINNACLE_UPDATE_DOCS=1 cargo test --package binnacle docs"
    );
}
