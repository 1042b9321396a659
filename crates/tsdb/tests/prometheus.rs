//! Directories that Prometheus 3.14 wrote (recorded), and promtool reading one of ours.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed unwrap is a failed test"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::path::{Path, PathBuf};

use exposition::Registry;
use model::histogram::{CUSTOM_BUCKETS, FloatHistogram, HistogramValue, IntegerHistogram, Span};
use model::{Labels, MatchOp, Matcher};
use storage::{
    Affinity, Append, Batch, BatchExemplar, BatchHistogram, BatchMetadata, BatchSample, Metadata, Outcome,
    Projection, QueryContext, Request, Select,
};
use support::{copy_dir, everything_with_histograms, named, open_with, shared};
use tsdb::{Db, DbOptions, Head, HeadOptions};

/// Samples by time, as `promtool tsdb dump` prints values, by series.
type Text = BTreeMap<String, BTreeMap<i64, String>>;

fn dump(path: &Path) -> Text {
    parse_dump(&mut flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()))
}

fn parse_dump(dump: &mut impl std::io::Read) -> Text {
    let mut series = Text::new();
    for line in std::io::BufReader::new(dump).lines() {
        let line = line.unwrap();
        let labels_end = line.find("} ").unwrap() + 1;
        let (labels, rest) = (line[..labels_end].to_owned(), &line[labels_end + 1..]);
        let (value, t) = rest.rsplit_once(' ').unwrap();
        series.entry(labels).or_default().insert(t.parse().unwrap(), value.to_owned());
    }
    series
}

/// What the head holds, in the same form.
fn text(head: &impl Select) -> Text {
    let mut all = Text::new();
    for (labels, samples) in everything_with_histograms(head) {
        let values = samples.into_iter().map(|(t, value)| (t, value.to_string()));
        all.insert(labels.to_string(), values.collect());
    }
    all
}

fn options() -> HeadOptions {
    HeadOptions { exemplars: true, metadata_wal_records: true, ..HeadOptions::default() }
}

/// The recorded directories of these names: from the recordings, if they are there, and from this crate.
fn recorded(cases: &[&str]) -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/directories");
    let shared = shared().map(|shared| shared.join("golden/tsdb"));
    let roots = [Some(own), shared].into_iter().flatten();
    let all = roots.flat_map(|root| cases.iter().map(move |case| root.join(case)));
    all.filter(|dir| dir.is_dir()).collect()
}

fn api(recorded: &Path, what: &str) -> serde_json::Value {
    let file = std::fs::File::open(recorded.join("api.json")).unwrap();
    let all: serde_json::Value = serde_json::from_reader(file).unwrap();
    all[what]["body"]["data"].clone()
}

#[test]
fn directories_of_prometheus_open_with_what_their_dumps_say() {
    for recorded in recorded(&["head", "head-wal-none", "head-wal-zstd", "killed", "xor2-head", "st-head"]) {
        let case = recorded.display();
        let dir = tempfile::tempdir().unwrap();
        copy_dir(&recorded.join("data"), dir.path());
        let want = dump(&recorded.join("dump.txt.gz"));
        for start in 0..3 {
            let head = open_with(dir.path(), options());
            let got = text(&head);
            for (labels, samples) in &want {
                let got =
                    got.get(labels).unwrap_or_else(|| panic!("{case}, start {start}: {labels} is missing"));
                for (t, value) in got {
                    assert_eq!(Some(value), samples.get(t), "{case}, start {start}: {labels} at {t}");
                }
                assert_eq!(
                    got.len(),
                    samples.len(),
                    "{case}, start {start}: samples of {labels} are missing"
                );
            }
            for (labels, samples) in &got {
                assert!(
                    samples.is_empty() || want.contains_key(labels),
                    "{case}, start {start}: {labels} was deleted"
                );
            }
            if start == 0 {
                head.checkpoint_now().unwrap();
            }
        }
    }
}

#[test]
fn directories_of_prometheus_with_blocks_or_a_snapshot_open_with_what_their_dumps_say() {
    for recorded in recorded(&["blocks", "chunk-snapshot"]) {
        let case = recorded.display();
        let dir = tempfile::tempdir().unwrap();
        copy_dir(&recorded.join("data"), dir.path());
        let want = dump(&recorded.join("dump.txt.gz"));
        // promtool leaves out what is in the head and older than the newest block, though that came out of order: 752
        // samples that a server does serve, and 8 staleness markers.
        let more = if recorded.ends_with("blocks") { 760 } else { 0 };
        for start in 0..2 {
            let options = DbOptions { head: options(), ..DbOptions::default() };
            let db = Db::open(dir.path(), options, &Registry::new()).unwrap();
            let got = text(&db);
            for (labels, samples) in &want {
                for (t, value) in samples {
                    assert_eq!(got[labels].get(t), Some(value), "{case}, start {start}: {labels} at {t}");
                }
            }
            let count = |text: &Text| text.values().map(BTreeMap::len).sum::<usize>();
            assert_eq!(count(&got), count(&want) + more, "{case}, start {start}");
        }
    }
}

#[test]
fn directories_of_prometheus_answer_as_its_server_does() {
    for recorded in recorded(&["head", "head-wal-none", "head-wal-zstd", "killed", "xor2-head", "st-head"]) {
        let case = recorded.display();
        let dir = tempfile::tempdir().unwrap();
        copy_dir(&recorded.join("data"), dir.path());
        let head = open_with(dir.path(), options());
        let ctx = QueryContext::unlimited();
        let (from, to) = (0, 9_999_999_999_000);

        let names = head.label_names(&ctx, from, to, &[]).unwrap();
        assert_eq!(serde_json::json!(names), api(&recorded, "labels"), "{case}");
        let values = head.label_values(&ctx, "__name__", from, to, &[]).unwrap();
        assert_eq!(serde_json::json!(values), api(&recorded, "label_values_name"), "{case}");

        let all = [Matcher::new(MatchOp::NotEqual, "__name__", "").unwrap()];
        let request =
            Request { matchers: &all, min_time: from, max_time: to, labels: Projection::All, newest: None };
        let series = head.series(&ctx, &request).unwrap().into_iter().map(|labels| labels.to_string());
        let want = api(&recorded, "series");
        let want = want.as_array().unwrap().iter().map(|series| labels_of(series).to_string());
        assert_eq!(series.collect::<BTreeSet<_>>(), want.collect::<BTreeSet<_>>(), "{case}");

        assert_stats_and_exemplars(&head, &recorded);

        let metadata = head.metadata(&ctx, &all).unwrap();
        println!("{case}: {} series with metadata", metadata.len());
        if recorded.ends_with("head") {
            let of = |name: &str| {
                metadata.iter().find(|(labels, _)| labels.value("__name__") == name).unwrap().1.clone()
            };
            assert_eq!(of("gauge_celsius").kind, "gauge");
        }
    }
}

#[test]
fn heads_beside_blocks_and_snapshots_answer_as_their_server_does() {
    for recorded in recorded(&["blocks", "chunk-snapshot", "st-block", "xor2-block"]) {
        let dir = tempfile::tempdir().unwrap();
        copy_dir(&recorded.join("data"), dir.path());
        let snapshot_on_shutdown = recorded.ends_with("chunk-snapshot");
        let options =
            DbOptions { head: HeadOptions { snapshot_on_shutdown, ..options() }, ..DbOptions::default() };
        let db = Db::open(dir.path(), options, &Registry::new()).unwrap();
        assert_stats_and_exemplars(db.head(), &recorded);
    }
}

/// What `/api/v1/status/tsdb` and `/api/v1/query_exemplars` say.
fn assert_stats_and_exemplars(head: &Head, recorded: &Path) {
    let case = recorded.display();
    let all = [Matcher::new(MatchOp::NotEqual, "__name__", "").unwrap()];
    let exemplars: Vec<serde_json::Value> = head
        .exemplars(&[all.to_vec()], 0, 9_999_999_999_000)
        .into_iter()
        .map(|series| {
            let exemplars = series.exemplars.iter().map(|e| {
                let timestamp = serde_json::json!(e.t as f64 / 1000.0);
                serde_json::json!({
                    "labels": json_of(&e.labels), "value": model::number::format_g(e.v), "timestamp": timestamp,
                })
            });
            let exemplars: Vec<_> = exemplars.collect();
            serde_json::json!({ "seriesLabels": json_of(&series.labels), "exemplars": exemplars })
        })
        .collect();
    let mut want = api(recorded, "exemplars");
    as_floats(&mut want);
    assert_eq!(serde_json::Value::Array(exemplars), want, "{case}");

    let status = api(recorded, "status_tsdb");
    let stats = head.stats(1000);
    let head = &status["headStats"];
    assert_eq!(stats.num_series, head["numSeries"], "{case}");
    assert_eq!(stats.num_label_pairs, head["numLabelPairs"], "{case}");
    let times = (head["minTime"].as_i64().unwrap(), head["maxTime"].as_i64().unwrap());
    assert_eq!((stats.min_time, stats.max_time), times, "{case}");
    // Prometheus does not count chunks that come from a snapshot.
    if !recorded.ends_with("chunk-snapshot") {
        assert_eq!(stats.chunk_count, head["chunkCount"], "{case}");
    }
    for (name, ours) in [
        ("seriesCountByMetricName", stats.series_by_metric),
        ("labelValueCountByLabelName", stats.values_by_label),
        ("memoryInBytesByLabelName", stats.bytes_by_label),
        ("seriesCountByLabelValuePair", stats.series_by_pair),
    ] {
        // At most ten of them, of equal ones any.
        for entry in status[name].as_array().unwrap() {
            let of_name = ours.iter().find(|(name, _)| name == entry["name"].as_str().unwrap());
            assert_eq!(of_name.unwrap().1, entry["value"], "{case}: {name} {entry}");
        }
    }
}

fn labels_of(series: &serde_json::Value) -> Labels {
    let pairs = series.as_object().unwrap().iter();
    Labels::from_pairs(pairs.map(|(name, value)| (name.as_str(), value.as_str().unwrap())))
}

fn json_of(labels: &Labels) -> serde_json::Value {
    labels.iter().map(|(name, value)| (name.to_owned(), serde_json::json!(value))).collect()
}

/// Times as floats: whole seconds are written without a point.
fn as_floats(exemplars: &mut serde_json::Value) {
    for series in exemplars.as_array_mut().unwrap() {
        for exemplar in series["exemplars"].as_array_mut().unwrap() {
            let seconds = exemplar["timestamp"].as_f64().unwrap();
            exemplar["timestamp"] = serde_json::json!(seconds);
        }
    }
}

#[test]
fn promtool_reads_what_we_write() {
    let Some(promtool) = support::promtool_3() else { return };
    for start_times in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let options = HeadOptions { start_times, histogram_start_times: start_times, ..options() };
        let head = open_with(dir.path(), options.clone());
        let first = 1_700_000_000_000;
        for round in 0..300 {
            write_round(&head, round, first + round * 15_000);
        }
        let some = [Matcher::new(MatchOp::Regex, "i", "3|histogram.*").unwrap()];
        let ctx = QueryContext::unlimited();
        assert_eq!(head.delete(&ctx, &some, first + 20 * 15_000, first + 170 * 15_000).unwrap(), 4);
        let ours = text(&head);
        drop(head);
        let output =
            std::process::Command::new(&promtool).args(["tsdb", "dump"]).arg(dir.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut want = ours.clone();
        for (labels, samples) in &mut want {
            // It looks for floats, then for histograms of floats, then for those of integers, and prints none of
            // the samples by which it sees that it looked for the wrong kind.
            let swallowed = match labels {
                l if l.contains("histogram 0") => 1,
                l if l.contains("histogram") => 2,
                _ => 0,
            };
            (0..swallowed).for_each(|_| drop(samples.pop_first()));
        }
        assert_eq!(parse_dump(&mut &output.stdout[..]), want);
        // And it leaves a directory that we still read.
        assert_eq!(text(&open_with(dir.path(), options)), ours);
    }
}

/// Floats, and a histogram of each kind, with an exemplar and metadata.
fn write_round(head: &Head, round: i64, t: i64) {
    let mut batch = Batch::default();
    let resolve = |labels: &Labels| head.resolve(Affinity(0), labels).unwrap().series;
    for i in 0..10 {
        let series = resolve(&named("m", i));
        batch.samples.push(BatchSample { series, t, v: (round * i as i64) as f64 / 8.0 });
        batch.start_times.push(t - 100);
    }
    let n = (round % 130) as u64;
    let integer = IntegerHistogram {
        count: 2 * n + 1,
        sum: n as f64,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_deltas: vec![n as i64, 1],
        ..IntegerHistogram::default()
    };
    let custom =
        IntegerHistogram { schema: CUSTOM_BUCKETS, custom_values: vec![0.5, 1.5], ..integer.clone() };
    let values = [
        HistogramValue::Float(Box::new(FloatHistogram::from(&integer))),
        HistogramValue::Integer(Box::new(integer)),
        HistogramValue::Integer(Box::new(custom)),
    ];
    for (i, value) in values.into_iter().enumerate() {
        let labels = Labels::from_pairs([("__name__", "h"), ("i", &format!("histogram {i}"))]);
        batch.histograms.push(BatchHistogram { series: resolve(&labels), t, start_time: t - 50, value });
    }
    let series = resolve(&named("m", 1));
    let labels = Labels::from_pairs([("trace", round.to_string().as_str())]);
    batch.exemplars.push(BatchExemplar { series, labels, t, timed: true, v: 1.0 });
    let metadata =
        Metadata { kind: "counter".into(), unit: String::new(), help: format!("help {}", round / 100) };
    batch.metadata.push(BatchMetadata { series, metadata });
    let mut outcome = Outcome::default();
    head.append(&batch, &mut outcome).unwrap();
    assert_eq!((outcome.appended, outcome.appended_histograms, outcome.appended_exemplars), (10, 3, 1));
}
