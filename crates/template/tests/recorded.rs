//! Templates of alerts as Prometheus 3.14 expanded them (testdata/templates.jsonl; templates-setup.json says with what).

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use model::Labels;
use serde_json::Value as Json;
use template::prometheus::{
    ALERT_VARIABLES, ExternalUrl, QuerySample, SampleValue, Surroundings, alert_data, check, expand,
};

const ROWS: &str = include_str!("../testdata/templates.jsonl");
const SETUP: &str = include_str!("../testdata/templates-setup.json");

fn labels(name: Option<&str>, json: &Json) -> Labels {
    let pairs = json.as_object().unwrap().iter().map(|(n, v)| (n.as_str(), v.as_str().unwrap()));
    Labels::from_pairs(pairs.chain(name.map(|name| ("__name__", name))))
}

fn float(text: &str) -> SampleValue {
    SampleValue::Float(text.parse().unwrap())
}

/// Answers the queries of the rows as the server did on the series of the setup.
fn answer(setup: &Json, query: &str) -> Result<Vec<QuerySample>, String> {
    let sample = |row: &Json| QuerySample {
        labels: labels(Some("tq"), &row[0]),
        value: float(row[1].as_str().unwrap()),
    };
    let all = || setup["series"]["tq"].as_array().unwrap().iter().map(sample);
    match query {
        "tq" => Ok(all().collect()),
        "sort(tq)" => {
            let mut sorted: Vec<_> = all().collect();
            sorted.sort_by(|a, b| match (&a.value, &b.value) {
                (SampleValue::Float(a), SampleValue::Float(b)) => a.total_cmp(b),
                _ => panic!("only floats here"),
            });
            Ok(sorted)
        }
        "1" => Ok(vec![QuerySample { labels: Labels::default(), value: float("1") }]),
        "nosuch" => Ok(Vec::new()),
        "sum(" => Err("1:5: parse error: unclosed left parenthesis".into()),
        other => panic!("a query that the rows do not have: {other}"),
    }
}

#[test]
fn alerts_are_expanded_as_prometheus_expands_them() {
    let setup: Json = serde_json::from_str(SETUP).unwrap();
    let tsrc = &setup["series"]["tsrc"];
    let url = setup["external_url"].as_str().unwrap();
    let data = alert_data(
        &labels(Some("tsrc"), &tsrc[0]),
        &labels(None, &setup["external_labels"]),
        url,
        &float(tsrc[1].as_str().unwrap()),
    );
    let queried = setup.clone();
    let surroundings = Surroundings {
        time: 1_700_000_000_000,
        external_url: ExternalUrl { url: url.into(), path: "/pre/fix".into() },
        query: Arc::new(move |query| answer(&queried, query)),
    };
    let mut different = Vec::new();
    for line in ROWS.lines() {
        let row: Json = serde_json::from_str(line).unwrap();
        let template = row["template"].as_str().unwrap();
        // An address, there.
        if template == r#"{{ query "1" }}"# || row["volatile"] == true {
            continue;
        }
        let text = format!("{ALERT_VARIABLES}{template}");
        let (got, want) = match row["rejected_by_check"].as_str() {
            Some(refusal) => {
                let got =
                    check("__alert_T", &text).err().map_or("accepted".into(), |error| error.to_string());
                (got, refusal.split_once("annotation \"x\": ").unwrap().1.to_owned())
            }
            None => {
                let got = expand("__alert_T", &text, &data, &surroundings)
                    .unwrap_or_else(|error| format!("<error expanding template: {error}>"));
                (got, row["text"].as_str().unwrap().to_owned())
            }
        };
        if got != want {
            different.push(format!("{template}\n  want {want}\n  got  {got}"));
        }
    }
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
}
