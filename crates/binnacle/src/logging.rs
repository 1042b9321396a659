//! Logs in the layout of Go's slog, so that what reads Prometheus' logs reads these.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

/// `--log.format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Logfmt,
    Json,
}

/// `--log.level`
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    fn filter(self) -> LevelFilter {
        match self {
            Level::Debug => LevelFilter::DEBUG,
            Level::Info => LevelFilter::INFO,
            Level::Warn => LevelFilter::WARN,
            Level::Error => LevelFilter::ERROR,
        }
    }
}

/// Sends events of this level and above to standard error.
pub(crate) fn init(level: Level, format: Format) {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level.filter())
        .with_writer(std::io::stderr)
        .event_format(Slog { format })
        .finish();
    // Fails only when a subscriber is set already, as in tests that start the program in-process.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// A last word to the user, on standard error.
pub(crate) fn print_error(message: &str) {
    let _ = writeln!(std::io::stderr(), "binnacle: {message}");
}

struct Slog {
    format: Format,
}

impl<S, N> FormatEvent<S, N> for Slog
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(0));
        let meta = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let source = format!(
            "{}:{}",
            meta.file().unwrap_or("").rsplit('/').next().unwrap_or(""),
            meta.line().unwrap_or(0)
        );
        let component = fields.take("component").unwrap_or_else(|| {
            // The crate's name, where the event does not say more.
            meta.target().split("::").next().unwrap_or("").to_owned()
        });
        let head = [
            ("time", model::timestamp::format_rfc3339(now)),
            ("level", meta.level().as_str().to_owned()),
            ("source", source),
            ("msg", fields.message),
            ("component", component),
        ];
        let all = head.iter().map(|(n, v)| (*n, v)).chain(fields.others.iter().map(|(n, v)| (*n, v)));
        match self.format {
            Format::Logfmt => {
                for (i, (name, value)) in all.enumerate() {
                    let space = if i > 0 { " " } else { "" };
                    write!(out, "{space}{name}={}", logfmt_value(value))?;
                }
            }
            Format::Json => {
                for (i, (name, value)) in all.enumerate() {
                    let open = if i > 0 { "," } else { "{" };
                    write!(out, "{open}{}:{}", json_string(name), json_string(value))?;
                }
                out.write_char('}')?;
            }
        }
        out.write_char('\n')
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Fields {
    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.others.iter().position(|(n, _)| *n == name)?;
        Some(self.others.remove(at).1)
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = value.to_owned();
        } else {
            self.others.push((field.name(), value.to_owned()));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// slog quotes a value when it is empty or holds a space, a quote, `=` or something unprintable.
fn logfmt_value(value: &str) -> String {
    let plain =
        !value.is_empty() && value.chars().all(|c| c > ' ' && c != '"' && c != '=' && !c.is_control());
    if plain { value.to_owned() } else { model::number::quote(value) }
}

fn json_string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_where_slog_quotes_them() {
        let cases = [("plain", "plain"), ("", "\"\""), ("a b", "\"a b\""), ("a=\"b\"", "\"a=\\\"b\\\"\"")];
        for (value, want) in cases {
            assert_eq!(logfmt_value(value), want);
        }
        assert_eq!(json_string("a\"\n\u{1}"), "\"a\\\"\\n\\u0001\"");
    }
}
