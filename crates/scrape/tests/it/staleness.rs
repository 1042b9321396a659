//! Staleness markers: for lines, pages and targets that are gone, and not for others.

use std::time::Duration;

use model::{Labels, is_stale};
use scrape::{Health, JobOptions};

use crate::support::{Answer, Stub, World, at, now_nanos, quick_job, wait_for};

fn series(name: &str) -> String {
    format!("{{__name__=\"{name}\", job=\"j\"}}")
}

fn is_ended(world: &World, name: &str) -> bool {
    world.store.samples(&series(name)).last().is_some_and(|(_, v)| is_stale(*v))
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_vanish_get_one_marker_at_the_time_of_the_scrape() {
    let (stub, world) = (Stub::start().await, World::new());
    stub.set("/metrics", Answer::text("a 1\nb 2\nc 3\n"));
    world.run(vec![(quick_job("j"), vec![at(&stub)])]);
    world.scraped("j").await;
    stub.set("/metrics", Answer::text("c 3\nnew 4\na 1\n"));
    wait_for("the marker", || is_ended(&world, "b").then_some(())).await;
    world.scraped_since("j", now_nanos()).await;
    let b = world.store.samples(&series("b"));
    assert_eq!(b.iter().filter(|(_, v)| is_stale(*v)).count(), 1);
    let end = b.last().unwrap().0;
    assert!(world.store.samples(&series("new")).iter().any(|(t, v)| (*t, *v) == (end, 4.0)));
    for alive in ["a", "c", "new"] {
        assert!(world.store.samples(&series(alive)).iter().all(|(_, v)| !is_stale(*v)), "{alive}");
    }
    world.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_scrape_ends_all_series_once_and_they_come_back() {
    let (stub, world) = (Stub::start().await, World::new());
    let good = Answer::text("a 1\nb 2\n");
    stub.set("/metrics", good.clone());
    world.run(vec![(quick_job("j"), vec![at(&stub)])]);
    world.scraped("j").await;
    for bad in [Answer::text("a 1\nb{ 2\n"), Answer { status: "500 x".to_owned(), ..good.clone() }] {
        stub.set("/metrics", bad);
        wait_for("the markers", || (is_ended(&world, "a") && is_ended(&world, "b")).then_some(())).await;
        world.scraped_since("j", now_nanos()).await;
        let looked_up = world.store.resolved();
        stub.set("/metrics", good.clone());
        wait_for("the samples", || (!is_ended(&world, "a") && !is_ended(&world, "b")).then_some(())).await;
        assert_eq!(world.store.resolved(), looked_up, "lines are still known after a failure");
    }
    let markers = world.store.samples(&series("a")).iter().filter(|(_, v)| is_stale(*v)).count();
    assert_eq!(markers, 2);
    let up = world.store.samples(&series("up"));
    assert!(up.iter().any(|(_, v)| *v == 0.0) && up.last().unwrap().1 == 1.0);
    world.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn timestamps_of_the_page_exempt_from_markers_unless_tracked() {
    let (stub, world) = (Stub::start().await, World::new());
    let t = now_nanos() / 1_000_000;
    stub.set("/metrics", Answer::text(format!("a 1 {t}\nb 2\n")));
    let tracking = JobOptions { track_timestamps_staleness: true, ..quick_job("tracking") };
    world.run(vec![(quick_job("j"), vec![at(&stub)]), (tracking, vec![at(&stub)])]);
    world.scraped("j").await;
    world.scraped("tracking").await;
    stub.set("/metrics", Answer::text("c 1\n"));
    wait_for("the markers", || {
        let tracked = world.store.samples("{__name__=\"a\", job=\"tracking\"}");
        (is_ended(&world, "b") && is_stale(tracked.last()?.1)).then_some(())
    })
    .await;
    world.scraped_since("j", now_nanos()).await;
    assert_eq!(world.store.samples(&series("a")), [(t, 1.0)]);
    world.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_gets_a_timestamp_of_its_own_ends_what_had_none() {
    let (stub, world) = (Stub::start().await, World::new());
    stub.set("/metrics", Answer::text("a 1\nb 2\n"));
    let tracking = JobOptions { track_timestamps_staleness: true, ..quick_job("tracking") };
    world.run(vec![(quick_job("j"), vec![at(&stub)]), (tracking, vec![at(&stub)])]);
    world.scraped("j").await;
    world.scraped("tracking").await;
    let t = now_nanos() / 1_000_000;
    stub.set("/metrics", Answer::text(format!("a 5 {t}\nb 2\n")));
    let tracked = || world.store.samples("{__name__=\"a\", job=\"tracking\"}");
    wait_for("the marker", || is_ended(&world, "a").then_some(())).await;
    wait_for("the sample", || tracked().iter().any(|(_, v)| *v == 5.0).then_some(())).await;
    world.scraped_since("j", now_nanos()).await;
    let a = world.store.samples(&series("a"));
    assert_eq!(a.iter().filter(|(_, v)| is_stale(*v)).count(), 1);
    assert!(a.contains(&(t, 5.0)));
    assert!(world.store.samples(&series("b")).iter().chain(&tracked()).all(|(_, v)| !is_stale(*v)));
    world.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_without_a_byte_ends_all_series_once_and_they_are_known_when_they_come_back() {
    let (stub, world) = (Stub::start().await, World::new());
    stub.set("/metrics", Answer::text("a 1\nb 2\n"));
    world.run(vec![(quick_job("j"), vec![at(&stub)])]);
    world.scraped("j").await;
    stub.set("/metrics", Answer::text(""));
    wait_for("the markers", || (is_ended(&world, "a") && is_ended(&world, "b")).then_some(())).await;
    let nothing = world.scraped_since("j", now_nanos()).await;
    assert_eq!((nothing.health, nothing.last_error.as_str()), (Health::Up, ""));
    let looked_up = world.store.resolved();
    stub.set("/metrics", Answer::text("a 1\nb 2\n"));
    wait_for("the samples", || (!is_ended(&world, "a") && !is_ended(&world, "b")).then_some(())).await;
    assert_eq!(world.store.resolved(), looked_up);
    assert_eq!(world.store.samples(&series("a")).iter().filter(|(_, v)| is_stale(*v)).count(), 1);
    let added = world.store.samples(&series("scrape_series_added"));
    assert_eq!(added.iter().map(|(_, v)| v).sum::<f64>(), 2.0);
    world.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_gone_is_marked_where_timestamps_of_its_own_are_tracked() {
    let (stub, world) = (Stub::start().await, World::new());
    let t = now_nanos() / 1_000_000;
    stub.set("/metrics", Answer::text(format!("a 1 {t}\n")));
    let job =
        |name: &str, track_timestamps_staleness| JobOptions { track_timestamps_staleness, ..quick_job(name) };
    world.run(vec![(job("tracking", true), vec![at(&stub)]), (job("j", false), vec![at(&stub)])]);
    world.scraped("j").await;
    world.scraped("tracking").await;
    world.run(vec![(job("tracking", true), vec![]), (job("j", false), vec![])]);
    let tracked = || world.store.samples("{__name__=\"a\", job=\"tracking\"}");
    wait_for("the markers", || (is_ended(&world, "up") && is_stale(tracked().last()?.1)).then_some(())).await;
    assert_eq!(world.store.samples(&series("a")), [(t, 1.0)]);
    world.manager.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_gone_is_marked_but_but_a_stopping_process_leaves_it() {
    let (stub, world) = (Stub::start().await, World::new());
    stub.set("/metrics", Answer::text("a 1\n"));
    let named = |name: &str| Labels::from_pairs(at(&stub).iter().chain([("name", name)]));
    world.run(vec![(quick_job("j"), vec![named("stays"), named("goes")])]);
    let of = |name: &str, target: &str| {
        world.store.samples(&format!("{{__name__=\"{name}\", job=\"j\", name=\"{target}\"}}"))
    };
    wait_for("both", || (!of("a", "stays").is_empty() && !of("a", "goes").is_empty()).then_some(())).await;
    world.run(vec![(quick_job("j"), vec![named("stays")])]);
    let ended = |samples: Vec<(i64, f64)>| samples.last().is_some_and(|(_, v)| is_stale(*v));
    wait_for("the markers", || (ended(of("a", "goes")) && ended(of("up", "goes"))).then_some(())).await;
    assert!(of("a", "stays").iter().all(|(_, v)| !is_stale(*v)));
    world.manager.stop().await;
    let count = of("a", "stays").len();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(of("a", "stays").len(), count);
    assert!(!ended(of("a", "stays")) && !ended(of("up", "stays")));
}
