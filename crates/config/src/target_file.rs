//! Files that hold lists of targets, read as promtool reads them: with its complaints.

use std::path::Path;

use model::number::quote;

use crate::decode::{Field as _, Issues, value};
use crate::go_json::{self, Json};
use crate::kinds::LabelSet;
use crate::sections::StaticConfig;
use crate::yaml::{Node, parse, text};

/// Reads a file.
///
/// # Errors
/// In promtool's words.
pub(crate) fn read_targets(path: &str) -> Result<Vec<StaticConfig>, String> {
    let content = std::fs::read(path).map_err(|err| crate::error::of_reading(path, &err))?;
    let extension =
        Path::new(path).extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    let groups = match extension.as_str() {
        "json" => from_json(&content)?,
        "yml" | "yaml" => from_yaml(&text(&content).map_err(|err| err.message)?)?,
        _ => return Err(format!("invalid file extension: {}", quote(&format!(".{extension}")))),
    };
    match groups.iter().position(Option::is_none) {
        Some(index) => Err(format!("nil target group item found (index {index})")),
        None => Ok(groups.into_iter().flatten().collect()),
    }
}

type Groups = Vec<Option<StaticConfig>>;

fn from_yaml(text: &str) -> Result<Groups, String> {
    let root: Option<Node> = parse(text).map_err(|err| err.message)?;
    let Some(root) = root else { return Ok(Vec::new()) };
    let mut issues = Issues::default();
    let groups: Option<Groups> = value(&root, &mut issues).map_err(|stop| stop.line)?;
    match issues.finish() {
        Some((line, _)) => Err(line),
        None => Ok(groups.unwrap_or_default()),
    }
}

/// How Go prints the type of a group.
const GROUP: &str =
    r#"struct { Targets []string "json:\"targets\""; Labels model.LabelSet "json:\"labels\"" }"#;

fn from_json(text: &[u8]) -> Result<Groups, String> {
    match go_json::parse(text)? {
        Json::Null => Ok(Vec::new()),
        Json::Array(items) => {
            let mut first_error = None;
            let mut groups = Vec::with_capacity(items.len());
            for item in &items {
                match group(item) {
                    Ok(group) => groups.push(group),
                    Err(line) => drop(first_error.get_or_insert(line)),
                }
            }
            first_error.map_or(Ok(groups), Err)
        }
        other => Err(mismatch(&other, &format!("value of type {}", Groups::go_type()))),
    }
}

fn mismatch(found: &Json, wanted: &str) -> String {
    format!("json: cannot unmarshal {} into Go {wanted}", found.kind())
}

fn group(item: &Json) -> Result<Option<StaticConfig>, String> {
    let members = match item {
        Json::Null => return Ok(None),
        Json::Object(members) => members,
        other => return Err(mismatch(other, &format!("value of type {GROUP}"))),
    };
    let mut group = StaticConfig::default();
    for (key, item) in members {
        // Go takes keys in any case.
        if key.eq_ignore_ascii_case("targets") {
            group.targets = addresses(item)?;
        } else if key.eq_ignore_ascii_case("labels") {
            group.labels = labels(item)?;
        } else {
            return Err(format!("json: unknown field {}", quote(key)));
        }
    }
    Ok(Some(group))
}

fn addresses(item: &Json) -> Result<Vec<String>, String> {
    let items = match item {
        Json::Null => return Ok(Vec::new()),
        Json::Array(items) => items,
        other => return Err(mismatch(other, "struct field .targets of type []string")),
    };
    let address = |item: &Json| match item {
        Json::Null => Ok(String::new()),
        Json::Text(text) => Ok(text.clone()),
        other => Err(mismatch(other, "struct field .targets of type string")),
    };
    items.iter().map(address).collect()
}

fn labels(item: &Json) -> Result<LabelSet, String> {
    let members = match item {
        Json::Null => return Ok(LabelSet::default()),
        Json::Object(members) => members,
        other => {
            let wanted = "struct field .labels of type map[model.LabelName]model.LabelValue";
            return Err(mismatch(other, wanted));
        }
    };
    let mut labels = LabelSet::default();
    for (name, item) in members {
        let value = match item {
            Json::Null => String::new(),
            Json::Text(text) => text.clone(),
            other => return Err(mismatch(other, "struct field .labels of type model.LabelValue")),
        };
        labels.0.insert(name.clone(), value);
    }
    if labels.0.contains_key("") {
        return Err("\"\" is not a valid label name".into());
    }
    Ok(labels)
}
