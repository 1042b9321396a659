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
        ErrorKind::MissingRequiredArgument => {
            format!(
                "required argument '{}' not provided",
                argument.trim_end_matches("...").trim_matches(['<', '>', '[', ']'])
            )
        }
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

/// `format` of `format=x` and of `format <FORMAT>`.
fn name(flag: &str) -> &str {
    flag.split(['=', ' ']).next().unwrap_or_default()
}
