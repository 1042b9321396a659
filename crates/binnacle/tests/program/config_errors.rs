//! Wrong files and flags: the program does not start, and says where and why.

use crate::site::{Site, is_peer};

#[test]
fn a_wrong_file_is_refused_with_its_place_and_the_source_line() {
    // Content, line, column, and what the message must say.
    let cases: &[(&str, usize, usize, &[&str])] = &[
        ("global:\n  scrape_intervall: 15s\n", 2, 3, &["scrape_intervall", "scrape_interval"]),
        ("global:\n  scrape_interval: fast\n", 2, 20, &["not a valid duration string: \"fast\""]),
        (
            "scrape_configs:\n  - job_name: a\n    static_configs:\n      - targets: localhost:9090\n",
            4,
            18,
            &["targets"],
        ),
        (
            "scrape_configs:\n  - job_name: a\n    relabel_configs:\n      - {action: replaceall}\n",
            4,
            18,
            &["replaceall"],
        ),
        (
            "scrape_configs:\n  - job_name: a\n    relabel_configs:\n      - regex: \"a(b\"\n        action: keep\n        source_labels: [x]\n",
            4,
            16,
            &["missing"],
        ),
        ("scrape_configs:\n  - job_name: a\n  - job_name: a\n", 3, 15, &["a"]),
        ("global:\n\tscrape_interval: 15s\n", 2, 1, &[]),
    ];
    for (content, line, column, says) in cases {
        let (status, log) = Site::server(content).run_to_end();
        assert!(!status.success(), "{content}{log}");
        if is_peer() {
            continue;
        }
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(
            log.contains(&format!("prometheus.yml:{line}:{column}")),
            "{line}:{column} of\n{content}\n{log}"
        );
        let source = content.lines().nth(line - 1).unwrap().trim();
        assert!(log.contains(source), "the source line {source:?}: {log}");
        for part in *says {
            assert!(log.contains(part), "{part:?}: {log}");
        }
    }
}

#[test]
fn a_missing_file_is_named() {
    let site = Site::server("").flag("--config.file=not-there.yml");
    let (status, log) = site.run_to_end();
    assert!(!status.success());
    assert!(log.contains("not-there.yml") && log.to_lowercase().contains("no such file"), "{log}");
}

#[test]
fn what_is_not_there_yet_is_refused_by_name() {
    if is_peer() {
        return;
    }
    for (content, name) in [
        (
            "remote_write: [{url: \"http://a/\", azuread: {certificate: {client_id: 01234567-89ab-cdef-0123-456789abcdef, tenant_id: t, certificate_path: c, certificate_password: p}}}]\n",
            "remote_write.azuread.certificate.certificate_password",
        ),
        ("tracing: {endpoint: \"a:1\"}\n", "tracing"),
    ] {
        let (status, log) = Site::server(content).run_to_end();
        assert_eq!(status.code(), Some(1), "{name}: {log}");
        assert!(log.contains(name) && log.contains("not supported yet"), "{name}: {log}");
    }
    for flag in ["--query.no-such-limit=4", "--enable-feature=old-ui"] {
        let (status, log) = Site::server("global: {}\n").flag(flag).run_to_end();
        assert!(!status.success(), "{flag}: {log}");
        assert!(
            log.contains(flag.split('=').next().unwrap()) && log.contains("not supported yet"),
            "{flag}: {log}"
        );
    }
}

#[test]
fn start_times_need_an_encoding_that_has_a_place_for_them() {
    let file = |floats: &str| format!("storage: {{tsdb: {{chunk_encoding: {{floats: {floats}}}}}}}\n");
    for (features, file, says) in [
        (
            "st-storage",
            String::new(),
            "incompatible with start-timestamp storage; XOR chunks do not store start timestamps",
        ),
        (
            "st-storage,xor2-encoding",
            file("xor"),
            "'storage.tsdb.chunk_encoding.floats: xor' is incompatible with st-storage; XOR chunks do not store start timestamps",
        ),
        (
            "exemplar-storage",
            file("xor2"),
            "'storage.tsdb.chunk_encoding.floats: xor2' requires the xor2-encoding feature flag to be enabled at startup",
        ),
    ] {
        let (status, log) = Site::server(&file).flag(&format!("--enable-feature={features}")).run_to_end();
        assert!(!status.success() && log.contains(says), "{features}: {log}");
    }
}

#[test]
fn an_unknown_flag_or_value_is_refused_by_name() {
    for (flag, says) in [
        ("--no-such-flag", "--no-such-flag"),
        ("--query.timeout=soon", "soon"),
        ("--log.level=loud", "loud"),
        ("--web.listen-address=nonsense", "nonsense"),
        ("--web.cors.origin=(", "("),
        ("--storage.tsdb.retention.size=much", "much"),
        ("--storage.tsdb.wal-segment-size=1MB", "between 10MB and 256MB"),
        ("--storage.tsdb.max-block-chunk-segment-size=1KB", "over 1MB"),
        ("--storage.tsdb.wal-compression-type=lz4", "lz4"),
    ] {
        let (status, log) = Site::server("global: {}\n").flag(flag).run_to_end();
        assert!(!status.success(), "{flag}: {log}");
        assert!(log.contains(says), "{flag}: {log}");
        assert!(!log.contains("panicked"), "{flag}: {log}");
    }
}

#[test]
fn values_out_of_range_are_taken_as_prometheus_takes_them() {
    for (flags, warns, shown) in [
        (
            &["--storage.tsdb.block-reload-interval=500ms"][..],
            "less than 1s",
            ("block-reload-interval", "1s"),
        ),
        (&["--storage.tsdb.wal-segment-size=0"], "", ("wal-segment-size", "0B")),
        (&["--storage.tsdb.max-block-chunk-segment-size=0"], "", ("max-block-chunk-segment-size", "0B")),
        (&["--storage.tsdb.samples-per-chunk=-3"], "", ("samples-per-chunk", "-3")),
        (&["--storage.tsdb.samples-per-chunk=100000"], "", ("samples-per-chunk", "100000")),
        (
            &["--storage.tsdb.delayed-compaction.max-percent=101"],
            "",
            ("delayed-compaction.max-percent", "101"),
        ),
        (
            &["--storage.tsdb.delayed-compaction.max-percent=101", "--enable-feature=delayed-compaction"],
            "should have a value between 1 and 100",
            ("delayed-compaction.max-percent", "10"),
        ),
    ] {
        let site = flags.iter().fold(Site::server("global: {}\n"), |site, flag| site.flag(flag));
        let program = site.start();
        let all = program.data("/api/v1/status/flags");
        assert_eq!(all[format!("storage.tsdb.{}", shown.0)], shown.1, "{flags:?}");
        let log = program.log();
        assert!(log.contains(warns), "{flags:?}: {log}");
        assert_eq!(log.contains("storage.tsdb."), !warns.is_empty(), "{flags:?}: {log}");
    }
}

#[test]
fn help_and_version_are_no_errors() {
    if is_peer() {
        return;
    }
    let run = |args: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_binnacle")).args(args).output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), text)
    };
    let (code, help) = run(&["--help"]);
    assert_eq!(code, Some(0), "{help}");
    assert!(help.contains("up") && help.contains("server"), "{help}");
    let (code, help) = run(&["server", "--help"]);
    assert_eq!(code, Some(0), "{help}");
    assert!(help.contains("--config.file") && help.contains("--storage.tsdb.retention.time"), "{help}");
    let (code, version) = run(&["--version"]);
    assert_eq!((code, version.trim()), (Some(0), concat!("binnacle ", env!("CARGO_PKG_VERSION"))));
    let (code, error) = run(&["sever"]);
    assert!(code != Some(0) && error.contains("sever"), "{error}");
}

#[test]
fn a_data_directory_that_cannot_be_used_is_named() {
    let site = Site::server("global: {}\n");
    site.write("data", "a file");
    let (status, log) = site.run_to_end();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains(site.path("data").to_str().unwrap()), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}
