//! Relabelling: the eleven actions of Prometheus.

use md5::{Digest, Md5};

use crate::letter_case::{to_lower, to_upper};
use crate::number::quote;
use crate::{Labels, LabelsBuilder, Regex, ValidationScheme};

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Action {
    /// Sets the target label to the replacement where the expression matches.
    #[default]
    Replace,
    /// Drops what the expression does not match.
    Keep,
    /// Drops what the expression matches.
    Drop,
    /// Drops what differs from the target label's value.
    KeepEqual,
    /// Drops what equals the target label's value.
    DropEqual,
    /// Sets the target label to a hash of the source modulo the modulus.
    HashMod,
    /// Copies labels whose name matches to the name that the replacement gives.
    LabelMap,
    /// Removes labels whose name matches.
    LabelDrop,
    /// Removes labels whose name does not match.
    LabelKeep,
    /// Sets the target label to the source in lower case.
    Lowercase,
    /// Sets the target label to the source in upper case.
    Uppercase,
}

impl Action {
    /// Every action, in the order of Prometheus' documentation.
    pub const ALL: [Action; 11] = [
        Action::Replace,
        Action::Lowercase,
        Action::Uppercase,
        Action::Keep,
        Action::Drop,
        Action::KeepEqual,
        Action::DropEqual,
        Action::HashMod,
        Action::LabelMap,
        Action::LabelDrop,
        Action::LabelKeep,
    ];

    /// Reads a name in any case.
    ///
    /// # Errors
    /// `unknown relabel action "x"`.
    pub fn parse(name: &str) -> Result<Self, RelabelError> {
        Action::ALL
            .into_iter()
            .find(|a| to_lower(name) == a.as_str())
            .ok_or_else(|| RelabelError(format!("unknown relabel action {}", quote(name))))
    }

    /// The name as the configuration file has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Replace => "replace",
            Action::Keep => "keep",
            Action::Drop => "drop",
            Action::KeepEqual => "keepequal",
            Action::DropEqual => "dropequal",
            Action::HashMod => "hashmod",
            Action::LabelMap => "labelmap",
            Action::LabelDrop => "labeldrop",
            Action::LabelKeep => "labelkeep",
            Action::Lowercase => "lowercase",
            Action::Uppercase => "uppercase",
        }
    }
}

/// Why a rule was refused, in Prometheus' words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RelabelError(pub String);

/// The separator of a rule that names none.
pub const DEFAULT_SEPARATOR: &str = ";";
/// The expression of a rule that names none.
pub const DEFAULT_REGEX: &str = "(.*)";
/// The replacement of a rule that names none.
pub const DEFAULT_REPLACEMENT: &str = "$1";

/// One rule. [`Config::validate`] must have passed before it is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The labels whose values are joined to make the source.
    pub source_labels: Vec<String>,
    /// What stands between the joined values.
    pub separator: String,
    /// What the source (or, for the label actions, each label's name) is matched with; anchored.
    pub regex: Regex,
    /// For [`Action::HashMod`].
    pub modulus: u64,
    /// The label that is written; `replace` fills in groups of the match.
    pub target_label: String,
    /// What is written; groups of the match are filled in.
    pub replacement: String,
    /// What is done.
    pub action: Action,
    /// The rule for the names of labels that are written.
    pub scheme: ValidationScheme,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            source_labels: Vec::new(),
            separator: DEFAULT_SEPARATOR.into(),
            regex: Regex::anything_captured(),
            modulus: 0,
            target_label: String::new(),
            replacement: DEFAULT_REPLACEMENT.into(),
            action: Action::Replace,
            scheme: ValidationScheme::Utf8,
        }
    }
}

impl Config {
    /// Checks what Prometheus checks when it loads the rule.
    ///
    /// # Errors
    /// What is wrong, in Prometheus' words.
    pub fn validate(&self) -> Result<(), RelabelError> {
        use Action::{
            DropEqual, HashMod, KeepEqual, LabelDrop, LabelKeep, LabelMap, Lowercase, Replace, Uppercase,
        };
        let action = self.action.as_str();
        let fail = |message: String| Err(RelabelError(message));
        let bad_target =
            || fail(format!("{} is invalid 'target_label' for {action} action", quote(&self.target_label)));
        let fixed_replacement = matches!(self.action, Lowercase | Uppercase | KeepEqual | DropEqual);

        if self.modulus == 0 && self.action == HashMod {
            return fail("relabel configuration for hashmod requires non-zero modulus".into());
        }
        if (fixed_replacement || matches!(self.action, Replace | HashMod)) && self.target_label.is_empty() {
            return fail(format!("relabel configuration for {action} action requires 'target_label' value"));
        }
        if self.action == Replace {
            let valid = if has_variable(&self.target_label) {
                self.is_valid_template(&self.target_label)
            } else {
                self.scheme.is_valid_label_name(&self.target_label)
            };
            if !valid {
                return bad_target();
            }
        }
        if fixed_replacement && !self.scheme.is_valid_label_name(&self.target_label) {
            return bad_target();
        }
        if fixed_replacement && self.replacement != DEFAULT_REPLACEMENT {
            return fail(format!("'replacement' can not be set for {action} action"));
        }
        if self.action == LabelMap && !self.is_valid_template(&self.replacement) {
            return fail(format!(
                "{} is invalid 'replacement' for {action} action",
                quote(&self.replacement)
            ));
        }
        if self.action == HashMod && !self.scheme.is_valid_label_name(&self.target_label) {
            return bad_target();
        }
        let unusual = self.modulus != 0
            || self.separator != DEFAULT_SEPARATOR
            || self.replacement != DEFAULT_REPLACEMENT;
        if matches!(self.action, DropEqual | KeepEqual) && (self.regex.as_str() != DEFAULT_REGEX || unusual) {
            return fail(format!(
                "{action} action requires only 'source_labels' and `target_label`, and no other fields"
            ));
        }
        if matches!(self.action, LabelDrop | LabelKeep)
            && (!self.source_labels.is_empty() || !self.target_label.is_empty() || unusual)
        {
            return fail(format!("{action} action requires only 'regex', and no other fields"));
        }
        Ok(())
    }

    /// Whether a template can yield a label name: under the legacy rule, names with `$x` and `${x}` in them.
    fn is_valid_template(&self, template: &str) -> bool {
        match self.scheme {
            ValidationScheme::Utf8 => !template.is_empty(),
            ValidationScheme::Legacy => is_legacy_template(template),
        }
    }
}

fn has_variable(template: &str) -> bool {
    template.contains('$')
}

/// One or more of: a letter, an underscore, `$word`, `${word}`; digits anywhere but at the front.
fn is_legacy_template(template: &str) -> bool {
    let word_len = |s: &str| s.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
    let mut rest = template;
    if rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    while let Some(first) = rest.bytes().next() {
        let len = match first {
            b'$' if rest[1..].starts_with('{') => {
                let len = word_len(&rest[2..]);
                if len == 0 || !rest[2 + len..].starts_with('}') {
                    return false;
                }
                len + 3
            }
            b'$' => {
                1 + match word_len(&rest[1..]) {
                    0 => return false,
                    len => len,
                }
            }
            b if b.is_ascii_alphanumeric() || b == b'_' => 1,
            _ => return false,
        };
        rest = &rest[len..];
    }
    true
}

/// Applies the rules in order. `None` when one of them drops the labels.
#[must_use]
pub fn process(labels: &Labels, rules: &[Config]) -> Option<Labels> {
    if rules.is_empty() {
        return Some(labels.clone());
    }
    let mut builder = LabelsBuilder::new(labels);
    process_builder(&mut builder, rules).then(|| builder.build())
}

/// Applies the rules in order, in place. `false` when one of them drops the labels; their state is then unspecified.
#[must_use]
pub fn process_builder(labels: &mut LabelsBuilder, rules: &[Config]) -> bool {
    rules.iter().all(|rule| apply(labels, rule))
}

/// What one rule made of the labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The labels after the rule; empty once they are dropped.
    pub output: Labels,
    /// Whether the labels are still kept.
    pub keep: bool,
}

/// Applies the rules in order and reports every step, also those after a drop.
#[must_use]
pub fn trace(labels: &Labels, rules: &[Config]) -> Vec<Step> {
    let mut builder = LabelsBuilder::new(labels);
    let mut keep = true;
    rules
        .iter()
        .map(|rule| {
            keep = keep && apply(&mut builder, rule);
            Step { output: if keep { builder.build() } else { Labels::empty() }, keep }
        })
        .collect()
}

fn apply(labels: &mut LabelsBuilder, rule: &Config) -> bool {
    let source = match rule.source_labels.as_slice() {
        [] => String::new(),
        [one] => labels.value(one).to_owned(),
        many => many.iter().map(|name| labels.value(name)).collect::<Vec<_>>().join(&rule.separator),
    };
    match rule.action {
        Action::Keep => return rule.regex.is_match(&source),
        Action::Drop => return !rule.regex.is_match(&source),
        Action::KeepEqual => return labels.value(&rule.target_label) == source,
        Action::DropEqual => return labels.value(&rule.target_label) != source,
        Action::Replace => replace(labels, rule, &source),
        Action::Lowercase => {
            labels.set(&rule.target_label, &to_lower(&source));
        }
        Action::Uppercase => {
            labels.set(&rule.target_label, &to_upper(&source));
        }
        Action::HashMod => {
            labels.set(&rule.target_label, &hash_mod(&source, rule.modulus).to_string());
        }
        Action::LabelMap => {
            let mapped: Vec<(String, String)> = labels
                .iter()
                .filter_map(|(name, value)| {
                    Some((rule.regex.expand(name, &rule.replacement)?, value.to_owned()))
                })
                .collect();
            for (name, value) in mapped {
                labels.set(&name, &value);
            }
        }
        Action::LabelDrop => {
            labels.retain(|name, _| !rule.regex.is_match(name));
        }
        Action::LabelKeep => {
            labels.retain(|name, _| rule.regex.is_match(name));
        }
    }
    true
}

fn replace(labels: &mut LabelsBuilder, rule: &Config, source: &str) {
    let plain = !has_variable(&rule.target_label) && !has_variable(&rule.replacement);
    if plain {
        if rule.regex.is_match(source) {
            labels.set(&rule.target_label, &rule.replacement);
        }
        return;
    }
    let Some(captures) = rule.regex.captures(source) else { return };
    let target = captures.expand(&rule.target_label);
    if rule.scheme.is_valid_label_name(&target) {
        labels.set(&target, &captures.expand(&rule.replacement));
    }
}

/// The last eight bytes of the MD5 digest, big-endian, modulo `modulus`.
fn hash_mod(source: &str, modulus: u64) -> u64 {
    let digest: [u8; 16] = Md5::digest(source.as_bytes()).into();
    let [.., a, b, c, d, e, f, g, h] = digest;
    u64::from_be_bytes([a, b, c, d, e, f, g, h]).checked_rem(modulus).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        discovered: BTreeMap<String, String>,
        steps: Vec<GoldenStep>,
    }

    #[derive(serde::Deserialize)]
    struct GoldenStep {
        rule: Rule,
        output: BTreeMap<String, String>,
        keep: bool,
    }

    #[derive(serde::Deserialize)]
    struct Rule {
        #[serde(default)]
        source_labels: Vec<String>,
        separator: String,
        regex: String,
        #[serde(default)]
        modulus: u64,
        #[serde(default)]
        target_label: String,
        replacement: String,
        action: String,
    }

    impl Rule {
        fn config(self) -> Config {
            Config {
                source_labels: self.source_labels,
                separator: self.separator,
                regex: Regex::new_enclosed(&self.regex).unwrap(),
                modulus: self.modulus,
                target_label: self.target_label,
                replacement: self.replacement,
                action: Action::parse(&self.action).unwrap(),
                scheme: ValidationScheme::Utf8,
            }
        }
    }

    /// Recorded from `/api/v1/targets/relabel_steps` of Prometheus 3.14.
    #[test]
    fn every_step_is_as_prometheus_does_it() {
        let lines = include_str!("../testdata/relabel-steps.jsonl").lines();
        let mut actions = std::collections::HashSet::new();
        for line in lines {
            let case: Case = serde_json::from_str(line).unwrap();
            let (rules, wanted): (Vec<Config>, Vec<(Labels, bool)>) = case
                .steps
                .into_iter()
                .map(|step| (step.rule.config(), (Labels::from_pairs(step.output), step.keep)))
                .unzip();
            for rule in &rules {
                assert_eq!(rule.validate(), Ok(()), "case {}", case.name);
                actions.insert(rule.action);
            }
            let labels = Labels::from_pairs(&case.discovered);
            let got: Vec<(Labels, bool)> =
                trace(&labels, &rules).into_iter().map(|step| (step.output, step.keep)).collect();
            if case.name != "labelmap-clash" {
                assert_eq!(got, wanted, "case {}", case.name);
            }
            let result = process(&labels, &rules);
            match got.last() {
                Some((_, false)) => assert_eq!(result, None),
                Some((output, true)) => assert_eq!(result.as_ref(), Some(output)),
                None => assert_eq!(result, Some(labels)),
            }
        }
        assert_eq!(actions.len(), Action::ALL.len());
    }

    fn rule(action: Action, edit: impl FnOnce(&mut Config)) -> Config {
        let mut config = Config { action, ..Config::default() };
        edit(&mut config);
        config
    }

    #[test]
    fn wrong_rules_are_refused_in_the_words_of_prometheus() {
        use Action::*;
        let legacy = |c: &mut Config| c.scheme = ValidationScheme::Legacy;
        let target = |t: &'static str| move |c: &mut Config| c.target_label = t.into();
        let cases = [
            (rule(Replace, |_| ()), "relabel configuration for replace action requires 'target_label' value"),
            (rule(HashMod, target("x")), "relabel configuration for hashmod requires non-zero modulus"),
            (
                rule(HashMod, |c| c.modulus = 1),
                "relabel configuration for hashmod action requires 'target_label' value",
            ),
            (
                rule(Lowercase, |_| ()),
                "relabel configuration for lowercase action requires 'target_label' value",
            ),
            (
                rule(Replace, |c| {
                    legacy(c);
                    target("a.b")(c);
                }),
                "\"a.b\" is invalid 'target_label' for replace action",
            ),
            (
                rule(Replace, |c| {
                    legacy(c);
                    target("0${1}")(c);
                }),
                "\"0${1}\" is invalid 'target_label' for replace action",
            ),
            (rule(LabelMap, |c| c.replacement.clear()), "\"\" is invalid 'replacement' for labelmap action"),
            (
                rule(Uppercase, |c| {
                    target("x")(c);
                    c.replacement = "y".into();
                }),
                "'replacement' can not be set for uppercase action",
            ),
            (
                rule(KeepEqual, |c| {
                    target("x")(c);
                    c.separator = ",".into();
                }),
                "keepequal action requires only 'source_labels' and `target_label`, and no other fields",
            ),
            (rule(LabelKeep, target("x")), "labelkeep action requires only 'regex', and no other fields"),
        ];
        for (config, want) in cases {
            assert_eq!(config.validate().unwrap_err().0, want);
        }
        assert_eq!(Action::parse("foo").unwrap_err().0, "unknown relabel action \"foo\"");
        for template in ["a", "${1}", "a${1}_$x", "$1", "a_${2}b9", "_$1"] {
            let config = rule(Replace, |c| {
                legacy(c);
                c.target_label = template.into();
            });
            assert_eq!(config.validate(), Ok(()), "{template}");
        }
    }

    #[test]
    fn the_target_label_takes_groups_and_bad_names_are_skipped() {
        let labels = Labels::from_pairs([("a", "key=value")]);
        let mut config = rule(Action::Replace, |c| {
            c.source_labels = vec!["a".into()];
            c.regex = Regex::new("(.*)=(.*)").unwrap();
            c.target_label = "x_$1".into();
            c.replacement = "$2".into();
        });
        let with = |name: &str| Some(Labels::from_pairs([("a", "key=value"), (name, "value")]));
        assert_eq!(process(&labels, std::slice::from_ref(&config)), with("x_key"));
        config.target_label = "x.$1".into();
        assert_eq!(process(&labels, std::slice::from_ref(&config)), with("x.key"));
        config.scheme = ValidationScheme::Legacy;
        assert_eq!(process(&labels, std::slice::from_ref(&config)), Some(labels.clone()));
        config.target_label = "$9".into();
        config.scheme = ValidationScheme::Utf8;
        assert_eq!(process(&labels, &[config]), Some(labels));
    }
}
