//! The running of loops: requests, times, reloads, limits, handles.

use std::sync::Arc;
use std::time::Duration;

use discovery::{ADDRESS, TargetGroup, TargetSets};
use model::Labels;
use scrape::{Health, JobOptions, Limits, ManagerOptions};
use serde_json::json;
use storage::MemoryBudget;

use crate::support::{Answer, Stub, World, at, now_nanos, quick_job, rule, wait_for};

fn series(name: &str) -> String {
    format!("{{__name__=\"{name}\", job=\"j\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_those_of_prometheus_on_one_connection() {
    let (stub, world) = (Stub::start().await, World::new());
    stub.set("/m?a=b&a=c", Answer::text("a 1\n"));
    let mut job = JobOptions { metrics_path: "/m".to_owned(), ..quick_job("j") };
    job.params.insert("a".to_owned(), vec!["b".to_owned(), "c".to_owned()]);
    world.run(vec![(job, vec![at(&stub)])]);
    wait_for("three requests", || (stub.requests().len() >= 3).then_some(())).await;
    world.manager.stop().await;
    assert_eq!(stub.connections(), 1);
    let request = stub.requests().remove(0);
    for line in [
        "GET /m?a=b&a=c HTTP/1.1",
        "Accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        "Accept-Encoding: gzip",
        "X-Prometheus-Scrape-Timeout-Seconds: 0.1",
        &format!("User-Agent: {}", httpclient::USER_AGENT),
        &format!("Host: {}", stub.address),
    ] {
        assert!(request.lines().any(|l| l == line), "{line} is not in {request}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_server_closed_is_opened_again_within_the_scrape() {
    let (stub, world) = (Stub::start().await, World::new());
    let mut answer = Answer::text("a 1\n");
    answer.headers.push(("Connection".to_owned(), "close".to_owned()));
    stub.set("/metrics", answer);
    world.run(vec![(quick_job("j"), vec![at(&stub)])]);
    wait_for("samples", || {
        let target = world.target("j")?;
        assert_eq!(target.last_error, "");
        (world.store.samples(&series("a")).len() >= 4).then_some(())
    })
    .await;
    world.manager.stop().await;
    assert!(world.store.samples(&series("up")).iter().all(|(_, v)| *v == 1.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_stands_for_the_address_of_its_target_alone() {
    let (stub, world, dir) = (Stub::start().await, World::new(), tempfile::tempdir().unwrap());
    stub.set("/metrics", Answer::text("by_address 1\n"));
    let mut targets = vec![at(&stub)];
    let mut hosts = Vec::new();
    for name in ["one", "two", "none"] {
        let path = dir.path().join(name);
        targets.push(Labels::from_pairs([
            ("__address__", "some.host:80"),
            ("__unix_socket__", path.to_str().unwrap()),
            ("socket", name),
        ]));
        if name != "none" {
            let other = Stub::listen_at(&path);
            other.set("/metrics", Answer::text(format!("by_socket{{at=\"{name}\"}} 1\n")));
            hosts.push(other);
        }
    }
    world.run(vec![(quick_job("j"), targets)]);
    for series in [
        "{__name__=\"by_address\", job=\"j\"}",
        "{__name__=\"by_socket\", at=\"one\", job=\"j\", socket=\"one\"}",
        "{__name__=\"by_socket\", at=\"two\", job=\"j\", socket=\"two\"}",
    ] {
        wait_for(series, || (world.store.samples(series).len() >= 3).then_some(())).await;
    }
    assert_eq!(world.store.all().iter().filter(|(l, _)| l.value("__name__").starts_with("by_")).count(), 3);
    let gone = world.manager.targets(None).active.into_iter().find(|t| t.labels.value("socket") == "none");
    let path = dir.path().join("none");
    assert_eq!(
        gone.unwrap().last_error,
        format!(
            "Get \"http://some.host:80/metrics\": dial unix {}: connect: no such file or directory",
            path.display()
        )
    );
    for request in hosts.iter().flat_map(Stub::requests) {
        assert!(request.contains("\r\nHost: some.host:80\r\n"), "{request}");
    }
    world.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listening_is_a_clear_error() {
    let world = World::new();
    world.run(vec![(quick_job("j"), vec![Labels::from_pairs([("__address__", "127.0.0.1:1")])])]);
    let target = world.scraped("j").await;
    assert_eq!(target.health, Health::Down);
    assert_eq!(
        target.last_error,
        "Get \"http://127.0.0.1:1/metrics\": dial tcp 127.0.0.1:1: connect: connection refused"
    );
    world.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_keeps_what_did_not_change() {
    let (stub, world) = (Stub::start().await, World::new());
    let page: String = (0..50).map(|i| format!("a{{i=\"{i}\"}} {i}\n")).collect();
    stub.set("/metrics", Answer::text(page));
    let job = quick_job("j");
    world.run(vec![(job.clone(), vec![at(&stub)])]);
    let first = "{__name__=\"a\", i=\"0\", job=\"j\"}";
    wait_for("samples", || (world.store.samples(first).len() >= 3).then_some(())).await;
    let looked_up = world.store.resolved();

    world.run(vec![(job.clone(), vec![at(&stub)])]);
    assert_eq!(world.metric("prometheus_target_scrape_pool_reloads_total"), 0.0);
    let slower = JobOptions { limits: Limits { samples: 50, ..Limits::default() }, ..job };
    world.run(vec![(slower, vec![at(&stub)])]);
    assert_eq!(world.metric("prometheus_target_scrape_pool_reloads_total"), 1.0);
    let before = world.store.samples(first).len();
    wait_for("more samples", || (world.store.samples(first).len() >= before + 4).then_some(())).await;
    world.manager.stop().await;

    assert_eq!(world.store.resolved(), looked_up, "lines are still known after a reload");
    let samples = world.store.samples(first);
    assert!(samples.iter().all(|(_, v)| *v == 0.0));
    let widest = samples.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap();
    assert!(widest < 350, "a gap of {widest} ms in {samples:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_fail_the_scrape_and_count() {
    let (stub, world) = (Stub::start().await, World::new());
    stub.set("/metrics", Answer::text("a 1\nb 2\nc 3\n"));
    let samples = JobOptions { limits: Limits { samples: 2, ..Limits::default() }, ..quick_job("j") };
    let targets = JobOptions { limits: Limits { targets: 1, ..Limits::default() }, ..quick_job("t") };
    let named = |name: &str| Labels::from_pairs(at(&stub).iter().chain([("name", name)]));
    world.run(vec![(samples, vec![at(&stub)]), (targets, vec![named("x"), named("y")])]);
    assert_eq!(world.scraped("j").await.last_error, "sample limit exceeded");
    assert_eq!(world.scraped("t").await.last_error, "target_limit exceeded (number of targets: 2, limit: 1)");
    assert!(world.store.samples(&series("a")).is_empty());
    assert_eq!(world.store.samples(&series("scrape_samples_scraped"))[0].1, 3.0);
    assert!(world.metric("prometheus_target_scrapes_exceeded_sample_limit_total") >= 1.0);
    assert_eq!(world.metric("prometheus_target_scrape_pool_exceeded_target_limit_total"), 1.0);
    world.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn series_that_the_store_refuses_are_a_clear_error_and_the_others_go_on() {
    let (stub, world) = (Stub::start().await, World::new());
    stub.set("/metrics", Answer::text("a 1\n"));
    world.run(vec![(quick_job("j"), vec![at(&stub)])]);
    world.scraped("j").await;
    world.store.limit_series(world.store.all().len());
    stub.set("/metrics", Answer::text("a 2\nb 1\nc 1\n"));
    let refused = wait_for("a refusal", || world.target("j").filter(|t| !t.last_error.is_empty())).await;
    assert_eq!(refused.last_error, "2 new series refused: no more than that");
    assert_eq!(refused.health, Health::Up);
    wait_for("samples", || (world.store.samples(&series("a")).last()?.1 == 2.0).then_some(())).await;
    assert_eq!(world.store.samples(&series("up")).last().unwrap().1, 1.0);
    assert!(world.store.samples(&series("b")).is_empty());
    world.store.limit_series(usize::MAX);
    wait_for("an end", || world.target("j").filter(|t| t.last_error.is_empty())).await;
    wait_for("samples", || (!world.store.samples(&series("b")).is_empty()).then_some(())).await;
    world.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_for_which_there_is_no_memory_is_a_clear_error_until_it_is_shorter() {
    let memory = MemoryBudget::new(1 << 20);
    let (stub, world) = (Stub::start().await, World::with(ManagerOptions { memory, ..Default::default() }));
    let page = |lines: usize| -> String { (0..lines).map(|i| format!("a{{i=\"{i:0>80}\"}} 1\n")).collect() };
    let announced = Answer::text(page(5000));
    for long in [Answer { unannounced: true, ..announced.clone() }, announced] {
        stub.set("/metrics", long);
        world.run(vec![(quick_job("j"), vec![at(&stub)])]);
        let refused = wait_for("a refusal", || world.target("j").filter(|t| !t.last_error.is_empty())).await;
        assert_eq!(
            refused.last_error,
            "no memory for the page: pages may take 256KiB together, a quarter of the memory limit (--memory.limit)"
        );
        assert_eq!(refused.health, Health::Down);
        stub.set("/metrics", Answer::text(page(1000)));
        wait_for("an end", || world.target("j").filter(|t| t.last_error.is_empty())).await;
    }
    world.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_wait_for_each_others_memory() {
    let memory = MemoryBudget::new(1 << 20);
    let options = ManagerOptions { memory: memory.clone(), ..Default::default() };
    let (stub, world) = (Stub::start().await, World::with(options));
    let page: String = (0..2000).map(|i| format!("a{{i=\"{i:0>80}\"}} 1\n")).collect();
    assert!(page.len() > (1 << 17) && page.len() < (1 << 18), "one fits, two do not");
    let slow = Duration::from_secs(5);
    let job = JobOptions { scrape_timeout: slow, scrape_interval: slow, ..quick_job("j") };
    let targets = (0..8).map(|i| {
        let path = format!("/{i}");
        stub.set(&path, Answer::text(page.clone()));
        Labels::from_pairs([(ADDRESS, stub.address.to_string()), ("__metrics_path__", path)])
    });
    world.run(vec![(job, targets.collect())]);
    wait_for("all targets", || {
        let targets = world.manager.targets(Some("j")).active;
        targets.iter().all(|t| t.health == Health::Up).then_some(())
    })
    .await;
    world.manager.stop().await;
    assert_eq!(memory.components(), [("pages", 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn handles_that_the_store_dropped_are_looked_up_within_the_scrape() {
    let (stub, world) = (Stub::start().await, World::new());
    stub.set("/metrics", Answer::text("# TYPE a gauge\na 1\nb 2\n"));
    world.run(vec![(quick_job("j"), vec![at(&stub)])]);
    wait_for("samples", || (world.store.samples(&series("b")).len() >= 2).then_some(())).await;
    world.store.forget_handles();
    let since = now_nanos();
    world.scraped_since("j", since).await;
    world.scraped_since("j", now_nanos()).await;
    world.manager.stop().await;
    for name in ["a", "b", "up", "scrape_series_added"] {
        let after: Vec<_> = world
            .store
            .all()
            .into_iter()
            .filter(|(l, _)| l.metric_name() == Some(name))
            .flat_map(|(_, samples)| samples)
            .filter(|(t, _)| *t >= since / 1_000_000)
            .collect();
        assert!(!after.is_empty(), "{name}");
    }
    // Each time has one sample: nothing was lost and nothing was written twice.
    let mut times: Vec<i64> = Vec::new();
    for (labels, samples) in world.store.all() {
        if labels.metric_name() == Some("b") {
            times.extend(samples.iter().map(|s| s.0));
        }
    }
    let ups: usize =
        world.store.all().iter().filter(|(l, _)| l.metric_name() == Some("up")).map(|(_, s)| s.len()).sum();
    assert_eq!(times.len(), ups);
}

#[tokio::test(flavor = "multi_thread")]
async fn timestamps_are_exact_multiples_of_the_interval() {
    let (stub, world) = (Stub::start().await, World::new());
    stub.set("/metrics", Answer::text("a 1\n"));
    let job = JobOptions {
        scrape_interval: Duration::from_millis(300),
        scrape_timeout: Duration::from_millis(300),
        ..JobOptions::new("j")
    };
    world.run(vec![(job, vec![at(&stub)])]);
    // The machine may be too busy to keep some of the times.
    wait_for("samples at exact intervals", || {
        let times: Vec<i64> = world.store.samples(&series("a")).iter().map(|s| s.0).collect();
        let exact = times.windows(2).filter(|pair| (pair[1] - pair[0]) % 300 == 0).count();
        (exact >= 4).then_some(())
    })
    .await;
    world.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_targets_are_scraped_once() {
    let (stub, world) = (Stub::start().await, World::new());
    stub.set("/metrics", Answer::text("a 1\n"));
    world.run(vec![(quick_job("j"), vec![at(&stub), at(&stub)])]);
    world.scraped("j").await;
    assert_eq!(world.manager.targets(None).active.len(), 1);
    world.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_that_stay_keep_their_targets_while_others_come_and_go() {
    let world = World::new();
    let group = |source: &str, targets: &[&str]| {
        Arc::new(TargetGroup {
            source: source.to_owned(),
            targets: targets.iter().map(|address| Labels::from_pairs([(ADDRESS, *address)]).into()).collect(),
            labels: Labels::from_pairs([("__meta_group", source)]).into(),
        })
    };
    let drop_some = rule(&json!({"source_labels": [ADDRESS], "regex": "dropped.*", "action": "drop"}));
    let job = JobOptions {
        scrape_interval: Duration::from_secs(3600),
        relabel_configs: vec![drop_some],
        ..quick_job("j")
    };
    world.manager.apply(vec![job]).unwrap();
    // What is active with the group that it was found in, and what is dropped.
    let shown = || {
        let view = world.manager.targets(Some("j"));
        let mut active: Vec<String> = view
            .active
            .iter()
            .map(|t| format!("{} {}", t.labels.value("instance"), t.discovered_labels.value("__meta_group")))
            .collect();
        active.sort();
        let mut dropped: Vec<String> =
            view.dropped.iter().map(|t| t.discovered_labels.value(ADDRESS).to_owned()).collect();
        dropped.sort();
        (active.join(", "), dropped.join(", "))
    };
    let (a, b) = (group("a", &["x:1", "both:1", "dropped:1"]), group("b", &["both:1", "dropped:2"]));
    let only_dropped = group("c", &["dropped:3", "dropped:4"]);
    for (groups, active, dropped) in [
        (vec![&a], "both:1 a, x:1 a", "dropped:1"),
        (vec![&a, &b], "both:1 a, x:1 a", "dropped:1, dropped:2"),
        (vec![&a, &b, &only_dropped], "both:1 a, x:1 a", "dropped:1, dropped:2, dropped:3, dropped:4"),
        (vec![&b, &only_dropped], "both:1 b", "dropped:2, dropped:3, dropped:4"),
        (vec![&only_dropped], "", "dropped:3, dropped:4"),
        (vec![&b, &a], "both:1 b, x:1 a", "dropped:1, dropped:2"),
        (vec![], "", ""),
    ] {
        let groups = groups.into_iter().cloned().collect();
        world.sets.send_replace(TargetSets::new([("j".to_owned(), groups)].into()));
        let wanted = (active.to_owned(), dropped.to_owned());
        wait_for(&format!("{wanted:?}"), || (shown() == wanted).then_some(())).await;
    }
    world.manager.stop().await;
}
