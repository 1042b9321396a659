//! Broken and hostile targets: each fails alone and says why, the others go on, and memory stays bounded.

use std::io::Write;

use crate::site::{Program, Site, is_peer};
use crate::stub::{Answer, Stub, TEXT, gzip};

/// Most memory that may ever be resident, whatever the targets send, in MiB.
const MEMORY_BOUND: u64 = 200;

const GOOD_INTERVAL_MILLIS: i64 = 500;

struct Case {
    job: &'static str,
    answer: Answer,
    /// What is set for the job besides its name and targets.
    settings: &'static str,
    /// What `lastError` says; how it begins if the text ends in `…`. `@URL@` is the target's.
    error: &'static str,
}

fn case(job: &'static str, answer: Answer, error: &'static str) -> Case {
    Case { job, answer, settings: "", error }
}

fn site_of(stub: &Stub, cases: &[Case]) -> Site {
    stub.set("/good", Answer::computed(|seen| format!("good_total {}\n", seen.before)));
    let mut config = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- {{job_name: good, scrape_interval: {GOOD_INTERVAL_MILLIS}ms, metrics_path: /good, static_configs: [{{targets: [\"{}\"]}}]}}\n",
        stub.address
    );
    for case in cases {
        stub.set(&format!("/{}", case.job), case.answer.clone());
        config.push_str(&format!(
            "- {{job_name: {0}, metrics_path: /{0}, {1} static_configs: [{{targets: [\"{2}\"]}}]}}\n",
            case.job, case.settings, stub.address
        ));
    }
    Site::server(&config)
}

fn check(program: &Program<'_>, stub: &Stub, cases: &[Case]) {
    let mut wrong = Vec::new();
    for case in cases {
        let job = case.job;
        let (health, error) = program.scraped(job);
        let want = case.error.replace("@URL@", &format!("http://{}/{job}", stub.address));
        let as_wanted = match want.strip_suffix('…') {
            Some(begin) => error.starts_with(begin),
            None => error == want,
        };
        // A message is for reading, whatever the target sent.
        if health != "down" || !as_wanted || error.len() > 2_000 {
            wrong.push(format!("{job}: {health}: {error:?} is not {want:?}"));
            continue;
        }
        program.wait_for(job, |p| p.value(&format!("up{{job=\"{job}\"}}")));
        assert_eq!(program.value(&format!("max_over_time(up{{job=\"{job}\"}}[5m])")), Some(0.0), "{job}");
        let stored = format!("{{job=\"{job}\", __name__!~\"up|scrape_.*\"}}");
        assert_eq!(program.query(&stored), [], "{job}: nothing of the page is stored");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The good target was scraped all the while at its interval. Where the machine is busy with other things, a scrape
/// in five may be late.
fn check_good(program: &Program<'_>) {
    program.wait_for("five good scrapes", |p| {
        (p.value("count_over_time(up{job=\"good\"}[5m])") >= Some(5.0)).then_some(())
    });
    let up = program.value("avg_over_time(up{job=\"good\"}[5m])");
    assert!(up >= Some(0.8), "{up:?}");
    let samples = program.samples("up{job=\"good\"}[5m]", None);
    let times: Vec<i64> = samples.values().flat_map(|points| points.keys().copied()).collect();
    let (first, last) = (times[0], times[times.len() - 1]);
    let due = (last - first) / GOOD_INTERVAL_MILLIS + 1;
    assert!(times.len() as i64 * 10 >= due * 8, "{} of {due} scrapes", times.len());
}

#[test]
fn broken_pages_fail_alone_and_say_why() {
    let stub = Stub::start();
    let long = format!("a{{x=\"{}\"}} 1\n", "y".repeat(1 << 20));
    let html = [("Content-Type", "text/html; charset=utf-8")];
    let gzipped = [("Content-Type", TEXT), ("Content-Encoding", "gzip")];
    let whole = gzip("a 1\n".repeat(10_000).as_bytes());
    let cases = [
        case(
            "garbage",
            Answer::page(&b"\x01\x02\x00 \xfe\xff"[..]),
            "expected a valid start token, got \"\\x01\" (\"INVALID\") while parsing: \"\\x01\"",
        ),
        case(
            "words",
            Answer::page("this is { not metrics\n"),
            "strconv.ParseFloat: parsing \"is\": invalid syntax while parsing: \"this is\"",
        ),
        case(
            "no-value",
            Answer::page("a 1\nb\n"),
            "expected value after metric, got \"\\n\" (\"INVALID\") while parsing: \"b\\n\"",
        ),
        case(
            "bad-value",
            Answer::page("a 1\nb one\n"),
            "strconv.ParseFloat: parsing \"one\": invalid syntax while parsing: \"b one\"",
        ),
        case(
            "html",
            Answer::with(&html, "<html>\n"),
            "received unsupported Content-Type \"text/html; charset=utf-8\" and no fallback_scrape_protocol specified for target",
        ),
        case(
            "no-type",
            Answer::with(&[], "a 1\n"),
            "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target",
        ),
        case(
            "utf8",
            Answer::page(&b"a{b=\"\xff\xfe\"} 1\n"[..]),
            "invalid UTF-8 label value: \"\\\"\\xff\\xfe\\\"\"",
        ),
        case(
            "utf8-name",
            Answer::page(&b"a 1\n\xff{b=\"c\"} 1\n"[..]),
            "expected a valid start token, got \"\\xff\" (\"INVALID\") while parsing: \"\\xff\"",
        ),
        case("cut", Answer::cut("a 1\nb 2\nc 3\n", 8), "unexpected EOF"),
        case("cut-in-line", Answer::cut("a 1\nb{c=\"d\"} 2\n", 9), "unexpected EOF"),
        case(
            "half-a-line",
            Answer::page("a 1\nb{c=\"d"),
            "expected label value, got \"\\\"d\\n\" (\"INVALID\") while parsing: \"b{c=\\\"d\\n\"",
        ),
        case(
            "reset",
            Answer::script(|_, _| Err(std::io::ErrorKind::ConnectionAborted.into())),
            "Get \"@URL@\": EOF",
        ),
        case(
            "no-http",
            Answer::script(|_, to| to.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")),
            "Get \"@URL@\": …",
        ),
        case("not-gzip", Answer::with(&gzipped, "not_packed 1\n"), "gzip: invalid header"),
        case("half-gzip", Answer::with(&gzipped, &whole[..whole.len() / 2]), "unexpected EOF"),
        case(
            "status",
            Answer::status("500 Internal Server Error"),
            "server returned HTTP status 500 Internal Server Error",
        ),
        Case {
            job: "label-limit",
            answer: Answer::page(long),
            settings: "label_value_length_limit: 1000,",
            error: "label_value_length_limit exceeded (metric: a, label name: x, value: \"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\", length: 1048576, limit: 1000)",
        },
    ];
    let site = site_of(&stub, &cases);
    let program = site.start();
    check(&program, &stub, &cases);
    check_good(&program);
    assert!(program.peak_memory() < MEMORY_BOUND, "{} MiB", program.peak_memory());
}

#[test]
fn slow_targets_time_out_alone() {
    let stub = Stub::start();
    let late = "Get \"@URL@\": context deadline exceeded";
    let cases = [
        case("hang", Answer::hang(), late),
        case("drip", Answer::drip(), "context deadline exceeded"),
        case(
            "drip-head",
            Answer::script(|_, to| {
                loop {
                    to.write_all(b"H")?;
                    std::thread::sleep(std::time::Duration::from_millis(50));
                }
            }),
            "Get \"@URL@\": context deadline exceeded",
        ),
    ];
    let site = site_of(&stub, &cases);
    let program = site.start();
    check(&program, &stub, &cases);
    // Given up at the timeout, not earlier and not much later.
    let took = program.target("hang").unwrap()["lastScrapeDuration"].as_f64().unwrap();
    assert!((0.9..3.0).contains(&took), "{took}");
    // It is asked again at the next interval, and does well once it answers.
    stub.set("/hang", Answer::page("awake 1\n"));
    program.wait_for_value("awake", 1.0);
    check_good(&program);
}

#[test]
fn endless_pages_are_given_up_before_they_fill_the_memory() {
    if is_peer() {
        return; // It has no bound of its own.
    }
    const MIB: usize = 1 << 20;
    let limit = "body size limit exceeded (64MB unless body_size_limit is set)";
    // Members one behind the other are one gzip file.
    let bomb = gzip(&vec![b'\n'; 4 * MIB]).repeat(50);
    assert!(bomb.len() < 4 * MIB);
    let gzipped = [("Content-Type", TEXT), ("Content-Encoding", "gzip")];
    let settings = "scrape_interval: 5s, scrape_timeout: 5s,";
    let big = |job, answer| Case { job, answer, settings, error: limit };
    let cases = [
        big("announced", Answer::endless("some_metric{label=\"value\"} 1234\n", 200 * MIB, true)),
        big("streamed", Answer::endless("some_metric{label=\"value\"} 1234\n", 200 * MIB, false)),
        big("one-line", Answer::endless("x", 200 * MIB, false)),
        big("bomb", Answer::with(&gzipped, bomb)),
    ];
    // Each bounds the memory of a program of its own.
    for pair in cases.chunks(2) {
        std::thread::scope(|scope| {
            for case in pair {
                scope.spawn(move || {
                    let (stub, case) = (Stub::start(), std::slice::from_ref(case));
                    let site = site_of(&stub, case);
                    let program = site.start();
                    check(&program, &stub, case);
                    check_good(&program);
                    let peak = program.peak_memory();
                    assert!(peak < MEMORY_BOUND, "{}: {peak} MiB", case[0].job);
                });
            }
        });
    }
}

#[test]
fn repeated_series_and_odd_pages_are_taken_as_prometheus_takes_them() {
    let stub = Stub::start();
    stub.set("/twice", Answer::page("a 1\nb{x=\"1\",y=\"2\"} 1\na 2\nb{y=\"2\",x=\"1\"} 5\n"));
    stub.set("/long", Answer::page(format!("long{{x=\"{}\"}} 1\n", "y".repeat(1 << 20))));
    stub.set(
        "/gzip",
        Answer::with(&[("Content-Type", TEXT), ("Content-Encoding", "gzip")], gzip(b"packed 1\n")),
    );
    stub.set("/empty", Answer::page(""));
    // Prometheus takes a NUL for the end of the page.
    stub.set("/nul", Answer::page("first 1\n\0 anything"));
    let all = ["twice", "long", "gzip", "empty", "nul"];
    let jobs: String = all
        .iter()
        .map(|job| {
            format!(
                "- {{job_name: {job}, metrics_path: /{job}, static_configs: [{{targets: [\"{}\"]}}]}}\n",
                stub.address
            )
        })
        .collect();
    let site = Site::server(&format!("global: {{scrape_interval: 300ms}}\nscrape_configs:\n{jobs}"));
    let program = site.start();
    for job in all {
        assert_eq!(program.scraped(job), ("up".to_owned(), String::new()), "{job}");
    }
    // Of a series given twice the first value stays; how often it happened is counted.
    assert_eq!(program.value("a"), Some(1.0));
    assert_eq!(program.value("b"), Some(1.0));
    assert_eq!(program.value("scrape_samples_scraped{job=\"twice\"}"), Some(4.0));
    program.wait_for("duplicates to be counted", |p| {
        let page = p.get("/metrics").text();
        let name = "prometheus_target_scrapes_sample_duplicate_timestamp_total ";
        let counted: f64 = page.lines().find_map(|l| l.strip_prefix(name))?.parse().ok()?;
        (counted >= 2.0).then_some(())
    });
    // A label value of a megabyte is stored unless a limit forbids it.
    let long = program.query("long");
    assert_eq!(long.iter().map(|(l, v)| (l["x"].len(), *v)).collect::<Vec<_>>(), [(1 << 20, 1.0)]);
    assert_eq!(program.value("packed"), Some(1.0));
    assert_eq!(program.value("scrape_samples_scraped{job=\"empty\"}"), Some(0.0));
    assert_eq!(program.value("scrape_samples_scraped{job=\"nul\"}"), Some(1.0));
}
