//! Reading from others: good ones, which is our own server, and bad ones.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use exposition::{Registry, protobuf_write};
use model::histogram::{HistogramValue, IntegerHistogram, Span};
use model::{Labels, MatchOp, Matcher};
use remote::{ReadAnswer, ReadOptions, ReadServer, ReadServerOptions, RemoteRead};
use storage::{Interrupted, MemoryBudget, Projection, QueryContext, Request, Select, SelectError};

use crate::store::{Content, Store, content_of, labels};

const SAMPLES: &str = "application/x-protobuf";
const CHUNKS: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

/// Answers a body with a status line, a type and a body.
type Script = Arc<dyn Fn(&[u8]) -> (&'static str, &'static str, Vec<u8>) + Send + Sync>;

/// A server of remote read.
struct Server {
    port: u16,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Server {
    fn start(script: Script) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server { port: listener.local_addr().unwrap().port(), bodies: Arc::default() };
        let bodies = Arc::clone(&server.bodies);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, bodies) = (Arc::clone(&script), Arc::clone(&bodies));
                std::thread::spawn(move || while serve(&script, &bodies, &stream).is_some() {});
            }
        });
        server
    }

    /// Answers with what a store has, as the server of this crate does.
    fn of(store: &Store, external: &[(&str, &str)]) -> Server {
        let db = Arc::clone(&store.db) as Arc<dyn Select>;
        let server = ReadServer::new(db, ReadServerOptions::default(), &Registry::new());
        let external: BTreeMap<String, String> =
            external.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Server::start(Arc::new(move |body| {
            let (mut kind, mut out) = (ReadAnswer::Samples, Vec::new());
            let begin = |answer| kind = answer;
            let send = &mut |piece: Vec<u8>| {
                out.extend(piece);
                Ok(())
            };
            server.answer(&QueryContext::unlimited(), &external, body, begin, send).unwrap();
            ("200 OK", if kind == ReadAnswer::Samples { SAMPLES } else { CHUNKS }, out)
        }))
    }

    fn answering(status: &'static str, content_type: &'static str, body: Vec<u8>) -> Server {
        Server::start(Arc::new(move |_| (status, content_type, body.clone())))
    }

    fn asked(&self) -> usize {
        self.bodies.lock().unwrap().len()
    }

    fn options(&self) -> ReadOptions {
        let url = format!("http://127.0.0.1:{}/read", self.port);
        ReadOptions {
            name: "test".into(),
            hash: url.clone(),
            url: httpclient::Url::parse(&url).unwrap(),
            shown_url: url,
            timeout: Duration::from_secs(5),
            chunked_read_limit: 50_000_000,
            headers: Vec::new(),
            read_recent: true,
            required_matchers: Vec::new(),
            filter_external_labels: true,
            client: Default::default(),
        }
    }
}

fn serve(script: &Script, bodies: &Mutex<Vec<Vec<u8>>>, mut stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    bodies.lock().unwrap().push(body.clone());
    let (status, content_type, answer) = script(&body);
    let length = answer.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(&answer).ok()
}

/// A store, and what reads it together with others.
struct Reader {
    store: Store,
    read: RemoteRead,
    registry: Registry,
    _runtime: tokio::runtime::Runtime,
    _dir: tempfile::TempDir,
}

impl Reader {
    fn new(options: Vec<ReadOptions>, external: &[(&str, &str)]) -> Reader {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path());
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let registry = Registry::new();
        let local = Arc::clone(&store.db) as Arc<dyn Select>;
        let read = RemoteRead::new(local, Arc::new(|| 10_000), runtime.handle().clone(), &registry);
        let servers = read.prepare(options, &Labels::from_pairs(external.iter().copied())).unwrap();
        read.apply(servers);
        Reader { store, read, registry, _runtime: runtime, _dir: dir }
    }

    fn content(&self, matchers: &[Matcher]) -> (Content, Vec<String>) {
        let ctx = QueryContext::unlimited();
        let content = content_of(&self.read, &ctx, matchers).unwrap();
        (content, ctx.warnings().texts())
    }
}

fn named(name: &str) -> Matcher {
    Matcher::equal("__name__", name)
}

fn histogram(count: u64) -> HistogramValue {
    HistogramValue::Integer(Box::new(IntegerHistogram {
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 1,
        count: count + 1,
        sum: count as f64,
        positive_spans: vec![Span { offset: 0, length: 1 }],
        positive_deltas: vec![i64::try_from(count).unwrap()],
        ..IntegerHistogram::default()
    }))
}

/// Answers only with samples, whatever is asked for.
fn of_samples(store: &Store) -> Server {
    let db = Arc::clone(&store.db) as Arc<dyn Select>;
    let server = ReadServer::new(db, ReadServerOptions::default(), &Registry::new());
    Server::start(Arc::new(move |body| {
        let mut plain = snap::raw::Decoder::new().decompress_vec(body).unwrap();
        // The list of what is accepted is the last field.
        assert_eq!(plain.split_off(plain.len() - 4), [0x12, 2, 1, 0]);
        let body = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
        let mut out = Vec::new();
        let send = &mut |piece: Vec<u8>| {
            out.extend(piece);
            Ok(())
        };
        server.answer(&QueryContext::unlimited(), &BTreeMap::new(), &body, |_| {}, send).unwrap();
        ("200 OK", SAMPLES, out)
    }))
}

/// What a server answers to a query for a name, with the hint that names are all that is wanted, as a stream or as samples.
fn names_of(store: &Store, name: Option<&str>, kind: u64) -> usize {
    let matcher = name.map(|name| {
        message(|out| {
            protobuf_write::push_bytes(out, 2, b"__name__");
            protobuf_write::push_bytes(out, 3, name.as_bytes());
        })
    });
    let query = message(|out| {
        protobuf_write::push_varint(out, 2, 100_000);
        matcher.iter().for_each(|matcher| protobuf_write::push_bytes(out, 3, matcher));
        let hints = message(|out| {
            protobuf_write::push_bytes(out, 2, b"series");
            protobuf_write::push_varint(out, 4, 100_000);
        });
        protobuf_write::push_bytes(out, 4, &hints);
    });
    let request = message(|out| {
        protobuf_write::push_bytes(out, 1, &query);
        protobuf_write::push_varint(out, 2, kind);
    });
    let body = snap::raw::Encoder::new().compress_vec(&request).unwrap();
    let db = Arc::clone(&store.db) as Arc<dyn Select>;
    let server = ReadServer::new(db, ReadServerOptions::default(), &Registry::new());
    let (mut answer, mut out) = (ReadAnswer::Samples, Vec::new());
    let send = &mut |piece: Vec<u8>| {
        out.extend(piece);
        Ok(())
    };
    let begin = |kind| answer = kind;
    server.answer(&QueryContext::unlimited(), &BTreeMap::new(), &body, begin, send).unwrap();
    if answer == ReadAnswer::Samples {
        out = snap::raw::Decoder::new().decompress_vec(&out).unwrap();
    }
    let labels = label("__name__", "m");
    out.windows(labels.len()).filter(|bytes| *bytes == labels).count()
}

/// Prometheus asks so for series, label names and values of what is remote.
#[test]
fn who_wants_names_alone_is_told_them_as_samples_and_in_a_stream() {
    let dir = tempfile::tempdir().unwrap();
    let there = Store::open(dir.path());
    there.append("m", 5, 10_000);
    for kind in [0, 1] {
        assert_eq!(names_of(&there, Some("m"), kind), 5, "{kind}");
        // Who asks for nothing is not told everything.
        assert_eq!(names_of(&there, None, kind), 0, "{kind}");
    }
}

#[test]
fn what_others_have_is_read_as_one_with_what_is_here() {
    let dir = tempfile::tempdir().unwrap();
    let there = Store::open(dir.path());
    for t in [1000, 2000, 3000] {
        there.append("m", 300, t);
        there.append_histogram(&labels("h", 0), t, histogram(t as u64));
    }
    for server in [Server::of(&there, &[]), of_samples(&there)] {
        let reader = Reader::new(vec![server.options()], &[]);
        for t in [2000, 4000] {
            reader.store.append("m", 200, t);
        }
        let (content, warnings) = reader.content(&[named("m")]);
        assert_eq!(warnings, [""; 0]);
        assert_eq!(content.len(), 300);
        for (number, series) in content.values().enumerate() {
            let times: Vec<i64> = series.iter().map(|(t, _)| *t).collect();
            assert!(times == [1000, 2000, 3000] || times == [1000, 2000, 3000, 4000], "{number}: {times:?}");
        }
        assert_eq!(content.values().map(Vec::len).sum::<usize>(), 300 * 3 + 200);
        assert_eq!(reader.content(&[named("h")]).0, {
            let mut all = there.content();
            all.retain(|labels, _| labels.contains("\"h\""));
            all
        });
        let page = reader.registry.gather();
        let total = page.iter().find(|f| f.name == "prometheus_remote_read_client_queries_total").unwrap();
        assert_eq!(total.metrics[0].labels.value("code"), "200");
        assert_eq!(server.asked(), 2);
    }
}

#[test]
fn external_labels_are_added_to_selectors_and_taken_off_answers() {
    let dir = tempfile::tempdir().unwrap();
    let there = Store::open(dir.path());
    there.append("m", 1, 1000);
    let server = Server::of(&there, &[("cluster", "a")]);
    let reader = Reader::new(vec![server.options()], &[("cluster", "a"), ("region", "")]);
    let own = labels("m", 0).to_string();
    assert_eq!(reader.content(&[named("m")]).0.keys().cloned().collect::<Vec<_>>(), [own]);
    // Who names one means what others have.
    let named_one = reader.content(&[named("m"), Matcher::equal("cluster", "a")]).0;
    assert!(named_one.keys().all(|labels| labels.contains("cluster=\"a\"")) && named_one.len() == 1);
    assert!(reader.content(&[named("m"), Matcher::equal("cluster", "b")]).0.is_empty());
    let unfiltered = ReadOptions { filter_external_labels: false, ..server.options() };
    let reader = Reader::new(vec![unfiltered], &[("cluster", "a")]);
    assert!(reader.content(&[named("m")]).0.keys().all(|labels| labels.contains("cluster")));
}

#[test]
fn others_are_asked_for_old_times_and_required_labels_only_where_they_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let there = Store::open(dir.path());
    for t in [5_000, 15_000] {
        there.append("m", 1, t);
    }
    let server = Server::of(&there, &[]);
    let options = ReadOptions {
        read_recent: false,
        required_matchers: vec![("job".into(), "j".into())],
        ..server.options()
    };
    let reader = Reader::new(vec![options], &[]);
    assert!(reader.content(&[named("m")]).0.is_empty());
    let regex = Matcher::new(MatchOp::Regex, "job", "j").unwrap();
    assert!(reader.content(&[named("m"), regex]).0.is_empty());
    assert_eq!(server.asked(), 0);
    let matchers = [named("m"), Matcher::equal("job", "j")];
    let (content, _) = reader.content(&matchers);
    let times: Vec<i64> = content.values().flatten().map(|(t, _)| *t).collect();
    assert_eq!((times, server.asked()), (vec![5_000], 1));
    let request = Request {
        matchers: &matchers,
        min_time: 10_001,
        max_time: 20_000,
        labels: Projection::All,
        newest: None,
    };
    let ctx = QueryContext::unlimited();
    let mut parts = reader.read.select(&ctx, &request).unwrap();
    assert!(parts.iter_mut().all(|part| part.next().unwrap().is_none()));
    assert_eq!(server.asked(), 1);
}

#[test]
fn labels_are_looked_up_as_prometheus_does() {
    let dir = tempfile::tempdir().unwrap();
    let there = Store::open(dir.path());
    there.append("m", 2, 1000);
    let server = Server::of(&there, &[]);
    let reader = Reader::new(vec![server.options()], &[]);
    reader.store.append("m", 1, 1000);
    let ctx = QueryContext::unlimited();
    let matchers = [named("m")];
    let request =
        Request { matchers: &matchers, min_time: 0, max_time: 5_000, labels: Projection::All, newest: None };
    assert_eq!(reader.read.series(&ctx, &request).unwrap(), [labels("m", 0), labels("m", 1)]);
    assert_eq!(ctx.warnings().texts(), [""; 0]);
    let values = reader.read.label_values(&ctx, "number", 0, 5_000, &[]).unwrap();
    assert_eq!((values, ctx.warnings().texts()), (vec!["0".to_owned()], vec!["not implemented".to_owned()]));
}

fn frame(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    protobuf_write::varint(&mut out, message.len() as u64);
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, message) as u32;
    out.extend_from_slice(&sum.to_be_bytes());
    out.extend_from_slice(message);
    out
}

fn message(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out);
    out
}

fn label(name: &str, value: &str) -> Vec<u8> {
    message(|out| {
        protobuf_write::push_bytes(out, 1, name.as_bytes());
        protobuf_write::push_bytes(out, 2, value.as_bytes());
    })
}

/// A frame with a chunk of the series `m`.
fn chunk_frame(kind: u64, bytes: &[u8]) -> Vec<u8> {
    let chunk = message(|out| {
        protobuf_write::push_varint(out, 3, kind);
        protobuf_write::push_bytes(out, 4, bytes);
    });
    let series = message(|out| {
        protobuf_write::push_bytes(out, 1, &label("__name__", "m"));
        protobuf_write::push_bytes(out, 2, &chunk);
    });
    frame(&message(|out| protobuf_write::push_bytes(out, 1, &series)))
}

/// An answer with one series of samples.
fn sampled(labels: &[(&str, &str)], times: &[i64]) -> Vec<u8> {
    let series = message(|out| {
        labels.iter().for_each(|(n, v)| protobuf_write::push_bytes(out, 1, &label(n, v)));
        for t in times {
            let sample = message(|out| protobuf_write::push_varint(out, 2, *t as u64));
            protobuf_write::push_bytes(out, 2, &sample);
        }
    });
    let result = message(|out| protobuf_write::push_bytes(out, 1, &series));
    let response = message(|out| protobuf_write::push_bytes(out, 1, &result));
    snap::raw::Encoder::new().compress_vec(&response).unwrap()
}

fn xor(times: &[i64]) -> Vec<u8> {
    let mut buf = vec![0; 1024];
    let mut appender = chunk::XorAppender::new();
    times.iter().for_each(|t| appender.append(&mut buf, *t, 1.0).unwrap());
    buf.truncate(appender.len());
    buf
}

#[test]
fn what_is_wrong_with_others_is_a_warning_and_nothing_of_them_is_read() {
    let good = chunk_frame(1, &xor(&[1000, 2000]));
    let after_good = |bad: Vec<u8>| [good.clone(), bad].concat();
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    // What a block of snappy says its length is need not be true.
    let bomb = [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0; 20]].concat();
    let m = ("__name__", "m");
    for (status, content_type, body, why) in [
        (
            "500 Internal Server Error",
            "text/plain",
            b"is ill\n".to_vec(),
            "remote server @URL@ returned http status 500 Internal Server Error: is ill",
        ),
        ("200 OK", "text/html", b"<html>".to_vec(), "unsupported content type: text/html"),
        ("200 OK", CHUNKS, after_good(damaged), "chunkedReader: corrupted frame; checksum mismatch"),
        ("200 OK", CHUNKS, after_good(good[..9].to_vec()), "unexpected EOF"),
        (
            "200 OK",
            CHUNKS,
            after_good(vec![0xff, 0xff, 0xff, 0xff, 0x0f]),
            "chunkedReader: message size exceeded the limit 50000000 bytes; got: 4294967295 bytes",
        ),
        ("200 OK", CHUNKS, after_good(chunk_frame(99, &xor(&[1000]))), "unknown chunk encoding"),
        ("200 OK", CHUNKS, after_good(chunk_frame(1, &[0, 9, 1])), ""),
        (
            "200 OK",
            CHUNKS,
            after_good(chunk_frame(1, &xor(&[2000, 1000]))),
            "a chunk with samples that are out of order",
        ),
        (
            "200 OK",
            CHUNKS,
            after_good(chunk_frame(1, &vec![0; 2 << 20])),
            "a chunk of 2097152 bytes is too long",
        ),
        ("200 OK", SAMPLES, b"".to_vec(), "error reading response: snappy: corrupt input"),
        (
            "200 OK",
            SAMPLES,
            bomb,
            "error reading response: 4294967295 bytes after decompression are too many",
        ),
        ("200 OK", SAMPLES, sampled(&[m], &[2000, 1000]), "samples that are out of order"),
        ("200 OK", SAMPLES, sampled(&[m, ("", "x")], &[1000]), "invalid label name: "),
        ("200 OK", SAMPLES, sampled(&[m, ("a", "1"), ("a", "2")], &[1000]), "duplicate label with name: a"),
        ("200 OK", SAMPLES, sampled(&[("__name__", "")], &[1000]), "invalid metric name: "),
    ] {
        let server = Server::answering(status, content_type, body);
        let reader = Reader::new(vec![server.options()], &[]);
        reader.store.append("m", 1, 3000);
        let (content, warnings) = reader.content(&[named("m")]);
        assert_eq!(content, reader.store.content(), "{why}");
        let why = why.replace("@URL@", &server.options().shown_url);
        assert_eq!(warnings.len(), 1, "{why}: {warnings:?}");
        assert!(warnings[0].starts_with(&format!("remote_read: {why}")), "{why}: {warnings:?}");
    }
}

#[test]
fn others_are_not_believed_to_have_answered_what_was_asked() {
    let answer = [chunk_frame(1, &xor(&[1000, 2000])), chunk_frame(1, &xor(&[1500]))].concat();
    let server = Server::answering("200 OK", CHUNKS, answer);
    let reader = Reader::new(vec![server.options()], &[]);
    // Another series than was asked for.
    assert!(reader.content(&[named("other")]).0.is_empty());
    // Chunks that overlap are put in order.
    let (content, _) = reader.content(&[named("m")]);
    let times: Vec<i64> = content.values().flatten().map(|(t, _)| *t).collect();
    assert_eq!(times, [1000, 1500, 2000]);
    // Samples of other times than were asked for.
    let matchers = [named("m")];
    let request = Request {
        matchers: &matchers,
        min_time: 1_200,
        max_time: 1_800,
        labels: Projection::All,
        newest: None,
    };
    let ctx = QueryContext::unlimited();
    let mut views = Vec::new();
    for mut part in reader.read.select(&ctx, &request).unwrap() {
        while let Some(series) = part.next().unwrap() {
            views.extend(series.chunks.iter().map(|chunk| match chunk {
                storage::ChunkView::Encoded { min_time, max_time, .. } => (*min_time, *max_time),
                other => panic!("{other:?}"),
            }));
        }
    }
    assert_eq!(views, [(1500, 1500)]);
}

#[test]
fn a_query_ends_when_it_has_to_whatever_others_do() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server { port: listener.local_addr().unwrap().port(), bodies: Arc::default() };
    let slow = ReadOptions { timeout: Duration::from_millis(50), ..server.options() };
    let reader = Reader::new(vec![slow], &[]);
    let (_, warnings) = reader.content(&[named("m")]);
    let url = server.options().shown_url;
    assert_eq!(
        warnings,
        [format!(
            "remote_read: error sending request: Post \"{url}\": context deadline exceeded: request timed out after 50ms"
        )]
    );
    let reader = Reader::new(vec![server.options()], &[]);
    let deadline = Instant::now() + Duration::from_millis(50);
    let ctx = QueryContext::new(Some(deadline), 0);
    let outcome = content_of(&reader.read, &ctx, &[named("m")]);
    assert!(matches!(outcome, Err(SelectError::Interrupted(Interrupted::Timeout))), "{outcome:?}");
}

#[test]
fn what_others_send_counts_as_the_memory_of_the_query() {
    let times: Vec<i64> = (0..20_000).collect();
    let server = Server::answering("200 OK", SAMPLES, sampled(&[("__name__", "m")], &times));
    let reader = Reader::new(vec![server.options()], &[]);
    let read = |limit: u64| {
        let budget = MemoryBudget::new(limit);
        let ctx = QueryContext::new(None, 0).with_memory(budget.account("test"));
        content_of(&reader.read, &ctx, &[named("m")])
            .map(|content| content.values().map(Vec::len).sum::<usize>())
    };
    assert_eq!(read(100 << 20).unwrap(), 20_000);
    let outcome = read(400 << 10);
    assert!(matches!(outcome, Err(SelectError::Interrupted(Interrupted::OutOfMemory))), "{outcome:?}");
}
