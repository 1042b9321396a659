//! Targets that mean harm, or are broken: `up` is 0, the reason is told, the others go on.

use std::io::Write;
use std::time::Duration;

use scrape::{Health, JobOptions, Limits};

use crate::support::{Answer, Stub, World, at, quick_job, wait_for};

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn gzipped(body: &[u8]) -> Answer {
    let mut answer = Answer::text(gzip(body));
    answer.headers.push(("Content-Encoding".to_owned(), "gzip".to_owned()));
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_targets_fail_alone_and_say_why() {
    let (stub, world) = (Stub::start().await, World::new());
    let big = vec![b'\n'; 5 << 20];
    let mut endless = Answer::text(big.clone());
    endless.unannounced = true;
    let mut announced = Answer::text("a 1\n");
    announced.missing = 200 << 20;
    let mut cut = Answer::text("a 1\nb 2");
    cut.missing = 100;
    let mut hang = Answer::text("");
    hang.hangs = true;
    let long_label = format!("a{{x=\"{}\"}} 1\n", "y".repeat(1 << 20));
    let limited = Limits { label_value_length: 1000, body_size: 4 << 20, ..Limits::default() };
    let unlimited = Limits::default();
    let url = |path: &str| format!("http://{}{path}", stub.address);
    let cases = [
        (
            "/announced",
            announced,
            unlimited,
            "body size limit exceeded (64MB unless body_size_limit is set)".to_owned(),
        ),
        ("/endless", endless, limited, "body size limit exceeded".to_owned()),
        ("/bomb", gzipped(&big), limited, "body size limit exceeded".to_owned()),
        ("/cut", cut, unlimited, "unexpected EOF".to_owned()),
        ("/hang", hang, unlimited, format!("Get \"{}\": context deadline exceeded", url("/hang"))),
        (
            "/long-label",
            Answer::text(long_label),
            limited,
            format!(
                "label_value_length_limit exceeded (metric: a, label name: x, value: \"{}\", length: 1048576, limit: 1000)",
                "y".repeat(50)
            ),
        ),
        (
            "/utf8",
            Answer::text(&b"a{b=\"\xff\"} 1\n"[..]),
            unlimited,
            "invalid UTF-8 label value: \"\\\"\\xff\\\"\"".to_owned(),
        ),
        (
            "/in-its-words",
            Answer { status: "503 Gone fishing".to_owned(), ..Answer::text("") },
            unlimited,
            "server returned HTTP status 503 Gone fishing".to_owned(),
        ),
        ("/garbage", Answer::text(&b"\x01\x02 garbage"[..]), unlimited, String::new()),
        ("/half-line", Answer::text("a 1\nb{c=\"d"), unlimited, String::new()),
    ];
    let mut jobs =
        vec![(JobOptions { metrics_path: "/good".to_owned(), ..quick_job("good") }, vec![at(&stub)])];
    stub.set("/good", Answer::text("fine 1\n"));
    for (path, answer, limits, _) in &cases {
        stub.set(path, answer.clone());
        let job = JobOptions {
            metrics_path: (*path).to_owned(),
            scrape_interval: Duration::from_secs(2),
            scrape_timeout: Duration::from_secs(2),
            limits: *limits,
            ..JobOptions::new(*path)
        };
        jobs.push((job, vec![at(&stub)]));
    }
    world.run(jobs);
    for (path, _, _, error) in &cases {
        let target = world.scraped(path).await;
        assert_eq!(target.health, Health::Down, "{path}");
        assert!(!target.last_error.is_empty(), "{path}");
        if !error.is_empty() {
            assert_eq!(&target.last_error, error, "{path}");
        }
        let up = world.store.samples(&format!("{{__name__=\"up\", job=\"{path}\"}}"));
        assert!(up.iter().all(|(_, v)| *v == 0.0) && !up.is_empty(), "{path}");
    }
    let good = world.target("good").unwrap();
    assert_eq!((good.health, good.last_error.as_str()), (Health::Up, ""));
    let samples = world.store.samples("{__name__=\"fine\", job=\"good\"}");
    assert!(samples.len() >= 3, "{samples:?}");
    world.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_of_a_megabyte_is_stored_when_no_limit_forbids_it() {
    let (stub, world) = (Stub::start().await, World::new());
    stub.set("/metrics", Answer::text(format!("a{{x=\"{}\"}} 1\n", "y".repeat(1 << 20))));
    world.run(vec![(quick_job("j"), vec![at(&stub)])]);
    wait_for("three samples", || {
        let all = world.store.all();
        all.iter().any(|(l, samples)| l.value("x").len() == 1 << 20 && samples.len() >= 3).then_some(())
    })
    .await;
    // Lines too long for the layout's length column are still recognised.
    let stored = world.store.all().iter().filter(|(l, _)| l.get("x").is_some()).count();
    assert_eq!((stored, world.store.resolved()), (1, 6));
    world.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_page_creates_no_series() {
    let (stub, world) = (Stub::start().await, World::new());
    let mut page: String = (0..1000).map(|i| format!("junk{{i=\"{i}\"}} 1\n")).collect();
    page.push_str("broken{\n");
    stub.set("/metrics", Answer::text(page));
    world.run(vec![(quick_job("j"), vec![at(&stub)])]);
    world.scraped("j").await;
    assert!(world.store.all().iter().all(|(l, _)| l.metric_name() != Some("junk")));
    let scraped = world.store.samples("{__name__=\"scrape_samples_scraped\", job=\"j\"}");
    assert_eq!(scraped.first().map(|s| s.1), Some(1000.0));
    world.manager.stop().await;
}

/// A page of one native histogram, of three observations in one bucket.
fn histogram_page(schema: i8) -> Vec<u8> {
    let mut histogram = vec![0x08, 3, 0x11];
    histogram.extend(1.5_f64.to_le_bytes());
    let zigzag = (schema << 1) ^ (schema >> 7);
    histogram.extend([0x28, zigzag as u8, 0x31]);
    histogram.extend(0.001_f64.to_le_bytes());
    histogram.extend([0x62, 4, 0x08, 0, 0x10, 1, 0x68, 6]);
    let mut family =
        vec![0x0a, 2, b'n', b'h', 0x18, 4, 0x22, histogram.len() as u8 + 2, 0x3a, histogram.len() as u8];
    family.extend(histogram);
    family.insert(0, family.len() as u8);
    family
}

#[tokio::test(flavor = "multi_thread")]
async fn a_histogram_of_a_schema_that_does_not_exist_fails_the_scrape_unless_coarser_ones_are_asked_for() {
    const PROTOBUF: &str =
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    let (stub, world) = (Stub::start().await, World::new());
    let mut jobs = Vec::new();
    for (name, schema, min_bucket_factor) in
        [("finest", 8, 0.0), ("finer", 12, 0.0), ("nonsense", 55, 0.0), ("made-coarser", 12, 2.0)]
    {
        let path = format!("/{name}");
        stub.set(&path, Answer::typed(PROTOBUF, histogram_page(schema)));
        let mut job = JobOptions { metrics_path: path, ..quick_job(name) };
        job.histograms.native = true;
        job.histograms.min_bucket_factor = min_bucket_factor;
        jobs.push((job, vec![at(&stub)]));
    }
    world.run(jobs);
    for name in ["finest", "made-coarser"] {
        assert_eq!(world.scraped(name).await.last_error, "", "{name}");
    }
    for (name, schema) in [("finer", 12), ("nonsense", 55)] {
        let error = world.scraped(name).await.last_error;
        let expected = "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 \
                        for custom buckets, got schema";
        assert_eq!(error, format!("{expected} {schema}"));
    }
    world.manager.stop().await;
}
