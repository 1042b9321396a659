//! Inputs to begin with: files as this program writes them.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use exposition::Registry;
use model::histogram::{CUSTOM_BUCKETS, FloatHistogram, HistogramValue, IntegerHistogram, Span};
use model::{Labels, MatchOp, Matcher};
use storage::{
    Affinity, Append, Batch, BatchExemplar, BatchHistogram, BatchMetadata, BatchSample, Metadata, Outcome,
};
use tsdb::{Compression, Db, DbOptions, FloatEncoding, HeadOptions, decoders};

use crate::pieces::{Kind, Piece, join};

/// What an API server sends, a piece each.
const POD_EVENT: &str = r#"{"type":"ADDED","object":{"metadata":{"name":"web-1","namespace":"shop","uid":"u","resourceVersion":"7","labels":{"a.b/c":"d\u00e9"},"annotations":null,"ownerReferences":[{"kind":"ReplicaSet","name":"web","controller":true}]},"spec":{"nodeName":"n1","containers":[{"name":"main","image":"i","ports":[{"name":"http","containerPort":80,"protocol":"TCP"}]}],"initContainers":[{"name":"init"}]},"status":{"phase":"Running","podIP":"10.0.0.1","hostIP":"10.0.0.2","conditions":[{"type":"Ready","status":"True"}],"containerStatuses":[{"name":"main","containerID":"c://1"}]}}}"#;
const NODE_LIST: &str = r#"{"metadata":{"resourceVersion":"5","continue":"t"},"items":[{"metadata":{"name":"n1"},"spec":{"providerID":"p"},"status":{"addresses":[{"type":"InternalIP","address":"10.0.0.2"}],"conditions":[{"type":"Ready","status":"True"}],"daemonEndpoints":{"kubeletEndpoint":{"Port":10250}}}},{"metadata":{"name":"s","namespace":"x"},"spec":{"type":"LoadBalancer","clusterIP":"10.9.0.1","ports":[{"port":80}],"rules":[{"host":"h","http":{"paths":[{"path":"/"}]}}],"tls":[{"hosts":["*.h"]}]},"status":{"loadBalancer":{"ingress":[{"ip":"1.2.3.4"}]}}}]}"#;
const SLICE: &str = r#"{"metadata":{"name":"web-a","namespace":"shop","labels":{"kubernetes.io/service-name":"web"}},"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"],"conditions":{"ready":true,"serving":null},"targetRef":{"kind":"Pod","namespace":"shop","name":"web-1"},"nodeName":"n1","deprecatedTopology":{"k":"v"}}],"ports":[{"name":"http","port":80,"protocol":"TCP"}],"subsets":[{"addresses":[{"ip":"10.0.0.1"}],"ports":[{"port":80}]}]}"#;

/// What stubs of clouds answer there, of those that send XML.
const CLOUDS: [&str; 3] = [
    include_str!("../../config/testdata/cloud/ec2.json"),
    include_str!("../../config/testdata/cloud/elasticache.json"),
    include_str!("../../config/testdata/cloud/rds.json"),
];

/// What stubs of services answer in the tests of discovery.
const SERVICES: [&str; 13] = [
    include_str!("../../config/testdata/discovery/consul_catalog.json"),
    include_str!("../../config/testdata/discovery/docker.json"),
    include_str!("../../config/testdata/discovery/dockerswarm_nodes.json"),
    include_str!("../../config/testdata/discovery/dockerswarm_services.json"),
    include_str!("../../config/testdata/discovery/dockerswarm_tasks.json"),
    include_str!("../../config/testdata/discovery/eureka.json"),
    include_str!("../../config/testdata/discovery/kuma.json"),
    include_str!("../../config/testdata/discovery/marathon.json"),
    include_str!("../../config/testdata/discovery/nomad.json"),
    include_str!("../../config/testdata/discovery/puppetdb.json"),
    include_str!("../../config/testdata/discovery/triton_cn.json"),
    include_str!("../../config/testdata/discovery/triton_container.json"),
    include_str!("../../config/testdata/discovery/uyuni.json"),
];

/// An answer of a DNS server with an address and a service.
const DNS: &[u8] = b"\x12\x34\x81\x80\0\x01\0\x02\0\0\0\0\x01a\x02bc\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x1e\0\x04\x0a\0\0\x01\xc0\x0c\0\x21\0\x01\0\0\0\x1e\0\x0a\0\0\0\x05\0\x50\x01h\xc0\x0c";

/// A change of a node of ZooKeeper.
const EVENT: &[u8] = b"\xff\xff\xff\xff\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x03\0\0\0\x03\0\0\0\x04/svc";
const MEMBER: &[u8] = br#"{"serviceEndpoint":{"host":"h","port":80},"additionalEndpoints":{"x":{"host":"h","port":81}},"status":"ALIVE","shard":3,"name":"n"}"#;

/// Lists of targets, as files and HTTP servers have them.
const TARGETS: [&str; 2] = [
    r#"[{"targets":["a:1","b:2"],"labels":{"env":"x","d":"e"}},{"targets":null}]"#,
    "- targets: ['a:1', b:2]\n  labels: &l {env: x}\n- targets:\n  - c\n  labels: *l\n",
];

/// What those say who hand out credentials.
const CREDENTIALS: [&str; 9] = [
    r#"{"access_token":"t","token_type":"bearer","expires_in":3600}"#,
    r#"{"access_token":"t","expires_in":"3599","expires_on":"1"}"#,
    r#"{"error":"invalid_client","error_description":"why","error_uri":"u"}"#,
    "access_token=a%2Bb+c&token_type=BEARER&expires_in=5",
    r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"t","expirationTimestamp":"2030-01-02T03:04:05Z","clientCertificateData":"c","clientKeyData":"k"}}"#,
    r#"{"Code":"Success","AccessKeyId":"A","SecretAccessKey":"s","Token":"t","Expiration":"2030-01-02T03:04:05Z"}"#,
    r#"<AssumeRoleResponse xmlns="x"><AssumeRoleResult><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>s&amp;1</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2030-01-02T03:04:05Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"#,
    r#"{"__type":"com.amazonaws.ecs#AccessDenied:http://x","message":"no","region":"eu-west-1"}"#,
    "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>",
];

/// What proxies say: to whom there is no password, to whom there is one, and an address, a name or a reason.
const PROXIES: [&[u8]; 5] = [
    b"\x05\0\x05\0\0\x01\x0a\0\0\x01\0\x50",
    b"\x05\x02\x01\0\x05\0\0\x03\x04host\0\x50",
    b"\x05\0\x05\x05\0\x01\0\0\0\0\0\0",
    b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n",
    b"HTTP/1.0 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\nwhy",
];

const START: i64 = 1_700_000_000_000;
const PAGE: &str = "# HELP up Says \\n it.\n# TYPE up gauge\nup{job=\"a\\\"b\"} 1 1700000000000\n\
                    # TYPE h histogram\n# UNIT h seconds\nh_bucket{le=\"+Inf\"} 4.5e-3 # {trace=\"1\"} 0.5 1.5\n\
                    {\"näme\",a='b'} NaN\n# EOF\n";

const KUBERNETES_LIST: &[u8] = include_bytes!("../../discovery/testdata/kubernetes/endpointslices.pb");
/// Of a watch, as a frame without its length.
const KUBERNETES_EVENT: &[u8] =
    include_bytes!("../../kubeapi/testdata/watch.pb").split_at(4).1.split_at(329).0;

const PROTOBUF_PAGE: &[u8] = include_bytes!("../../exposition/testdata/histograms.pb");

/// Inputs for every target, by its name.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut found = vec![
        ("page", PAGE.as_bytes().to_vec()),
        ("protobuf_page", PROTOBUF_PAGE.to_vec()),
        ("kubernetes", POD_EVENT.as_bytes().to_vec()),
        ("kubernetes", NODE_LIST.as_bytes().to_vec()),
        ("kubernetes", SLICE.as_bytes().to_vec()),
        ("kubernetes", KUBERNETES_LIST.to_vec()),
        ("kubernetes", KUBERNETES_EVENT.to_vec()),
        ("services", DNS.to_vec()),
        ("services", EVENT.to_vec()),
        ("services", MEMBER.to_vec()),
    ];
    found.extend(SERVICES.into_iter().chain(CLOUDS).flat_map(answers).map(|answer| ("services", answer)));
    found.extend(otlp_seeds());
    found.extend(TARGETS.map(|list| ("services", list.as_bytes().to_vec())));
    found.extend(CREDENTIALS.map(|said| ("credentials", said.as_bytes().to_vec())));
    found.extend(PROXIES.map(|said| ("proxy", said.to_vec())));
    found.extend(scraped_seeds());
    found.extend(crate::remote::seeds());
    for (encoding, start_times) in
        [(FloatEncoding::Xor, false), (FloatEncoding::Xor2, false), (FloatEncoding::Xor2, true)]
    {
        let dir = tempfile::tempdir().unwrap();
        let options = options(encoding, start_times);
        let db = Db::open(dir.path(), options, &Registry::new()).unwrap();
        fill(&db);
        db.snapshot("all", false, START).unwrap();
        db.close().unwrap();
        add_head(&mut found, dir.path());
        for block in fs::read_dir(dir.path().join("snapshots/all")).unwrap() {
            add_block(&mut found, &block.unwrap().path());
        }
    }
    found
}

/// Every kind of metric and value.
const OTLP_REQUEST: &[u8] = include_bytes!("../testdata/otlp_request.bin");

/// Requests that are recorded, in JSON, under each setting; and one in protobuf of every kind of field.
fn otlp_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let rows = include_str!("../../otlp/testdata/recorded.jsonl").lines();
    let bodies = rows.map(|row| serde_json::from_str::<serde_json::Value>(row).unwrap()["body"].to_string());
    let mut seeds: Vec<_> = bodies
        .enumerate()
        .map(|(i, body)| ("otlp", [&[8 | i as u8 & 7], body.as_bytes()].concat()))
        .collect();
    for settings in 0..8 {
        seeds.push(("otlp", [&[settings], OTLP_REQUEST].concat()));
    }
    seeds
}

/// The bodies of a stub's answers.
fn answers(case: &str) -> Vec<Vec<u8>> {
    let case: serde_json::Value = serde_json::from_str(case).unwrap();
    let routes = ["routes", "exchanges"].iter().find_map(|key| case[key].as_array()).unwrap();
    let bodies = routes.iter().map(|route| match &route["body"] {
        serde_json::Value::String(text) => text.as_bytes().to_vec(),
        other => other.to_string().into_bytes(),
    });
    bodies.collect()
}

/// Pages of one target that change from one to the next, in each format and with several options.
fn scraped_seeds() -> Vec<(&'static str, Vec<u8>)> {
    const FIRST: &[u8] = b"# TYPE a counter\na 1\nb{x=\"1\"} 2\nb{x=\"2\"} 3 1700000000000\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
    const SECOND: &[u8] = b"# TYPE a gauge\na 1\nb{x=\"2\"} 3\nb{x=\"1\"} 2\nb{x=\"1\"} 4\nnew 1\n";
    const OPEN: &[u8] = b"# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total 1 # {t=\"1\"} 1 2\na_seconds_created 1\n# EOF\n";
    let mut found = Vec::new();
    for options in [[0, 0], [0x38, 0x7c], [0xff, 0xff], [1, 0x64]] {
        let text = crate::scraped::join(options, &[(0, FIRST), (0, SECOND), (1, OPEN), (0, FIRST)]);
        let protobuf = crate::scraped::join(options, &[(2, PROTOBUF_PAGE), (0, FIRST), (2, PROTOBUF_PAGE)]);
        let other = crate::scraped::join(options, &[(3, FIRST), (12, b"text/plain;a=\"b\"\n")]);
        found.extend([text, protobuf, other].map(|input| ("scraped_pages", input)));
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(FIRST).unwrap();
    found.push(("scraped_compressed", encoder.finish().unwrap()));
    found
}

fn options(float_encoding: FloatEncoding, start_times: bool) -> DbOptions {
    let head = HeadOptions {
        float_encoding,
        start_times,
        histogram_start_times: start_times,
        wal_compression: Compression::None,
        samples_per_chunk: 20,
        out_of_order_window: Duration::from_secs(3600),
        out_of_order_cap: 4,
        snapshot_on_shutdown: true,
        exemplars: true,
        max_exemplars: 10,
        metadata_wal_records: true,
        shards: 2,
        ..HeadOptions::default()
    };
    DbOptions { head, ..DbOptions::default() }
}

fn values(n: u64) -> [HistogramValue; 3] {
    let spans = vec![Span { offset: 0, length: 2 }, Span { offset: 3, length: 1 }];
    let integer = IntegerHistogram {
        schema: 1,
        zero_threshold: 0.001,
        zero_count: n,
        count: 4 * n + 1,
        sum: n as f64 * 1.5,
        positive_spans: spans,
        positive_deltas: vec![n as i64, 1, -1],
        ..IntegerHistogram::default()
    };
    let custom = IntegerHistogram {
        schema: CUSTOM_BUCKETS,
        count: 2 * n,
        sum: n as f64,
        positive_spans: vec![Span { offset: 0, length: 2 }],
        positive_deltas: vec![n as i64, 0],
        custom_values: vec![0.5, 1.0],
        ..IntegerHistogram::default()
    };
    let float = FloatHistogram {
        count: n as f64 + 0.5,
        sum: 2.0,
        positive: vec![(1, n as f64 + 0.25), (7, 0.25)],
        ..FloatHistogram::default()
    };
    [
        HistogramValue::Integer(Box::new(integer)),
        HistogramValue::Integer(Box::new(custom)),
        HistogramValue::Float(Box::new(float)),
    ]
}

/// A few series of every kind, some samples late, an exemplar, metadata, a deletion.
fn fill(db: &Db) {
    let series = |name: &str| {
        db.resolve(Affinity(0), &Labels::from_pairs([("__name__", name), ("job", "a")])).unwrap().series
    };
    let floats = [series("up"), series("x_total")];
    let histograms = ["h", "custom", "f"].map(series);
    let mut outcome = Outcome::default();
    for round in 0..50i64 {
        // Every fifth round comes a minute late.
        let t = START + round * 15_000 - if round % 5 == 4 { 100_000 } else { 0 };
        let mut batch = Batch::default();
        for (i, &series) in floats.iter().enumerate() {
            batch.samples.push(BatchSample { series, t, v: (round * i as i64) as f64 / 3.0 });
            batch.start_times.push(if i == 1 { START - 1 } else { 0 });
        }
        for (&series, value) in histograms.iter().zip(values(round as u64 % 30)) {
            batch.histograms.push(BatchHistogram { series, t, start_time: START - 1, value });
        }
        if round == 7 {
            let labels = Labels::from_pairs([("trace_id", "17")]);
            batch.exemplars.push(BatchExemplar { series: floats[1], labels, t, timed: true, v: 0.5 });
            let metadata =
                Metadata { kind: "counter".into(), unit: "seconds".into(), help: "It counts.".into() };
            batch.metadata.push(BatchMetadata { series: floats[1], metadata });
        }
        db.append(&batch, &mut outcome).unwrap();
    }
    let some = [Matcher::new(MatchOp::Equal, "__name__", "up").unwrap()];
    db.delete(&some, START, START + 60_000, START).unwrap();
}

fn add_head(found: &mut Vec<(&'static str, Vec<u8>)>, dir: &Path) {
    let mut pieces = Vec::new();
    let logs =
        [("wal", Kind::Log), ("wbl", Kind::LateLog), ("wal", Kind::Checkpoint), ("wal", Kind::YoungLog)];
    for (name, kind) in logs {
        for segment in files(&dir.join(name)) {
            let (records, _) = decoders::read_segment(&segment).unwrap();
            pieces.extend(records.into_iter().map(|bytes| Piece { kind, bytes }));
            found.push(("log_segment", segment));
        }
    }
    for file in files(&dir.join("chunks_head")) {
        pieces.extend(head_chunks(&file).map(|bytes| Piece { kind: Kind::Chunk, bytes: bytes.to_vec() }));
        found.push(("head_chunks", file));
    }
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("chunk_snapshot.") {
            let bytes = fs::read(path.join("last_reference")).unwrap();
            pieces.push(Piece { kind: Kind::LastReference, bytes });
            for segment in files(&path) {
                let (records, _) = decoders::read_segment(&segment).unwrap_or_default();
                pieces.extend(records.into_iter().map(|bytes| Piece { kind: Kind::Snapshot, bytes }));
            }
        }
    }
    for piece in &pieces {
        match piece.kind {
            Kind::Log | Kind::LateLog => found.push(("log_record", piece.bytes.clone())),
            Kind::Snapshot => found.push(("snapshot_record", piece.bytes.clone())),
            _ => {}
        }
    }
    // Directories of one kind of files besides the log, and one of everything.
    for other in [Kind::LateLog, Kind::Chunk, Kind::Snapshot, Kind::Checkpoint, Kind::YoungLog] {
        let some = pieces.iter().filter(|p| p.kind == other || p.kind == Kind::Log);
        let few: Vec<Piece> = some.filter(|p| p.bytes.len() < 1000).cloned().collect();
        found.push(("data_directory", join(&few)));
    }
    found.push(("data_directory", join(&pieces)));
}

fn add_block(found: &mut Vec<(&'static str, Vec<u8>)>, dir: &Path) {
    let read = |name: &str| fs::read(dir.join(name)).unwrap();
    let (index, stones, segment) = (read("index"), read("tombstones"), read("chunks/000001"));
    let mut directory = Vec::new();
    for file in [&index, &stones] {
        directory.extend_from_slice(&(file.len() as u16).to_be_bytes());
        directory.extend_from_slice(file);
    }
    directory.extend_from_slice(&segment);
    found.push(("block_directory", directory));
    found.push(("block_index", index));
    found.push(("block_tombstones", stones));
    found.push(("block_meta", read("meta.json")));
    // Chunks of a segment: length, encoding, content, checksum.
    let mut rest = segment.get(8..).unwrap_or_default();
    while let Some((len, width)) = uvarint(rest).filter(|(len, width)| rest.len() >= width + 1 + len + 4) {
        let chunk = rest[width..][..1 + len].to_vec();
        found.push(("chunk", chunk.clone()));
        found.push(("chunk_rewrite", chunk));
        rest = &rest[width + 1 + len + 4..];
    }
}

/// The chunks of a file, without their checksums.
fn head_chunks(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    const HEADER: usize = 25;
    let mut rest = file.get(8..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (len, width) = uvarint(rest.get(HEADER..)?)?;
        let chunk = rest.get(..HEADER + width + len).filter(|_| len > 0)?;
        rest = rest.get(chunk.len() + 4..)?;
        Some(chunk)
    })
}

fn uvarint(bytes: &[u8]) -> Option<(usize, usize)> {
    let width = bytes.iter().take(5).position(|b| *b < 0x80)? + 1;
    let number = bytes[..width].iter().rev().fold(0, |number, &b| number << 7 | usize::from(b & 0x7f));
    Some((number, width))
}

/// Contents of the files of a directory whose names are numbers.
fn files(dir: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| {
        path.is_file() && path.file_name().is_some_and(|n| n.to_string_lossy().parse::<u32>().is_ok())
    });
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}
