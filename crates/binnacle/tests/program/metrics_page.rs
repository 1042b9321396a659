//! The program's own metrics: what dashboards and people read.

use std::collections::{BTreeMap, BTreeSet};

use crate::site::{Program, Site, is_peer, prometheus_3, shared};
use crate::stub::Stub;

/// Families of a text page: name to help and type.
fn families(page: &str) -> BTreeMap<String, (String, String)> {
    let mut families = BTreeMap::<String, (String, String)>::new();
    for line in page.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' ')) {
            families.entry(name.to_owned()).or_default().0 = help.to_owned();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' ')) {
            families.entry(name.to_owned()).or_default().1 = kind.to_owned();
        }
    }
    families
}

/// The family that a sample line belongs to.
fn family_of<'a>(line: &'a str, families: &BTreeMap<String, (String, String)>) -> &'a str {
    let name = line.split(['{', ' ']).next().unwrap_or(line);
    let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
    match base.and_then(|b| families.get(b)) {
        Some((_, kind)) if matches!(kind.as_str(), "histogram" | "summary") => base.unwrap_or(name),
        _ => name,
    }
}

fn valid_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[test]
fn every_family_has_a_name_help_and_type_as_elsewhere() {
    let stub = Stub::serving("x 1\n");
    let site = Site::server(&format!(
        "global: {{scrape_interval: 200ms}}\nscrape_configs: [{{job_name: j, static_configs: [{{targets: [\"{}\"]}}]}}]\n",
        stub.address
    ));
    let program = site.start();
    program.wait_for_value("x", 1.0);
    program.get("/api/v1/query_range?query=x&start=1&end=2&step=1");
    for path in ["/metrics", "/metrics/node"] {
        if path == "/metrics/node" && crate::site::is_peer() {
            continue;
        }
        let answer = program.get(path);
        let kind = answer.header("content-type").unwrap_or("").to_owned();
        assert!(answer.status == 200 && kind.starts_with("text/plain; version=0.0.4"), "{path}: {kind}");
        let page = answer.text();
        let families = families(&page);
        assert!(families.len() > 40, "{path}: {}", families.len());
        for (name, (help, kind)) in &families {
            assert!(valid_name(name), "{path}: {name}");
            assert!(!help.trim().is_empty(), "{path}: {name} has no help");
            assert!(
                matches!(kind.as_str(), "counter" | "gauge" | "histogram" | "summary" | "untyped"),
                "{name}: {kind:?}"
            );
        }
        for line in page.lines().filter(|l| !l.starts_with('#')) {
            let family = family_of(line, &families);
            assert!(families.contains_key(family), "{path}: {line}");
        }
    }
}

#[test]
fn families_that_prometheus_has_too_have_its_help_and_type() {
    let Some(recorded) = shared("golden/api/metrics-families.txt") else { return };
    let recorded = families(&std::fs::read_to_string(recorded).unwrap());
    let site = Site::server("global: {}\n");
    let program = site.start();
    let own = families(&program.get("/metrics").text());
    let different: Vec<_> = own
        .iter()
        .filter(|(name, _)| {
            name.starts_with("prometheus_") || name.starts_with("process_") || name.starts_with("net_")
        })
        .filter_map(|(name, own)| recorded.get(name).filter(|r| *r != own).map(|r| (name, own, r)))
        .collect();
    assert!(different.is_empty(), "{different:#?}");
    // Names that look like Prometheus' and are not would mislead.
    let unknown: Vec<_> =
        own.keys().filter(|n| n.starts_with("prometheus_") && !recorded.contains_key(*n)).collect();
    println!("not recorded of Prometheus: {unknown:?}");
}

#[test]
fn what_the_known_dashboards_read_is_there() {
    let stub = Stub::serving("x 1\n");
    let site = Site::server(&format!(
        "global: {{scrape_interval: 200ms}}\nscrape_configs: [{{job_name: j, static_configs: [{{targets: [\"{}\"]}}]}}]\n",
        stub.address
    ));
    let program = site.start();
    // The length of an interval is known with the second scrape.
    program.wait_for("three scrapes", |_| (stub.seen("/metrics").len() >= 3).then_some(()));
    let page = program.get("/metrics").text();
    for name in [
        "prometheus_build_info",
        "prometheus_config_last_reload_successful",
        "prometheus_config_last_reload_success_timestamp_seconds",
        "prometheus_engine_queries",
        "prometheus_engine_queries_concurrent_max",
        "prometheus_engine_query_duration_histogram_seconds",
        "prometheus_engine_query_duration_seconds",
        "prometheus_engine_query_samples_read_total",
        "prometheus_engine_query_samples_total",
        "prometheus_http_requests_total",
        "prometheus_sd_discovered_targets",
        "prometheus_target_interval_length_seconds",
        "prometheus_target_metadata_cache_entries",
        "prometheus_target_scrape_pool_exceeded_label_limits_total",
        "prometheus_target_scrape_pool_exceeded_target_limit_total",
        "prometheus_target_scrapes_exceeded_body_size_limit_total",
        "prometheus_target_scrapes_exceeded_sample_limit_total",
        "prometheus_target_scrapes_sample_duplicate_timestamp_total",
        "prometheus_target_scrapes_sample_out_of_bounds_total",
        "prometheus_target_scrapes_sample_out_of_order_total",
        "prometheus_target_sync_failed_total",
        "prometheus_target_sync_length_seconds",
        "prometheus_tsdb_clean_start",
        "prometheus_tsdb_head_chunks",
        "prometheus_tsdb_head_samples_appended_total",
        "prometheus_tsdb_head_series",
        "prometheus_tsdb_wal_segment_current",
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
    ] {
        assert!(page.contains(&format!("\n# TYPE {name} ")), "{name} is not on the page");
    }
}

/// What is shown of targets and discovery: of each family its help, type and label sets (without buckets).
fn collected(program: &Program<'_>) -> BTreeMap<String, (String, String, BTreeSet<String>)> {
    let page = program.get("/metrics").text();
    let families = families(&page);
    let mut found = BTreeMap::<String, (String, String, BTreeSet<String>)>::new();
    for line in page.lines().filter(|l| !l.starts_with('#')) {
        let name = family_of(line, &families);
        if !name.starts_with("prometheus_target_") && !name.starts_with("prometheus_sd_") {
            continue;
        }
        let (help, kind) = families[name].clone();
        let labels = line.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(l, _)| l);
        let labels: Vec<_> = labels.split(',').filter(|l| !l.starts_with("le=")).collect();
        let entry = found.entry(name.to_owned()).or_insert((help, kind, BTreeSet::new()));
        entry.2.insert(labels.join(","));
    }
    found
}

#[test]
fn both_programs_show_the_same_about_targets_and_discovery() {
    if is_peer() {
        return;
    }
    let Some((prometheus, _)) = prometheus_3() else { return };
    let stub = Stub::serving("x 1\n");
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n\
         - {{job_name: s, static_configs: [{{targets: ['{0}']}}]}}\n\
         - {{job_name: f, file_sd_configs: [{{files: ['nothing*.json']}}]}}\n\
         - {{job_name: h, http_sd_configs: [{{url: 'http://127.0.0.1:1/'}}]}}\n\
         - {{job_name: d, dns_sd_configs: [{{names: [localhost], type: A, port: 1}}]}}\n\
         - {{job_name: c, consul_sd_configs: [{{server: '127.0.0.1:1'}}]}}\n\
         - {{job_name: n, nomad_sd_configs: [{{server: 'http://127.0.0.1:1'}}]}}\n\
         - {{job_name: u, kuma_sd_configs: [{{server: 'http://127.0.0.1:1'}}]}}\n\
         - {{job_name: o, docker_sd_configs: [{{host: 'http://127.0.0.1:1'}}]}}\n",
        stub.address
    );
    let (ours, mut theirs) = (Site::server(&config), Site::server(&config));
    theirs.switch_to(Some(&prometheus));
    let (our_program, their_program) = (ours.start(), theirs.start());
    let [theirs, ours] = [&their_program, &our_program].map(|program| {
        program.wait_for("three scrapes", |p| (p.value("count_over_time(up[1m])")? >= 3.0).then_some(()));
        let mut shown = collected(program);
        // There is no manager of Alertmanagers' addresses yet.
        for (_, _, labels) in shown.values_mut() {
            labels.retain(|labels| !labels.contains("name=\"notify\""));
        }
        shown
    });
    assert!(theirs.len() > 50, "{}", theirs.len());
    let different = theirs.iter().filter(|(name, shown)| ours.get(*name) != Some(*shown));
    let different: Vec<_> = different.map(|(name, shown)| (name, shown, ours.get(name))).collect();
    assert!(different.is_empty(), "{different:#?}");
}
