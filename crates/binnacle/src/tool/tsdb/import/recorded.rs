//! `create-blocks-from rules`: blocks of what rules would have recorded, evaluated by a server.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use config::{RuleFileOptions, load_rules};
use httpclient::HeaderMap;
use model::{Labels, LabelsBuilder};
use promql::ParseOptions;
use rules::{GroupOptions, RuleOptions, Time, slot_of};

use super::ranges::Ranges;
use super::{block_length, write_block};
use crate::logging;
use crate::tool::Failure;
use crate::tool::client::ToolClient;
use crate::tool::command_line::{BlockOutput, ImportRulesArgs};
use crate::tool::failure::{in_gos_words, reading, tell};
use crate::tool::query::api::Api;
use crate::tool::query::time::Instant;
use crate::tool::query::value::{Answer, Stream};

const SECOND: i64 = 1_000_000_000;
/// What is newer may still be out of reach of blocks.
const DEFAULT_AGE: i64 = 3 * 3600 * SECOND;

pub(in crate::tool::tsdb) fn run(args: &ImportRulesArgs, output: &BlockOutput) -> Result<(), Failure> {
    let at = |text: &str, which: &str| {
        Instant::parse(text).map_err(|why| Failure::Told(format!("error parsing {which} time: {why}")))
    };
    let end = match args.end.as_str() {
        "" => Instant::now().after(-DEFAULT_AGE),
        text => at(text, "end")?,
    };
    let start = at(args.start.as_deref().unwrap_or_default(), "start")?;
    if start >= end {
        return Err(Failure::Told("start time is not before end time".to_owned()));
    }
    let client = ToolClient::new(args.config_file.as_deref(), Some(&args.url))?;
    logging::init(logging::Level::Info, logging::Format::Logfmt);
    let (from, to) = (for_people(start), for_people(end));
    tracing::info!(component = "backfiller", start = from, end = to, "new rule importer");
    let interval = Duration::from_nanos(args.eval_interval.unsigned_abs());
    let groups = read_groups(&args.files, interval)
        .map_err(|why| Failure::Told(format!("rule importer parse error: {why}")))?;
    let importer = Importer {
        api: Api::new(client, &args.url, HeaderMap::new()),
        target: &args.output_dir,
        // As promtool, whole seconds.
        start: start.seconds(),
        end: end.seconds(),
        block_length: block_length(output.max_block_duration / 1_000_000),
    };
    let mut failed = false;
    for group in &groups {
        let name = format!("{};{}", group.file, group.name);
        tracing::info!(component = "backfiller", name = name, "processing group");
        for (id, rule) in group.rules.iter().enumerate() {
            tracing::info!(component = "backfiller", id = id, name = rule.name, "processing rule");
            if let Err(why) = importer.rule(group, rule) {
                failed = true;
                tell(&format!("rule importer error: {why}"));
            }
        }
    }
    if failed { Err(Failure::Told("error importing rules".to_owned())) } else { Ok(()) }
}

/// `14 Nov 23 22:00 UTC`
fn for_people(at: Instant) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = model::timestamp::format_rfc3339(at.seconds().saturating_mul(1000));
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let month = part(5, 7).parse().ok().and_then(|month: usize| MONTHS.get(month.wrapping_sub(1)));
    format!("{} {} {} {} UTC", part(8, 10), month.unwrap_or(&""), part(2, 4), part(11, 16))
}

/// Groups in order of file and name. What has to be switched on in the language cannot be, as in promtool.
fn read_groups(files: &[String], interval: Duration) -> Result<Vec<GroupOptions>, String> {
    let expressions = ParseOptions { duration_expressions: false, ..ParseOptions::default() };
    let options = RuleFileOptions { ignore_unknown_fields: false, expressions };
    let mut groups = Vec::new();
    for file in files {
        let content =
            fs::read(file).map_err(|error| format!("{file}: {}", reading(file.as_ref(), &error)))?;
        let loaded = load_rules(content, &options);
        if let Some(first) = loaded.refusals.first() {
            return Err(format!("{file}: {first}"));
        }
        groups.extend(loaded.file.groups.into_iter().map(|group| group.to_options(file, interval)));
    }
    Ok(groups)
}

struct Importer<'a> {
    api: Api,
    target: &'a Path,
    /// In seconds since the epoch, as is `end`.
    start: i64,
    end: i64,
    /// In milliseconds.
    block_length: i64,
}

impl Importer<'_> {
    /// Makes the blocks of a rule.
    fn rule(&self, group: &GroupOptions, rule: &RuleOptions) -> Result<(), String> {
        let expr = promql::parse(&rule.expr, &ParseOptions::default()).map_err(|error| error.to_string())?;
        let query = expr.to_string();
        let step = i64::try_from(group.interval.as_nanos()).unwrap_or(i64::MAX).max(1);
        // Towards zero, as promtool.
        let mut from = self.start.saturating_mul(1000) / self.block_length * self.block_length;
        while from <= self.end.saturating_mul(1000) {
            let first = (from / 1000).max(self.start);
            let last = ((from + self.block_length - 1) / 1000).min(self.end);
            let mut begin = slot_of(&group.file, &group.name, group.interval, Time::from_seconds(first));
            while begin.seconds() < first {
                begin = Time(begin.0.saturating_add(step));
            }
            if begin > Time::from_seconds(last) {
                break;
            }
            let range = (Instant::from_nanos(begin.0.into()), Instant::from_seconds(last));
            let (answer, warnings) = self
                .api
                .query_range(&query, range, step)
                .map_err(|error| format!("query range: {}", error.text))?;
            if !warnings.is_empty() {
                let warnings = format!("[{}]", warnings.join(" "));
                tracing::warn!(warnings = warnings, "Range query returned warnings.");
            }
            let streams = match answer {
                Answer::Matrix(streams) => streams,
                Answer::Vector(_) => return Err("rule result is wrong type vector".to_owned()),
                Answer::Scalar(..) => return Err("rule result is wrong type scalar".to_owned()),
            };
            self.block(group, rule, &streams, from)?;
            from = from.saturating_add(self.block_length);
        }
        Ok(())
    }

    /// Writes what the range from `from` on has; nothing for nothing.
    fn block(
        &self,
        group: &GroupOptions,
        rule: &RuleOptions,
        streams: &[Stream],
        from: i64,
    ) -> Result<(), String> {
        let mut ranges = Ranges::new(from, self.block_length, usize::MAX);
        let mut numbers: HashMap<Labels, u32> = HashMap::new();
        let mut sets: Vec<Labels> = Vec::new();
        for stream in streams {
            let labels = labels_of(group, rule, stream);
            let next = u32::try_from(sets.len()).map_err(|_| "more than 4294967295 series")?;
            let number = *numbers.entry(labels).or_insert_with_key(|labels| {
                sets.push(labels.clone());
                next
            });
            for (t, v) in &stream.values {
                if let Some(range) = ranges.of(*t) {
                    ranges.add(range, number, *t, *v);
                }
            }
        }
        for range in ranges.gathered.values() {
            if let Some(why) = &range.failed {
                return Err(format!("add: multiappender append: {why}"));
            }
            fs::create_dir_all(self.target).map_err(|error| {
                format!("new block writer: {}", in_gos_words("mkdir", self.target, &error))
            })?;
            write_block(self.target, &sets, range)
                .map_err(|error| format!("flush and commit: multiappender flush: {error}"))?;
        }
        Ok(())
    }
}

/// The labels of what a rule makes of a series of its expression's value.
fn labels_of(group: &GroupOptions, rule: &RuleOptions, stream: &Stream) -> Labels {
    let of_value: Labels = stream.metric.clone().into_iter().collect();
    let mut builder = LabelsBuilder::new(&of_value);
    let mut labels = group.labels.clone();
    labels.extend(rule.labels.clone());
    for (name, value) in &labels {
        builder.set(name, value);
    }
    builder.set(model::METRIC_NAME, &rule.name);
    builder.build()
}
