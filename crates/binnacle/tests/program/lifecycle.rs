//! How the program ends: who asks is told, and what runs is finished.

use rustix::process::Signal;

use crate::http::{self, form};
use crate::site::Site;
use crate::stub::{Answer, Stub};

#[test]
fn while_it_ends_the_program_refuses_requests_and_says_why() {
    // Whoever takes its samples holds it up until the flush deadline.
    let stub = Stub::serving("a 1\n");
    stub.set("/write", Answer::hang());
    let site = Site::server(&format!(
        "global: {{scrape_interval: 50ms}}
scrape_configs: [{{job_name: j, static_configs: [{{targets: ['{0}']}}]}}]
remote_write: [{{url: 'http://{0}/write', queue_config: {{batch_send_deadline: 50ms}}}}]
",
        stub.address
    ))
    .flag("--web.enable-lifecycle")
    .flag("--storage.remote.flush-deadline=5s");
    let mut program = site.start();
    program.wait_for("a write", |_| (!stub.seen("/write").is_empty()).then_some(()));
    let quit = |program: &crate::site::Program<'_>| program.request("POST", "/-/quit", &[], b"").text();
    assert_eq!(quit(&program), "Requesting termination... Goodbye!");
    assert_eq!(quit(&program), "Termination already in progress.");
    program.wait_for("the end to begin", |p| (p.get("/-/ready").status == 503).then_some(()));
    for path in ["/-/ready", "/api/v1/query?query=1", "/federate?match[]=a"] {
        let answer = program.get(path);
        assert_eq!((answer.status, answer.text().as_str()), (503, "Service Unavailable"), "{path}");
        assert_eq!(answer.header("x-prometheus-stopping"), Some("true"), "{path}");
    }
    assert_eq!(program.get("/-/healthy").status, 200);
    assert!(program.get("/metrics").text().contains("\nprometheus_ready 0\n"));
    assert_eq!(program.wait_for_end().code(), Some(0));
}

#[test]
fn queries_that_run_are_finished() {
    let site = Site::server("global: {}\n").flag("--web.enable-lifecycle");
    for by_signal in [false, true] {
        let mut program = site.start();
        let port = site.port;
        let asking = std::thread::spawn(move || {
            let pairs = [("query", "max_over_time(vector(7)[15d:1s])"), ("time", "1700000000")];
            http::request(port, "GET", &format!("/api/v1/query?{}", form(&pairs)), &[], b"")
        });
        program.wait_for("the query", |p| {
            p.get("/metrics").text().contains("\nprometheus_engine_queries 1\n").then_some(())
        });
        match by_signal {
            true => program.signal(Signal::TERM),
            false => assert_eq!(program.request("POST", "/-/quit", &[], b"").status, 200),
        }
        assert_eq!(program.wait_for_end().code(), Some(0));
        let answer = asking.join().unwrap().expect("an answer, though the program ends");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["data"]["result"][0]["value"][1], "7");
    }
}

#[test]
fn profiles_are_taken_one_at_a_time_and_what_is_not_there_says_so() {
    let site = Site::server("global: {}\n");
    let program = site.start();
    let profile = program.get("/debug/pprof/profile?seconds=1");
    assert_eq!((profile.status, profile.header("content-type")), (200, Some("application/octet-stream")));
    assert!(profile.body.starts_with(&[0x1f, 0x8b]), "gzipped");
    // Whoever comes first.
    let port = site.port;
    let ask = move || http::request(port, "GET", "/debug/pprof/profile?seconds=3", &[], b"").unwrap();
    let other = std::thread::spawn(ask);
    let mut answers = [ask(), other.join().unwrap()];
    answers.sort_by_key(|answer| answer.status);
    let [taken, refused] = answers;
    assert_eq!((taken.status, refused.status), (200, 500));
    assert_eq!(refused.text(), "Could not enable CPU profiling: cpu profiling already in use\n");
    assert!(program.get("/debug/pprof/goroutine?debug=1").text().contains(" binnacle-io ["));
    let heap = program.get("/debug/pprof/heap");
    if cfg!(feature = "jemalloc") {
        assert_eq!((heap.status, heap.body.get(..2)), (200, Some(&[0x1f, 0x8b][..])));
    } else {
        assert_eq!((heap.status, heap.header("x-go-pprof")), (501, Some("1")));
        assert!(heap.text().contains("the feature jemalloc"), "{}", heap.text());
    }
    for (path, status) in
        [("allocs", 501), ("mutex", 501), ("trace", 501), ("nosuch", 404), ("cmdline", 200), ("", 200)]
    {
        assert_eq!(program.get(&format!("/debug/pprof/{path}")).status, status, "{path}");
    }
}
