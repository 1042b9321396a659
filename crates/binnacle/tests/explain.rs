//! `binnacle tool explain config`: which rule did what to a target.

// What a helper of a test cannot do fails the test.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

const CONFIG: &str = "\
scrape_configs:
- job_name: pods
  static_configs:
  - targets: ['10.0.0.5:8080']
    labels: {__meta_pod: web-1, __meta_scrape: 'true', __meta_port: '9102', __meta_label_app: web}
  - targets: ['10.0.0.6:8080']
    labels: {__meta_pod: web-2}
  - targets: ['10.0.0.7/x']
    labels: {__meta_pod: web-3, __meta_scrape: 'true'}
  relabel_configs:
  - {source_labels: [__meta_scrape], action: keep, regex: true}
  - source_labels: [__address__, __meta_port]
    regex: ([^:]+)(?::\\d+)?;(\\d+)
    replacement: $1:$2
    target_label: __address__
  - {action: labelmap, regex: __meta_label_(.+)}
";

/// Exit code, standard output and standard error.
fn explain(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_binnacle"))
        .args(["tool", "explain", "config"])
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("p.yml"), CONFIG).unwrap();
    dir
}

#[test]
fn every_target_of_a_job_is_a_line_with_what_becomes_of_it() {
    let want = "\
job pods: 3 targets, 1 of them scraped

  10.0.0.5:8080  scraped at http://10.0.0.5:9102/metrics
  10.0.0.6:8080  dropped by rule 1 (keep)
  10.0.0.7/x     cannot be scraped: \"10.0.0.7/x\" is not a valid hostname

Name one of them to see the steps, or give --all.
";
    assert_eq!(explain(directory().path(), &["p.yml", "pods"]), (0, want.to_owned(), String::new()));
}

#[test]
fn one_target_is_shown_step_by_step() {
    let want = r#"
  1. keep: if [__meta_scrape] matches /true/   # p.yml:11
     "true" matches: kept

  2. replace: if [__address__, __meta_port] matches /([^:]+)(?::\d+)?;(\d+)/, __address__ = "$1:$2"   # p.yml:12
     "10.0.0.5:8080;9102" matches
     ~ __address__ = 10.0.0.5:9102   (was 10.0.0.5:8080)

  3. labelmap: copy labels named /__meta_label_(.+)/ to "$1"   # p.yml:16
     + app = web

=> scraped at http://10.0.0.5:9102/metrics

labels of its series
  app       web
  instance  10.0.0.5:9102
  job       pods
"#;
    let (exit, stdout, _) = explain(directory().path(), &["p.yml", "pods", "web-1"]);
    assert_eq!(exit, 0);
    assert!(stdout.starts_with("job pods, target 10.0.0.5:8080\n\ndiscovered\n"), "{stdout}");
    assert!(stdout.ends_with(want), "{stdout}");
}

#[test]
fn a_made_up_target_is_shown_up_to_the_rule_that_drops_it() {
    let (exit, stdout, _) = explain(
        directory().path(),
        &["p.yml", "pods", "--label", "__address__=h:1", "--label", "__meta_scrape=no"],
    );
    assert_eq!(exit, 0);
    let want = "\"no\" does not match: DROPPED HERE\n\n     (2 more rules are not looked at)\n\n=> dropped by rule 1 (keep)\n";
    assert!(stdout.ends_with(want), "{stdout}");
}

#[test]
fn what_is_not_there_is_named() {
    let dir = directory();
    let cases: [(&[&str], &str); 3] = [
        (&["p.yml", "pods", "nix"], "None of the 3 targets of job pods has that in a label.\n"),
        (&["p.yml", "pod"], "Job pod not found. Select one of:\n\tpods\n"),
        (&["nix.yml", "pods"], "nix.yml is neither a file nor the URL of a server (http://host:9090)\n"),
    ];
    for (args, want) in cases {
        let (exit, stdout, stderr) = explain(dir.path(), args);
        assert_eq!((exit, stdout + &stderr), (1, want.to_owned()), "{args:?}");
    }
}

/// Answers as a server does that has one target and one that it dropped.
fn serve(listener: &TcpListener) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut head = vec![0; 4096];
        let length = stream.read(&mut head).unwrap();
        let head = String::from_utf8_lossy(&head[..length]).into_owned();
        let data = if head.starts_with("GET /p/api/v1/targets/relabel_steps?scrapePool=pods") {
            let keep = !head.contains("h2");
            let rule = r#"{"source_labels":["__address__"],"separator":";","regex":"h1.*","replacement":"$1","action":"keep"}"#;
            let output = if keep { r#"{"__address__":"h1:1"}"# } else { "{}" };
            format!(r#"{{"steps":[{{"rule":{rule},"output":{output},"keep":{keep}}}]}}"#)
        } else {
            r#"{"activeTargets":[{"discoveredLabels":{"__address__":"h1:1","job":"pods"},"labels":{"job":"pods"},
            "scrapePool":"pods","scrapeUrl":"http://h1:1/m"}],"droppedTargets":[{"discoveredLabels":{"__address__":"h2:1",
            "job":"pods"}}]}"#
                .to_owned()
        };
        let body = format!(r#"{{"status":"success","data":{data}}}"#);
        let length = body.len();
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
    }
}

#[test]
fn targets_of_a_running_server_are_explained_by_its_api() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/p/", listener.local_addr().unwrap());
    std::thread::spawn(move || serve(&listener));
    let dir = directory();
    let (exit, stdout, stderr) = explain(dir.path(), &[&url, "pods"]);
    assert_eq!((exit, stderr.as_str()), (0, ""));
    assert!(
        stdout.contains("  h1:1  scraped at http://h1:1/m\n  h2:1  dropped by rule 1 (keep)\n"),
        "{stdout}"
    );
    let (_, stdout, _) = explain(dir.path(), &[&url, "pods", "h2"]);
    assert!(stdout.contains("\"h2:1\" does not match: DROPPED HERE"), "{stdout}");
}
