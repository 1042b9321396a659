//! Many targets in one place: each path `/t/N` is one, with a page of its own, and it is noted when each was asked.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// No head of a request is longer.
const LONGEST_HEAD: usize = 8 << 10;

pub(crate) struct Crowd {
    pub(crate) address: String,
    shared: Arc<Shared>,
    _runtime: tokio::runtime::Runtime,
}

struct Shared {
    series: usize,
    start: Instant,
    open: AtomicUsize,
    /// By path: when each request came, since the start.
    asked: Mutex<HashMap<String, Vec<Duration>>>,
}

impl Crowd {
    /// Serves pages of so many series.
    pub(crate) fn start(series: usize) -> Crowd {
        // One thread: it shall leave the machine to the program.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .thread_name("crowd")
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let shared = Arc::new(Shared {
            series,
            start: Instant::now(),
            open: AtomicUsize::new(0),
            asked: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                tokio::spawn(async move {
                    shared.open.fetch_add(1, Ordering::Relaxed);
                    // The client may go away whenever it likes.
                    let _ = shared.converse(stream).await;
                    shared.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Crowd { address, shared, _runtime: runtime }
    }

    /// Connections that are open now.
    pub(crate) fn connections(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Forgets when targets were asked.
    pub(crate) fn forget(&self) {
        self.shared.asked.lock().expect("the times").clear();
    }

    /// When each target was asked, since the start.
    pub(crate) fn asked(&self) -> HashMap<String, Vec<Duration>> {
        self.shared.asked.lock().expect("the times").clone()
    }
}

impl Shared {
    async fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut head, mut piece) = (Vec::new(), [0; 1024]);
        loop {
            let read = stream.read(&mut piece).await?;
            head.extend_from_slice(&piece[..read]);
            if read == 0 || head.len() > LONGEST_HEAD {
                return Ok(());
            }
            if !head.ends_with(b"\r\n\r\n") {
                continue;
            }
            let at = self.start.elapsed();
            let path = head.split(|b| *b == b' ').nth(1).unwrap_or_default();
            let path = String::from_utf8_lossy(path).into_owned();
            head.clear();
            let page = self.page(at);
            self.asked.lock().expect("the times").entry(path).or_default().push(at);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n{page}",
                crate::stub::TEXT,
                page.len()
            );
            stream.write_all(answer.as_bytes()).await?;
        }
    }

    /// Half of the values change.
    fn page(&self, at: Duration) -> String {
        let mut page = String::with_capacity(64 * self.series + 64);
        page.push_str("# HELP crowd_requests_total Requests.\n# TYPE crowd_requests_total counter\n");
        for i in 0..self.series {
            let value = if i % 2 == 0 { i as u64 } else { at.as_secs() * (i as u64 + 3) };
            page.push_str(&format!(
                "crowd_requests_total{{code=\"{i}\",handler=\"/api/v1/things\"}} {value}\n"
            ));
        }
        page
    }
}
