//! `debug`: what a server tells about itself, in one archive.

use std::fs::File;
use std::io::{Read as _, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use httpclient::{Bytes, HeaderMap, Method};

use super::Failure;
use super::client::{Question, ToolClient};
use super::failure::{in_gos_words, print, tell};
use super::server_url::ServerUrl;

/// `binnacle tool debug …`
#[derive(Debug, Subcommand)]
pub(crate) enum DebugCommand {
    /// Fetches profiles of a server
    Pprof(DebugArgs),
    /// Fetches the metrics of a server
    Metrics(DebugArgs),
    /// Fetches profiles and metrics of a server
    All(DebugArgs),
}

/// Flags of `debug`.
#[derive(Debug, Args)]
pub(crate) struct DebugArgs {
    /// Server
    #[arg(value_name = "server")]
    server: String,
}

const ARCHIVE: &str = "debug.tar.gz";
/// Profiles take their time, and nothing else ends the wait.
const TIMEOUT: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A profile, which is stored without compression.
    Profile,
    AsIs,
}

const PROFILES: [(&str, &str, Kind); 7] = [
    ("/debug/pprof/profile?seconds=30", "cpu.pb", Kind::Profile),
    ("/debug/pprof/block", "block.pb", Kind::Profile),
    ("/debug/pprof/goroutine", "goroutine.pb", Kind::Profile),
    ("/debug/pprof/heap", "heap.pb", Kind::Profile),
    ("/debug/pprof/mutex", "mutex.pb", Kind::Profile),
    ("/debug/pprof/threadcreate", "threadcreate.pb", Kind::Profile),
    ("/debug/pprof/trace?seconds=30", "trace.pb", Kind::AsIs),
];
const METRICS: [(&str, &str, Kind); 1] = [("/metrics", "metrics.txt", Kind::AsIs)];

pub(super) fn run(command: &DebugCommand) -> Result<ExitCode, Failure> {
    let (server, files) = match command {
        DebugCommand::Pprof(args) => (&args.server, PROFILES.to_vec()),
        DebugCommand::Metrics(args) => (&args.server, METRICS.to_vec()),
        DebugCommand::All(args) => (&args.server, [&PROFILES[..], &METRICS[..]].concat()),
    };
    gather(server, &files).map_err(|failure| match failure {
        Failure::Told(why) => Failure::during("error completing debug command", why),
        gone => gone,
    })?;
    Ok(ExitCode::SUCCESS)
}

fn gather(server: &str, files: &[(&str, &str, Kind)]) -> Result<(), Failure> {
    let client = ToolClient::new(None, None)?;
    let mut archive = Archive::create(Path::new(ARCHIVE))?;
    for (path, name, kind) in files {
        let url = format!("{server}{path}");
        print(&format!("collecting: {url}\n"))?;
        let executing = |why: String| Failure::during("error executing HTTP request", why);
        let url = ServerUrl::parse(&url).map_err(|why| executing(why.replacen("invalid URL: ", "", 1)))?;
        let question = Question {
            method: Method::GET,
            url: &url,
            headers: &HeaderMap::new(),
            content: Bytes::new(),
            timeout: TIMEOUT,
        };
        let (head, body) = client.ask(&question).map_err(|no| executing(no.text))?;
        if !head.status.is_success() && *kind == Kind::Profile {
            let said = String::from_utf8_lossy(&body);
            tell(&format!("left out {name}: {}: {}", head.status_text(), said.trim_end()));
            continue;
        }
        let body = match kind {
            Kind::Profile => unpacked(body)
                .map_err(|why| Failure::during("error post-processing HTTP response body", why))?,
            Kind::AsIs => body,
        };
        archive.add(name, &body).map_err(|e| Failure::during("error writing into the archive", e))?;
    }
    archive.close().map_err(|e| Failure::during("error closing archive writer", e))?;
    print(&format!("Compiling debug information complete, all files written in \"{ARCHIVE}\".\n"))
}

/// A profile without compression.
fn unpacked(body: Vec<u8>) -> Result<Vec<u8>, String> {
    let plain = if body.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        MultiGzDecoder::new(&*body)
            .read_to_end(&mut plain)
            .map_err(|e| format!("decompressing profile: {e}"))?;
        plain
    } else {
        body
    };
    if plain.is_empty() {
        return Err("parsing profile: empty input file".to_owned());
    }
    if is_message(&plain) {
        Ok(plain)
    } else {
        Err("parsing profile: unrecognized profile format".to_owned())
    }
}

/// Whether bytes are fields of a protobuf message, as far as their lengths tell.
fn is_message(bytes: &[u8]) -> bool {
    let mut reader = exposition::protobuf_wire::Reader::new("Profile", bytes);
    loop {
        match reader.tag() {
            Ok(None) => return true,
            Ok(Some(tag)) if reader.skip(tag).is_ok() => {}
            _ => return false,
        }
    }
}

/// A compressed archive that is being written.
struct Archive {
    out: GzEncoder<File>,
}

const BLOCK: usize = 512;

impl Archive {
    fn create(path: &Path) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|e| {
            let why = in_gos_words("open", path, &e);
            let what =
                format!("error creating a new archiver: error creating archive \"{}\"", path.display());
            Failure::during(&what, why)
        })?;
        Ok(Archive { out: GzEncoder::new(file, Compression::default()) })
    }

    fn add(&mut self, name: &str, content: &[u8]) -> std::io::Result<()> {
        self.out.write_all(&header(name, content.len()))?;
        self.out.write_all(content)?;
        let padding = content.len().next_multiple_of(BLOCK) - content.len();
        self.out.write_all(&[0; BLOCK][..padding])
    }

    fn close(mut self) -> std::io::Result<()> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.finish()?.sync_all()
    }
}

/// The header of a plain file in the format of POSIX.1-1988 (`ustar`).
fn header(name: &str, size: usize) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &str| {
        for (byte, to) in text.bytes().zip(header.iter_mut().skip(at)) {
            *to = byte;
        }
    };
    put(0, name);
    put(100, "0000666\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, "00000000000\0");
    // The sum is taken with blanks where it will stand.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    for (byte, to) in format!("{sum:06o}\0 ").bytes().zip(header.iter_mut().skip(148)) {
        *to = byte;
    }
    header
}
