//! A data directory of Prometheus with blocks in it: they are served, whatever has happened to one of them.

use std::path::{Path, PathBuf};

use crate::site::{Site, is_peer};

const CONFIG: &str = "global: {scrape_interval: 1h}\n";
const WHOLE: &str = "01M7YKC63BZQTHMHVNSK8GG0E5";
const SMALL: &str = "01M7YKC88AF6H593WAHTJDC3AZ";

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::write(&target, std::fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

fn site() -> Site {
    let site = Site::server(CONFIG).flag("--storage.tsdb.retention.time=100y");
    let blocks = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../block/testdata/blocks"));
    copy(&blocks, &site.path("data"));
    site
}

#[test]
fn samples_of_blocks_are_answered_and_blocks_are_listed() {
    let site = site();
    let program = site.start();
    let samples = program.samples("const[1d]", Some(1_700_092_799.0));
    assert_eq!(samples.values().map(|points| points.len()).collect::<Vec<_>>(), [540]);
    let listed = program.get("/api/v1/status/tsdb/blocks").json();
    let ulids: Vec<_> =
        listed["data"]["blocks"].as_array().unwrap().iter().map(|b| b["ulid"].clone()).collect();
    assert_eq!(ulids, [WHOLE, SMALL]);
    let page = program.get("/metrics").text();
    assert!(page.contains("\nprometheus_tsdb_blocks_loaded 2\n"), "{page}");
}

#[test]
fn a_damaged_block_is_set_aside_and_the_rest_is_served() {
    if is_peer() {
        return; // Prometheus does not start.
    }
    let site = site();
    let index = site.path("data").join(SMALL).join("index");
    std::fs::write(&index, b"not an index").unwrap();
    let program = site.start();
    let samples = program.samples("const[1d]", Some(1_700_092_799.0));
    assert_eq!(samples.len(), 1);
    let page = program.get("/metrics").text();
    assert!(page.contains("\nprometheus_tsdb_blocks_loaded 1\n"), "{page}");
    assert!(page.contains("\nbinnacle_tsdb_blocks_set_aside 1\n"), "{page}");
    let log = program.log();
    assert_eq!(log.lines().filter(|l| l.contains(SMALL) && l.contains("set aside")).count(), 1, "{log}");
    assert!(index.exists(), "nothing is deleted");
}

#[test]
fn an_answer_that_lacks_a_damaged_chunk_says_so() {
    if is_peer() {
        return; // Prometheus answers with an error.
    }
    let site = site();
    let segment = site.path("data").join(WHOLE).join("chunks/000001");
    let mut bytes = std::fs::read(&segment).unwrap();
    for byte in bytes.iter_mut().skip(8).step_by(16) {
        *byte ^= 0xff;
    }
    std::fs::write(&segment, bytes).unwrap();
    let program = site.start();
    let answer = program.get("/api/v1/query?query=count_over_time(const[1d])&time=1700092799").json();
    assert_eq!(answer["status"], "success", "{answer}");
    let warnings = answer["warnings"].to_string();
    assert!(warnings.contains(WHOLE) && warnings.contains("incomplete"), "{answer}");
}

#[test]
fn the_retention_of_the_file_says_how_long_blocks_become() {
    for (retention, flag, longest) in [
        ("{time: 10d}", "--storage.tsdb.retention.time=15d", "1d"),
        ("{size: 1GB}", "--storage.tsdb.retention.time=15d", "31d"),
        ("{time: 10d}", "--storage.tsdb.max-block-duration=6h", "6h"),
    ] {
        let config = format!("storage: {{tsdb: {{retention: {retention}}}}}\n");
        let site = Site::server(&config).flag(flag);
        let program = site.start();
        let flags = program.data("/api/v1/status/flags");
        assert_eq!(flags["storage.tsdb.max-block-duration"], longest, "{retention} {flag}");
    }
}

#[test]
fn a_snapshot_of_the_memory_is_left_at_shutdown_when_asked_for() {
    let target = "static_configs: [{targets: ['localhost:@PORT@']}]";
    let config = format!("scrape_configs: [{{job_name: self, scrape_interval: 1s, {target}}}]\n");
    let site = Site::server(&config).flag("--enable-feature=memory-snapshot-on-shutdown");
    let program = site.start();
    program.wait_for_value("up", 1.0);
    program.interrupt();
    let left = std::fs::read_dir(site.path("data")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().any(|name| name.to_string_lossy().starts_with("chunk_snapshot.")));
    let program = site.start();
    program.wait_for_value("count(count_over_time(up[1h])) > 0", 1.0);
}

#[test]
fn quotes_in_a_url_are_taken_as_people_type_them() {
    let site = Site::server(CONFIG);
    let program = site.start();
    for expression in ["vector(1)<2", "count({a=\"b\"})>1", "\"text\""] {
        let answer = program.get(&format!("/api/v1/query?query={expression}"));
        assert_eq!(answer.status, 200, "{expression}: {}", answer.text());
    }
}
