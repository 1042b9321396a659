//! Requests of remote write and of OTLP, made before anything is measured.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use exposition::protobuf_write::{push_bytes, push_double, push_tag, push_varint, varint};
use model::Labels;

use crate::history::labels;
use crate::load::World;

/// Milliseconds between samples.
const INTERVAL: i64 = 15_000;
/// Samples of a request, as senders have them.
const BATCH: usize = 2_000;

/// How samples are sent: the versions of remote write, and OTLP in protobuf without compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V2,
    Otlp,
}

impl Version {
    pub(crate) const ALL: [Version; 3] = [Version::V1, Version::V2, Version::Otlp];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Version::V1 => "1.0",
            Version::V2 => "2.0",
            Version::Otlp => "OTLP",
        }
    }

    /// The path of the endpoint, and the headers of a request.
    fn endpoint(self) -> (&'static str, &'static str) {
        match self {
            Version::V1 => (
                "/api/v1/write",
                "Content-Encoding: snappy\r\nContent-Type: application/x-protobuf\r\n\
                 X-Prometheus-Remote-Write-Version: 0.1.0\r\n",
            ),
            Version::V2 => (
                "/api/v1/write",
                "Content-Encoding: snappy\r\nContent-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\n\
                 X-Prometheus-Remote-Write-Version: 2.0.0\r\n",
            ),
            Version::Otlp => ("/api/v1/otlp/v1/metrics", "Content-Type: application/x-protobuf\r\n"),
        }
    }

    /// The name of the message in `remote_write`; OTLP is not sent.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Version::V1 | Version::Otlp => "prometheus.WriteRequest",
            Version::V2 => "io.prometheus.write.v2.Request",
        }
    }
}

/// What one connection sends, in order: by step, a body after the other.
pub(crate) struct Shard {
    pub(crate) steps: Vec<Vec<Vec<u8>>>,
}

/// A sample of each of about `series` series for each of `steps` steps that end at `end`, in milliseconds. Answers the number of
/// series too.
pub(crate) fn requests(
    version: Version,
    series: usize,
    steps: usize,
    shards: usize,
    end: i64,
) -> (Vec<Shard>, usize) {
    let world = World::new(series, Duration::from_millis(INTERVAL as u64), 0.0);
    let mut all: Vec<(Labels, Vec<f64>)> = Vec::new();
    for (place, target) in world.targets.iter().enumerate() {
        let (job, instance) = (&target.info.job, &target.info.instance);
        world.page(place, 0).each_series(|text, value| {
            all.push((labels(text, job, instance), (0..steps as u64).map(value).collect()));
        });
    }
    let start = end - steps as i64 * INTERVAL;
    let shard = |number: usize| {
        let own: Vec<&(Labels, Vec<f64>)> = all.iter().skip(number).step_by(shards).collect();
        let step = |step: usize| {
            let t = start + step as i64 * INTERVAL;
            own.chunks(BATCH).map(|part| body(version, part, step, t)).collect()
        };
        Shard { steps: (0..steps).map(step).collect() }
    };
    ((0..shards).map(shard).collect(), all.len())
}

fn body(version: Version, series: &[&(Labels, Vec<f64>)], step: usize, t: i64) -> Vec<u8> {
    let mut out = Vec::new();
    let sample = |values: &[f64]| {
        let mut sample = Vec::new();
        push_double(&mut sample, 1, values.get(step).copied().unwrap_or_default());
        push_varint(&mut sample, 2, t as u64);
        sample
    };
    match version {
        Version::V1 => {
            for (labels, values) in series {
                let mut one = Vec::new();
                for (name, value) in labels {
                    let mut label = Vec::new();
                    push_bytes(&mut label, 1, name.as_bytes());
                    push_bytes(&mut label, 2, value.as_bytes());
                    push_bytes(&mut one, 1, &label);
                }
                push_bytes(&mut one, 2, &sample(values));
                push_bytes(&mut out, 1, &one);
            }
        }
        Version::V2 => {
            let mut symbols = vec![""];
            let mut numbers = HashMap::from([("", 0)]);
            let mut messages = Vec::new();
            for (labels, values) in series {
                let mut refs = Vec::new();
                for text in labels.iter().flat_map(|(name, value)| [name, value]) {
                    let number = *numbers.entry(text).or_insert_with(|| {
                        symbols.push(text);
                        symbols.len() as u64 - 1
                    });
                    varint(&mut refs, number);
                }
                let mut one = Vec::new();
                push_bytes(&mut one, 1, &refs);
                push_bytes(&mut one, 2, &sample(values));
                push_tag(&mut one, 5, exposition::protobuf_wire::BYTES);
                varint(&mut one, 0);
                push_bytes(&mut messages, 5, &one);
            }
            symbols.iter().for_each(|text| push_bytes(&mut out, 4, text.as_bytes()));
            out.extend_from_slice(&messages);
        }
        Version::Otlp => return otlp(series, step, t),
    }
    snap::raw::Encoder::new().compress_vec(&out).unwrap_or_default()
}

/// An `ExportMetricsServiceRequest`: a resource for each target, a gauge for each metric of it.
fn otlp(series: &[&(Labels, Vec<f64>)], step: usize, t: i64) -> Vec<u8> {
    let message = |number: u32, content: &[u8]| {
        let mut out = Vec::new();
        push_bytes(&mut out, number, content);
        out
    };
    // KeyValue { key: 1, value: 2 AnyValue { string_value: 1 } }
    let attribute = |out: &mut Vec<u8>, number: u32, name: &str, value: &str| {
        let mut pair = message(1, name.as_bytes());
        push_bytes(&mut pair, 2, &message(1, value.as_bytes()));
        push_bytes(out, number, &pair);
    };
    let mut resources: BTreeMap<(&str, &str), BTreeMap<&str, Vec<u8>>> = BTreeMap::new();
    for (labels, values) in series {
        let target = (labels.get("job").unwrap_or_default(), labels.get("instance").unwrap_or_default());
        let name = labels.get("__name__").unwrap_or_default();
        let mut point = Vec::new();
        push_tag(&mut point, 3, exposition::protobuf_wire::FIXED64);
        point.extend_from_slice(&(t as u64 * 1_000_000).to_le_bytes());
        push_double(&mut point, 4, values.get(step).copied().unwrap_or_default());
        for (name, value) in labels.iter().filter(|(n, _)| !matches!(*n, "job" | "instance" | "__name__")) {
            attribute(&mut point, 7, name, value);
        }
        push_bytes(resources.entry(target).or_default().entry(name).or_default(), 1, &point);
    }
    let mut out = Vec::new();
    for ((job, instance), metrics) in resources {
        let mut resource = Vec::new();
        attribute(&mut resource, 1, "service.name", job);
        attribute(&mut resource, 1, "service.instance.id", instance);
        let mut scope = Vec::new();
        for (name, gauge) in metrics {
            let mut metric = message(1, name.as_bytes());
            push_bytes(&mut metric, 5, &gauge);
            push_bytes(&mut scope, 2, &metric);
        }
        let mut of_resource = message(1, &resource);
        push_bytes(&mut of_resource, 2, &scope);
        push_bytes(&mut out, 1, &of_resource);
    }
    out
}

/// A kept-alive connection to a receiver.
pub(crate) struct Connection {
    reader: BufReader<TcpStream>,
    head: String,
}

impl Connection {
    pub(crate) fn open(port: u16, version: Version) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        let (path, headers) = version.endpoint();
        let head = format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}");
        Ok(Connection { reader: BufReader::new(stream), head })
    }

    pub(crate) fn post(&mut self, body: &[u8]) -> Result<()> {
        let mut request = format!("{}Content-Length: {}\r\n\r\n", self.head, body.len()).into_bytes();
        request.extend_from_slice(body);
        self.reader.get_mut().write_all(&request)?;
        let (mut status, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                bail!("the connection was closed");
            }
            let line = line.trim_end().to_ascii_lowercase();
            match line.strip_prefix("content-length: ") {
                Some(told) => length = told.parse().context("a length")?,
                None if line.is_empty() => break,
                None if status.is_empty() => status = line,
                None => {}
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body)?;
        if !status.contains(" 20") {
            bail!("{status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(())
    }
}
