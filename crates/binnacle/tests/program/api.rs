//! The HTTP API in the large: envelope, codes, error types, methods, forms, compression, CORS, prefixes.

use std::io::Read as _;

use base64::Engine as _;
use serde_json::Value;

use crate::http::{self, Answer};
use crate::site::{Program, Site, is_peer};
use crate::stub::Stub;

const CASES: &str = include_str!("../../testdata/api_cases.jsonl");

/// Headers that were recorded; others are each server's own business.
const RECORDED_HEADERS: [&str; 7] =
    ["content-type", "content-encoding", "allow", "vary", "cache-control", "location", "retry-after"];

fn strings(value: &Value) -> Vec<(String, String)> {
    let text = |v: &Value| v.as_str().expect("text").to_owned();
    match value {
        Value::Array(pairs) => pairs.iter().map(|p| (text(&p[0]), text(&p[1]))).collect(),
        Value::Object(object) => object.iter().map(|(n, v)| (n.clone(), text(v))).collect(),
        _ => Vec::new(),
    }
}

fn encoded(value: &Value) -> String {
    let pairs = strings(value);
    http::form(&pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>())
}

pub(crate) fn send(program: &Program<'_>, case: &Value) -> Answer {
    let mut target = case["path"].as_str().expect("a path").to_owned();
    if !case["params"].is_null() {
        target.push('?');
        target.push_str(&encoded(&case["params"]));
    }
    let mut headers = strings(&case["headers"]);
    let mut body = Vec::new();
    if !case["form"].is_null() {
        headers.push(("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
        body = encoded(&case["form"]).into_bytes();
    } else if let Some(encoded) = case["body_b64"].as_str() {
        body = base64::engine::general_purpose::STANDARD.decode(encoded).expect("base64");
    }
    let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    program.request(case["method"].as_str().expect("a method"), &target, &headers, &body)
}

/// What differs between an answer and the recorded one.
fn difference(case: &Value, answer: &Answer) -> Option<String> {
    let want = &case["expect"];
    let id = &case["id"];
    if want["status"] != answer.status {
        return Some(format!("{id}: status {} not {}: {}", answer.status, want["status"], answer.text()));
    }
    let recorded = |n: &str| RECORDED_HEADERS.contains(&n) || n.starts_with("access-control-");
    let unexpected = answer.headers.iter().find(|(n, _)| recorded(n) && want["headers"][n].is_null());
    if let Some((name, value)) = unexpected {
        return Some(format!("{id}: header {name}: {value}"));
    }
    // A name can come with several values, of which one was recorded.
    let missing = strings(&want["headers"]).into_iter().find(|header| !answer.headers.contains(header));
    if let Some((name, value)) = missing {
        return Some(format!("{id}: header {name} is {:?}, not {value}", answer.header(&name)));
    }
    let same = match (&want["json"], &want["text"]) {
        (Value::Null, Value::String(text)) => *text == answer.text(),
        (json, _) => serde_json::from_slice::<Value>(&answer.body).is_ok_and(|own| own == *json),
    };
    (!same).then(|| format!("{id}: {}\n  not {}{}", answer.text(), want["json"], want["text"]))
}

fn replay(program: &Program<'_>, server: &str) {
    let cases: Vec<Value> = CASES.lines().map(|l| serde_json::from_str(l).expect("a case")).collect();
    let cases: Vec<_> = cases.iter().filter(|c| c["server"] == server).collect();
    let wrong: Vec<_> = cases.iter().filter_map(|case| difference(case, &send(program, case))).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn answers_that_need_no_data_are_those_of_prometheus() {
    let site = Site::server("global: {scrape_interval: 15s, external_labels: {cluster: c1, replica: '0'}}\n")
        .flag("--web.enable-lifecycle")
        .flag("--enable-feature=promql-experimental-functions,promql-extended-range-selectors,promql-binop-fill-modifiers,promql-per-step-stats");
    replay(&site.start(), "past");
    let site = Site::server("global: {}\n");
    replay(&site.start(), "plain");
}

#[test]
fn everything_is_served_under_the_external_path() {
    let site = Site::server("global: {}\n")
        .flag("--web.external-url=https://mon.example.org/prom/")
        .flag("--web.cors.origin=https?://(a|b)\\.example\\.org");
    replay(&site.start_under("/prom"), "prefix");

    // The prefix by itself, without the external path.
    let site = Site::server("global: {}\n")
        .flag("--web.external-url=https://mon.example.org/prom/")
        .flag("--web.route-prefix=/");
    let program = site.start();
    let home = program.get("/");
    assert_eq!((home.status, home.header("location")), (302, Some("/prom/query")));
    assert_eq!(program.get("/prom/-/ready").status, 404);
    assert_eq!(program.get("/metrics").status, 200);
}

/// Of Prometheus' two routers, each does something with paths that are nearly right.
#[test]
fn clients_are_sent_to_the_path_that_they_may_have_meant() {
    let site =
        Site::server("global: {}\n").flag("--web.external-url=http://h/prom").flag("--web.route-prefix=/p");
    let program = site.start_under("/p");
    for (method, path, status, location) in [
        ("GET", "/", 302, "/p"),
        ("GET", "/p", 301, "/p/"),
        ("GET", "/p/", 302, "/prom/query"),
        ("GET", "/p/graph?a=b", 302, "/prom/query?a=b"),
        ("GET", "/p/graph/?a=b", 301, "/p/graph?a=b"),
        ("GET", "/p/Graph", 301, "/p/graph"),
        ("HEAD", "/p/-/healthy/", 307, "/p/-/healthy"),
        ("GET", "//p/./graph/..//version", 307, "/p/version"),
        ("POST", "/p//api/v1/query?a=b", 307, "/p/api/v1/query?a=b"),
        ("OPTIONS", "/p/api/v1", 307, "/p/api/v1/"),
        ("POST", "/p/api/v1/query/?a=b", 307, "/query?a=b"),
        ("PUT", "/", 405, ""),
        ("PUT", "/p", 404, ""),
        ("OPTIONS", "/p/version", 200, ""),
        ("GET", "/p/api/v1/label/a%2Fb/values", 404, ""),
        ("GET", "/graph", 404, ""),
        ("GET", "/p/%zz", 400, ""),
    ] {
        let answer = program.request(method, path, &[], b"");
        let told = answer.header("location").unwrap_or_default();
        assert_eq!((answer.status, told), (status, location), "{method} {path}");
    }
}

#[test]
fn every_address_is_served() {
    let site = Site::server("global: {}\n");
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let log = std::fs::File::create(site.path("log")).unwrap();
    let mut child = site
        .command()
        .arg(format!("--web.listen-address=127.0.0.1:{other}"))
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let began = std::time::Instant::now();
    let ready = |port| http::request(port, "GET", "/-/ready", &[], b"").is_ok_and(|a| a.status == 200);
    while !(ready(site.port) && ready(other)) {
        assert!(began.elapsed().as_secs() < 60, "{:?}", std::fs::read_to_string(site.path("log")));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn long_answers_are_compressed_when_asked_for() {
    let site = Site::server("global: {}\n");
    let program = site.start();
    let target = "/api/v1/query_range?query=time()&start=0&end=5000&step=1";
    let plain = program.get(target);
    assert_eq!(plain.header("content-encoding"), None);
    let packed = program.request("GET", target, &[("Accept-Encoding", "gzip")], b"");
    assert_eq!((packed.status, packed.header("content-encoding")), (200, Some("gzip")));
    assert!(packed.body.len() * 2 < plain.body.len());
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(packed.body.as_slice()).read_to_end(&mut text).unwrap();
    assert!(text == plain.body);
    let packed = program.request("GET", "/metrics", &[("Accept-Encoding", "gzip")], b"");
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
}

#[test]
fn what_was_scraped_is_found_by_every_endpoint() {
    let stub = Stub::serving(
        "# HELP reqs_total Requests.\n# TYPE reqs_total counter\nreqs_total{code=\"200\"} 10\nreqs_total{code=\"500\"} 1\n\
         # TYPE temp gauge\n# HELP temp Degrees \\\\ here.\ntemp NaN\n# TYPE \"utf8.name\" gauge\n{\"utf8.name\",\"a.b\"=\"\u{e4}\"} 1\n",
    );
    let site = Site::server(&format!(
        "global: {{scrape_interval: 200ms}}\nscrape_configs: [{{job_name: j, static_configs: [{{targets: [\"{}\"], labels: {{instance: i}}}}]}}]\n",
        stub.address
    ));
    let program = site.start();
    program.wait_for_value("count({job=\"j\"})", 9.0);
    let of = |target: &str| program.data(target);
    let names = "/api/v1/label/__name__/values?match[]={job=\"j\"}&match[]=nosuch".replace('"', "%22");
    assert_eq!(
        of(&names),
        serde_json::json!([
            "reqs_total",
            "scrape_duration_seconds",
            "scrape_samples_post_metric_relabeling",
            "scrape_samples_scraped",
            "scrape_series_added",
            "temp",
            "up",
            "utf8.name"
        ])
    );
    assert_eq!(of("/api/v1/labels"), serde_json::json!(["__name__", "a.b", "code", "instance", "job"]));
    assert_eq!(of("/api/v1/label/U__a_2e_b/values"), serde_json::json!(["\u{e4}"]));
    assert_eq!(of("/api/v1/label/code/values?limit=1"), serde_json::json!(["200"]));
    let series = of("/api/v1/series?match[]=reqs_total");
    let metric =
        |code: &str| serde_json::json!({"__name__": "reqs_total", "code": code, "instance": "i", "job": "j"});
    assert_eq!(series, serde_json::json!([metric("200"), metric("500")]));
    let posted = program.request(
        "POST",
        "/api/v1/series",
        &[("Content-Type", "application/x-www-form-urlencoded")],
        http::form(&[("match[]", "reqs_total{code=\"500\"}")]).as_bytes(),
    );
    assert_eq!(posted.json()["data"], serde_json::json!([metric("500")]));
    let metadata = of("/api/v1/metadata");
    assert_eq!(
        metadata["reqs_total"],
        serde_json::json!([{"type": "counter", "help": "Requests.", "unit": ""}])
    );
    assert_eq!(metadata["temp"][0]["help"], "Degrees \\ here.");
    let of_target = of("/api/v1/targets/metadata?metric=temp&match_target=%7Bjob%3D%22j%22%7D");
    assert_eq!(of_target[0]["target"]["instance"], "i");
    assert_eq!(of("/api/v1/scrape_pools")["scrapePools"], serde_json::json!(["j"]));

    let vector = of("/api/v1/query?query=reqs_total");
    assert_eq!(vector["resultType"], "vector");
    assert_eq!(vector["result"].as_array().map(Vec::len), Some(2));
    assert_eq!(of("/api/v1/query?query=temp")["result"][0]["value"][1], "NaN");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let range = http::form(&[
        ("query", "sum(reqs_total)"),
        ("start", &(now - 5.0).to_string()),
        ("end", &(now + 1.0).to_string()),
        ("step", "500ms"),
    ]);
    let matrix = of(&format!("/api/v1/query_range?{range}"));
    assert_eq!(
        (&matrix["resultType"], matrix["result"].as_array().map(Vec::len)),
        (&"matrix".into(), Some(1))
    );
    assert!(matrix["result"][0]["values"].as_array().unwrap().iter().all(|v| v[1] == "11"));

    let head = of("/api/v1/status/tsdb");
    assert_eq!(head["headStats"]["numSeries"], 9);
    let top = head["seriesCountByMetricName"].as_array().unwrap();
    assert_eq!(top[0], serde_json::json!({"name": "reqs_total", "value": 2}));
    let info = of("/api/v1/status/runtimeinfo");
    assert_eq!((&info["reloadConfigSuccess"], &info["storageRetention"]), (&true.into(), &"15d".into()));
    assert!(of("/api/v1/status/buildinfo")["version"].is_string());
    assert!(of("/api/v1/status/config")["yaml"].as_str().unwrap().contains("job_name: j"));
}

#[test]
fn a_failed_query_says_of_which_kind() {
    let site = Site::server("global: {}\n").flag("--query.max-samples=50").flag("--query.timeout=2s");
    let program = site.start();
    for (query, status, kind, error) in [
        ("1 +", 400, "bad_data", "invalid parameter \"query\": 1:4: parse error: unexpected end of input"),
        (
            "rate(up)",
            400,
            "bad_data",
            "invalid parameter \"query\": 1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        (
            "vector(1)[100s:1s]",
            422,
            "execution",
            "query processing would load too many samples into memory in query execution",
        ),
        (
            "label_replace(vector(1), \"x\", \"$1\", \"y\", \"(\")",
            422,
            "execution",
            "invalid regular expression in label_replace(): (",
        ),
    ] {
        let answer = program.get(&format!("/api/v1/query?{}", http::form(&[("query", query)])));
        let json = answer.json();
        assert_eq!((answer.status, json["status"].as_str()), (status, Some("error")), "{query}: {json}");
        assert_eq!(
            (json["errorType"].as_str(), json["error"].as_str()),
            (Some(kind), Some(error)),
            "{query}"
        );
    }
}

#[test]
fn a_query_is_explained_node_by_node() {
    let stub = Stub::serving("reqs_total{code=\"200\"} 10\nreqs_total{code=\"500\"} 1\n");
    let site = Site::server(&format!(
        "global: {{scrape_interval: 200ms}}\nscrape_configs: [{{job_name: j, static_configs: [{{targets: [\"{}\"]}}]}}]\n",
        stub.address
    ));
    let program = site.start();
    if is_peer() {
        return;
    }
    program.wait_for_value("count(reqs_total)", 2.0);
    let now = program.value("vector(time())").unwrap();
    let (start, end) = ((now - 60.0).to_string(), now.to_string());
    let query = "sum by (code) (abs(reqs_total) * (2 + 1)) / on () group_left () count(reqs_total)";
    let times = [("start", start.as_str()), ("end", &end), ("step", "30")];
    let form = [[("query", query)].as_slice(), &times].concat();
    let data = program.data(&format!("/api/v1/query_explain?{}", http::form(&form)));
    assert_eq!((&data["resultType"], &data["result"]), (&"matrix".into(), &Value::Null), "{data}");
    let root = &data["plan"];
    assert_eq!((&root["node"], &root["steps"]), (&"query".into(), &3.into()), "{data}");
    let join = &root["nodes"][0];
    assert_eq!((&join["node"], &join["series"]), (&"join".into(), &2.into()), "{data}");
    let sum = &join["nodes"][0];
    assert_eq!(sum["detail"], "sum by (code), while reading", "{data}");
    let scan = &sum["nodes"][0];
    // What is constant is computed once, what is read twice is read once, and only labels that matter.
    assert_eq!(scan["detail"], "reqs_total, then abs, * 3", "{data}");
    let read = scan["read"]["detail"].as_str().unwrap();
    assert!(read.starts_with("reqs_total, ") && read.ends_with(", once for 2 uses"), "{data}");
    assert_eq!(scan["read"]["series"], 2, "{data}");
    assert!(
        scan["read"]["samples"].as_u64() >= Some(2) && scan["read"]["bytes"].as_u64() > Some(0),
        "{data}"
    );
    assert!(root["seconds"].as_f64() >= scan["seconds"].as_f64(), "{data}");
    // The same at one time; and what is not a query is no plan.
    let data = program.data("/api/v1/query_explain?query=reqs_total");
    assert_eq!((&data["resultType"], &data["plan"]["steps"]), (&"vector".into(), &1.into()), "{data}");
    assert_eq!(program.get("/api/v1/query_explain?query=(").status, 400);
}

#[test]
fn the_page_is_served() {
    if is_peer() {
        return;
    }
    let site = Site::server("global: {}\n");
    let program = site.start();
    for path in ["/query", "/targets", "/service-discovery", "/config", "/tsdb-status", "/status", "/flags"] {
        let page = program.get(path);
        let kind = page.header("content-type").unwrap_or("").to_owned();
        assert_eq!((page.status, kind.as_str()), (200, "text/html; charset=utf-8"), "{path}");
        assert!(page.text().contains("binnacle"), "{path}");
    }
    assert_eq!(program.get("/assets/%2e%2e/%2e%2e/Cargo.toml").status, 404);
}

#[test]
fn a_query_is_given_up_after_its_timeout() {
    let site = Site::server("global: {}\n").flag("--query.timeout=20ms");
    let program = site.start();
    let query = "count_over_time((rate(vector(1)[1h:1s]) + sum_over_time(vector(2)[1h:1s]))[30d:1m])";
    let answer = program.get(&format!("/api/v1/query?{}", http::form(&[("query", query)])));
    let json = answer.json();
    assert_eq!((answer.status, json["errorType"].as_str()), (503, Some("timeout")), "{json}");
    assert_eq!(json["error"], "query timed out in expression evaluation", "{json}");
}

#[test]
fn connections_beyond_the_limit_get_the_places_of_idle_ones() {
    use std::io::Write as _;
    use std::net::TcpStream;
    let site = Site::server("global: {}\n").flag("--web.max-connections=2");
    let program = site.start();
    let connect = || TcpStream::connect(("127.0.0.1", site.port)).unwrap();
    let mut first = connect();
    let mut answer = [0; 12];
    // Served, and kept open.
    first.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    first.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let mut second = connect();
    second.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    second.read_exact(&mut answer).unwrap();
    let mut third = connect();
    third.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    third.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    third.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    // The one that had waited longest for its client is closed; its client reads to the end.
    first.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    first.read_to_end(&mut Vec::new()).unwrap();
    drop((second, third));
    assert_eq!(program.get("/-/healthy").status, 200);
}
