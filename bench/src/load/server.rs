//! Serves the pages over HTTP/1.1 with kept-alive connections, a thread for each, and counts what was taken.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::ServeArgs;
use super::page::Page;
use super::world::{TargetInfo, World};

/// No header of a scrape is longer.
const LONGEST_REQUEST: usize = 64 << 10;

/// The first line on standard output: where the load is.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Announcement {
    pub(crate) port: u16,
    pub(crate) series: usize,
    pub(crate) targets: Vec<TargetInfo>,
}

/// The answer to `/served`.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub(crate) struct Served {
    /// Samples of pages that were written whole.
    pub(crate) samples: u64,
    /// Such pages.
    pub(crate) pages: u64,
    /// Their bytes as text.
    pub(crate) bytes: u64,
    /// Pages of the target that was scraped least often.
    pub(crate) fewest: u64,
}

struct Shared {
    world: World,
    gzip: bool,
    start: Instant,
    targets: Vec<Scraped>,
    samples: AtomicU64,
    bytes: AtomicU64,
}

/// A target's page, and how often it was taken.
struct Scraped {
    page: Mutex<(u64, Page)>,
    pages: AtomicU64,
}

/// Serves until the process is killed; announces itself on standard output.
#[allow(clippy::print_stdout)] // how the measurement learns of the port
pub(super) fn serve(world: World, args: &ServeArgs) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", args.port)).context("listen")?;
    let targets: Vec<Scraped> = (0..world.targets.len())
        .map(|place| Scraped {
            page: Mutex::new((world.generation(place, 0), world.page(place, 0))),
            pages: AtomicU64::new(0),
        })
        .collect();
    let series = targets.iter().map(|t| t.page.lock().map_or(0, |page| page.1.len())).sum();
    let announcement = Announcement {
        port: listener.local_addr()?.port(),
        series,
        targets: world.targets.iter().map(|target| target.info.clone()).collect(),
    };
    println!("{}", serde_json::to_string(&announcement)?);
    let shared = Arc::new(Shared {
        world,
        gzip: args.gzip,
        start: Instant::now(),
        targets,
        samples: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
    });
    for stream in listener.incoming() {
        let (Ok(stream), shared) = (stream, Arc::clone(&shared)) else { continue };
        // A client that goes away is no concern of the others, nor is a thread that cannot be had: the client will ask again.
        let _ = thread::Builder::new().stack_size(256 << 10).spawn(move || shared.converse(&stream));
    }
    Ok(())
}

impl Shared {
    /// Answers the requests of one connection until it ends.
    fn converse(&self, stream: &TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        let mut request = Vec::new();
        let mut answer = Vec::new();
        let mut body = Vec::new();
        loop {
            request.clear();
            while !request.ends_with(b"\r\n\r\n") {
                if reader.read_until(b'\n', &mut request)? == 0 || request.len() > LONGEST_REQUEST {
                    return Ok(());
                }
            }
            let request = String::from_utf8_lossy(&request);
            let path = request.split(' ').nth(1).unwrap_or_default();
            answer.clear();
            body.clear();
            let target = path.strip_prefix("/target/").and_then(|rest| rest.strip_suffix("/metrics"));
            let target =
                target.and_then(|place| Some((place, self.targets.get(place.parse::<usize>().ok()?)?)));
            let samples = if path == "/served" {
                serde_json::to_writer(&mut body, &self.served())?;
                None
            } else if let Some((place, target)) = target {
                Some(self.render(place.parse().unwrap_or_default(), target, &mut body))
            } else {
                stream.shutdown(std::net::Shutdown::Both)?;
                return Ok(());
            };
            let text_len = body.len() as u64;
            let is_last = request.to_ascii_lowercase().contains("\r\nconnection: close\r\n");
            write!(answer, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n")?;
            if self.gzip && samples.is_some() && request.to_ascii_lowercase().contains("gzip") {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(&body)?;
                body = encoder.finish()?;
                write!(answer, "Content-Encoding: gzip\r\n")?;
            }
            write!(answer, "Content-Length: {}\r\n\r\n", body.len())?;
            answer.extend_from_slice(&body);
            (&*stream).write_all(&answer)?;
            if let (Some(samples), Some((_, target))) = (samples, target) {
                target.pages.fetch_add(1, Ordering::Relaxed);
                self.samples.fetch_add(samples as u64, Ordering::Relaxed);
                self.bytes.fetch_add(text_len, Ordering::Relaxed);
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Writes a target's page of now; its number of samples.
    fn render(&self, place: usize, target: &Scraped, body: &mut Vec<u8>) -> usize {
        let step = (self.start.elapsed().as_secs_f64() / self.world.interval.as_secs_f64()) as u64;
        let generation = self.world.generation(place, step);
        let mut page = target.page.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if page.0 != generation {
            *page = (generation, self.world.page(place, step));
        }
        page.1.render(step, body);
        page.1.len()
    }

    fn served(&self) -> Served {
        let pages = self.targets.iter().map(|target| target.pages.load(Ordering::Relaxed));
        Served {
            samples: self.samples.load(Ordering::Relaxed),
            pages: pages.clone().sum(),
            bytes: self.bytes.load(Ordering::Relaxed),
            fewest: pages.min().unwrap_or(0),
        }
    }
}
