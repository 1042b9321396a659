//! A server that takes remote write into a store of its own, and can be in trouble.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use remote::{Receiver, ReceiverOptions, WriteAnswer};
use storage::Append;

/// A trouble in which requests are taken in, and answered as if they were not.
pub(crate) const TAKES_AND_FAILS: u16 = 504;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }
}

#[derive(Clone)]
pub(crate) struct Destination {
    pub(crate) port: u16,
    state: Arc<State>,
}

struct State {
    receiver: Receiver,
    /// Answered instead of taking anything in, if not 0.
    trouble: AtomicU16,
    refused: AtomicUsize,
    /// How long each answer takes, in milliseconds.
    delay: AtomicU64,
    retry_after: AtomicBool,
    seen: Mutex<Vec<Seen>>,
    /// Answers of the receiver that were errors.
    errors: Mutex<Vec<String>>,
}

impl Destination {
    pub(crate) fn start(store: Arc<dyn Append>) -> Destination {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let options = ReceiverOptions { metadata: true, ..ReceiverOptions::default() };
        let receiver = Receiver::new(store, options, &Default::default(), &exposition::Registry::new());
        let state = Arc::new(State {
            receiver,
            trouble: AtomicU16::new(0),
            refused: AtomicUsize::new(0),
            delay: AtomicU64::new(0),
            retry_after: AtomicBool::new(false),
            seen: Mutex::default(),
            errors: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || while serve(&state, &stream).is_some() {});
            }
        });
        Destination { port, state }
    }

    /// From now on every request is answered so; 0: as it should be.
    pub(crate) fn set_trouble(&self, status: u16) {
        self.state.trouble.store(status, Ordering::SeqCst);
    }

    pub(crate) fn set_delay(&self, millis: u64) {
        self.state.delay.store(millis, Ordering::SeqCst);
    }

    pub(crate) fn set_retry_after(&self) {
        self.state.retry_after.store(true, Ordering::SeqCst);
    }

    /// How many requests were answered so.
    pub(crate) fn refused(&self) -> usize {
        self.state.refused.load(Ordering::SeqCst)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    pub(crate) fn errors(&self) -> Vec<String> {
        self.state.errors.lock().unwrap().clone()
    }
}

fn take(state: &State, seen: &Seen) -> WriteAnswer {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    let (encoding, content_type) = (seen.header("content-encoding"), seen.header("content-type"));
    state.receiver.receive(encoding, content_type, &seen.body, now)
}

fn serve(state: &State, mut stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim_end().is_empty() {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let headers: Vec<(String, String)> = lines
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let mut seen = Seen { headers, body: Vec::new() };
    seen.body.resize(seen.header("content-length").parse().ok()?, 0);
    reader.read_exact(&mut seen.body).ok()?;
    std::thread::sleep(Duration::from_millis(state.delay.load(Ordering::SeqCst)));
    let trouble = state.trouble.load(Ordering::SeqCst);
    let (status, more, text) = if trouble != 0 {
        if trouble == TAKES_AND_FAILS {
            take(state, &seen);
        }
        state.refused.fetch_add(1, Ordering::SeqCst);
        let more = if state.retry_after.swap(false, Ordering::SeqCst) { "Retry-After: 1\r\n" } else { "" };
        // As proxies say it: at length.
        (trouble, more.to_owned(), format!("in trouble\n{}", "x".repeat(300_000)))
    } else {
        let answer = take(state, &seen);
        if let Some(text) = &answer.text {
            state.errors.lock().unwrap().push(text.clone());
        }
        let more = answer.written.map_or_else(String::new, |written| {
            let name = "X-Prometheus-Remote-Write";
            format!(
                "{name}-Samples-Written: {}\r\n{name}-Histograms-Written: {}\r\n{name}-Exemplars-Written: {}\r\n",
                written.samples, written.histograms, written.exemplars
            )
        });
        (answer.status, more, answer.text.unwrap_or_default())
    };
    state.seen.lock().unwrap().push(seen);
    let length = if status == 204 { String::new() } else { format!("Content-Length: {}\r\n", text.len()) };
    stream.write_all(format!("HTTP/1.1 {status} X\r\n{more}{length}\r\n{text}").as_bytes()).ok()
}
