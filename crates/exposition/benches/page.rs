//! A page like node_exporter's: nanoseconds a line (divan's item is a line).

#![allow(clippy::unwrap_used, reason = "a failing case has to stop the test")]

use std::fmt::Write as _;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use exposition::{Entry, LabelsBuf, PageFormat, PageParser};

fn main() {
    divan::main();
}

/// Names, label sets and numbers as node_exporter writes them for 64 processors and 30 mounts.
fn page() -> String {
    let mut page = String::new();
    let _ = writeln!(
        page,
        "# HELP node_cpu_seconds_total Seconds the CPUs spent in each mode.\n# TYPE node_cpu_seconds_total counter"
    );
    for cpu in 0..64 {
        for (i, mode) in
            ["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"].iter().enumerate()
        {
            let seconds = f64::from(cpu * 1013 + 17) * 1.37 + i as f64;
            let _ = writeln!(page, "node_cpu_seconds_total{{cpu=\"{cpu}\",mode=\"{mode}\"}} {seconds:.2}");
        }
    }
    for name in ["avail_bytes", "device_error", "files", "files_free", "free_bytes", "readonly", "size_bytes"]
    {
        let _ = writeln!(
            page,
            "# HELP node_filesystem_{name} Filesystem {name}.\n# TYPE node_filesystem_{name} gauge"
        );
        for mount in 0..30 {
            let bytes = (mount + 1) as f64 * 1.583_795_2;
            let _ = writeln!(
                page,
                "node_filesystem_{name}{{device=\"/dev/mapper/volume-{mount}\",device_error=\"\",fstype=\"ext4\",mountpoint=\"/var/lib/data/{mount}\"}} {bytes}e+10"
            );
        }
    }
    for i in 0..200 {
        let _ = writeln!(
            page,
            "# HELP node_netstat_Field{i} Statistic Field{i}.\n# TYPE node_netstat_Field{i} untyped\nnode_netstat_Field{i} {}",
            i * 7919
        );
    }
    page
}

fn samples(page: &str) -> usize {
    page.lines().filter(|line| !line.starts_with('#')).count()
}

#[divan::bench]
fn full_parse_with_labels(bencher: Bencher<'_, '_>) {
    let page = page();
    let mut labels = LabelsBuf::new();
    bencher.counter(ItemsCount::new(samples(&page))).bench_local(|| {
        let mut parser = PageParser::new(PageFormat::Text, black_box(page.as_bytes()));
        loop {
            match parser.next() {
                Ok(Entry::Series(line)) => {
                    labels.read(PageFormat::Text, line.series, parser.kind()).unwrap();
                    black_box(labels.labels());
                }
                Ok(Entry::Eof) | Err(_) => break,
                Ok(_) => {}
            }
        }
    });
}

#[divan::bench]
fn raw_iteration(bencher: Bencher<'_, '_>) {
    let page = page();
    bencher.counter(ItemsCount::new(samples(&page))).bench_local(|| {
        let mut parser = PageParser::new(PageFormat::Text, black_box(page.as_bytes()));
        loop {
            match parser.next() {
                Ok(Entry::Series(line)) => drop(black_box(line)),
                Ok(Entry::Eof) | Err(_) => break,
                Ok(_) => {}
            }
        }
    });
}

#[divan::bench]
fn known_lines(bencher: Bencher<'_, '_>) {
    let page: String =
        page().lines().filter(|line| !line.starts_with('#')).flat_map(|line| [line, "\n"]).collect();
    let known: Vec<&[u8]> = page.lines().map(|line| line.rsplit_once(' ').unwrap().0.as_bytes()).collect();
    bencher.counter(ItemsCount::new(known.len())).bench_local(|| {
        let mut parser = PageParser::new(PageFormat::Text, black_box(page.as_bytes()));
        for series in &known {
            let _ = black_box(parser.next_if(series));
        }
    });
}
