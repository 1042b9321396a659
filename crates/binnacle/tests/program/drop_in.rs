//! A team can go over to binnacle, and back: each program opens the data directory that the other one left.

use crate::site::{Samples, Site, is_peer, prometheus};
use crate::stub::{Answer, Stub};

fn assert_kept(before: &Samples, after: &Samples, what: &str) {
    for (labels, points) in before {
        let now = after.get(labels).unwrap_or_else(|| panic!("{what}: {labels:?} is missing"));
        assert!(points.iter().all(|(t, v)| now.get(t) == Some(v)), "{what}: {labels:?}: {points:?} {now:?}");
    }
}

#[test]
fn prometheus_and_binnacle_take_turns_on_one_directory() {
    let Some(prometheus) = prometheus().filter(|_| !is_peer()) else { return };
    let stub = Stub::start();
    stub.set(
        "/metrics",
        Answer::computed(|seen| {
            // Long enough at this pace for full chunks.
            let n = seen.before;
            (0..20).map(|i| format!("turn_total{{i=\"{i}\"}} {}\n", n * i)).collect::<String>()
                + &format!("turn_value {}\nodd{{n=\"{}\"}} NaN\n", (n * 7919 % 1000) as f64 / 7.0, n / 40)
        }),
    );
    let mut site = Site::server(&format!(
        "global: {{scrape_interval: 10ms}}\nscrape_configs: [{{job_name: turns, static_configs: [{{targets: [\"{}\"]}}]}}]\n",
        stub.address
    ));
    let mut before = Samples::new();
    for (turn, other) in [None, Some(prometheus.as_str()), None].into_iter().enumerate() {
        site.switch_to(other);
        let what = format!("turn {turn}, {}", other.unwrap_or("binnacle"));
        let program = site.start();
        let all = "{job=\"turns\"}[10m]";
        assert_kept(&before, &program.samples(all, None), &what);
        let now = stub.seen("/metrics").len();
        program.wait_for("a chunk's worth of scrapes", |_| {
            (stub.seen("/metrics").len() > now + 125).then_some(())
        });
        before = program.samples(all, None);
        // Taken over from a program that was killed, too.
        if turn == 2 {
            assert!(program.interrupt().0.success(), "{what}");
        } else {
            program.kill();
        }
    }
    site.switch_to(Some(&prometheus));
    assert_kept(&before, &site.start().samples("{job=\"turns\"}[10m]", None), "at the end");
}
