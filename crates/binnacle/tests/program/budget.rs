//! Queries that would need more memory than there is: refused, while everything else goes on.

use std::fmt::Write as _;

use crate::site::Site;
use crate::stub::Stub;

/// Most memory that may ever be resident, in MiB.
const MEMORY_BOUND: u64 = 300;

/// Series of the page.
const SERIES: usize = 400;

#[test]
fn a_query_for_a_hundred_gigabytes_ends_while_scraping_goes_on() {
    let page = (0..SERIES).fold(String::new(), |mut page, i| {
        writeln!(page, "wide{{i=\"{i}\"}} {i}").unwrap();
        page
    });
    let stub = Stub::serving(&page);
    let config = format!(
        r#"
global: {{scrape_interval: 100ms, scrape_timeout: 100ms}}
scrape_configs: [{{job_name: page, static_configs: [{{targets: ["{}"]}}]}}]
"#,
        stub.address
    );
    let site = Site::server(&config).flag("--query.max-samples=0").flag("--query.max-memory=16MiB");
    let program = site.start();
    program.wait_for_value("count(wide)", SERIES as f64);
    let now = program.value("vector(time())").unwrap();
    let steps = format!("&start={}&end={now}&step=1", now - 10_000.0);
    let (sum, wide) = ("sum+by+(i)+(wide)", "wide+*+2");
    let queries = [
        // 126 GB of steps for each series.
        "/api/v1/query?query=max_over_time(wide[5y:10ms])".to_owned(),
        "/api/v1/query?query=max_over_time(vector(1)[5y:10ms])".to_owned(),
        format!("/api/v1/query_range?query={sum}{steps}"),
        format!("/api/v1/query_range?query={wide}{steps}"),
    ];
    let scrapes = stub.seen("/metrics").len();
    let mut asked = 0;
    while asked < 3 || stub.seen("/metrics").len() < scrapes + 10 {
        for query in &queries {
            let answer = program.get(query);
            let text = answer.text();
            assert_eq!(answer.status, 422, "{query}: {text}");
            assert!(text.contains("16MiB of memory (--query.max-memory)"), "{query}: {text}");
            if query.contains("range") {
                assert!(text.contains("most of it is for wide"), "{query}: {text}");
            }
        }
        asked += 1;
    }
    assert_eq!(program.value("min(min_over_time(up[1h]))"), Some(1.0));
    assert_eq!(program.value("count(wide)"), Some(SERIES as f64));
    assert!(program.peak_memory() < MEMORY_BOUND, "{} MiB", program.peak_memory());
}
