//! `/api/v1/features`: what this server can do, by area, for clients that adapt to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use promql::functions::FUNCTIONS;

use crate::fuzzy::Algorithm;
use crate::reply::{Answer, success};
use crate::request::Request;
use crate::{Api, json};

/// Something that the server can do or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// Its area, like `tsdb`.
    pub area: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// Whether it is on.
    pub enabled: bool,
}

const OPERATORS: [&str; 21] = [
    "!=", "!~", "%", "*", "+", "-", "/", "<", "</", "<=", "==", "=~", ">", ">/", ">=", "@", "^", "and",
    "atan2", "or", "unless",
];

const AGGREGATIONS: [&str; 12] = [
    "avg",
    "bottomk",
    "count",
    "count_values",
    "group",
    "max",
    "min",
    "quantile",
    "stddev",
    "stdvar",
    "sum",
    "topk",
];

const EXPERIMENTAL_AGGREGATIONS: [&str; 2] = ["limit_ratio", "limitk"];

/// What the language has for good.
const LANGUAGE: [&str; 12] = [
    "at_modifier",
    "bool",
    "by",
    "group_left",
    "group_right",
    "ignoring",
    "negative_offset",
    "offset",
    "on",
    "per_query_lookback_delta",
    "subqueries",
    "without",
];

const API: [&str; 8] = [
    "exclude_alerts",
    "label_values_match",
    "openapi_3.1",
    "openapi_3.2",
    "query_stats",
    "query_warnings",
    "time_range_labels",
    "time_range_series",
];

/// Functions of templates, in consoles and elsewhere.
const TEMPLATE_FUNCTIONS: [&str; 29] = [
    "args",
    "externalURL",
    "first",
    "graphLink",
    "humanize1024",
    "humanize",
    "humanizeDuration",
    "humanizePercentage",
    "humanizeTimestamp",
    "label",
    "match",
    "now",
    "parseDuration",
    "pathPrefix",
    "query",
    "reReplaceAll",
    "safeHtml",
    "sortByLabel",
    "stripDomain",
    "stripPort",
    "strvalue",
    "tableLink",
    "title",
    "toDuration",
    "toLower",
    "toTime",
    "toUpper",
    "urlQueryEscape",
    "value",
];

type ByArea<'a> = BTreeMap<&'a str, BTreeMap<String, bool>>;

pub(crate) async fn features(api: Arc<Api>, _: Request) -> Answer {
    let mut all = ByArea::new();
    for Feature { area, name, enabled } in &api.options.features {
        all.entry(area).or_default().insert((*name).to_owned(), *enabled);
    }
    of_the_api(&api, all.entry("api").or_default());
    of_the_language(&api, &mut all);
    let functions = TEMPLATE_FUNCTIONS.map(|name| (name.to_owned(), true));
    all.entry("templating_functions").or_default().extend(functions);
    let mut out = String::from("{");
    for (area, features) in &all {
        json::key(&mut out, area);
        out.push('{');
        for (name, enabled) in features {
            json::raw_field(&mut out, name, enabled);
        }
        out.push('}');
    }
    out.push('}');
    Ok(success(&out, &[], &[]))
}

fn of_the_api(api: &Api, features: &mut BTreeMap<String, bool>) {
    let options = &api.options;
    features.insert("admin".to_owned(), options.enable_admin);
    features.insert("lifecycle".to_owned(), options.enable_lifecycle);
    features.insert("otlp_write_receiver".to_owned(), options.otlp_receiver.is_some());
    features.insert("remote_write_receiver".to_owned(), options.write_receiver.is_some());
    features.insert("search".to_owned(), options.search_max_limit.is_some());
    features.extend(Algorithm::ALL.map(|a| (format!("search_fuzz_alg_{}", a.name()), true)));
    features.extend(API.map(|name| (name.to_owned(), true)));
}

fn of_the_language(api: &Api, all: &mut ByArea<'_>) {
    let options = api.engine.options();
    let parse = &options.parse;
    let switched = [
        ("anchored", parse.extended_range_selectors),
        ("smoothed", parse.extended_range_selectors),
        ("fill", parse.binop_fill_modifiers),
        ("fill_left", parse.binop_fill_modifiers),
        ("fill_right", parse.binop_fill_modifiers),
        ("duration_expr", parse.duration_expressions),
        ("delayed_name_removal", options.delayed_name_removal),
        ("per_step_stats", options.per_step_stats),
        ("type_and_unit_labels", options.type_and_unit_labels),
    ];
    let language = all.entry("promql").or_default();
    language.extend(LANGUAGE.map(|name| (name.to_owned(), true)));
    language.extend(switched.map(|(name, on)| (name.to_owned(), on)));
    let operators = all.entry("promql_operators").or_default();
    operators.extend(OPERATORS.iter().chain(&AGGREGATIONS).map(|name| ((*name).to_owned(), true)));
    operators.extend(EXPERIMENTAL_AGGREGATIONS.map(|name| (name.to_owned(), parse.experimental_functions)));
    let on = |experimental: bool| !experimental || parse.experimental_functions;
    let functions = FUNCTIONS.iter().map(|f| (f.name.to_owned(), on(f.experimental)));
    all.entry("promql_functions").or_default().extend(functions);
}
