//! `docs/flags.md`, written from the command line's own definition so that it cannot go stale.

use clap::CommandFactory as _;

use crate::cli::Cli;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/flags.md");

fn rendered() -> String {
    let mut out = String::from(
        "# Flags\n\nWritten from `binnacle --help` by `BINNACLE_UPDATE_DOCS=1 cargo test --package binnacle docs`. \
         A flag of Prometheus that is not listed is refused by name.\n",
    );
    for role in Cli::command().get_subcommands().filter(|c| c.get_name() != "help") {
        out.push_str(&format!("\n## binnacle {}\n\n", role.get_name()));
        out.push_str(&format!("{}.\n\n| flag | default | |\n| --- | --- | --- |\n", text(role.get_about())));
        for flag in role.get_arguments().filter(|a| !a.is_hide_set()) {
            let Some(name) = flag.get_long() else { continue };
            let default: Vec<_> = flag.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
            let default = match default.join(",") {
                none if none.is_empty() => String::new(),
                some => format!("`{some}`"),
            };
            out.push_str(&format!("| `--{name}` | {default} | {} |\n", text(flag.get_help())));
        }
    }
    out
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
