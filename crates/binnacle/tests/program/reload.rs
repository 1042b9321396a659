//! Another configuration while it runs.

use rustix::process::Signal;

use crate::site::{Program, Site, is_peer};
use crate::stub::Stub;

fn config(job: &str, stub: &Stub) -> String {
    format!(
        "global: {{scrape_interval: 200ms}}\nscrape_configs: [{{job_name: {job}, static_configs: [{{targets: [\"{}\"]}}]}}]\n",
        stub.address
    )
}

fn own_metric(program: &Program<'_>, name: &str) -> Option<f64> {
    let page = program.get("/metrics").text();
    page.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn reloading_puts_a_right_file_in_force_and_a_wrong_one_not() {
    let stub = Stub::serving("x 1\n");
    let site = Site::server(&config("first", &stub)).flag("--web.enable-lifecycle");
    let program = site.start();
    program.wait_for_value("x{job=\"first\"}", 1.0);
    assert_eq!(own_metric(&program, "prometheus_config_last_reload_successful"), Some(1.0));

    // By signal.
    site.write("prometheus.yml", &config("second", &stub));
    program.signal(Signal::HUP);
    program.wait_for_value("x{job=\"second\"}", 1.0);
    if !is_peer() {
        // Prometheus marks series stale when a target goes, but not when its whole job does.
        program.wait_for("the end of its series", |p| p.query("x{job=\"first\"}").is_empty().then_some(()));
    }

    // By request.
    site.write("prometheus.yml", &config("third", &stub));
    let answer = program.request("POST", "/-/reload", &[], b"");
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    let shown = program.data("/api/v1/status/config")["yaml"].as_str().unwrap().to_owned();
    assert!(shown.contains("job_name: third") && !shown.contains("job_name: second"), "{shown}");
    program.wait_for_value("x{job=\"third\"}", 1.0);

    // A wrong one: refused with the reason, told by a metric, and nothing else changes.
    site.write("prometheus.yml", "global:\n  scrape_interval: 200ms\n  scrape_intervall: 1s\n");
    let answer = program.request("POST", "/-/reload", &[], b"");
    assert_eq!(answer.status, 500);
    let text = answer.text();
    assert!(text.starts_with("failed to reload config: "), "{text}");
    for part in ["prometheus.yml", "scrape_intervall"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(own_metric(&program, "prometheus_config_last_reload_successful"), Some(0.0));
    let info = program.data("/api/v1/status/runtimeinfo");
    assert_eq!(info["reloadConfigSuccess"], false, "{info}");
    let unchanged = program.data("/api/v1/status/config")["yaml"].as_str().unwrap().to_owned();
    assert_eq!(unchanged, shown);
    let scrapes = stub.seen("/metrics").len();
    program.wait_for("more scrapes", |_| (stub.seen("/metrics").len() > scrapes + 2).then_some(()));
    program.wait_for_value("x{job=\"third\"}", 1.0);

    // The same for none at all.
    let file = site.path("prometheus.yml");
    std::fs::remove_file(&file).unwrap();
    let text = program.request("POST", "/-/reload", &[], b"").text();
    assert!(text.contains(&format!("open {}: no such file or directory", file.display())), "{text}");
    site.write("prometheus.yml", "global:\n  scrape_interval: 200ms\n  scrape_intervall: 1s\n");

    // The same by signal, and back to a right one.
    program.signal(Signal::HUP);
    program.wait_for("the log to tell", |p| p.log().contains("scrape_intervall").then_some(()));
    site.write("prometheus.yml", &config("fourth", &stub));
    program.signal(Signal::HUP);
    program.wait_for_value("x{job=\"fourth\"}", 1.0);
    assert_eq!(own_metric(&program, "prometheus_config_last_reload_successful"), Some(1.0));
}

#[test]
fn a_job_that_did_not_change_is_left_alone_by_a_reload() {
    let (kept, other) = (Stub::serving("kept 1\n"), Stub::serving("other 1\n"));
    let both = |labels: &str| {
        format!(
            "global: {{scrape_interval: 200ms}}\nscrape_configs:\n- {{job_name: kept, static_configs: [{{targets: [\"{}\"]}}]}}\n- {{job_name: other, static_configs: [{{targets: [\"{}\"], labels: {{{labels}}}}}]}}\n",
            kept.address, other.address
        )
    };
    let site = Site::server(&both("version: one")).flag("--web.enable-lifecycle");
    let program = site.start();
    program.wait_for_value("kept", 1.0);
    for version in ["two", "three", "four"] {
        site.write("prometheus.yml", &both(&format!("version: {version}")));
        assert_eq!(program.request("POST", "/-/reload", &[], b"").status, 200);
        program.wait_for_value(&format!("other{{version=\"{version}\"}}"), 1.0);
    }
    // No gap and no staleness marker: a sample at every step since the first.
    assert_eq!(program.value("kept"), Some(1.0));
    let samples = program.samples("kept[5m]", None);
    let times: Vec<i64> = samples.values().next().unwrap().keys().copied().collect();
    let scrapes = kept.seen("/metrics").len();
    assert!(times.len() + 2 >= scrapes, "{} samples of {scrapes} scrapes", times.len());
    assert_eq!(program.value("resets(up{job=\"kept\"}[5m])"), Some(0.0));
}

/// The only series that `selector` finds has a sample at each of its times. Where a staleness marker stands a sample is missing; a
/// loop that begins anew has other times from then on.
fn assert_regular(program: &Program<'_>, selector: &str, interval: i64) {
    let samples = program.samples(&format!("{selector}[5m]"), None);
    assert_eq!(samples.len(), 1, "{selector}: {samples:?}");
    let times: Vec<i64> = samples.values().next().unwrap().keys().copied().collect();
    assert!(times.len() > 10, "{selector}: {times:?}");
    let phase = |t: &i64| t.rem_euclid(interval);
    let mut phases: Vec<i64> = times.iter().map(phase).collect();
    phases.sort_unstable();
    let usual = phases[phases.len() / 2];
    let beside = |t: &i64| ((phase(t) - usual + interval / 2).rem_euclid(interval) - interval / 2).abs();
    // On a busy machine some are a little late.
    let other = times.iter().filter(|t| beside(t) > interval / 4).count();
    assert!(other * 8 < times.len(), "{selector}: other times: {times:?}");
    for pair in times.windows(2) {
        let steps = (pair[1] - pair[0] + interval / 2) / interval;
        assert!((1..=2).contains(&steps), "{selector}: a gap of {} ms: {times:?}", pair[1] - pair[0]);
    }
    let missing = (times[times.len() - 1] - times[0] + interval / 2) / interval + 1 - times.len() as i64;
    assert!(missing * 5 < times.len() as i64, "{selector}: {missing} missing of {}", times.len());
}

#[test]
fn targets_that_stay_the_same_have_no_gap_however_often_their_neighbours_are_reloaded() {
    if is_peer() {
        return; // It begins the loops of a changed job anew.
    }
    let stub = Stub::serving("x 1\ny{code=\"200\"} 2\n");
    let target = |name: &str| format!("{{targets: ['{}'], labels: {{instance: {name}}}}}", stub.address);
    // The first job never changes; of the second only other targets, of the third rules that change nothing about its target, of the
    // others the sample limit and the time-out.
    let config = |turn: usize| {
        format!(
            "global: {{scrape_interval: 400ms, scrape_timeout: 400ms, scrape_failure_log_file: failures.{turn}.json}}\n\
             scrape_configs:\n\
             - {{job_name: kept, static_configs: [{kept}]}}\n\
             - {{job_name: others, static_configs: [{kept}, {other}]}}\n\
             - {{job_name: rules, relabel_configs: [{{source_labels: [__address__], regex: 'drop{turn}.*', action: drop}}], static_configs: [{kept}]}}\n\
             - {{job_name: limits, sample_limit: {limit}, static_configs: [{kept}]}}\n\
             - {{job_name: timeout, scrape_timeout: {timeout}ms, static_configs: [{kept}]}}\n\
             - {{job_name: coming-{turn}, static_configs: [{other}]}}\n",
            kept = target("kept"),
            other = target(&format!("other-{turn}")),
            limit = 100 + turn,
            timeout = 300 + turn,
        )
    };
    let tolerant = "--scrape.timestamp-tolerance=4ms";
    let site = Site::server(&config(0)).flag("--web.enable-lifecycle").flag(tolerant);
    let program = site.start();
    for job in ["kept", "rules", "limits", "timeout"] {
        program.wait_for_value(&format!("count(x{{job=\"{job}\"}})"), 1.0);
    }
    for turn in 1..=24 {
        site.write("prometheus.yml", &config(turn));
        if turn % 2 == 0 {
            program.signal(Signal::HUP);
        } else {
            assert_eq!(program.request("POST", "/-/reload", &[], b"").status, 200);
        }
        let seen = stub.seen("/metrics").len();
        program.wait_for("scrapes", |_| (stub.seen("/metrics").len() > seen + 2).then_some(()));
    }
    program.wait_for_value("count(x{job=\"coming-24\"})", 1.0);
    for job in ["kept", "others", "rules", "limits", "timeout"] {
        for name in ["x", "y", "up", "scrape_samples_scraped"] {
            assert_regular(&program, &format!("{name}{{job=\"{job}\",instance=\"kept\"}}"), 400);
        }
        let added = program
            .value(&format!("sum_over_time(scrape_series_added{{job=\"{job}\",instance=\"kept\"}}[5m])"));
        assert_eq!(added, Some(2.0), "{job}: what is known of its lines is kept");
    }
}

#[test]
fn failed_scrapes_are_written_to_a_file_that_a_reload_opens_anew() {
    let stub = Stub::serving("x 1\n");
    let config = |file: &str| {
        format!(
            "global: {{scrape_interval: 200ms, scrape_failure_log_file: {file}}}\nscrape_configs:\n\
             - {{job_name: fails, metrics_path: /nothing, static_configs: [{{targets: ['{0}']}}]}}\n\
             - {{job_name: fails-too, metrics_path: /nothing, scrape_failure_log_file: own.json, static_configs: [{{targets: ['{0}']}}]}}\n\
             - {{job_name: works, static_configs: [{{targets: ['{0}']}}]}}\n",
            stub.address
        )
    };
    let site = Site::server(&config("failures.json")).flag("--web.enable-lifecycle");
    let program = site.start();
    let jobs = |file: &str| {
        let log = std::fs::read_to_string(site.path(file)).unwrap_or_default();
        let line = |line| serde_json::from_str::<serde_json::Value>(line).expect("a whole line");
        let jobs = log.lines().map(line).map(|line| {
            assert_eq!(line["msg"], "server returned HTTP status 404 Not Found");
            line["job_name"].as_str().unwrap().to_owned()
        });
        jobs.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    let wait = |file: &str, job: &str| {
        program.wait_for(&format!("{job} alone in {file}"), |_| (jobs(file) == [job]).then_some(()));
    };
    wait("failures.json", "fails");
    wait("own.json", "fails-too");
    let reload = || program.request("POST", "/-/reload", &[], b"").status;

    // Moved away: the next reload begins a new file, without a change to the configuration.
    std::fs::rename(site.path("failures.json"), site.path("failures.1.json")).unwrap();
    assert_eq!(reload(), 200);
    wait("failures.json", "fails");

    // Elsewhere, and a place that cannot be: refused.
    site.write("prometheus.yml", &config("others.json"));
    assert_eq!(reload(), 200);
    wait("others.json", "fails");
    site.write("prometheus.yml", &config("no/such/folder.json"));
    assert_eq!(reload(), 500);
    let text = std::fs::read_to_string(site.path("others.json")).unwrap();
    program.wait_for("more failures", |_| {
        (std::fs::read_to_string(site.path("others.json")).unwrap().len() > text.len()).then_some(())
    });
}

#[test]
fn requests_that_change_the_program_are_refused_unless_enabled() {
    let site = Site::server("global: {}\n");
    let program = site.start();
    for path in ["/-/reload", "/-/quit"] {
        for method in ["POST", "PUT"] {
            let answer = program.request(method, path, &[], b"");
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (403, "Lifecycle API is not enabled."),
                "{path}"
            );
        }
        let answer = program.get(path);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (405, "Only POST or PUT requests allowed"),
            "{path}"
        );
    }
    assert_eq!(program.get("/-/healthy").status, 200);
}

#[test]
fn quit_ends_the_program_cleanly() {
    let site = Site::server("global: {}\n").flag("--web.enable-lifecycle");
    let mut program = site.start();
    let answer = program.request("POST", "/-/quit", &[], b"");
    assert_eq!((answer.status, answer.text().as_str()), (200, "Requesting termination... Goodbye!"));
    assert_eq!(program.wait_for_end().code(), Some(0));

    let mut program = site.start();
    program.signal(Signal::TERM);
    assert_eq!(program.wait_for_end().code(), Some(0));
}

#[test]
fn a_hanging_target_does_not_keep_the_program_from_ending() {
    if is_peer() {
        return; // It waits for the target.
    }
    let stub = Stub::start();
    stub.set("/metrics", crate::stub::Answer::hang());
    let site = Site::server(&format!(
        "global: {{scrape_interval: 60s, scrape_timeout: 60s}}\nscrape_configs: [{{job_name: j, scrape_interval: 1s, scrape_timeout: 1s, static_configs: [{{targets: [\"{0}\"]}}]}}, {{job_name: slow, static_configs: [{{targets: [\"{0}\"]}}]}}]\n",
        stub.address
    ));
    let program = site.start();
    program.wait_for("a request", |_| (!stub.seen("/metrics").is_empty()).then_some(()));
    let began = std::time::Instant::now();
    let (status, log) = program.interrupt();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

#[test]
fn changed_files_are_read_again_by_themselves() {
    let stub = Stub::serving("x 1\n");
    let site = Site::server(&config("first", &stub))
        .flag("--config.auto-reload")
        .flag("--config.auto-reload-interval=1s");
    let program = site.start();
    program.wait_for_value("x{job=\"first\"}", 1.0);
    site.write("prometheus.yml", "scrape_configs: [{job: x}]");
    program.wait_for("a refusal", |p| {
        (own_metric(p, "prometheus_config_last_reload_successful") == Some(0.0)).then_some(())
    });
    // The main file stays the same when a file that it includes changes.
    site.write("prometheus.yml", "global: {scrape_interval: 200ms}\nscrape_config_files: [more*.yml]\n");
    program.wait_for("another configuration", |p| {
        (own_metric(p, "prometheus_config_last_reload_successful") == Some(1.0)).then_some(())
    });
    let included = |job: &str| {
        let address = &stub.address;
        format!("scrape_configs: [{{job_name: {job}, static_configs: [{{targets: [\"{address}\"]}}]}}]\n")
    };
    site.write("more.yml", &included("second"));
    program.wait_for_value("x{job=\"second\"}", 1.0);
    site.write("more.yml", &included("third"));
    program.wait_for_value("x{job=\"third\"}", 1.0);
}

#[test]
fn a_refusal_is_over_when_the_file_is_again_what_is_in_force() {
    let stub = Stub::serving("x 1\n");
    let good = config("first", &stub);
    let site = Site::server(&good).flag("--config.auto-reload").flag("--config.auto-reload-interval=1s");
    let program = site.start();
    for (content, outcome) in [("scrape_configs: [{job: x}]", 0.0), (good.as_str(), 1.0)] {
        site.write("prometheus.yml", content);
        program.wait_for("the outcome", |p| {
            (own_metric(p, "prometheus_config_last_reload_successful") == Some(outcome)).then_some(())
        });
    }
}
