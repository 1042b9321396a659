//! What Prometheus and promtool said about configurations, and what we say.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
use std::collections::BTreeMap;
use std::path::Path;

use config::{Config, ConfigError, FeatureDefaults, LoadOptions, Millis, Retention, ScrapeConfig, load};

fn environment(name: &str) -> Option<String> {
    (name == "FOO").then(|| "bar".into())
}

fn load_in(directory: &Path, text: &str) -> Result<Config, ConfigError> {
    load(
        text,
        &LoadOptions {
            environment: &environment,
            directory,
            default_retention: Retention { time: Millis(15 * 86_400_000), ..Retention::default() },
            features: FeatureDefaults::default(),
        },
    )
}

#[derive(serde::Deserialize)]
struct Check {
    name: String,
    args: Vec<String>,
    content: String,
    exit: i32,
    stderr: String,
}

/// A directory with the files that lay beside the recorded configurations.
fn directory() -> tempfile::TempDir {
    let files: BTreeMap<String, String> =
        serde_json::from_str(include_str!("../testdata/files.json")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(directory.path().join(name), content).unwrap();
    }
    directory
}

#[test]
fn configurations_are_refused_in_the_words_of_prometheus() {
    let directory = directory();
    let prefix = format!("{}/", directory.path().display());
    let rows =
        [include_str!("../testdata/check-config.jsonl"), include_str!("../testdata/check-discovery.jsonl")];
    for line in rows.into_iter().flat_map(str::lines) {
        let row: Check = serde_json::from_str(line).unwrap();
        let complaint = row.stderr.trim_end().strip_prefix("  FAILED: ").unwrap_or("");
        let loaded = load_in(directory.path(), &row.content);
        if let Some(want) = complaint.strip_prefix("parsing YAML file prometheus.yml: ") {
            assert_eq!(row.exit, 1);
            let err = loaded.expect_err(&row.name);
            assert_eq!(err.to_string().trim_end(), want, "{}", row.name);
            assert!(!err.problems().is_empty(), "{}", row.name);
            let placed = err.problems().iter().all(|problem| problem.span.is_some());
            assert!(placed, "{}: a complaint without a place: {err:?}", row.name);
            continue;
        }
        let config = loaded.unwrap_or_else(|err| panic!("{} {:?}: {err}", row.name, row.args));
        let jobs = config.scrape_configs().map_err(|err| err.to_string().replace(&prefix, ""));
        match complaint.strip_prefix("error loading scrape configs: ") {
            Some(want) => assert_eq!(jobs.unwrap_err(), want, "{}", row.name),
            None => drop(jobs.unwrap()),
        }
    }
}

#[derive(serde::Deserialize)]
struct Effective {
    name: String,
    content: String,
    #[serde(default)]
    yaml: Option<String>,
    #[serde(default)]
    start_error: Option<Vec<String>>,
}

/// Configurations and how Prometheus prints them.
const EFFECTIVE: [&str; 2] = [
    include_str!("../testdata/effective-config.jsonl"),
    include_str!("../testdata/effective-discovery.jsonl"),
];

#[test]
fn the_effective_configuration_is_printed_as_prometheus_prints_it() {
    for line in EFFECTIVE.into_iter().flat_map(str::lines) {
        let row: Effective = serde_json::from_str(line).unwrap();
        let loaded = load_in(Path::new("."), &row.content);
        match (row.yaml, row.start_error) {
            (Some(want), _) => assert_eq!(loaded.unwrap().effective_yaml(), want, "{}", row.name),
            (None, Some(lines)) => {
                let err = loaded.expect_err(&row.name).to_string();
                assert!(lines.concat().replace("\\\"", "\"").contains(&err), "{}: {err}", row.name);
            }
            (None, None) => panic!("{}: nothing recorded", row.name),
        }
    }
}

#[test]
fn what_is_printed_reads_back_the_same() {
    for line in EFFECTIVE.into_iter().flat_map(str::lines) {
        let row: Effective = serde_json::from_str(line).unwrap();
        // As with Prometheus, `filter_external_labels: false` is left out though it is not the default, and a
        // dollar sign in an external label is taken for a variable again; Consul's old user name is printed beside
        // the basic authentication that it has become.
        if ["ok-remote", "ok-env-external", "ok-discovery"].contains(&row.name.as_str()) {
            continue;
        }
        let Ok(first) = load_in(Path::new("."), &row.content) else { continue };
        let printed = first.effective_yaml();
        let second = load_in(Path::new("."), &printed).unwrap_or_else(|err| panic!("{}: {err}", row.name));
        assert_eq!(second.effective_yaml(), printed, "{}", row.name);
    }
}

#[derive(serde::Deserialize)]
struct Reference {
    content: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    yaml: Option<String>,
}

#[test]
fn odd_configurations_are_taken_as_prometheus_takes_them() {
    let nothing = LoadOptions {
        environment: &|_| None,
        directory: Path::new(""),
        default_retention: Retention::default(),
        features: FeatureDefaults::default(),
    };
    for line in include_str!("../testdata/reference.jsonl").lines() {
        let row: Reference = serde_json::from_str(line).unwrap();
        match load(&row.content, &nothing) {
            Ok(config) => assert_eq!(Some(config.effective_yaml()), row.yaml, "{}", row.content),
            Err(err) => assert_eq!(Some(err.to_string()), row.error, "{}", row.content),
        }
    }
}

/// The cases are ours, the answers those of promtool 3.14.
#[test]
fn http_clients_are_refused_in_the_words_of_prometheus() {
    for line in include_str!("../testdata/http-client.jsonl").lines() {
        let row: Reference = serde_json::from_str(line).unwrap();
        let loaded = load_in(Path::new(""), &row.content).map(drop).map_err(|err| err.to_string());
        assert_eq!(loaded.err(), row.error, "{}", row.content);
    }
}

fn jobs(config: &Config) -> Vec<ScrapeConfig> {
    config.scrape_configs().unwrap()
}

#[test]
fn a_job_becomes_options() {
    let text = "
global: {scrape_interval: 15s, sample_limit: 100}
scrape_configs:
- job_name: node
  scrape_timeout: 5s
  params: {'collect[]': [cpu, meminfo]}
  basic_auth: {username: u, password_file: pw}
  tls_config: {ca_file: /ca.pem, min_version: TLS12}
  http_headers: {X-A: {values: [a], secrets: [s]}}
  relabel_configs:
  - {source_labels: [__address__], regex: '(.*):.*', target_label: host}
  static_configs:
  - {targets: ['a:1', 'b:2'], labels: {env: x}}
  file_sd_configs: [{files: ['t/*.json']}]
  http_sd_configs: [{url: 'http://x/sd'}]
";
    let config = load_in(Path::new("/etc/p"), text).unwrap();
    assert_eq!(config.unsupported(&jobs(&config)), None);
    let job = jobs(&config)[0].to_job().unwrap();
    assert_eq!(job.scrape.name, "node");
    assert_eq!(job.scrape.scrape_interval.as_secs(), 15);
    assert_eq!(job.scrape.scrape_timeout.as_secs(), 5);
    assert_eq!(job.scrape.limits.samples, 100);
    assert_eq!(job.scrape.params["collect[]"], ["cpu", "meminfo"]);
    assert_eq!(job.scrape.scrape_protocols.len(), 4);
    assert_eq!(job.scrape.relabel_configs[0].regex.as_str(), "(.*):.*");
    let client = &job.scrape.client;
    let password = client.basic_auth.as_ref().unwrap().password.clone().unwrap();
    assert_eq!(password, httpclient::Source::File("/etc/p/pw".into()));
    assert_eq!(client.headers[0].values.len(), 2);
    assert_eq!(client.tls.ca, Some(httpclient::Source::File("/ca.pem".into())));
    let mechanisms: Vec<&str> = job.providers.iter().map(discovery::ProviderOptions::mechanism).collect();
    assert_eq!(mechanisms, ["file", "http", "static"]);
}

#[test]
fn proxies_and_tokens_become_options() {
    let text = "
scrape_configs:
- job_name: j
  proxy_url: http://u:p@proxy:3128
  no_proxy: 10.0.0.0/8,.svc
  proxy_connect_header: {X-A: [b, c]}
  enable_http2: false
  oauth2:
    client_id: me
    client_certificate_key_file: key.pem
    client_certificate_key_id: k1
    grant_type: urn:ietf:params:oauth:grant-type:jwt-bearer
    signature_algorithm: RS512
    claims: {a: 1, b: [x, 1.5, true, null], c: {d: yes}}
    scopes: [s]
    token_url: http://t/token
    endpoint_params: {q: r}
    tls_config: {server_name: t}
    proxy_url: socks5://s:1080
";
    let config = load_in(Path::new("/etc/p"), text).unwrap();
    assert_eq!(config.unsupported(&jobs(&config)), None);
    let client = jobs(&config)[0].to_job().unwrap().scrape.client;
    assert!(!client.http2);
    let secret = |text: &str| Some(httpclient::Secret::from(text));
    assert_eq!(client.proxy.http, secret("http://u:p@proxy:3128"));
    assert_eq!(
        (&client.proxy.https, client.proxy.except.as_deref()),
        (&client.proxy.http, Some("10.0.0.0/8,.svc"))
    );
    assert_eq!(
        (&*client.proxy.connect_headers[0].name, client.proxy.connect_headers[0].values.len()),
        ("X-A", 2)
    );
    let oauth2 = client.oauth2.unwrap();
    assert_eq!(
        (&*oauth2.client_id, &*oauth2.token_url, &oauth2.scopes[..]),
        ("me", "http://t/token", &["s".to_owned()][..])
    );
    assert_eq!(oauth2.endpoint_params["q"], "r");
    assert_eq!(oauth2.tls.server_name.as_deref(), Some("t"));
    assert_eq!(oauth2.proxy.https, secret("socks5://s:1080"));
    let httpclient::Grant::Assertion(assertion) = oauth2.grant else { panic!("an assertion") };
    assert_eq!(assertion.key, Some(httpclient::Source::File("/etc/p/key.pem".into())));
    assert_eq!(assertion.key_id.as_deref(), Some("k1"));
    assert_eq!(assertion.algorithm, httpclient::SignatureAlgorithm::Rs512);
    let claims = serde_json::to_value(&assertion.claims).unwrap();
    assert_eq!(claims, serde_json::json!({"a": 1, "b": ["x", 1.5, true, null], "c": {"d": true}}));
}

#[test]
fn servers_to_read_from_are_named_as_prometheus_names_them() {
    let text = "remote_read: [{url: http://127.0.0.1:19777/read, name: one}, {url: \"http://127.0.0.1:19778/read\"}]";
    let config = load_in(Path::new("."), text).unwrap();
    let names: Vec<String> = config.remote_reads().unwrap().into_iter().map(|read| read.name).collect();
    assert_eq!(names, ["one", "465e13"]);
}

#[test]
fn what_has_no_effect_yet_is_named_with_its_place() {
    let text = "
rule_files: [a.yml]
remote_write:
- url: http://x
tracing:
  endpoint: a:1
scrape_configs:
- job_name: j
  basic_auth: {password_ref: x}
";
    let config = load_in(Path::new("."), text).unwrap();
    let unsupported = config.unsupported(&jobs(&config)).unwrap();
    let want = "\
tracing (line 6) is not supported yet
job j: basic_auth (line 9) is not supported yet";
    assert_eq!(unsupported.to_string(), want);
    assert!(unsupported.report("p.yml").contains("p.yml:9:"));
}

#[test]
fn people_are_told_where_and_what_would_be_right() {
    let cases = [
        (
            "global:\n  scrape_intervall: 5s\n",
            "error: unknown key `scrape_intervall`
  --> p.yml:2:3
  |
2 |   scrape_intervall: 5s
  |   ^^^^^^^^^^^^^^^^
  = help: did you mean `scrape_interval`?
",
        ),
        (
            "global:\n  scrape_interval: 5x\n",
            "error: unknown unit \"x\" in duration \"5x\"
  --> p.yml:2:20
  |
2 |   scrape_interval: 5x
  |                    ^^
  = help: a duration is numbers with units, largest first: 30s, 1h30m, 500ms, 15d
",
        ),
        (
            "scrape_configs:\n- job_name: a\n- job_name: a\n",
            "error: found multiple scrape configs with job name \"a\"
  --> p.yml:3:13
  |
3 | - job_name: a
  |             ^
  = help: names of jobs must differ
",
        ),
        (
            "scrape_configs:\n- job_name: a\n  relabel_configs:\n  - source_labels: [x]\n    regex: '('\n",
            "error: error parsing regexp: missing closing ): `^(?s:()$`
  --> p.yml:5:12
  |
5 |     regex: '('
  |            ^^^
",
        ),
        (
            "scrape_configs:\n- job_name: a\n  static_configs: [{targets: ['http://h/x']}]\n",
            "error: \"http://h/x\" is not a valid hostname
  --> p.yml:3:19
  |
3 |   static_configs: [{targets: ['http://h/x']}]
  |                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = help: a target is host:port; scheme and path are the job's `scheme` and `metrics_path`
",
        ),
        (
            "global:\n\tscrape_interval: 5s\n",
            "error: not valid YAML: found character that cannot start any token
  --> p.yml:2:1
  |
2 | \tscrape_interval: 5s
  | ^
  = help: YAML is indented with blanks, never with tabs; a value that starts with @, ` or % needs quotes
",
        ),
        (
            "global: {scrape_interval: 5s}\nscrape_configs: {}\n",
            "error: expected a list, found a mapping
  --> p.yml:2:17
  |
2 | scrape_configs: {}
  |                 ^^
",
        ),
    ];
    for (text, want) in cases {
        let err = load_in(Path::new("."), text).unwrap_err();
        assert_eq!(err.report("p.yml"), want);
    }
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in r"([a-z_]{1,8}: ?|- |\n|  |\{|\}|\[|\]|'|\x22|&a |\*a|<<: |!!int |\||0x1|1m|#|\t|é){0,40}") {
        if let Ok(config) = load_in(Path::new("."), &text) {
            assert!(config.effective_yaml().starts_with("global:\n"));
        }
        let loaded = config::load_rules(&text, &config::RuleFileOptions::default());
        assert!(loaded.refusals.iter().all(|line| !line.is_empty()));
    }
}

#[test]
fn retention_rules_are_read_and_refused_with_their_place() {
    let flags = Retention { time: Millis(15 * 86_400_000), ..Retention::default() };
    let load = |text: &str| {
        let options = LoadOptions {
            environment: &|_| None,
            directory: Path::new(""),
            default_retention: flags.clone(),
            features: FeatureDefaults::default(),
        };
        load(text, &options)
    };
    let text = "
storage:
  tsdb:
    retention:
      rules:
      - match: '{job=\"debug\"}'
        time: 6h
";
    let config = load(text).unwrap();
    let retention = config.retention();
    assert_eq!(retention.time, flags.time, "what the flags say holds beside rules alone");
    assert_eq!(retention.rules.len(), 1);
    assert_eq!(retention.rules[0].time, Millis(6 * 3_600_000));
    assert_eq!(&*retention.rules[0].selector.matchers[0].name, "job");
    assert!(
        config
            .effective_yaml()
            .contains("      rules:\n      - match: '{job=\"debug\"}'\n        time: 6h\n")
    );
    let printed = config.effective_yaml();
    assert_eq!(load(&printed).unwrap().effective_yaml(), printed);

    for (rule, want, line) in [
        ("{match: '{job=', time: 6h}", "invalid series selector \"{job=\": ", 6),
        ("{match: '{job=\"\"}', time: 6h}", "it must contain at least one non-empty matcher", 6),
        ("{match: up}", "'time' of a rule in 'storage.tsdb.retention.rules' must be set", 6),
        ("{time: 6h}", "'match' of a rule in 'storage.tsdb.retention.rules' must be set", 6),
        ("", "empty or null rule in 'storage.tsdb.retention.rules'", 6),
        ("{mtach: up}", "field mtach not found", 6),
    ] {
        let text =
            format!("storage:\n  tsdb:\n    retention:\n      time: 1d\n      rules:\n      - {rule}\n");
        let err = load(&text).expect_err(rule);
        assert!(err.to_string().contains(want), "{rule}: {err}");
        assert_eq!(err.problems()[0].span.unwrap().start.line, line, "{rule}");
    }
}

#[test]
fn defaults_of_features_show_unless_the_file_says_otherwise() {
    let features = FeatureDefaults { max_exemplars: Some(100_000), ..FeatureDefaults::default() };
    let options = LoadOptions {
        environment: &environment,
        directory: Path::new(""),
        default_retention: Retention::default(),
        features,
    };
    for (text, shown) in [
        ("", "  exemplars:\n    max_exemplars: 100000\n"),
        ("storage: {exemplars: {max_exemplars: 5}}", "  exemplars:\n    max_exemplars: 5\n"),
    ] {
        let yaml = load(text, &options).unwrap().effective_yaml();
        assert!(yaml.contains(shown), "{yaml}");
    }
    let without = load_in(Path::new(""), "").unwrap().effective_yaml();
    assert!(!without.contains("exemplars"), "{without}");
}
