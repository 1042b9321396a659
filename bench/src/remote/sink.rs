//! A destination that takes everything and keeps nothing.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use exposition::protobuf_wire::Reader;

pub(crate) struct Sink {
    pub(crate) port: u16,
    samples: Arc<AtomicU64>,
}

impl Sink {
    pub(crate) fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let sink = Sink { port: listener.local_addr()?.port(), samples: Arc::default() };
        let samples = Arc::clone(&sink.samples);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let samples = Arc::clone(&samples);
                // A sender that goes away is no error.
                std::thread::spawn(move || while take(&stream, &samples).is_some() {});
            }
        });
        Ok(sink)
    }

    /// Samples that came so far.
    pub(crate) fn samples(&self) -> u64 {
        self.samples.load(Ordering::Relaxed)
    }
}

fn take(mut stream: &TcpStream, samples: &AtomicU64) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut length, mut series_field, mut told) = (0, 1, false);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().ok()?;
        }
        if line.starts_with("content-type: ") && line.contains("v2.request") {
            (series_field, told) = (5, true);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let plain = snap::raw::Decoder::new().decompress_vec(&body).ok()?;
    // Of what is scraped here each message of a series has one sample.
    let mut count = 0;
    let mut r = Reader::new("", &plain);
    while let Some(tag) = r.tag().ok()? {
        count += u64::from(tag.field == series_field);
        r.skip(tag).ok()?;
    }
    samples.fetch_add(count, Ordering::Relaxed);
    let name = "X-Prometheus-Remote-Write";
    let written = match told {
        true => format!(
            "{name}-Samples-Written: {count}\r\n{name}-Histograms-Written: 0\r\n{name}-Exemplars-Written: 0\r\n"
        ),
        false => String::new(),
    };
    stream.write_all(format!("HTTP/1.1 204 No Content\r\n{written}\r\n").as_bytes()).ok()
}
