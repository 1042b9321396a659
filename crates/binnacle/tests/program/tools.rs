//! `binnacle tool` beside a server: what it asks, what it prints of the answers, what it pushes.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::site::{Site, shared};
use crate::stub::{Answer, Stub};

/// What a run printed.
#[derive(Debug, PartialEq)]
struct Ran {
    exit: i64,
    stdout: String,
    stderr: String,
}

fn tool(dir: &Path, args: &[String], stdin: &str) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_binnacle"))
        .arg("tool")
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end without reading.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ran {
        exit: output.status.code().unwrap_or(-1).into(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

/// Log lines as they were recorded.
fn without_time_and_source(text: &str) -> String {
    let is_kept = |word: &&str| !word.starts_with("time=") && !word.starts_with("source=");
    let line = |line: &str| line.split(' ').filter(is_kept).collect::<Vec<_>>().join(" ");
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Where the server of the recordings was.
const RECORDED: &str = "127.0.0.1:19066";

#[test]
fn recorded_questions_are_asked_and_answered_as_promtool_does() {
    let Some(golden) = shared("golden") else { return };
    let site = Site::server("").flag("--web.enable-remote-write-receiver");
    copy(&golden.join("promql/tsdb"), &site.path("data"));
    let program = site.start();
    let address = format!("127.0.0.1:{}", program.site.port);
    let rows = std::fs::read_to_string(golden.join("promtool/commands.jsonl")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut compared = 0;
    let mut differences = Vec::new();
    for row in rows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let text = |key: &str| row[key].as_str().unwrap_or_default().replace(RECORDED, &address);
        let args: Vec<String> = row["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|arg| arg.as_str().unwrap().replace(RECORDED, &address))
            .collect();
        let asks =
            row["args"].to_string().contains("127.0.0.1:") || args.last().is_some_and(|last| last == "rb");
        if !asks {
            continue;
        }
        for (name, content) in row["files"].as_object().into_iter().flatten() {
            std::fs::write(dir.path().join(name), content.as_str().unwrap()).unwrap();
        }
        let want =
            Ran { exit: row["exit"].as_i64().unwrap(), stdout: text("stdout"), stderr: text("stderr") };
        let mut have = tool(dir.path(), &args, &text("stdin"));
        have.stderr = without_time_and_source(&have.stderr);
        // Vectors come in the order in which a store has its series.
        let comparable = |ran: &Ran| (ran.exit, sorted(&ran.stdout), sorted(&ran.stderr));
        if comparable(&have) != comparable(&want) {
            differences.push(format!("{args:?}\n have {have:?}\n want {want:?}"));
        }
        compared += 1;
    }
    assert!(differences.is_empty(), "{} of {compared}:\n{}", differences.len(), differences.join("\n"));
    assert!(compared > 40, "only {compared} rows");
}

const PAGE: &str = "\
# HELP temperature How warm.
# TYPE temperature gauge
temperature{room=\"hall\",job=\"own\"} 21.5
# TYPE requests_total counter
requests_total 12
# TYPE latency_seconds histogram
latency_seconds_bucket{le=\"0.1\"} 3
latency_seconds_bucket{le=\"+Inf\"} 4
latency_seconds_sum 1.5
latency_seconds_count 4
# TYPE size_bytes summary
size_bytes{quantile=\"0.5\"} 7
size_bytes_sum 70
size_bytes_count 10
";

#[test]
fn what_is_pushed_can_be_asked_for() {
    let site = Site::server("").flag("--web.enable-remote-write-receiver");
    let program = site.start();
    let url = format!("http://127.0.0.1:{}", program.site.port);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("page.prom"), PAGE).unwrap();
    let ask = |line: &str| {
        let ran = tool(dir.path(), &words(&line.replace("URL", &url)), "");
        assert_eq!((ran.exit, ran.stderr.as_str()), (0, ""), "{line}");
        // Without the time of the answer.
        let lines = ran.stdout.lines().map(|line| line.split(" @[").next().unwrap_or_default().to_owned());
        lines.collect::<Vec<_>>()
    };
    for (label, message) in [("v=1", "prometheus.WriteRequest"), ("v=2", "io.prometheus.write.v2.Request")] {
        let push = format!("push metrics --label={label} --protobuf_message={message} URL page.prom");
        let told =
            ["Parsing metrics file page.prom", "  SUCCESS: metrics file page.prom pushed to remote write."];
        assert_eq!(ask(&push), told);
        let series = format!("{{v=\"{}\"}}", &label[2..]);
        let want = [
            ("latency_seconds_bucket", ", le=\"+Inf\"", "4"),
            ("latency_seconds_bucket", ", le=\"0.1\"", "3"),
            ("latency_seconds_count", "", "4"),
            ("latency_seconds_sum", "", "1.5"),
            ("requests_total", "", "12"),
            ("size_bytes", ", quantile=\"0.5\"", "7"),
            ("size_bytes_count", "", "10"),
            ("size_bytes_sum", "", "70"),
            ("temperature", ", exported_job=\"own\", room=\"hall\"", "21.5"),
        ];
        let line = |(name, labels, value): (&str, &str, &str)| {
            let mut all: Vec<String> =
                labels.split(", ").filter(|l| !l.is_empty()).map(str::to_owned).collect();
            all.push(format!("v=\"{}\"", &label[2..]));
            all.sort();
            format!("{name}{{{}}} => {value}", all.join(", "))
        };
        let mut want: Vec<String> = want.into_iter().map(line).collect();
        let mut have = ask(&format!("query instant URL {series}"));
        have.sort();
        want.sort();
        assert_eq!(have, want);
    }
    assert_eq!(ask("query labels URL room"), ["hall"]);
    assert_eq!(ask("query -o json labels URL room"), ["[\"hall\"]"]);
    assert_eq!(ask("query series --match={v=\"1\",room!=\"\"} URL").len(), 1);
    assert_eq!(ask("query range --step=1m URL 1").len(), 7);
    assert_eq!(ask("query instant URL nosuch"), [""]);

    let ran = tool(dir.path(), &words(&format!("check ready --url={url}/")), "");
    assert_eq!((ran.exit, ran.stderr.as_str()), (0, "  SUCCESS:  Prometheus Server is Ready.\n\n"));

    assert_eq!(
        ask("debug metrics URL"),
        [
            format!("collecting: {url}/metrics"),
            "Compiling debug information complete, all files written in \"debug.tar.gz\".".to_owned()
        ]
    );
    let archive = std::fs::File::open(dir.path().join("debug.tar.gz")).unwrap();
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(archive).read_to_end(&mut plain).unwrap();
    assert!(plain.starts_with(b"metrics.txt\0"));
    assert_eq!(plain.len() % 512, 0);
    let size = std::str::from_utf8(&plain[124..135]).unwrap();
    let size = usize::from_str_radix(size, 8).unwrap();
    let content = std::str::from_utf8(&plain[512..512 + size]).unwrap();
    assert!(content.starts_with("# HELP ") && content.ends_with('\n'), "{content}");
}

#[test]
fn what_fails_for_the_moment_is_pushed_again_and_what_is_refused_is_not() {
    let stub = Stub::start();
    stub.set(
        "/api/v1/write",
        Answer::script(|seen, to| {
            let status = if seen.before == 0 { "503 Service Unavailable" } else { "204 No Content" };
            write!(to, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")
        }),
    );
    let dir = tempfile::tempdir().unwrap();
    let push = |flags: &str| {
        let line = format!("push metrics {flags}http://{}", stub.address);
        tool(dir.path(), &words(&line), "up 1\n")
    };
    let ran = push("--header=X-Scope-OrgID=a ");
    assert_eq!((ran.exit, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let seen = stub.seen("/api/v1/write");
    let header = |i: usize, name: &str| seen[i].headers.get(name).map(String::as_str);
    assert_eq!(seen.len(), 2);
    assert_eq!((header(0, "retry-attempt"), header(1, "retry-attempt")), (None, Some("1")));
    assert_eq!(header(0, "x-scope-orgid"), Some("a"));
    assert_eq!(header(0, "content-type"), Some("application/x-protobuf"));
    assert_eq!(header(0, "x-prometheus-remote-write-version"), Some("0.1.0"));

    let ran = push("--remote-write.path=/nosuch ");
    assert_eq!(ran.exit, 1);
    assert!(ran.stderr.starts_with("  FAILED: server returned HTTP status 404 Not Found: "), "{ran:?}");

    // A receiver of 2.0 says what it took.
    let ran = push("--protobuf_message=io.prometheus.write.v2.Request ");
    assert_eq!(ran.exit, 1);
    assert!(ran.stderr.starts_with("  FAILED: sent v2 request; got 2xx, but PRW 2.0 "), "{ran:?}");
}

#[test]
fn answers_that_are_none_of_the_api_are_told() {
    let stub = Stub::start();
    let dir = tempfile::tempdir().unwrap();
    let url = format!("http://{}", stub.address);
    std::fs::write(dir.path().join("http.yml"), "basic_auth: {username: me, password: secret}\n").unwrap();
    let ask =
        |flags: &str| tool(dir.path(), &words(&format!("query {flags}instant --header=X-A=b {url} up")), "");
    let cases: BTreeMap<&str, (&str, &str)> = BTreeMap::from([
        (
            "<html>",
            (
                "200 OK",
                "bad_response: readObjectStart: expect { or n, but found <, error found in #1 byte of ...|<html>|..., bigger context ...|<html>|...",
            ),
        ),
        (r#"{"status":"success"}"#, ("400 Bad Request", "bad_response: inconsistent body for response code")),
        (
            r#"{"status":"error","errorType":"bad_data","error":"no"}"#,
            ("422 Unprocessable Entity", "bad_data: no"),
        ),
        ("gone\n", ("502 Bad Gateway", "server_error: server error: 502 (detail: gone)")),
    ]);
    for (body, (status, want)) in cases {
        let whole = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stub.set("/api/v1/query", Answer::script(move |_, to| to.write_all(whole.as_bytes())));
        let ran = ask("--http.config.file=http.yml ");
        assert_eq!((ran.exit, ran.stderr), (1, format!("query error: {want}\n")));
    }
    let seen = stub.seen("/api/v1/query");
    assert_eq!(seen[0].headers["authorization"], "Basic bWU6c2VjcmV0");
    assert_eq!(seen[0].headers["x-a"], "b");
    assert!(String::from_utf8_lossy(&seen[0].body).starts_with("query=up&time="));

    // Where forms are not taken, the URL has the parameters.
    let answer = r#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"2"]}}"#;
    stub.set(
        "/api/v1/query",
        Answer::script(move |seen, to| {
            let status = if seen.target.contains('?') { "200 OK" } else { "405 Method Not Allowed" };
            write!(to, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{answer}", answer.len())
        }),
    );
    let ran = ask("");
    assert_eq!((ran.exit, ran.stdout.as_str()), (0, "scalar: 2 @[1.5]\n"), "{ran:?}");
}
