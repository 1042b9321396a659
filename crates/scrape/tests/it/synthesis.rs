//! `st-synthesis`: what is stored of pages whose counters do not say since when they count.

use std::sync::Arc;

use model::histogram::HistogramValue;
use scrape::{HistogramOptions, JobOptions, ManagerOptions, PageIntake, StartTimes};

use crate::support::{Recorder, now_nanos};

const TEXT: &str = "text/plain; version=0.0.4";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A target that is scraped each second, beginning a minute ago.
struct Pages {
    store: Arc<Recorder>,
    intake: PageIntake,
    start: i64,
    scrapes: i64,
}

impl Pages {
    fn new(start_times: StartTimes, job: JobOptions) -> Self {
        let store = Arc::new(Recorder::default());
        let options =
            ManagerOptions { start_times, synthesize_start_times: true, ..ManagerOptions::default() };
        let intake = PageIntake::with_options(store.clone(), job, options).unwrap();
        Pages { store, intake, start: now_nanos() / 1_000_000 - 60_000, scrapes: 0 }
    }

    fn scrape(&mut self, content_type: &str, page: impl Into<Vec<u8>>) {
        let t = self.start + self.scrapes * 1000;
        self.scrapes += 1;
        assert_eq!(self.intake.take_in(page.into(), content_type, t * 1_000_000), "");
    }

    /// Samples of series by that name: time since the first scrape in seconds, and value.
    fn samples(&self, name: &str) -> String {
        let all = self.store.all();
        let found = all.iter().filter(|(labels, _)| labels.value("__name__") == name);
        let text = |&(t, v): &(i64, f64)| {
            let v = if model::is_stale(v) { "stale".to_owned() } else { v.to_string() };
            format!("{}:{v}", (t - self.start) as f64 / 1000.0)
        };
        found.flat_map(|(_, samples)| samples).map(text).collect::<Vec<_>>().join(" ")
    }

    /// Start time of the newest sample of the series by that name, in seconds since the first scrape.
    fn start_time(&self, name: &str) -> Option<f64> {
        let all = self.store.start_times();
        let found = all.iter().find(|(labels, _)| labels.value("__name__") == name);
        found.map(|(_, t)| (t - self.start) as f64 / 1000.0)
    }
}

#[test]
fn counters_begin_with_their_first_scrape_and_gauges_stay() {
    let mut pages = Pages::new(StartTimes::Ignored, JobOptions::new("a"));
    let page = |v: f64| {
        format!(
            "# HELP c_total C.\n# TYPE c_total counter\nc_total {v}\n\
             # TYPE g gauge\ng {v}\n\
             # TYPE h histogram\nh_bucket{{le=\"+Inf\"}} {v}\nh_sum {v}\nh_count {v}\nh_other {v}\n\
             # TYPE s summary\ns_sum {v}\ns_count {v}\n\
             # TYPE d counter\n# HELP only_help of a metric without a type\nonly_help {v}\n"
        )
    };
    for v in [5.0, 7.5, 3.0, 4.0] {
        pages.scrape(TEXT, page(v));
    }
    pages.scrape(TEXT, "other 1\n");
    for name in ["c_total", "h_bucket", "h_sum", "h_count"] {
        assert_eq!(pages.samples(name), "1:2.5 2:3 3:4 4:stale", "{name}");
        assert_eq!(pages.start_time(name), None);
    }
    for name in ["g", "h_other", "s_sum", "s_count", "only_help"] {
        assert_eq!(pages.samples(name), "0:5 1:7.5 2:3 3:4 4:stale", "{name}");
    }
}

#[test]
fn a_series_whose_first_value_is_its_last_leaves_nothing() {
    let mut pages = Pages::new(StartTimes::Ignored, JobOptions::new("a"));
    pages.scrape(TEXT, "# TYPE c counter\nc 5\n");
    pages.scrape(TEXT, "other 1\n");
    assert_eq!(pages.samples("c"), "");
    // It begins anew when it comes back.
    for v in [7, 9] {
        pages.scrape(TEXT, format!("# TYPE c counter\nc {v}\n"));
    }
    assert_eq!(pages.samples("c"), "3:2");
}

#[test]
fn start_times_are_those_of_the_first_scrape_and_of_resets() {
    let mut pages = Pages::new(StartTimes::Stored, JobOptions::new("a"));
    let page = |v: i64| {
        format!("# TYPE c counter\nc_total {v}\n# TYPE own counter\nown_total {v}\nown_created 1\n# EOF\n")
    };
    pages.scrape(OPEN_METRICS, page(5));
    assert_eq!((pages.samples("c_total"), pages.samples("own_total")), (String::new(), "0:5".to_owned()));
    pages.scrape(OPEN_METRICS, page(6));
    assert_eq!((pages.samples("c_total"), pages.start_time("c_total")), ("1:1".to_owned(), Some(0.0)));
    pages.scrape(OPEN_METRICS, page(2));
    assert_eq!(pages.start_time("c_total"), Some(1.999));
    pages.scrape(OPEN_METRICS, page(3));
    assert_eq!(
        (pages.samples("c_total"), pages.start_time("c_total")),
        ("1:1 2:2 3:3".to_owned(), Some(1.999))
    );
    assert_eq!(pages.samples("own_total"), "0:5 1:6 2:2 3:3");
}

#[test]
fn zeros_stand_where_counting_begins() {
    let mut pages = Pages::new(StartTimes::Zeros, JobOptions::new("a"));
    for v in [5, 6, 8] {
        pages.scrape(TEXT, format!("# TYPE c counter\nc {v}\n"));
    }
    assert_eq!(pages.samples("c"), "0:0 1:1 2:3");
}

#[test]
fn a_value_that_is_refused_makes_the_next_one_the_first() {
    let mut pages = Pages::new(StartTimes::Ignored, JobOptions::new("a"));
    let long_ago = pages.start - 3_600_000;
    for line in ["c 5", "c 6", &format!("c 7 {long_ago}"), "c 8", "c 9"] {
        pages.scrape(TEXT, format!("# TYPE c counter\n{line}\n"));
    }
    assert_eq!(pages.samples("c"), "1:1 4:1");
    // A second line of the same series is refused each time.
    for v in [1, 2, 3] {
        pages.scrape(TEXT, format!("# TYPE d counter\nd {v}\nd {v}\n"));
    }
    assert_eq!(pages.samples("d"), "");
}

#[test]
fn a_scrape_that_fails_changes_nothing_about_where_counting_began() {
    let mut pages = Pages::new(StartTimes::Ignored, JobOptions::new("a"));
    pages.scrape(TEXT, "# TYPE c counter\nc 5\n");
    pages.scrape(TEXT, "# TYPE c counter\nc 6\n");
    let t = (pages.start + 2000) * 1_000_000;
    assert_ne!(pages.intake.take_in(b"broken{\n".to_vec(), TEXT, t), "");
    pages.scrapes = 3;
    pages.scrape(TEXT, "# TYPE c counter\nc 8\n");
    assert_eq!(pages.samples("c"), "1:1 2:stale 3:3");
}

#[test]
fn series_with_timestamps_end_with_a_marker_too() {
    let mut pages = Pages::new(StartTimes::Ignored, JobOptions::new("a"));
    let at = |second: i64| pages.start + second * 1000;
    let page = |v: i64, t: i64| format!("# TYPE c counter\nc {v} {t}\n# TYPE g gauge\ng {v} {t}\n");
    let all = [page(5, at(0)), page(7, at(1))];
    all.into_iter().for_each(|page| pages.scrape(TEXT, page));
    pages.scrape(TEXT, "other 1\n");
    assert_eq!((pages.samples("c"), pages.samples("g")), ("1:2 2:stale".to_owned(), "0:5 1:7".to_owned()));
}

#[test]
fn native_histograms_begin_with_their_first_scrape() {
    let histograms = HistogramOptions { convert: true, ..HistogramOptions::default() };
    let mut pages = Pages::new(StartTimes::Stored, JobOptions { histograms, ..JobOptions::new("a") });
    let page = |one: i64, two: i64, all: i64| {
        format!(
            "# TYPE h histogram\nh_bucket{{le=\"1\"}} {one}\nh_bucket{{le=\"2\"}} {two}\n\
             h_bucket{{le=\"+Inf\"}} {all}\nh_sum {all}\nh_count {all}\n"
        )
    };
    pages.scrape(TEXT, page(1, 4, 5));
    assert_eq!(pages.store.histograms(), []);
    for (page, counts, start_time, sum) in [
        (page(2, 7, 9), vec![(0, 1.0), (1, 2.0), (2, 1.0)], 0, 4.0),
        (page(2, 9, 11), vec![(0, 1.0), (1, 4.0), (2, 1.0)], 0, 6.0),
        // A reset, after which nothing is subtracted.
        (page(0, 1, 3), vec![(1, 1.0), (2, 2.0)], 2999, 3.0),
        (page(1, 2, 4), vec![(0, 1.0), (1, 1.0), (2, 2.0)], 2999, 4.0),
    ] {
        pages.scrape(TEXT, page);
        let (_, stored) = pages.store.histograms().remove(0);
        assert!(matches!(stored.value, HistogramValue::Integer(_)));
        let h = stored.value.to_float();
        let full: Vec<_> = h.positive.iter().copied().filter(|(_, count)| *count != 0.0).collect();
        assert_eq!((full, stored.start_time - pages.start, h.sum), (counts, start_time, sum));
        assert_eq!(h.count, h.positive.iter().map(|(_, count)| count).sum::<f64>());
    }
}
