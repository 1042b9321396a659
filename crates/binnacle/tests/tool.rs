//! `binnacle tool tsdb` beside what promtool printed, byte for byte, and on damaged directories.

// What a helper of a test cannot do fails the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// What a run printed.
#[derive(Debug, PartialEq)]
struct Ran {
    exit: i64,
    stdout: String,
    stderr: String,
}

fn tool(dir: &Path, args: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_binnacle"))
        .args(["tool", "tsdb"])
        .args(args)
        .current_dir(dir)
        .output();
    let output = output.unwrap();
    Ran {
        exit: output.status.code().unwrap_or(-1).into(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn recorded(case: &Value) -> (Vec<&str>, Ran) {
    let text = |key: &str| case[key].as_str().unwrap_or_default().to_owned();
    let args = case["args"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
    let stderr = text("stderr").replace("promtool: error: ", "binnacle: error: ");
    (args, Ran { exit: case["exit"].as_i64().unwrap(), stdout: text("stdout"), stderr })
}

/// Block ids that were made up as `<ULID>`, in the width of an id.
fn without_new_ids(text: &str, known: &[&str]) -> String {
    let lines = text.split('\n').map(|line| {
        let (first, rest) = line.split_at(line.find(' ').unwrap_or(line.len()));
        let id = first.len() == 26 && first.starts_with("01") && !known.contains(&first);
        if id { format!("<ULID>{rest}") } else { line.to_owned() }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.split('\n').collect();
    lines.sort_unstable();
    lines
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::write(&target, fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

/// Every path below a directory, files with their content.
fn tree(dir: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(tree(&path));
            all.insert(path, None);
        } else {
            all.insert(path.clone(), Some(fs::read(&path).unwrap()));
        }
    }
    all
}

/// The recordings of Prometheus, where they are there.
fn recordings() -> Option<PathBuf> {
    let fallback = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");
    let shared = PathBuf::from(std::env::var("BINNACLE_SHARED").unwrap_or(fallback.to_owned()));
    let golden = shared.join("golden");
    if !golden.is_dir() {
        println!("skipped: no recordings at {}", golden.display());
        return None;
    }
    Some(golden)
}

fn json_lines(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// promtool lists equal numbers in no particular order.
fn order_matters(args: &[&str]) -> bool {
    args.first() != Some(&"analyze")
}

#[test]
fn answers_are_promtools() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/tool.jsonl");
    let blocks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../block/testdata/blocks");
    let dir = tempfile::tempdir().unwrap();
    copy(&blocks, &dir.path().join("data"));
    let before = tree(&dir.path().join("data"));
    let known = ["01M7YKC63BZQTHMHVNSK8GG0E5", "01M7YKC88AF6H593WAHTJDC3AZ"];
    for case in json_lines(&own) {
        for (name, text) in case["files"].as_object().into_iter().flatten() {
            fs::write(dir.path().join(name), text.as_str().unwrap()).unwrap();
        }
        let (args, want) = recorded(&case);
        let mut have = tool(dir.path(), &args);
        have.stdout = without_new_ids(&have.stdout, &known);
        if order_matters(&args) {
            assert_eq!(have, want, "{args:?}");
        } else {
            assert_eq!((have.exit, &have.stderr), (want.exit, &want.stderr), "{args:?}");
            assert_eq!(sorted(&have.stdout), sorted(&want.stdout), "{args:?}");
        }
    }
    assert!(tree(&dir.path().join("data")) == before, "the directory has changed");
}

#[test]
fn promtools_other_recorded_commands_are_answered_alike() {
    let Some(golden) = recordings() else { return };
    let dir = tempfile::tempdir().unwrap();
    fs::copy(golden.join("promtool/backfill.om.txt"), dir.path().join("in.om")).unwrap();
    let mut checked = 0;
    for case in json_lines(&golden.join("promtool/commands.jsonl")) {
        let (args, want) = recorded(&case);
        // Those of rules ask a server.
        let [group, args @ ..] = &args[..] else { continue };
        if *group != "tsdb" || args.contains(&"rules") || args.contains(&"rb") {
            continue;
        }
        for (name, text) in case["files"].as_object().into_iter().flatten() {
            fs::write(dir.path().join(name), text.as_str().unwrap()).unwrap();
        }
        let mut have = tool(dir.path(), args);
        have.stdout = without_new_ids(&have.stdout, &[])
            .lines()
            .map(|line| match line.strip_prefix("Block ID: ") {
                Some(_) => "Block ID: <ULID>\n".to_owned(),
                None => format!("{line}\n"),
            })
            .collect();
        let mut want = want;
        if case["note"] == "first 120 lines" {
            have.stdout = have.stdout.lines().take(120).collect::<Vec<_>>().join("\n");
            want.stdout = want.stdout.lines().take(120).collect::<Vec<_>>().join("\n");
        }
        // Of equal numbers only so many are shown, and which ones is chance.
        if args.contains(&"--limit=1") {
            let long = |text: &str| text.lines().filter(|line| !line.starts_with("0 ")).count();
            assert_eq!(long(&have.stdout), long(&want.stdout), "{args:?}");
        } else if order_matters(args) {
            assert_eq!(have, want, "{args:?}");
        } else {
            assert_eq!(sorted(&have.stdout), sorted(&want.stdout), "{args:?}");
        }
        checked += 1;
    }
    assert!(checked > 20, "{checked}");
}

fn unpacked(path: &Path) -> String {
    let mut text = String::new();
    let mut reader = flate2::read::GzDecoder::new(fs::File::open(path).unwrap());
    reader.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn all_samples_of_a_block_are_dumped() {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../block/testdata");
    let have = tool(&testdata, &["dump", "--min-time=1700028000000", "--max-time=1700092799999", "blocks"]);
    assert_eq!((have.exit, have.stderr.as_str()), (0, ""));
    let want = unpacked(&testdata.join("blocks.dump.txt.gz"));
    assert!(sorted(&have.stdout) == sorted(&want));
}

#[test]
fn directories_of_prometheus_are_read_whole() {
    let Some(golden) = recordings() else { return };
    for case in fs::read_dir(golden.join("tsdb")).unwrap() {
        let case = case.unwrap().path();
        if !case.join("data").is_dir() {
            continue;
        }
        let name = case.file_name().unwrap().display();
        let recorded = |file: &str| {
            let text = fs::read_to_string(case.join(file)).unwrap();
            let (exit, text) = text.split_once('\n').unwrap();
            (exit.strip_prefix("exit ").unwrap().parse::<i64>().unwrap(), text.to_owned())
        };
        let list = tool(&case, &["list", "data"]);
        assert_eq!((list.exit, list.stdout), recorded("promtool-list.txt"), "{name}");

        let analysis = tool(&case, &["analyze", "--extended", "data"]);
        let (exit, text) = recorded("promtool-analyze.txt");
        assert_eq!(analysis.exit, exit, "{name}");
        let all = format!("{}{}", analysis.stdout, analysis.stderr);
        // Of equal numbers promtool shows any.
        let counted = |text: &str| {
            let mut numbers: Vec<_> = text.lines().map(|l| l.split(' ').next().unwrap().to_owned()).collect();
            numbers.sort_unstable();
            numbers
        };
        assert_eq!(counted(&all), counted(&text), "{name}");

        let before = tree(&case.join("data"));
        let verified = tool(&case, &["verify", "data"]);
        assert!(
            verified.exit == 0 && verified.stdout.ends_with("Nothing is damaged.\n"),
            "{name}: {verified:?}"
        );
        let dump = tool(&case, &["dump", "data"]);
        assert_eq!((dump.exit, dump.stderr.as_str()), (0, ""), "{name}");
        assert!(tree(&case.join("data")) == before, "{name} has changed");
        let want = unpacked(&case.join("dump.txt.gz"));
        let (have, want) = (sorted(&dump.stdout), sorted(&want));
        // promtool leaves out what the head has of times before the last block's end.
        let missing: Vec<_> = want.iter().filter(|line| have.binary_search(line).is_err()).collect();
        assert!(missing.is_empty(), "{name}: {} samples are missing: {}", missing.len(), missing[0]);
        assert!(have.len() == want.len() || name.to_string() == "blocks", "{name}: {} lines", have.len());
    }
}

/// Edits of a directory as the recordings describe them.
fn damage(dir: &Path, op: &Value) {
    let path = |value: &Value| dir.join(value.as_str().unwrap());
    let pair = |value: &Value| (path(&value[0]), path(&value[1]));
    let base64 = |text: &Value| {
        let mut bits = Vec::new();
        for c in text.as_str().unwrap().bytes().filter(|c| *c != b'=') {
            let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            let n = alphabet.iter().position(|a| *a == c).unwrap();
            bits.extend((0..6).rev().map(|bit| n >> bit & 1));
        }
        bits.chunks_exact(8)
            .map(|byte| byte.iter().fold(0, |x, bit| x << 1 | *bit as u8))
            .collect::<Vec<u8>>()
    };
    let number = |key: &str| op[key].as_u64().map(|n| n as usize);
    if op["file"].is_string() {
        let file = path(&op["file"]);
        let mut bytes = fs::read(&file).unwrap_or_default();
        if let Some(n) = number("truncate") {
            bytes.truncate(n);
        } else if let (Some(at), Some(xor)) = (number("offset"), number("xor")) {
            bytes[at] ^= xor as u8;
        } else if op["append_b64"].is_string() {
            bytes.extend(base64(&op["append_b64"]));
        } else if op["write_b64"].is_string() {
            bytes = base64(&op["write_b64"]);
        } else {
            let text = String::from_utf8(bytes).unwrap();
            let (old, new) = (op["replace"][0].as_str().unwrap(), op["replace"][1].as_str().unwrap());
            bytes = text.replace(old, new).into_bytes();
        }
        fs::write(file, bytes).unwrap();
    } else if op["remove"].is_string() {
        let path = path(&op["remove"]);
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    } else if op["rename"].is_array() {
        let (from, to) = pair(&op["rename"]);
        fs::rename(from, to).unwrap();
    } else if op["copy_dir"].is_array() {
        let (from, to) = pair(&op["copy_dir"]);
        copy(&from, &to);
    } else {
        fs::create_dir(path(&op["mkdir"])).unwrap();
    }
}

/// Recorded edits that cost no data, or none that could be known of.
const SOUND: &[&str] = &[
    "block-duplicate-overlap",
    "block-meta-version-2",
    "block-no-tombstones",
    "block-removed-ooo",
    "block-tmp-for-creation",
    "block-tmp-for-deletion",
    "block-ulid-mismatch",
    "block-unknown-dir",
    "checkpoint-tmp-left",
    "headchunk-empty",
    "headchunk-gap",
    "headchunk-removed",
    "none-blocks",
    "none-chunk-snapshot",
    "none-head",
    "queries-active-garbage",
    "readonly-like-empty",
    "snapshot-no-wal",
    "snapshot-tmp",
    "stale-lock",
    "wal-unknown-file",
    "wbl-removed",
];

#[test]
fn what_is_damaged_is_told_and_what_is_sound_too() {
    let Some(golden) = recordings() else { return };
    for case in json_lines(&golden.join("tsdb/corruptions.jsonl")) {
        let (name, base) = (case["name"].as_str().unwrap(), case["base"].as_str().unwrap());
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        copy(&golden.join("tsdb").join(base).join("data"), &data);
        case["ops"].as_array().unwrap().iter().for_each(|op| damage(&data, op));
        let before = tree(&data);
        let verified = tool(dir.path(), &["verify", "data"]);
        let sound = SOUND.contains(&name);
        assert_eq!(verified.exit, i64::from(!sound), "{name}: {verified:?}");
        assert_eq!(verified.stderr, "", "{name}");
        assert_eq!(verified.stdout.contains("  damaged  "), !sound, "{name}: {verified:?}");
        // Names the file that was edited, unless it is gone or what it lacks shows elsewhere.
        if let (false, Some(file)) = (sound, case["ops"][0]["file"].as_str()) {
            let line = verified.stdout.lines().find(|line| line.contains(&format!("  {file} at offset ")));
            let unplaced = ["block-bad-meta-json", "wal-empty-segment"];
            assert!(line.is_some() || unplaced.contains(&name), "{name}: {verified:?}");
        }
        // What a dump cannot read it says.
        let dump = tool(dir.path(), &["dump", "data"]);
        assert!(dump.exit == 0 || !dump.stderr.is_empty(), "{name}");
        assert!(tree(&data) == before, "{name}: the directory has changed");
    }
}

#[test]
fn a_checkpoint_without_content_is_damage_when_the_log_needs_its_names() {
    let Some(golden) = recordings() else { return };
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    copy(&golden.join("tsdb/blocks/data"), &data);
    std::fs::write(data.join("wal/checkpoint.00000013/00000000"), []).unwrap();
    let verified = tool(dir.path(), &["verify", "data"]);
    assert_eq!(verified.exit, 1, "{verified:?}");
    let line = verified.stdout.lines().find(|line| line.contains("the checkpoint has no content"));
    assert!(line.is_some_and(|line| line.contains("wal/checkpoint.00000013")), "{verified:?}");
}

#[test]
fn every_flipped_bit_of_a_block_is_found() {
    let source =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../block/testdata/blocks/01M7YKC88AF6H593WAHTJDC3AZ");
    let dir = tempfile::tempdir().unwrap();
    let block = dir.path().join("01M7YKC88AF6H593WAHTJDC3AZ");
    copy(&source, &block);
    let sound = tool(dir.path(), &["verify", "01M7YKC88AF6H593WAHTJDC3AZ"]);
    assert_eq!(sound.exit, 0, "{sound:?}");
    for file in ["index", "chunks/000001", "tombstones"] {
        let path = block.join(file);
        let bytes = fs::read(&path).unwrap();
        for at in (0..bytes.len()).step_by(13) {
            // Nobody reads the padding of a segment's header and between sections and series of an index.
            let padding =
                file == "chunks/000001" && (5..8).contains(&at) || file == "index" && bytes[at] == 0;
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            fs::write(&path, &damaged).unwrap();
            let verified = tool(dir.path(), &["verify", "."]);
            assert!(verified.exit == 1 || padding, "{file} at {at}: {verified:?}");
        }
        fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn what_is_exported_can_be_imported() {
    let dir = tempfile::tempdir().unwrap();
    let mut page = String::new();
    for i in 0..5000 {
        let t = 1_700_000_000.0 + f64::from(i) * 13.5;
        page.push_str(&format!("requests_total{{code=\"200\",path=\"/a\\\\b\\\"c\\nd\"}} {i} {t:.3}\n"));
        if i % 7 == 0 {
            page.push_str(&format!("temperature {} {t:.3}\n", f64::from(i % 100) / 3.0));
        }
    }
    page.push_str("# EOF\n");
    fs::write(dir.path().join("in.om"), &page).unwrap();
    let import = |input: &str, output: &str| {
        let ran = tool(dir.path(), &["create-blocks-from", "openmetrics", input, output]);
        assert_eq!((ran.exit, ran.stderr.as_str()), (0, ""));
        ran.stdout
    };
    let made = import("in.om", "one");
    assert_eq!(made.lines().count(), 1 + 10, "{made}");
    // Each block was a table of its own.
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&tool(dir.path(), &["list", "one"]).stdout), words(&made));
    let verified = tool(dir.path(), &["verify", "one"]);
    assert_eq!(verified.exit, 0, "{verified:?}");

    let exported = tool(dir.path(), &["dump-openmetrics", "one"]);
    fs::write(dir.path().join("out.om"), &exported.stdout).unwrap();
    import("out.om", "two");
    let dumps = ["one", "two"].map(|dir_name| tool(dir.path(), &["dump", dir_name]).stdout);
    assert_eq!(dumps[0], dumps[1]);
    assert_eq!(dumps[0].lines().count(), 5000 + 715);

    // From standard input, too.
    let mut child = Command::new(env!("CARGO_BIN_EXE_binnacle"))
        .args(["tool", "tsdb", "create-blocks-from", "openmetrics", "-q", "-", "three"])
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(tool(dir.path(), &["dump", "three"]).stdout, dumps[0]);
}

#[test]
fn the_bench_stores_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let lines: String = (0..30).map(|i| format!("{{\"__name__\":\"m\",\"i\":\"{}\"}}\n", i % 25)).collect();
    fs::write(dir.path().join("series.json"), lines).unwrap();
    let ran = tool(dir.path(), &["bench", "write", "--metrics=20", "--scrapes=150", "series.json"]);
    assert_eq!(ran.exit, 0, "{ran:?}");
    let shapes: Vec<_> = ran.stdout.lines().map(|line| line.split(['=', ':']).next().unwrap()).collect();
    let stage = [">> start stage", ">> completed stage"];
    let want = [
        &stage[..],
        &[stage[0], "ingestion completed", stage[1]],
        &[" > total samples", " > samples/sec"],
        &stage,
    ];
    assert_eq!(shapes, want.concat());
    assert!(ran.stdout.contains(" > total samples: 4000\n"), "{}", ran.stdout);
    let dump = tool(dir.path(), &["dump", "benchout/storage"]);
    assert_eq!(dump.stdout.lines().count(), 4000);
    assert!(dump.stdout.starts_with("{__name__=\"m\", i=\"0\"} 1.23457789e+08 30000\n"), "{dump:?}");
}

#[test]
fn a_directory_in_use_is_dumped_and_left_alone() {
    use storage::{Affinity, Append as _, Batch, BatchSample, Outcome};
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let open =
        || tsdb::Head::open(&data, tsdb::HeadOptions::default(), &exposition::Registry::new()).unwrap();
    let head = open();
    let labels = model::Labels::from_pairs([("__name__", "up"), ("job", "node")]);
    let series = head.resolve(Affinity(1), &labels).unwrap().series;
    for t in 0..500 {
        let batch =
            Batch { samples: vec![BatchSample { series, t: t * 15_000, v: 1.0 }], ..Batch::default() };
        head.append(&batch, &mut Outcome::default()).unwrap();
        if t % 100 == 99 {
            let before = tree(&data);
            let ran = tool(dir.path(), &["dump", "--sandbox-dir-root=.", "data"]);
            assert_eq!((ran.exit, ran.stderr.as_str()), (0, ""));
            assert_eq!(ran.stdout.lines().count(), t as usize + 1);
            assert!(tree(&data) == before, "the directory has changed");
        }
    }
    head.close().unwrap();
    drop(head);
    assert_eq!(open().series_count(), 1);
    // Nothing of the sandbox is left.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// Like `dump | head -1`.
#[test]
fn a_reader_that_goes_away_is_no_error_worth_a_message() {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../block/testdata");
    let mut child = Command::new(env!("CARGO_BIN_EXE_binnacle"))
        .args(["tool", "tsdb", "dump", "blocks"])
        .current_dir(testdata)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(141), 0));
}
