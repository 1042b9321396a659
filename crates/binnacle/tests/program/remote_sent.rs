//! What leaves by remote write is what Prometheus sends: the recording's configuration, target and receiver, and then
//! headers and content of the requests compared with the recorded ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use exposition::protobuf_wire::{BYTES, FIXED64, Reader, VARINT};
use exposition::protobuf_write::{push_bytes, push_double, push_varint, varint, zigzag};
use serde_json::Value;

use crate::site::{Site, is_peer, shared};
use crate::stub::{Answer, Stub};

/// Scrapes that are compared; the recording has a little more.
const SCRAPES: usize = 3;
/// What the recording's target is called there.
const TARGET: &str = "127.0.0.1:19161";
const RECEIVER: &str = "127.0.0.1:19162";
const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

struct Request {
    at: Duration,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// By path, in order.
type Requests = BTreeMap<String, Vec<Request>>;

#[test]
fn what_is_sent_is_what_prometheus_sends() {
    let files = (shared("golden/remote/sent-setup.json"), shared("golden/remote/sent.jsonl"));
    let (Some(setup), Some(recorded)) = files else { return };
    if is_peer() {
        return;
    }
    let setup: Value = serde_json::from_slice(&std::fs::read(setup).unwrap()).unwrap();
    let recorded = read_recorded(&std::fs::read_to_string(recorded).unwrap());
    let sent = send(setup["config"].as_str().unwrap(), setup["features"].as_str().unwrap());
    for path in ["/v1", "/v2", "/v2-415", "/flaky"] {
        let (sent, recorded) = (&sent[path], &recorded[path]);
        assert_eq!(headers(sent), headers(recorded), "{path}");
        if path != "/flaky" {
            assert_eq!(contents(sent), contents(recorded), "{path}");
        }
    }
    assert_eq!(described(&recorded["/v2"]), BTreeSet::new());
    let expected = [
        "rw_c_total 1:1,3:A counter.",
        "rw_g_seconds 1:2,4:seconds",
        "rw_gone 1:2",
        "rw_h_bucket 1:3",
        "rw_h_count 1:3",
        "rw_h_sum 1:3",
        "rw_nh 1:3,3:NH",
    ];
    assert_eq!(described(&sent["/v2"]), expected.map(str::to_owned).into());
    assert_eq!(families(&sent["/v1"]), families(&recorded["/v1"]));
    // Refused at times, and tried again: the same content, later and later.
    for requests in [&sent["/flaky"], &recorded["/flaky"]] {
        let attempts: Vec<&str> = requests.iter().take(5).map(|r| r.header("retry-attempt")).collect();
        assert_eq!(attempts, ["", "1", "2", "3", ""]);
        assert!(requests[1..4].iter().all(|r| r.body == requests[0].body));
        assert_ne!(requests[4].body, requests[0].body);
        let pauses: Vec<Duration> = requests.windows(2).map(|two| two[1].at - two[0].at).collect();
        for (pause, least) in pauses.iter().zip([100, 200, 1000]) {
            assert!(*pause >= Duration::from_millis(least) - Duration::from_millis(20), "{pauses:?}");
            assert!(*pause < Duration::from_millis(least + 3000), "{pauses:?}");
        }
    }
    let first = |requests: &Requests| contents(&requests["/flaky"][..1]);
    assert_eq!(first(&sent), first(&recorded));
}

/// Runs the recording's set-up with the program.
fn send(config: &str, features: &str) -> Requests {
    let target = Stub::start();
    target.set(
        "/metrics",
        Answer::script(|seen, to| {
            let page = page(seen.before as u64 + 1);
            let content_type = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n", page.len());
            std::io::Write::write_all(to, head.as_bytes())?;
            std::io::Write::write_all(to, &page)
        }),
    );
    let begun = Instant::now();
    let all: Arc<Mutex<Requests>> = Arc::default();
    let receiver = Stub::start();
    let flaky: Vec<(&str, &str)> = vec![
        ("500 Internal Server Error", ""),
        ("500 Internal Server Error", ""),
        ("429 Too Many Requests", "Retry-After: 1\r\n"),
        ("204 No Content", ""),
        ("400 Bad Request", ""),
    ];
    for (path, answers) in [
        ("/v1", vec![]),
        ("/v2", vec![]),
        ("/v2-415", vec![("415 Unsupported Media Type", ""); 100]),
        ("/flaky", flaky),
    ] {
        let all = Arc::clone(&all);
        receiver.set(
            path,
            Answer::script(move |seen, to| {
                let headers = seen.headers.clone().into_iter().collect();
                let request = Request { at: begun.elapsed(), headers, body: seen.body.clone() };
                let written = counts(&request);
                all.lock().unwrap().entry(path.to_owned()).or_default().push(request);
                let (status, more) = answers.get(seen.before).copied().unwrap_or(("204 No Content", ""));
                let length = if status.starts_with("204") { "" } else { "Content-Length: 0\r\n" };
                std::io::Write::write_all(
                    to,
                    format!("HTTP/1.1 {status}\r\n{more}{length}{written}\r\n").as_bytes(),
                )
            }),
        );
    }
    let config = config.replace(TARGET, &target.address).replace(RECEIVER, &receiver.address);
    let site = Site::server(&config).flag(&format!("--enable-feature={features}"));
    let program = site.start();
    program.wait_for("requests", |_| {
        let all = all.lock().unwrap();
        let count = |path: &str| all.get(path).map_or(0, Vec::len);
        // Of 1.0 some tell about metrics; what was refused comes again.
        let enough = count("/v1") >= SCRAPES + 3 && count("/v2") > SCRAPES && count("/flaky") > 5;
        enough.then_some(())
    });
    drop(program);
    let address = target.address;
    let mut all = std::mem::take(&mut *all.lock().unwrap());
    for request in all.values_mut().flatten() {
        request.body = unpack(&request.body);
        // Of the same length, so that no length within the message changes.
        assert_eq!(address.len(), TARGET.len());
        replace(&mut request.body, address.as_bytes(), TARGET.as_bytes());
    }
    all
}

fn replace(body: &mut [u8], from: &[u8], to: &[u8]) {
    for at in 0..body.len().saturating_sub(from.len() - 1) {
        if &body[at..at + from.len()] == from {
            body[at..at + to.len()].copy_from_slice(to);
        }
    }
}

fn unpack(body: &[u8]) -> Vec<u8> {
    snap::raw::Decoder::new().decompress_vec(body).unwrap()
}

fn read_recorded(lines: &str) -> Requests {
    let mut all = Requests::new();
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let headers = line["headers"].as_object().unwrap().iter();
        let headers = headers.map(|(n, v)| (n.to_lowercase(), v.as_str().unwrap().to_owned())).collect();
        let body =
            base64::engine::general_purpose::STANDARD.decode(line["body_b64"].as_str().unwrap()).unwrap();
        let at = Duration::from_secs_f64(line["t"].as_f64().unwrap());
        let path = line["path"].as_str().unwrap().to_owned();
        all.entry(path).or_default().push(Request { at, headers, body: unpack(&body) });
    }
    all
}

impl Request {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn is_v2(&self) -> bool {
        self.header("content-type") == V2
    }
}

/// The headers of requests that are no second attempts, but for lengths and names of programs.
fn headers(requests: &[Request]) -> BTreeSet<String> {
    let attempts = requests.iter().filter(|r| r.header("retry-attempt").is_empty());
    let apart = ["host", "content-length", "user-agent", "accept", "connection"];
    attempts
        .map(|request| {
            let told = request.headers.iter().filter(|(name, _)| !apart.contains(&name.as_str()));
            told.map(|(name, value)| format!("{name}: {value}\n")).collect()
        })
        .collect()
}

/// What the receiver says it wrote.
fn counts(request: &Request) -> String {
    if !request.is_v2() {
        return String::new();
    }
    let said = entries(&unpack(&request.body), true);
    let count = |kind: &str| said.iter().filter(|entry| entry.kind == kind).count();
    let name = "X-Prometheus-Remote-Write";
    format!(
        "{name}-Samples-Written: {}\r\n{name}-Histograms-Written: {}\r\n{name}-Exemplars-Written: {}\r\n",
        count("float"),
        count("histogram"),
        count("exemplar")
    )
}

/// What was sent of each of the first scrapes, whichever request it was in. Times are numbers of scrapes.
fn contents(requests: &[Request]) -> BTreeMap<usize, BTreeSet<String>> {
    let all: Vec<Entry> =
        requests.iter().flat_map(|request| entries(&request.body, request.is_v2())).collect();
    let times: BTreeSet<i64> =
        all.iter().filter(|entry| entry.kind != "exemplar").map(|entry| entry.t).collect();
    let scrape = |t: i64| times.range(..=t).count();
    let mut contents = BTreeMap::<usize, BTreeSet<String>>::new();
    for entry in all.iter().filter(|entry| scrape(entry.t) <= SCRAPES) {
        let value = match entry.labels.contains("scrape_duration_seconds") {
            true => "some",
            false => entry.value.as_str(),
        };
        let text = format!("{} {} {value}", entry.kind, entry.labels);
        contents.entry(scrape(entry.t)).or_default().insert(text);
    }
    contents
}

/// What 2.0 says about each metric. Prometheus 3.14 says nothing: what it scrapes it does not note, whatever its flags are.
fn described(requests: &[Request]) -> BTreeSet<String> {
    let all = requests.iter().flat_map(|request| entries(&request.body, true));
    let name = |entry: &Entry| entry.labels.split([',', '=']).nth(1).unwrap_or_default().to_owned();
    all.filter(|entry| !entry.about.is_empty())
        .map(|entry| format!("{} {}", name(&entry), entry.about))
        .collect()
}

/// What is said of metrics in messages of their own.
fn families(requests: &[Request]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for request in requests.iter().filter(|request| !request.is_v2()) {
        for (_, metadata) in fields(&request.body).into_iter().filter(|(number, _)| *number == 3) {
            all.insert(format!("{:?}", fields(metadata.bytes())));
        }
    }
    all
}

/// A sample, histogram or exemplar.
struct Entry {
    kind: &'static str,
    labels: String,
    t: i64,
    value: String,
    /// What 2.0 says about the metric.
    about: String,
}

#[derive(Clone, PartialEq)]
enum Field {
    Integer(u64),
    Double(f64),
    Bytes(Vec<u8>),
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Field::Integer(n) => write!(f, "{n}"),
            Field::Double(v) => write!(f, "{v:?}"),
            Field::Bytes(bytes) => write!(f, "{:?}", String::from_utf8_lossy(bytes)),
        }
    }
}

impl Field {
    fn bytes(&self) -> &[u8] {
        match self {
            Field::Bytes(bytes) => bytes,
            other => panic!("{other:?}"),
        }
    }

    fn integer(&self) -> i64 {
        match self {
            Field::Integer(n) => *n as i64,
            other => panic!("{other:?}"),
        }
    }
}

fn fields(message: &[u8]) -> Vec<(i32, Field)> {
    let mut r = Reader::new("", message);
    let mut all = Vec::new();
    while let Some(tag) = r.tag().unwrap() {
        let field = match tag.wire {
            VARINT => Field::Integer(r.varint().unwrap()),
            FIXED64 => Field::Double(r.double().unwrap()),
            BYTES => Field::Bytes(r.bytes().unwrap().to_vec()),
            other => panic!("{other}"),
        };
        all.push((tag.field, field));
    }
    all
}

fn texts(symbols: &[String], refs: &Field) -> String {
    let mut r = Reader::new("", refs.bytes());
    let mut texts = Vec::new();
    while !r.is_empty() {
        texts.push(symbols[r.varint().unwrap() as usize].clone());
    }
    texts.chunks(2).fold(String::new(), |out, pair| out + &format!("{}={},", pair[0], pair[1]))
}

fn entries(body: &[u8], is_v2: bool) -> Vec<Entry> {
    let message = fields(body);
    let symbols: Vec<String> = message
        .iter()
        .filter(|(number, _)| is_v2 && *number == 4)
        .map(|(_, text)| String::from_utf8(text.bytes().to_vec()).unwrap())
        .collect();
    let labels_of = |field: &Field| match is_v2 {
        true => texts(&symbols, field),
        false => {
            let pair = fields(field.bytes());
            let text = |number: i32| {
                let found = pair.iter().find(|(n, _)| *n == number);
                found.map_or(String::new(), |(_, text)| String::from_utf8_lossy(text.bytes()).into_owned())
            };
            format!("{}={},", text(1), text(2))
        }
    };
    let (series, histogram, exemplar) = if is_v2 { (5, 3, 4) } else { (1, 4, 3) };
    let mut all = Vec::new();
    for (_, one) in message.iter().filter(|(number, _)| *number == series) {
        let one = fields(one.bytes());
        let labels: String = one.iter().filter(|(n, _)| *n == 1).map(|(_, field)| labels_of(field)).collect();
        let about = one.iter().filter(|(n, _)| is_v2 && *n == 5).map(|(_, field)| {
            let texts = fields(field.bytes()).into_iter();
            let texts = texts.map(|(number, field)| match number {
                1 => format!("{number}:{}", field.integer()),
                _ => format!("{number}:{}", symbols[field.integer() as usize]),
            });
            texts.collect::<Vec<_>>().join(",")
        });
        let about: String = about.collect();
        for (number, field) in &one {
            let mut entry =
                Entry { kind: "", labels: labels.clone(), t: 0, value: String::new(), about: about.clone() };
            let (kind, time) = match *number {
                2 => ("float", 2),
                n if n == histogram => ("histogram", 15),
                n if n == exemplar => ("exemplar", 3),
                _ => continue,
            };
            entry.kind = kind;
            for (number, field) in fields(field.bytes()) {
                if number == time {
                    entry.t = field.integer();
                } else if kind == "exemplar" && number == 1 {
                    entry.value += &labels_of(&field);
                } else {
                    write!(entry.value, "{number}:{field:?} ").unwrap();
                }
            }
            all.push(entry);
        }
    }
    all
}

fn message(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn labels(out: &mut Vec<u8>, labels: &[(&str, &str)]) {
    for (name, value) in labels {
        let pair = message(|out| {
            push_bytes(out, 1, name.as_bytes());
            push_bytes(out, 2, value.as_bytes());
        });
        push_bytes(out, 1, &pair);
    }
}

/// The page of the recording's target at its n-th scrape.
fn page(n: u64) -> Vec<u8> {
    let family = |name: &str, kind: u64, help: &str, unit: &str, metric: Vec<u8>| {
        let family = message(|out| {
            push_bytes(out, 1, name.as_bytes());
            push_bytes(out, 2, help.as_bytes());
            push_varint(out, 3, kind);
            push_bytes(out, 4, &metric);
            push_bytes(out, 5, unit.as_bytes());
        });
        message(|out| {
            varint(out, family.len() as u64);
            out.extend_from_slice(&family);
        })
    };
    let gauge = |v: f64, own: &[(&str, &str)]| {
        message(|out| {
            labels(out, own);
            push_bytes(out, 2, &message(|out| push_double(out, 1, v)));
        })
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let exemplar = message(|out| {
        labels(out, &[("trace_id", &format!("t{n}"))]);
        push_double(out, 2, 0.5);
        // Within the scrape.
        let at = message(|out| {
            push_varint(out, 1, now.as_secs());
            push_varint(out, 2, u64::from(now.subsec_nanos()) + 2_000_000);
        });
        push_bytes(out, 3, &at);
    });
    let counter = message(|out| {
        labels(out, &[("a", "1")]);
        let counter = message(|out| {
            push_double(out, 1, n as f64);
            push_bytes(out, 2, &exemplar);
        });
        push_bytes(out, 3, &counter);
    });
    let classic = message(|out| {
        push_varint(out, 1, 3 * n);
        push_double(out, 2, 1.5);
        for (bound, count) in [(0.1, n), (1.0, 2 * n), (f64::INFINITY, 3 * n)] {
            let bucket = message(|out| {
                push_varint(out, 1, count);
                push_double(out, 2, bound);
            });
            push_bytes(out, 3, &bucket);
        }
    });
    let native = message(|out| {
        push_varint(out, 1, 6 * n);
        push_double(out, 2, 2.5 * n as f64);
        push_varint(out, 5, zigzag(1));
        push_double(out, 6, 0.001);
        push_varint(out, 7, n);
        let span = |offset: i64, length: u64| {
            message(|out| {
                push_varint(out, 1, zigzag(offset));
                push_varint(out, 2, length);
            })
        };
        let n = n as i64;
        push_bytes(out, 9, &span(0, 1));
        push_varint(out, 10, zigzag(n));
        push_bytes(out, 12, &span(0, 2));
        push_bytes(out, 12, &span(1, 1));
        [n, n, -n].into_iter().for_each(|delta| push_varint(out, 13, zigzag(delta)));
    });
    let histogram = |content: &[u8]| message(|out| push_bytes(out, 7, content));
    [
        family("rw_c_total", 0, "A counter.", "", counter),
        family("rw_g_seconds", 1, "", "seconds", gauge(-1.5 * n as f64, &[])),
        family("rw_h", 4, "", "", histogram(&classic)),
        family("rw_nh", 4, "NH", "", histogram(&native)),
        if n <= 3 { family("rw_gone", 1, "", "", gauge(1.0, &[("é", "utf8 🚀")])) } else { Vec::new() },
    ]
    .concat()
}
