//! The results as a table: a column a program, with its ratio to the first one.

use crate::cut::Cutting;
use crate::measure::Measured;

/// One figure of a program, `None` where it could not be had.
type Figure = fn(&Measured) -> f64;

const FIGURES: [(&str, Figure); 27] = [
    ("active series", |m| m.series as f64),
    ("samples served, million", |m| m.samples as f64 / 1e6),
    ("samples/s", |m| m.steady.samples_per_second),
    ("CPU s per million samples", |m| m.steady.cpu_seconds_per_million_samples),
    ("  generator, not included", |m| m.steady.generator_cpu_seconds_per_million_samples),
    ("RSS B/series, mean", |m| m.steady.rss_per_series),
    ("RSS B/series, peak", |m| m.steady.rss_peak_per_series),
    ("RssAnon B/series, mean", |m| m.steady.rss_anon_per_series),
    ("disk B/sample", |m| m.disk.bytes_per_sample),
    ("written B/sample", |m| m.disk.written_per_sample),
    ("log B/sample", |m| m.disk.log_per_sample),
    ("block B/sample", |m| m.disk.block_per_sample),
    ("restart: ready s", |m| m.restart.ready_seconds),
    ("restart: replay s", |m| m.restart.replay_seconds),
    ("restart: full count s", |m| m.restart.full_count_seconds),
    ("restart: series found", |m| m.restart.series_found),
    ("restart: CPU s", |m| m.restart.cpu_seconds),
    ("restart: RSS B/series, peak", |m| m.restart.rss_peak_per_series),
    ("restart: RSS peak / peak before", |m| m.restart.rss_peak_ratio),
    ("restart: samples lost", |m| m.restart.lost_samples),
    ("restart: lost, s of load", |m| m.restart.lost_seconds),
    ("cutting: blocks made", |m| of_cutting(m, |c| c.compactions)),
    ("cutting: s in all", |m| of_cutting(m, |c| c.busy_seconds)),
    ("cutting: scrape p99 ms, meanwhile", |m| of_cutting(m, |c| c.scrape_p99_busy_ms)),
    ("cutting: scrape p99 ms, otherwise", |m| of_cutting(m, |c| c.scrape_p99_ms)),
    ("cutting: RSS peak / mean otherwise", |m| of_cutting(m, |c| c.rss_peak_ratio)),
    ("queries, geometric mean ms", geometric_mean),
];

fn of_cutting(measured: &Measured, figure: fn(&Cutting) -> f64) -> f64 {
    measured.cutting.as_ref().map_or(f64::NAN, figure)
}

fn geometric_mean(measured: &Measured) -> f64 {
    let times = || measured.queries.iter().filter_map(|(_, timed)| timed.as_ref()).map(|timed| timed.millis);
    (times().map(f64::ln).sum::<f64>() / times().count() as f64).exp()
}

#[allow(clippy::print_stdout)] // the results
pub(crate) fn print(measured: &[Measured]) {
    print!("{}", table(measured));
}

fn table(measured: &[Measured]) -> String {
    let mut rows = vec![vec![String::new()]];
    rows[0].extend(measured.iter().map(|m| m.peer.to_owned()));
    for (name, figure) in FIGURES {
        let first = measured.first().map_or(f64::NAN, figure);
        let cell = |(place, m): (usize, &Measured)| with_ratio(figure(m), first, place);
        rows.push(std::iter::once(name.to_owned()).chain(measured.iter().enumerate().map(cell)).collect());
    }
    rows.push(vec!["queries: median ms (results)".to_owned()]);
    let names = measured.first().map(|m| m.queries.iter().map(|(name, _)| *name)).into_iter().flatten();
    for (q, name) in names.enumerate() {
        let timed = |m: &Measured| m.queries.get(q).and_then(|(_, timed)| timed.clone());
        let first = measured.first().and_then(timed);
        let cell = |(place, m): (usize, &Measured)| match timed(m) {
            None => "failed".to_owned(),
            Some(timed) => {
                let ratio = with_ratio(timed.millis, first.as_ref().map_or(f64::NAN, |f| f.millis), place);
                let differs = first.as_ref().is_some_and(|f| f.results != timed.results);
                format!("{ratio} ({}{})", timed.results, if differs { " !" } else { "" })
            }
        };
        rows.push(
            std::iter::once(format!("  {name}")).chain(measured.iter().enumerate().map(cell)).collect(),
        );
    }
    align(&rows)
}

/// The figure, and after the first column what share of the first it is.
pub(crate) fn with_ratio(value: f64, first: f64, place: usize) -> String {
    let ratio = value / first;
    if place > 0 && ratio.is_finite() { format!("{} x{ratio:.2}", short(value)) } else { short(value) }
}

pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        _ if value.is_nan() => "-".to_owned(),
        _ if value.fract() == 0.0 => format!("{value}"),
        1000.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

pub(crate) fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            line += &if column == 0 { format!("{cell:width$}") } else { format!("  {cell:>width$}") };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Disk, Restart, Steady};
    use crate::queries::Timed;

    fn measured(peer: &'static str, scale: f64, results: usize) -> Measured {
        Measured {
            peer,
            series: 1000,
            samples: 2_000_000,
            steady: Steady {
                seconds: 60.0,
                samples_per_second: 200.0,
                cpu_seconds_per_million_samples: 2.0 * scale,
                generator_cpu_seconds_per_million_samples: 0.1,
                rss_per_series: 2000.0 * scale,
                rss_anon_per_series: 1800.0 * scale,
                rss_peak_per_series: 2500.0 * scale,
            },
            disk: Disk {
                bytes_per_sample: 4.0,
                written_per_sample: 8.0,
                log_per_sample: 7.0,
                block_per_sample: f64::NAN,
            },
            queries: vec![("a", Some(Timed { millis: 10.0 * scale, results })), ("b", None)],
            restart: Restart {
                ready_seconds: 1.0,
                replay_seconds: 1.0,
                full_count_seconds: 2.0,
                series_found: 1000.0,
                cpu_seconds: 3.0,
                rss_peak_per_series: 2600.0,
                rss_peak_ratio: 1.04,
                lost_samples: 0.0,
                lost_seconds: 0.0,
            },
            cutting: None,
        }
    }

    #[test]
    fn the_table_shows_ratios_and_answers_that_differ() {
        let table = table(&[measured("prometheus", 1.0, 7), measured("binnacle", 0.25, 8)]);
        let line = |start: &str| {
            let line = table
                .lines()
                .find(|line| line.starts_with(start))
                .unwrap_or_else(|| panic!("{start}: {table}"));
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(line("CPU s per"), "CPU s per million samples 2 0.500 x0.25");
        assert_eq!(line("RSS B/series, mean"), "RSS B/series, mean 2000 500 x0.25");
        assert_eq!(line("  a"), "a 10 (7) 2.500 x0.25 (8 !)");
        assert_eq!(line("  b"), "b failed failed");
        assert_eq!(line("restart: samples lost"), "restart: samples lost 0 0");
    }
}
