//! Relabelling rules.

use model::Regex;
use model::relabel::{self, Action};

use crate::decode::{Field, Invalid, Issues, Section, Stop, section};
use crate::kinds::{LabelNames, NameScheme, Word, word};
use crate::yaml::{Node, Out};

section! {
    /// One rule.
    RelabelConfig "relabel.Config" "relabel.plain" {
        /// The labels whose values are the source; `Some` if written.
        source_labels: Option<LabelNames> = "source_labels",
        /// What stands between the values.
        separator: String = "separator" keep,
        /// What the source is matched with.
        regex: Pattern = "regex",
        /// For `hashmod`.
        modulus: u64 = "modulus",
        /// The label that is written.
        target_label: String = "target_label",
        /// What is written.
        replacement: String = "replacement" keep,
        /// What is done.
        action: RuleAction = "action",
    }
}

impl Section for RelabelConfig {
    fn defaults() -> Self {
        RelabelConfig {
            separator: relabel::DEFAULT_SEPARATOR.into(),
            replacement: relabel::DEFAULT_REPLACEMENT.into(),
            regex: Pattern::Standard,
            action: RuleAction(Some(Action::Replace)),
            ..RelabelConfig::default()
        }
    }
}

/// `regex`.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Pattern {
    /// Written as null: the empty expression.
    #[default]
    Null,
    /// Not written: `(.*)`.
    Standard,
    /// Written.
    Written(Regex),
}

impl Field for Pattern {
    fn go_type() -> String {
        "relabel.Regexp".into()
    }

    fn decode(node: &Node, issues: &mut Issues) -> Result<Option<Self>, Stop> {
        let Some(text) = node.text() else {
            issues.mismatch(node, "string");
            return Ok(None);
        };
        match Regex::new_enclosed(text) {
            Ok(regex) => Ok(Some(Pattern::Written(regex))),
            Err(err) => Err(Stop::at(node.span, err.to_string())),
        }
    }

    fn is_empty(&self) -> bool {
        *self == Pattern::Standard
    }

    fn encode(&self) -> Out {
        Out::Text(match self {
            Pattern::Null => String::new(),
            Pattern::Standard => relabel::DEFAULT_REGEX.into(),
            Pattern::Written(regex) => regex.as_str().into(),
        })
    }
}

/// `action`, in any case.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RuleAction(Option<Action>);

impl Word for RuleAction {
    const GO_TYPE: &'static str = "relabel.Action";

    fn parse(text: &str) -> Result<Self, String> {
        Action::parse(text).map(|action| RuleAction(Some(action))).map_err(|err| err.to_string())
    }

    fn word(self) -> &'static str {
        self.0.map_or("", Action::as_str)
    }

    fn choices() -> &'static str {
        "replace, lowercase, uppercase, keep, drop, keepequal, dropequal, hashmod, labelmap, labeldrop, labelkeep"
    }
}
word!(RuleAction);

/// Rules in their order; an element may be null until the owner has checked.
pub type Rules = Vec<Option<RelabelConfig>>;

impl RelabelConfig {
    /// The rule as it is applied, checked.
    pub(crate) fn compile(&self, scheme: NameScheme) -> Result<relabel::Config, String> {
        let Some(action) = self.action.0 else { return Err("relabel action cannot be empty".into()) };
        let regex = match &self.regex {
            Pattern::Standard => Regex::anything_captured(),
            Pattern::Written(regex) => regex.clone(),
            Pattern::Null => Regex::new("").map_err(|err| err.to_string())?,
        };
        let config = relabel::Config {
            source_labels: self.source_labels.iter().flat_map(|names| names.0.clone()).collect(),
            separator: self.separator.clone(),
            regex,
            modulus: self.modulus,
            target_label: self.target_label.clone(),
            replacement: self.replacement.clone(),
            action,
            scheme: scheme.0.unwrap_or_default(),
        };
        config.validate().map_err(|err| err.to_string())?;
        // The remaining two look at what was written, not at what it means.
        let name = action.as_str();
        if matches!(action, Action::KeepEqual | Action::DropEqual) && self.regex != Pattern::Standard {
            return Err(format!(
                "{name} action requires only 'source_labels' and `target_label`, and no other fields"
            ));
        }
        if matches!(action, Action::LabelDrop | Action::LabelKeep) && self.source_labels.is_some() {
            return Err(format!("{name} action requires only 'regex', and no other fields"));
        }
        Ok(config)
    }

    /// What is often meant instead, for people.
    pub(crate) fn advice(&self) -> Option<String> {
        let wants_target = !matches!(self.action.0, Some(Action::Keep | Action::Drop | Action::LabelMap));
        if self.target_label.is_empty() && wants_target && self.source_labels.is_some() {
            let labels = self.source_labels.as_ref().map_or(0, |names| names.0.len());
            let noun = if labels == 1 { "label" } else { "labels" };
            return Some(format!(
                "add `target_label:` with the label to write, or use another action on the source {noun}, such as `action: keep`"
            ));
        }
        None
    }
}

/// Refuses null elements.
pub(crate) fn refuse_null(rules: &Rules, key: &'static str, message: &str) -> Result<(), Invalid> {
    if rules.iter().any(Option::is_none) {
        return crate::decode::invalid_at(key, message);
    }
    Ok(())
}

/// Compiles rules that no longer hold nulls. The error names the rule's place in the list.
pub(crate) fn compile(
    rules: &Rules,
    scheme: NameScheme,
) -> Result<Vec<relabel::Config>, (usize, String, Option<String>)> {
    let numbered = rules.iter().flatten().enumerate();
    numbered.map(|(i, rule)| rule.compile(scheme).map_err(|err| (i, err, rule.advice()))).collect()
}
