//! Target groups and the files that hold lists of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::label_set::NameLists;
use model::Labels;
use model::number::quote;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use crate::label_set::LabelParts;

/// The label that holds a target's address.
pub const ADDRESS: &str = "__address__";

/// Targets that were found together and share labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetGroup {
    /// What identifies the group within its provider: a later group of the same source replaces this one.
    pub source: String,
    /// The labels of each target; [`ADDRESS`] is among them. None: the group is gone.
    pub targets: Arc<[LabelParts]>,
    /// Labels of all of them; a target's own labels win.
    pub labels: LabelParts,
}

impl TargetGroup {
    /// A group whose targets have nothing in common.
    pub(crate) fn of(source: impl Into<String>, targets: Vec<LabelParts>) -> Self {
        TargetGroup { source: source.into(), targets: targets.into(), labels: LabelParts::default() }
    }

    /// All labels of the target at `index`.
    #[must_use]
    pub fn labels_of(&self, index: usize) -> Labels {
        let own = self.targets.get(index);
        Labels::from_pairs(self.labels.iter().chain(own.into_iter().flat_map(LabelParts::iter)))
    }
}

/// `host:port`, with brackets around an address that has colons.
pub(crate) fn join_host_port(host: &str, port: impl std::fmt::Display) -> String {
    if host.contains([':', '%']) { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Why a list of groups was refused.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct FormatError(String);

/// A group as files and HTTP answers spell it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spelled {
    #[serde(default)]
    targets: Option<Vec<String>>,
    #[serde(default)]
    labels: Option<BTreeMap<String, Option<String>>>,
}

/// A group of a JSON list. Servers were written against Go's reader, which takes keys in any case (`Targets`) and, of keys that are
/// there twice, the last.
struct SpelledInJson(Spelled);

impl<'de> Deserialize<'de> for SpelledInJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Wanted;
        impl<'de> Visitor<'de> for Wanted {
            type Value = SpelledInJson;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with targets and labels")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SpelledInJson, A::Error> {
                let mut group = Spelled::default();
                while let Some(key) = map.next_key::<String>()? {
                    if key.eq_ignore_ascii_case("targets") {
                        group.targets = map.next_value()?;
                    } else if key.eq_ignore_ascii_case("labels") {
                        group.labels = map.next_value()?;
                    } else {
                        return Err(A::Error::custom(format!("unknown field {}", quote(&key))));
                    }
                }
                Ok(SpelledInJson(group))
            }
        }
        deserializer.deserialize_map(Wanted)
    }
}

/// Reads a JSON list of `{"targets": [...], "labels": {...}}`.
///
/// # Errors
/// When it is not such a list.
pub fn from_json(text: &[u8]) -> Result<Vec<TargetGroup>, FormatError> {
    // As in Go, what is not UTF-8 becomes U+FFFD.
    let text = String::from_utf8_lossy(text);
    let spelled: Option<Vec<Option<SpelledInJson>>> =
        serde_json::from_str(&text).map_err(|err| FormatError(err.to_string()))?;
    groups(
        spelled.map(|list| list.into_iter().map(|group| group.map(|SpelledInJson(group)| group)).collect()),
    )
}

/// Reads the same as YAML.
///
/// # Errors
/// When it is not such a list.
pub fn from_yaml(text: &str) -> Result<Vec<TargetGroup>, FormatError> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Vec::new());
    }
    let spelled: Option<Vec<Option<Spelled>>> =
        serde_saphyr::from_str(text).map_err(|err| FormatError(err.to_string()))?;
    groups(spelled)
}

/// Reads a body as either.
pub(crate) fn read_any(body: &[u8], _: &NameLists) -> usize {
    let yaml = std::str::from_utf8(body).map(from_yaml);
    let found = [from_json(body).ok(), yaml.ok().and_then(Result::ok)];
    found.iter().flatten().map(Vec::len).sum()
}

fn groups(spelled: Option<Vec<Option<Spelled>>>) -> Result<Vec<TargetGroup>, FormatError> {
    let spelled = spelled.unwrap_or_default();
    spelled
        .into_iter()
        .map(|group| {
            let group = group.ok_or_else(|| FormatError("nil target group item found".to_owned()))?;
            let labels = group.labels.unwrap_or_default();
            if labels.contains_key("") {
                return Err(FormatError("\"\" is not a valid label name".to_owned()));
            }
            Ok(TargetGroup {
                source: String::new(),
                targets: group
                    .targets
                    .unwrap_or_default()
                    .iter()
                    .map(|address| Labels::from_pairs([(ADDRESS, address.as_str())]).into())
                    .collect(),
                labels: Labels::from_pairs(labels.iter().map(|(n, v)| (n, v.as_deref().unwrap_or_default())))
                    .into(),
            })
        })
        .collect()
}

/// Names the groups `<origin>:<index>`, and adds the label that says where they came from.
pub(crate) fn stamp(groups: &mut [TargetGroup], origin: &str, label: &str) {
    for (i, group) in groups.iter_mut().enumerate() {
        group.source = format!("{origin}:{i}");
        group.labels = Labels::from_pairs(group.labels.iter().chain([(label, origin)])).into();
    }
}

/// The group that says "nothing is left of this source".
pub(crate) fn gone(origin: &str, index: usize) -> TargetGroup {
    TargetGroup {
        source: format!("{origin}:{index}"),
        targets: Arc::default(),
        labels: LabelParts::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_yaml_lists_read_the_same() {
        let json =
            from_json(br#"[{"targets":["a:1","b:2"],"labels":{"env":"x"}},{"targets":["c"]}]"#).unwrap();
        let yaml = from_yaml("- targets: ['a:1', 'b:2']\n  labels: {env: x}\n- targets: [c]\n").unwrap();
        assert_eq!(json, yaml);
        assert_eq!(json[0].targets[1].to_labels(), Labels::from_pairs([(ADDRESS, "b:2")]));
        assert_eq!(
            from_yaml("- targets: [a]\n  labels: {port: 80, on: yes}\n").unwrap()[0]
                .labels
                .to_labels()
                .value("port"),
            "80"
        );
        assert_eq!(from_yaml("# nothing\n").unwrap(), []);
        assert_eq!(from_json(b"null").unwrap(), []);
    }

    #[test]
    fn json_is_taken_as_go_takes_it() {
        let plain = from_json(br#"[{"targets":["h:1"],"labels":{"a":"2"}}]"#).unwrap();
        for same in [
            r#"[{"Targets":["h:1"],"LABELS":{"a":"2"}}]"#,
            r#"[{"targets":["b:1"],"targets":["h:1"],"labels":{"a":"1","a":"2"}}]"#,
        ] {
            assert_eq!(from_json(same.as_bytes()).unwrap(), plain, "{same}");
        }
        let replaced = from_json(b"[{\"targets\":[\"h\xff:1\"]}]").unwrap();
        assert_eq!(replaced[0].targets[0].to_labels().value(ADDRESS), "h\u{fffd}:1");
    }

    #[test]
    fn what_is_no_list_of_groups_is_refused() {
        assert_eq!(from_json(b"[null]").unwrap_err().to_string(), "nil target group item found");
        assert!(from_json(br#"[{"target":["a"]}]"#).is_err());
        assert!(from_json(b"{}").is_err());
        assert!(from_json(br#"[{"targets":["a"],"labels":{"a":1}}]"#).is_err());
        assert!(from_yaml("targets: [a]\n").is_err());
    }
}
