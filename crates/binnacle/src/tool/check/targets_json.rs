//! Targets as promtool prints them: indented JSON.

use model::Labels;
use model::go_json::{Encoder, push_string};
use scrape::{Fate, Preview};

/// A list of targets, without a line feed at its end.
pub(super) fn render(targets: &[Preview]) -> String {
    if targets.is_empty() {
        return "[]".to_owned();
    }
    let targets: Vec<String> = targets.iter().map(target).collect();
    format!("[\n{}\n]", targets.join(",\n"))
}

fn target(preview: &Preview) -> String {
    let (labels, error) = match &preview.fate {
        Fate::Scraped { labels, .. } => (labels.clone(), ""),
        Fate::Dropped => (Labels::empty(), ""),
        // An error has no fields that Go would print.
        Fate::Refused(_) => (Labels::empty(), ",\n    \"error\": {}"),
    };
    format!(
        "  {{\n    \"discoveredLabels\": {},\n    \"labels\": {}{error}\n  }}",
        object(&preview.discovered),
        object(&labels)
    )
}

fn object(labels: &Labels) -> String {
    let members: Vec<String> =
        labels.iter().map(|(name, value)| format!("      {}: {}", quoted(name), quoted(value))).collect();
    if members.is_empty() { "{}".to_owned() } else { format!("{{\n{}\n    }}", members.join(",\n")) }
}

/// A text as Go's encoder writes it, which makes it safe inside HTML.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    push_string(&mut out, text, Encoder::Standard);
    out
}
