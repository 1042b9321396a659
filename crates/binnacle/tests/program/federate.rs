//! One server scrapes what another one has: metrics without and with histograms, in text and in protobuf.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::http::form;
use crate::site::{Program, Site, prometheus_3};
use crate::stub::{Answer, Stub};

const PAGE: &str = r#"# TYPE a_total counter
a_total{x="1"} 1
a_total{x="2",instance="own"} 2.5e300
# TYPE b gauge
b NaN
c{cluster="other"} -Inf
# TYPE h_seconds histogram
h_seconds_bucket{le="0.1"} 1
h_seconds_bucket{le="1"} 1
h_seconds_bucket{le="+Inf"} 3
h_seconds_sum 2.5
h_seconds_count 3
{"utf8.name","label.name"="ü\\\"\n"} 7
"#;
const HISTOGRAMS: &[u8] = include_bytes!("../../../exposition/testdata/histograms.pb");
const PROTOBUF: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// Series with their values, without what the outer server is told to add.
fn series(program: &Program<'_>, selector: &str) -> BTreeSet<String> {
    let mut data = program.data(&format!("/api/v1/query?{}", form(&[("query", selector)])));
    let all = data["result"].as_array_mut().unwrap();
    all.iter_mut()
        .map(|series| {
            let metric = series["metric"].as_object_mut().unwrap();
            if metric.get("cluster").is_some_and(|value| value == "inner") {
                metric.remove("cluster");
            }
            let value =
                series.get("value").or(series.get("histogram")).map_or(Value::Null, |value| value[1].clone());
            format!("{} {value}", series["metric"])
        })
        .collect()
}

fn federated(inner_is: Option<&str>, outer_is: Option<&str>) {
    let stub = Stub::serving(PAGE);
    stub.set("/histograms", Answer::with(&[("content-type", PROTOBUF)], HISTOGRAMS));
    let mut inner = Site::server(&format!(
        "global: {{scrape_interval: 1s, external_labels: {{cluster: inner}}}}
scrape_configs:
- {{job_name: app, convert_classic_histograms_to_nhcb: false, static_configs: [{{targets: ['{0}']}}]}}
- {{job_name: custom, convert_classic_histograms_to_nhcb: true, static_configs: [{{targets: ['{0}']}}]}}
- {{job_name: native, metrics_path: /histograms, scrape_native_histograms: true, static_configs: [{{targets: ['{0}']}}]}}
",
        stub.address
    ));
    inner.switch_to(inner_is);
    let inner_program = inner.start();
    for job in ["app", "custom", "native"] {
        inner_program.scraped(job);
    }
    let job = |name: &str, protocols: &str, selector: &str| {
        format!(
            "- {{job_name: {name}, honor_labels: true, metrics_path: /federate, params: {{'match[]': ['{selector}']}},
   scrape_protocols: [{protocols}], scrape_native_histograms: true, convert_classic_histograms_to_nhcb: true,
   static_configs: [{{targets: ['127.0.0.1:{}']}}]}}
",
            inner.port
        )
    };
    let mut outer = Site::server(&format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n{}{}{}",
        job("text", "PrometheusText1.0.0", r#"{job="app"}"#),
        job("protobuf", "PrometheusProto", r#"{job="native"}"#),
        job("custom_text", "PrometheusText1.0.0", r#"{{job="custom"}}"#)
            .replace("{{", "{")
            .replace("}}", "}"),
    ));
    outer.switch_to(outer_is);
    let program = outer.start();
    for selector in [
        r#"{job="app",__name__!~"up|scrape_.+"}"#,
        r#"{job="native",__name__!~"up|scrape_.+"}"#,
        r#"{job="custom",__name__!~"up|scrape_.+"}"#,
    ] {
        let there = series(&inner_program, selector);
        assert!(there.len() > 4, "{there:?}");
        let mut here = BTreeSet::new();
        program.wait_for("what the inner server has", |program| {
            here = series(program, selector);
            (here.len() >= there.len()).then_some(())
        });
        assert_eq!(here, there, "{selector}");
    }
}

#[test]
fn an_outer_server_gets_what_the_inner_one_has() {
    federated(None, None);
}

#[test]
fn federation_goes_both_ways_with_prometheus() {
    let Some((prometheus, _)) = prometheus_3() else { return };
    federated(None, Some(&prometheus));
    federated(Some(&prometheus), None);
}
