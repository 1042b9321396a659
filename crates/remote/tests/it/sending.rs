//! From one store to another.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use model::Labels;
use model::histogram::{CUSTOM_BUCKETS, HistogramValue, IntegerHistogram, Span};
use remote::{
    FamilyMetadata, MessageType, MetadataOptions, QueueOptions, RemoteWrite, SenderOptions, WriteOptions,
};
use storage::Metadata;
use tokio_util::sync::CancellationToken;

use crate::destination::{Destination, TAKES_AND_FAILS};
use crate::store::{Store, labels};

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn destination(port: u16, message: MessageType) -> WriteOptions {
    let url = format!("http://127.0.0.1:{port}/api/v1/write");
    WriteOptions {
        name: "test".into(),
        key: "test 0".into(),
        hash: format!("{url} {message:?}"),
        url: httpclient::Url::parse(&url).unwrap(),
        shown_url: url,
        message,
        timeout: Duration::from_secs(5),
        headers: vec![("x-tenant".into(), "t1".into())],
        relabel: Vec::new(),
        exemplars: true,
        histograms: true,
        queue: QueueOptions {
            capacity: 200,
            max_shards: 4,
            min_shards: 2,
            max_samples_per_send: 50,
            batch_send_deadline: Duration::from_millis(20),
            min_backoff: Duration::from_millis(5),
            max_backoff: Duration::from_millis(20),
            retry_on_http_429: true,
            sample_age_limit: Duration::ZERO,
        },
        metadata: None,
        client: Default::default(),
        signer: None,
    }
}

/// A store whose samples are sent on.
struct Source {
    store: Store,
    remote: Arc<RemoteWrite>,
    stop: CancellationToken,
    _runtime: tokio::runtime::Runtime,
}

impl Source {
    fn open(dir: &Path, backlog_size: u64) -> Source {
        Source::over(Store::open(dir), dir, backlog_size)
    }

    fn over(store: Store, dir: &Path, backlog_size: u64) -> Source {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let options = SenderOptions {
            data: dir.to_path_buf(),
            flush_deadline: Duration::from_secs(5),
            backlog_size,
            type_and_unit_labels: false,
            memory: Default::default(),
            metadata: Arc::new(|| {
                vec![FamilyMetadata {
                    name: "m".into(),
                    kind: "counter".into(),
                    help: "Help.".into(),
                    unit: String::new(),
                }]
            }),
            runtime: runtime.handle().clone(),
        };
        let remote = RemoteWrite::new(options, Arc::clone(store.db.head()) as _, &store.registry);
        let stop = CancellationToken::new();
        runtime.spawn(Arc::clone(&remote).run(stop.clone()));
        Source { store, remote, stop, _runtime: runtime }
    }

    fn send_to(&self, options: WriteOptions) {
        self.remote.apply(vec![options], &Labels::empty()).unwrap();
    }

    fn metric(&self, name: &str) -> f64 {
        let families = self.store.registry.gather();
        let family = families.into_iter().find(|family| family.name == name);
        family
            .into_iter()
            .flat_map(|family| family.metrics)
            .map(|metric| match metric.value {
                exposition::MetricValue::Float(v) => v,
                _ => 0.0,
            })
            .sum()
    }

    /// As a program that ends.
    fn end(self) {
        self.remote.stop();
        self.stop.cancel();
        self.store.db.close().unwrap();
        self.remote.logs_are_closed();
    }
}

fn histogram(count: u64, schema: i32) -> HistogramValue {
    HistogramValue::Integer(Box::new(IntegerHistogram {
        schema,
        count,
        sum: count as f64 * 1.5,
        positive_spans: vec![Span { offset: 0, length: 1 }],
        positive_deltas: vec![count as i64],
        custom_values: if schema == CUSTOM_BUCKETS { vec![1.0, 2.0] } else { Vec::new() },
        ..IntegerHistogram::default()
    }))
}

#[test]
fn everything_that_is_appended_arrives() {
    for message in [MessageType::V1, MessageType::V2] {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let source = Source::open(dirs[0].path(), 1 << 30);
        let target = Store::open(dirs[1].path());
        let there = Destination::start(Arc::clone(&target.db) as _);
        let t = now() - 60_000;
        // Not sent: it was there before.
        source.store.append("before", 3, t);
        source.send_to(destination(there.port, message));
        for i in 0..20 {
            source.store.append("m", 100, t + 1000 + i * 1000);
        }
        let hists = labels("h", 0);
        source.store.append_histogram(&hists, t + 1000, histogram(5, 3));
        let own = Labels::from_pairs([("trace_id", "x")]);
        source.store.append_exemplar(&labels("m", 3), &own, t + 1500, 4.5);
        let about = Metadata { kind: "gauge".into(), unit: "s".into(), help: "About m.".into() };
        source.store.describe(&labels("m", 4), about.clone());
        let custom = labels("custom", 0);
        source.store.append_histogram(&custom, t + 2000, histogram(7, CUSTOM_BUCKETS));
        source.store.append("m", 100, t + 30_000);
        let mut want = source.store.content();
        want.retain(|labels, _| !labels.contains("before"));
        if message == MessageType::V1 {
            // The message has no place for them.
            assert!(want.remove(&custom.to_string()).is_some());
        }
        wait_for("all", || target.content().len() == want.len() && target.content() == want);
        wait_for("the exemplar", || target.db.head().appended()[2] == 1.0);
        assert_eq!(there.errors(), Vec::<String>::new());
        let seen = there.seen();
        assert!(seen.iter().all(|seen| seen.header("x-tenant") == "t1"));
        let (content_type, version) = match message {
            MessageType::V1 => ("application/x-protobuf", "0.1.0"),
            MessageType::V2 => ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
        };
        assert_eq!(seen[0].header("content-type"), content_type);
        assert_eq!(seen[0].header("x-prometheus-remote-write-version"), version);
        assert_eq!(source.metric("prometheus_remote_storage_samples_total"), 2100.0);
        wait_for("nothing to wait", || source.metric("prometheus_remote_storage_samples_pending") == 0.0);
        assert_eq!(source.metric("prometheus_remote_storage_samples_failed_total"), 0.0);
        source.end();
    }
}

/// Where the disk goes with the process there is no other occasion.
#[test]
fn what_is_appended_right_before_the_end_is_sent() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let target = Store::open(dirs[1].path());
    let there = Destination::start(Arc::clone(&target.db) as _);
    let t = now() - 3_600_000;
    for round in 0..5 {
        let source = Source::open(dirs[0].path(), 1 << 30);
        source.send_to(destination(there.port, MessageType::V2));
        // More than there is room for in the shards.
        for i in 0..30 {
            source.store.append("m", 100, t + round * 100_000 + i * 1000);
        }
        let want = source.store.content();
        source.end();
        assert!(target.content() == want, "round {round}: not all was sent");
    }
    assert_eq!(there.errors(), Vec::<String>::new());
}

#[test]
fn the_end_does_not_wait_for_who_is_away() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let target = Store::open(dirs[1].path());
    let there = Destination::start(Arc::clone(&target.db) as _);
    there.set_trouble(503);
    let t = now() - 3_600_000;
    let source = Source::open(dirs[0].path(), 1 << 30);
    let mut options = destination(there.port, MessageType::V1);
    options.queue.min_backoff = Duration::from_secs(60);
    options.queue.max_backoff = Duration::from_secs(60);
    source.send_to(options);
    // More than there is room for in the shards.
    for i in 0..30 {
        source.store.append("m", 100, t + i * 1000);
    }
    wait_for("an attempt", || there.refused() > 0);
    let begun = Instant::now();
    source.end();
    assert!(begun.elapsed() < Duration::from_secs(5), "it was waited until the flush deadline");
}

#[test]
fn an_outage_over_restarts_and_checkpoints_loses_and_doubles_nothing() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let target = Store::open(dirs[1].path());
    let there = Destination::start(Arc::clone(&target.db) as _);
    let t = now() - 3_600_000;
    let mut source = Source::open(dirs[0].path(), 1 << 30);
    source.send_to(destination(there.port, MessageType::V1));
    source.store.append("m", 100, t);
    wait_for("the first samples", || target.content() == source.store.content());
    there.set_trouble(503);
    for round in 1..=3 {
        for i in 0..40 {
            source.store.append("m", 100, t + round * 100_000 + i * 1000);
        }
        source.store.append(&format!("only_{round}"), 10, t + round * 100_000);
        let refused = there.refused();
        wait_for("another attempt", || there.refused() > refused);
        // What the head needs no more of its log goes: also series that end.
        source.store.db.head().checkpoint_now().unwrap();
        let first = std::fs::read_dir(dirs[0].path().join("wal")).unwrap().flatten();
        assert!(
            !first.map(|f| f.file_name()).any(|f| f == "00000000"),
            "the log still begins with the outage"
        );
        source.end();
        source = Source::open(dirs[0].path(), 1 << 30);
        source.send_to(destination(there.port, MessageType::V1));
    }
    source.store.append("m", 100, t + 500_000);
    there.set_trouble(0);
    wait_for("all", || target.content() == source.store.content());
    // Again and again the same would be no error, but what came late would be.
    assert_eq!(there.errors(), Vec::<String>::new());
    let (sent, stored) = (target.db.head().appended()[0], source.store.content());
    assert_eq!(sent as usize, stored.values().map(Vec::len).sum::<usize>());
    wait_for("the backlog to be deleted", || source.metric("binnacle_remote_storage_backlog_bytes") == 0.0);
    source.end();
}

/// It has sent that itself.
#[test]
fn what_another_program_has_logged_in_between_is_not_sent_and_its_series_are_known() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let target = Store::open(dirs[1].path());
    let there = Destination::start(Arc::clone(&target.db) as _);
    let t = now() - 3_600_000;
    let source = Source::open(dirs[0].path(), 1 << 30);
    source.send_to(destination(there.port, MessageType::V1));
    source.store.append("m", 10, t);
    wait_for("the first samples", || target.content() == source.store.content());
    // What still waits at the end is sent all the same.
    there.set_trouble(503);
    source.store.append("m", 10, t + 1000);
    source.end();
    let other = Store::open(dirs[0].path());
    other.append("m", 20, t + 2000);
    other.db.close().unwrap();
    drop(other);
    there.set_trouble(0);
    let mut want = Vec::new();
    for round in 1..=2 {
        let source = Source::open(dirs[0].path(), 1 << 30);
        source.send_to(destination(there.port, MessageType::V1));
        // Ten of the series are named in the segment of the other program alone.
        source.store.append("m", 20, t + 10_000 * round);
        want.push(t + 10_000 * round);
        wait_for("the newest", || target.db.head().appended()[0] == 20.0 + 20.0 * round as f64);
        source.end();
    }
    let times = |number: usize| -> Vec<i64> {
        target.content()[&labels("m", number).to_string()].iter().map(|(t, _)| *t).collect()
    };
    assert_eq!(times(15), want);
    assert_eq!(times(5), [vec![t, t + 1000], want].concat());
    assert_eq!(there.errors(), Vec::<String>::new());
}

/// What the log names no more stands in a checkpoint that came after what was sent.
#[test]
fn series_that_another_program_left_in_a_checkpoint_go_on_being_sent() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let target = Store::open(dirs[1].path());
    let there = Destination::start(Arc::clone(&target.db) as _);
    let t = now() - 3_600_000;
    let source = Source::open(dirs[0].path(), 1 << 30);
    source.send_to(destination(there.port, MessageType::V2));
    source.store.append("m", 100, t);
    wait_for("the first samples", || target.content() == source.store.content());
    source.end();
    let other = Store::open(dirs[0].path());
    for i in 1..200 {
        other.append("m", 100, t + i * 1000);
    }
    other.db.head().checkpoint_now().unwrap();
    other.db.close().unwrap();
    drop(other);
    assert!(!dirs[0].path().join("wal/00000000").exists());
    let source = Source::open(dirs[0].path(), 1 << 30);
    source.send_to(destination(there.port, MessageType::V2));
    source.store.append("m", 100, t + 500_000);
    let newest = || {
        target.content().values().filter(|all| all.last().is_some_and(|(at, _)| *at == t + 500_000)).count()
    };
    wait_for("the newest samples", || newest() == 100);
    assert_eq!(there.errors(), Vec::<String>::new());
    source.end();
}

/// A receiver of 1.0 stores a request whole or not at all: what it has already must not come along with what is new.
#[test]
fn what_was_taken_in_and_not_answered_spoils_nothing_after_a_restart() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let target = Store::open(dirs[1].path());
    let there = Destination::start(Arc::clone(&target.db) as _);
    let t = now() - 3_600_000;
    let mut source = Source::open(dirs[0].path(), 1 << 30);
    source.send_to(destination(there.port, MessageType::V1));
    for round in 0..4 {
        there.set_trouble(TAKES_AND_FAILS);
        let refused = there.refused();
        // Several samples of each series, and less than fills a request.
        for i in 0..3 {
            source.store.append("m", 10, t + round * 10_000 + i * 1000);
        }
        wait_for("a request of each shard", || there.refused() >= refused + 2);
        source.end();
        source = Source::open(dirs[0].path(), 1 << 30);
        source.store.append("m", 10, t + round * 10_000 + 5000);
        there.set_trouble(0);
        source.send_to(destination(there.port, MessageType::V1));
        wait_for("all", || target.content() == source.store.content());
    }
    source.end();
}

#[test]
fn a_backlog_that_becomes_too_large_loses_its_oldest_samples_and_says_so() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let target = Store::open(dirs[1].path());
    let there = Destination::start(Arc::clone(&target.db) as _);
    there.set_trouble(500);
    let t = now() - 3_600_000;
    let source = Source::open(dirs[0].path(), 256 * 1024);
    source.send_to(destination(there.port, MessageType::V2));
    for i in 0..600 {
        source.store.append("m", 100, t + i * 1000);
    }
    source.store.db.head().checkpoint_now().unwrap();
    source.store.append("m", 100, t + 700_000);
    wait_for("the loss", || source.metric("binnacle_remote_storage_backlog_dropped_segments_total") > 0.0);
    assert!(source.metric("binnacle_remote_storage_backlog_bytes") <= 256.0 * 1024.0);
    there.set_trouble(0);
    let all = source.store.content();
    let last = |content: &crate::store::Content| {
        content.values().filter_map(|samples| samples.last().cloned()).collect::<Vec<_>>()
    };

    wait_for("the newest", || target.content().len() == all.len() && last(&target.content()) == last(&all));
    let (had, got) = (all.values().map(Vec::len).sum::<usize>(), target.db.head().appended()[0] as usize);
    assert!(got < had && got > had / 10, "{got} of {had}");
    assert_eq!(there.errors(), Vec::<String>::new());
    source.end();
}

#[test]
fn how_much_waits_is_told_while_nothing_can_be_sent() {
    let dir = tempfile::tempdir().unwrap();
    let source = Source::open(dir.path(), 1 << 30);
    // Nobody listens there.
    source.send_to(destination(1, MessageType::V1));
    let t = now() - 600_000;
    for i in 0..40 {
        source.store.append("m", 100, t + i * 1000);
    }
    wait_for("the size", || source.metric("binnacle_remote_storage_unsent_bytes") > 10_000.0);
    source.end();
}

/// A backlog that took hours with the shards that there were when it began takes minutes with those that it needs.
#[test]
fn shards_are_added_while_a_backlog_is_being_sent() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let target = Store::open(dirs[1].path());
    let there = Destination::start(Arc::clone(&target.db) as _);
    there.set_trouble(503);
    let source = Source::open(dirs[0].path(), 1 << 30);
    source.send_to(destination(there.port, MessageType::V1));
    let t = now() - 3_600_000;
    for i in 0..400 {
        source.store.append("m", 100, t + i * 1000);
    }
    source.end();
    there.set_delay(100);
    there.set_trouble(0);
    let source = Source::open(dirs[0].path(), 1 << 30);
    source.send_to(destination(there.port, MessageType::V1));
    for i in 400..700 {
        source.store.append("m", 100, t + i * 1000);
    }
    wait_for("more shards", || source.metric("prometheus_remote_storage_shards") == 4.0);
    assert!(source.metric("binnacle_remote_storage_unsent_bytes") > 10_000.0);
    there.set_delay(0);
    wait_for("all", || target.db.head().appended()[0] == 70_000.0);
    assert!(target.content() == source.store.content());
    assert_eq!(there.errors(), Vec::<String>::new());
    source.end();
}

#[test]
fn what_is_refused_for_good_is_counted_and_not_sent_again() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let target = Store::open(dirs[1].path());
    let there = Destination::start(Arc::clone(&target.db) as _);
    there.set_trouble(400);
    let source = Source::open(dirs[0].path(), 1 << 30);
    source.send_to(destination(there.port, MessageType::V1));
    let t = now() - 60_000;
    source.store.append("lost", 10, t);
    wait_for("the refusal", || source.metric("prometheus_remote_storage_samples_failed_total") == 10.0);
    let refused = there.refused();
    // To slow down is asked of those who try again when told so.
    there.set_retry_after();
    there.set_trouble(429);
    source.store.append("kept", 10, t + 1000);
    wait_for("a second attempt", || there.refused() > refused + 1);
    there.set_trouble(0);
    wait_for("what was kept", || target.content().len() == 10);
    assert!(source.metric("prometheus_remote_storage_samples_retried_total") >= 10.0);
    let retried = there.seen().into_iter().filter(|seen| !seen.header("retry-attempt").is_empty());
    assert!(retried.count() > 0);
    source.end();
}

#[test]
fn samples_out_of_order_are_sent_too() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let head = || tsdb::HeadOptions {
        out_of_order_window: Duration::from_secs(3600),
        ..tsdb::HeadOptions::default()
    };
    let target = Store::open_with(dirs[1].path(), head());
    let there = Destination::start(Arc::clone(&target.db) as _);
    let source = Source::over(Store::open_with(dirs[0].path(), head()), dirs[0].path(), 1 << 30);
    source.send_to(destination(there.port, MessageType::V2));
    let t = now() - 60_000;
    for offset in [50_000, 10_000, 30_000, 0, 55_000] {
        source.store.append("m", 10, t + offset);
    }

    wait_for("all", || target.content() == source.store.content());
    source.end();
}

#[test]
fn another_configuration_goes_on_where_the_one_before_ended() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let target = Store::open(dirs[1].path());
    let there = Destination::start(Arc::clone(&target.db) as _);
    let source = Source::open(dirs[0].path(), 1 << 30);
    source.send_to(destination(there.port, MessageType::V1));
    let t = now() - 600_000;
    source.store.append("m", 50, t);
    wait_for("the first", || target.content() == source.store.content());
    there.set_trouble(503);
    source.store.append("m", 50, t + 1000);
    let refused = there.refused();
    wait_for("an attempt", || there.refused() > refused);
    source.send_to(destination(there.port, MessageType::V2));
    there.set_trouble(0);
    source.store.append("m", 50, t + 2000);
    wait_for("all", || target.content() == source.store.content());
    assert_eq!(target.db.head().appended()[0], 150.0);
    // Another name in the middle of an outage.
    there.set_trouble(503);
    source.store.append("m", 50, t + 2500);
    let refused = there.refused();
    wait_for("an attempt", || there.refused() > refused);
    let named = WriteOptions {
        name: "named".into(),
        key: "named 0".into(),
        hash: "named".into(),
        ..destination(there.port, MessageType::V2)
    };
    source.send_to(named);
    there.set_trouble(0);
    wait_for("what came in the outage", || target.content() == source.store.content());
    assert_eq!(target.db.head().appended()[0], 200.0);
    // Taken out, it is forgotten.
    source.remote.apply(Vec::new(), &Labels::empty()).unwrap();
    source.store.append("m", 50, t + 3000);
    source.send_to(destination(there.port, MessageType::V2));
    source.store.append("m", 50, t + 4000);
    wait_for("the newest", || target.db.head().appended()[0] == 250.0);
    assert_eq!(there.errors(), Vec::<String>::new());
    source.end();
}

#[test]
fn version_1_tells_what_metrics_are_in_messages_of_their_own() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let target = Store::open(dirs[1].path());
    let there = Destination::start(Arc::clone(&target.db) as _);
    let source = Source::open(dirs[0].path(), 1 << 30);
    source.send_to(WriteOptions {
        metadata: Some(MetadataOptions { interval: Duration::from_millis(20), max_samples_per_send: 10 }),
        ..destination(there.port, MessageType::V1)
    });
    wait_for("metadata", || source.metric("prometheus_remote_storage_metadata_total") >= 1.0);
    let body = &there.seen()[0].body;
    let body = snap::raw::Decoder::new().decompress_vec(body).unwrap();
    assert_eq!(body, b"\x1a\x0c\x08\x01\x12\x01m\x22\x05Help.");
    source.end();
}
