//! What is wrong with arguments, in the words of promtool's own parser, so that a script that looks for them finds them.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The message, without what stands around it; `None` when help or the version was asked for.
pub(super) fn message(error: &clap::Error) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.first().cloned().unwrap_or_default(),
        _ => String::new(),
    };
    let argument = text(ContextKind::InvalidArg);
    Some(match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => return None,
        ErrorKind::UnknownArgument | ErrorKind::TooManyValues => {
            match (argument.strip_prefix("--"), argument.strip_prefix('-')) {
                (Some(long), _) => format!("unknown long flag '--{}'", name(long)),
                (None, Some(short)) if !short.is_empty() => format!("unknown short flag '-{short}'"),
                _ => format!("unexpected {argument}"),
            }
        }
        ErrorKind::InvalidSubcommand => {
            format!(
                "expected command but got {}",
                model::number::quote(&text(ContextKind::InvalidSubcommand))
            )
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let command = text(ContextKind::InvalidSubcommand);
            match command.split_once(" tool ") {
                None => "must select a subcommand".to_owned(),
                Some((_, command)) => format!("must select a subcommand of '{command}'"),
            }
        }
        ErrorKind::ArgumentConflict => {
            format!("flag '{}' cannot be repeated", name(argument.trim_start_matches('-')))
        }
        ErrorKind::MissingRequiredArgument => missing(error),
        ErrorKind::InvalidValue => match text(ContextKind::InvalidValue).as_str() {
            "" => format!("expected argument for flag '{}'", argument.split(' ').next().unwrap_or_default()),
            value => {
                let valid = match error.get(ContextKind::ValidValue) {
                    Some(ContextValue::Strings(valid)) => valid.join(","),
                    _ => String::new(),
                };
                format!("enum value must be one of {valid}, got '{value}'")
            }
        },
        _ => error.source().map_or_else(|| error.to_string(), ToString::to_string),
    })
}

/// Flags, all of them; or else the first argument.
fn missing(error: &clap::Error) -> String {
    let all = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(all)) => all.as_slice(),
        _ => &[],
    };
    let flags: Vec<String> = all
        .iter()
        .filter_map(|argument| Some(format!("'--{}'", name(argument.strip_prefix("--")?))))
        .collect();
    if !flags.is_empty() {
        return format!("required flag(s) {} not provided", flags.join(", "));
    }
    let first = all.first().map_or("", String::as_str);
    format!(
        "required argument '{}' not provided",
        first.trim_end_matches("...").trim_matches(['<', '>', '[', ']'])
    )
}

/// `format` of `format=x` and of `format <FORMAT>`.
fn name(flag: &str) -> &str {
    flag.split(['=', ' ']).next().unwrap_or_default()
}
