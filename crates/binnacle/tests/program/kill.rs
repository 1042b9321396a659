//! `kill -9` at random moments of a busy life: while samples come, in order and late, while blocks are cut and compacted,
//! during the replay, while a snapshot is written at the end. Every run of the tests does a few rounds;
//! `BINNACLE_CRASH=N` (`make crash`) does so many. `BINNACLE_CRASH_SEED` chooses other moments.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;

use crate::site::{Labels, Program, Samples, Site};
use crate::stub::{Answer, Stub};

const TARGETS: usize = 4;
const SERIES: usize = 30;
const EVERYTHING: &str = "{job=\"load\"}[1h]";

/// How many rounds, and the first state of the random numbers.
fn settings() -> (usize, u64) {
    let setting = |name: &str| std::env::var(name).ok();
    let rounds = match setting("BINNACLE_CRASH") {
        None => 6,
        Some(number) => number.parse().unwrap_or(200).min(200),
    };
    (rounds, setting("BINNACLE_CRASH_SEED").and_then(|seed| seed.parse().ok()).unwrap_or(1))
}

struct Random(u64);

impl Random {
    /// The step of SplitMix64, below `n`.
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % n
    }

    /// A moment is what these tests are about, so this is no waiting for something.
    fn sleep(&mut self, at_most_millis: u64) {
        std::thread::sleep(Duration::from_millis(self.below(at_most_millis)));
    }
}

fn now_millis() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

/// All values of a page follow from its number, and those that come late from their times.
fn busy_site() -> (Stub, Site) {
    let stub = Stub::start();
    stub.set(
        "/metrics",
        Answer::computed(|seen| {
            let n = seen.before;
            let mut page: String =
                (0..SERIES).map(|i| format!("load_total{{i=\"{i}\"}} {}\n", n * (i + 1))).collect();
            page.push_str(&format!("load_churn{{generation=\"{}\"}} {n}\n", n / 40));
            for i in 0..3 {
                let t = now_millis() - 2_000 - (n * 7 + i * 3) as i64 % 11 * 700;
                page.push_str(&format!("load_late{{i=\"{i}\"}} {t} {t}\n"));
            }
            page
        }),
    );
    let targets: Vec<String> = (0..TARGETS)
        .map(|i| format!("{{targets: [\"{}\"], labels: {{instance: \"{i}\"}}}}", stub.address))
        .collect();
    let site = Site::server(&format!(
        "global: {{scrape_interval: 50ms}}\n\
         storage: {{tsdb: {{out_of_order_time_window: 30s}}}}\n\
         scrape_configs: [{{job_name: load, static_configs: [{}]}}]\n",
        targets.join(", ")
    ))
    .flag("--storage.tsdb.min-block-duration=2s")
    .flag("--storage.tsdb.max-block-duration=18s")
    .flag("--storage.tsdb.retention.time=1h")
    .flag("--enable-feature=memory-snapshot-on-shutdown,exemplar-storage,metadata-wal-records");
    (stub, site)
}

fn add(seen: &mut Samples, more: Samples) {
    for (labels, points) in more {
        seen.entry(labels).or_default().extend(points);
    }
}

fn of<'a>(labels: &'a Labels, name: &str) -> &'a str {
    labels.get(name).map_or("", String::as_str)
}

/// What is wrong with what there is now.
fn wrong(seen: &Samples, now: &Samples) -> Vec<String> {
    let mut wrong = Vec::new();
    for (labels, points) in seen {
        let kept = now.get(labels);
        for (t, value) in points {
            let found = kept.and_then(|kept| kept.get(t));
            if found != Some(value) {
                wrong.push(format!("{labels:?} at {t}: {value} was shown, now {found:?}"));
            }
        }
    }
    // A scrape is there as a whole and as it was sent.
    let mut scrapes: BTreeMap<(&str, i64), (f64, usize)> = BTreeMap::new();
    for (labels, points) in now {
        let (name, i) = (of(labels, "__name__"), of(labels, "i"));
        for (&t, value) in points {
            let v: f64 = value.parse().unwrap();
            match name {
                "load_total" => {
                    let n = v / (i.parse::<f64>().unwrap() + 1.0);
                    let scrape = scrapes.entry((of(labels, "instance"), t)).or_insert((n, 0));
                    scrape.1 += 1;
                    if scrape.0 != n {
                        wrong.push(format!("{labels:?} at {t}: {v} does not belong to scrape {}", scrape.0));
                    }
                }
                "load_late" if v != t as f64 => wrong.push(format!("{labels:?} at {t}: {v}")),
                _ => {}
            }
        }
    }
    let torn = scrapes.iter().filter(|(_, (_, count))| *count != SERIES);
    wrong.extend(torn.map(|(scrape, (_, count))| format!("{scrape:?} has {count} samples")));
    wrong.truncate(10);
    wrong
}

fn metric(program: &Program<'_>, name: &str) -> f64 {
    let page = program.get("/metrics").text();
    let value = page.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("{name} is not on the page"))
}

#[test]
fn nothing_that_was_shown_is_lost_or_changed_whenever_the_process_is_killed() {
    let (rounds, seed) = settings();
    let (_stub, site) = busy_site();
    let mut random = Random(seed);
    let mut seen = Samples::new();
    let (mut blocks, mut cut) = (0.0_f64, 0.0);
    for round in 0..rounds {
        // Some do not live to see the end of their start.
        for _ in 0..random.below(3) {
            let program = site.launch();
            random.sleep(120);
            program.kill();
        }
        let program = site.start();
        let now = program.samples(EVERYTHING, None);
        let wrong = wrong(&seen, &now);
        assert!(wrong.is_empty(), "round {round}, seed {seed}:\n{}", wrong.join("\n"));
        // A write that was cut short, in either log.
        assert!(metric(&program, "prometheus_tsdb_wal_corruptions_total") <= 2.0);
        assert_eq!(metric(&program, "binnacle_tsdb_blocks_set_aside"), 0.0);
        random.sleep(if round % 2 == 0 { 5_000 } else { 1_200 });
        add(&mut seen, program.samples(EVERYTHING, None));
        blocks = blocks.max(metric(&program, "prometheus_tsdb_blocks_loaded"));
        cut += metric(&program, "prometheus_tsdb_compactions_total");
        // What was stored while that answer was on its way.
        add(&mut seen, program.samples("{job=\"load\"}[1s]", None));
        if random.below(2) == 0 {
            program.signal(Signal::TERM);
            random.sleep(60);
        }
        program.kill();
    }
    let program = site.start();
    let wrong = wrong(&seen, &program.samples(EVERYTHING, None));
    assert!(wrong.is_empty(), "at the end, seed {seed}:\n{}", wrong.join("\n"));
    println!("{rounds} rounds, {} series, {cut} blocks written, {blocks} at once", seen.len());
    assert!(cut > 0.0, "no block was cut");
}
