//! A target whose answers, good or hostile, a test scripts by path.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Path and query.
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// How many requests for this path came before.
    pub(crate) before: usize,
}

type Script = Arc<dyn Fn(&Seen, &mut TcpStream) -> io::Result<()> + Send + Sync>;

/// What is sent for a request: the whole answer, head included.
#[derive(Clone)]
pub(crate) struct Answer(Script);

#[derive(Clone)]
pub(crate) struct Stub {
    pub(crate) address: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    answers: HashMap<String, Answer>,
    seen: Vec<Seen>,
    connections: usize,
}

impl Stub {
    pub(crate) fn start() -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let stub = Stub { address, state: Arc::default() };
        let state = Arc::clone(&stub.state);
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                state.lock().expect("the state").connections += 1;
                // The client going away in the middle of an answer is part of some tests.
                std::thread::spawn(move || serve(&state, connection).ok());
            }
        });
        stub
    }

    /// A stub whose `/metrics` is this page.
    pub(crate) fn serving(page: &str) -> Stub {
        let stub = Stub::start();
        stub.set("/metrics", Answer::page(page));
        stub
    }

    pub(crate) fn set(&self, path: &str, answer: Answer) {
        self.state.lock().expect("the state").answers.insert(path.to_owned(), answer);
    }

    /// Connections that were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.state.lock().expect("the state").connections
    }

    /// Requests for a path so far.
    pub(crate) fn seen(&self, path: &str) -> Vec<Seen> {
        let state = self.state.lock().expect("the state");
        state.seen.iter().filter(|s| path_of(&s.target) == path).cloned().collect()
    }
}

fn path_of(target: &str) -> &str {
    target.split('?').next().unwrap_or(target)
}

fn serve(state: &Mutex<State>, connection: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(connection.try_clone()?);
    let mut writer = connection;
    loop {
        let Some((target, headers)) = read_head(&mut reader)? else { return Ok(()) };
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let (seen, answer) = {
            let mut state = state.lock().expect("the state");
            let before = state.seen.iter().filter(|s| path_of(&s.target) == path_of(&target)).count();
            let seen = Seen { target, headers, body, before };
            state.seen.push(seen.clone());
            let answer = state.answers.get(path_of(&seen.target)).cloned();
            (seen, answer.unwrap_or_else(|| Answer::status("404 Not Found")))
        };
        (answer.0)(&seen, &mut writer)?;
    }
}

fn read_head(from: &mut impl BufRead) -> io::Result<Option<(String, HashMap<String, String>)>> {
    let (mut target, mut headers) = (None, HashMap::new());
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match (line.trim_end(), &target) {
            ("", _) => return Ok(target.map(|t| (t, headers))),
            (line, None) => target = Some(line.split(' ').nth(1).unwrap_or("").to_owned()),
            (line, Some(_)) => {
                let (name, value) = line.split_once(':').unwrap_or((line, ""));
                headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
            }
        }
    }
}

pub(crate) const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Answer {
    pub(crate) fn script(
        script: impl Fn(&Seen, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Answer {
        Answer(Arc::new(script))
    }

    pub(crate) fn page(page: impl Into<Vec<u8>>) -> Answer {
        Answer::with(&[("Content-Type", TEXT)], page)
    }

    pub(crate) fn with(headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Answer {
        let body = body.into();
        let whole = [head("200 OK", headers, body.len()).as_bytes(), &body].concat();
        Answer::script(move |_, to| to.write_all(&whole))
    }

    pub(crate) fn status(status: &str) -> Answer {
        let whole = head(status, &[], 0);
        Answer::script(move |_, to| to.write_all(whole.as_bytes()))
    }

    /// A page that is computed for every request.
    pub(crate) fn computed(page: impl Fn(&Seen) -> String + Send + Sync + 'static) -> Answer {
        Answer::script(move |seen, to| {
            let page = page(seen);
            to.write_all((head("200 OK", &[("Content-Type", TEXT)], page.len()) + &page).as_bytes())
        })
    }

    /// The line over and over, until so many bytes were sent; `known_length` says so in advance.
    pub(crate) fn endless(line: &'static str, bytes: usize, known_length: bool) -> Answer {
        Answer::script(move |_, to| {
            let block = line.repeat((64 << 10) / line.len());
            let blocks = bytes / block.len();
            let length = if known_length {
                format!("Content-Length: {}\r\n", blocks * block.len())
            } else {
                String::new()
            };
            write!(to, "HTTP/1.1 200 OK\r\nContent-Type: {TEXT}\r\n{length}Connection: close\r\n\r\n")?;
            (0..blocks).try_for_each(|_| to.write_all(block.as_bytes()))?;
            Err(io::ErrorKind::ConnectionAborted.into())
        })
    }

    /// Promises a whole page, sends the first bytes of it and goes away.
    pub(crate) fn cut(page: &'static str, sent: usize) -> Answer {
        Answer::script(move |_, to| {
            to.write_all(head("200 OK", &[("Content-Type", TEXT)], page.len()).as_bytes())?;
            to.write_all(&page.as_bytes()[..sent])?;
            Err(io::ErrorKind::ConnectionAborted.into())
        })
    }

    /// Takes the request and says nothing, until the client goes away.
    pub(crate) fn hang() -> Answer {
        Answer::script(|_, to| io::copy(to, &mut io::sink()).and(Err(io::ErrorKind::TimedOut.into())))
    }

    /// One byte at a time, never at an end.
    pub(crate) fn drip() -> Answer {
        Answer::script(|_, to| {
            to.write_all(head("200 OK", &[("Content-Type", TEXT)], 1 << 20).as_bytes())?;
            loop {
                to.write_all(b"#")?;
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        })
    }
}

fn head(status: &str, headers: &[(&str, &str)], length: usize) -> String {
    let headers: String = headers.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n")
}

pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).expect("compressing");
    encoder.finish().expect("compressing")
}
