//! `/debug/pprof`: what the process does, in the format of `go tool pprof` and under the paths that it asks for.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};

use crate::Api;
use crate::reply::{Answer, Reply};
use crate::request::Request;

/// How long is sampled where the request does not say, as in Go.
const DEFAULT_SECONDS: u64 = 30;
/// The longest that is sampled.
const MAX_SECONDS: u64 = 300;

/// Why there is no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// Somebody else is profiling.
    #[error("cpu profiling already in use")]
    InUse,
    /// This program has none of that kind.
    #[error("{0}")]
    Unavailable(&'static str),
    /// The system refused.
    #[error("{0}")]
    Failed(String),
}

/// Looks at the process.
pub trait Profiler: Send + Sync {
    /// Begins to sample what the processors do. Dropping the answer ends it.
    ///
    /// # Errors
    /// One at a time.
    fn begin_cpu(&self) -> Result<Box<dyn CpuProfile>, ProfileError>;

    /// What memory is in use for, as a gzipped `profile.proto`.
    ///
    /// # Errors
    /// Where the allocator does not tell.
    fn heap(&self) -> Result<Vec<u8>, ProfileError>;

    /// The threads, as a gzipped `profile.proto`.
    ///
    /// # Errors
    /// When the kernel does not tell.
    fn threads(&self) -> Result<Vec<u8>, ProfileError>;

    /// The threads, as text, a line each.
    ///
    /// # Errors
    /// As above.
    fn threads_text(&self) -> Result<String, ProfileError>;
}

/// Samples that are being taken.
pub trait CpuProfile: Send {
    /// Ends it: a gzipped `profile.proto`. Blocks while names are looked up.
    ///
    /// # Errors
    /// When the samples cannot be read.
    fn finish(self: Box<Self>) -> Result<Vec<u8>, ProfileError>;
}

/// Kinds of profiles that Go has and this program has nothing for.
const NOT_HERE: [(&str, &str); 5] = [
    ("allocs", "what was allocated and freed again is not counted; /debug/pprof/heap tells what is in use"),
    ("block", "waiting on locks is not recorded"),
    ("mutex", "contention of locks is not recorded"),
    ("threadcreate", "where threads were created is not recorded; /debug/pprof/goroutine lists them"),
    ("trace", "there is no execution tracer"),
];

/// `/debug/*`: below `pprof/`, and nothing else.
pub(crate) async fn debug(api: Arc<Api>, request: Request) -> Answer {
    let not_found = || Reply::go_error(StatusCode::NOT_FOUND, "404 page not found\n");
    if request.path_param == "pprof" {
        let location = format!("{}{}/", api.options.external_path, request.path);
        return Ok(Reply::redirect(StatusCode::MOVED_PERMANENTLY, &location));
    }
    let (Some(kind), Some(profiler)) = (request.path_param.strip_prefix("pprof/"), api.runtime.profiler())
    else {
        return Ok(not_found());
    };
    let as_text = !matches!(request.params.get("debug"), "" | "0");
    let made = match kind {
        "" => return Ok(unguessed(Reply::new(StatusCode::OK, "text/html; charset=utf-8", index()))),
        "cmdline" => return Ok(unguessed(Reply::text(StatusCode::OK, command_line()))),
        "symbol" => return Ok(symbol(&request)),
        "profile" => return Ok(cpu(profiler, seconds(&request)).await),
        "heap" => blocking(move || profiler.heap()).await,
        "goroutine" if as_text => {
            return Ok(match profiler.threads_text() {
                Ok(text) => unguessed(Reply::text(StatusCode::OK, text)),
                Err(error) => refusal(&error),
            });
        }
        "goroutine" => blocking(move || profiler.threads()).await,
        _ => match NOT_HERE.iter().find(|(name, _)| *name == kind) {
            Some((_, why)) => Err(ProfileError::Unavailable(why)),
            None => return Ok(go_pprof(Reply::go_error(StatusCode::NOT_FOUND, "Unknown profile\n"))),
        },
    };
    Ok(made.map_or_else(|error| refusal(&error), |profile| download(profile, kind)))
}

async fn blocking(
    work: impl FnOnce() -> Result<Vec<u8>, ProfileError> + Send + 'static,
) -> Result<Vec<u8>, ProfileError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|panic| Err(ProfileError::Failed(panic.to_string())))
}

/// Samples for so long. When the client goes away, this future is dropped, and sampling ends with it.
async fn cpu(profiler: Arc<dyn Profiler>, time: Duration) -> Reply {
    let sampling = match profiler.begin_cpu() {
        Ok(sampling) => sampling,
        Err(error) => {
            let text = format!("Could not enable CPU profiling: {error}\n");
            return go_pprof(Reply::go_error(StatusCode::INTERNAL_SERVER_ERROR, text));
        }
    };
    tokio::time::sleep(time).await;
    match blocking(move || sampling.finish()).await {
        Ok(profile) => download(profile, "profile"),
        Err(error) => refusal(&error),
    }
}

/// As in Go, what is no number of seconds is the default.
fn seconds(request: &Request) -> Duration {
    let asked = request.params.get("seconds").parse().ok().filter(|&seconds: &u64| seconds > 0);
    Duration::from_secs(asked.unwrap_or(DEFAULT_SECONDS).min(MAX_SECONDS))
}

fn refusal(error: &ProfileError) -> Reply {
    let status = match error {
        ProfileError::Unavailable(_) => StatusCode::NOT_IMPLEMENTED,
        ProfileError::InUse | ProfileError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    go_pprof(Reply::go_error(status, format!("{error}\n")))
}

fn download(profile: Vec<u8>, name: &str) -> Reply {
    let mut reply = unguessed(Reply::new(StatusCode::OK, "application/octet-stream", profile));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        reply.headers.insert(header::CONTENT_DISPOSITION, value);
    }
    reply
}

/// Browsers are to believe the content type.
fn unguessed(mut reply: Reply) -> Reply {
    reply.headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

/// By this `go tool pprof` knows that an error is for its user.
fn go_pprof(mut reply: Reply) -> Reply {
    reply.headers.insert(HeaderName::from_static("x-go-pprof"), HeaderValue::from_static("1"));
    reply
}

/// Arguments, with zeros between.
fn command_line() -> String {
    let arguments: Vec<String> = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    arguments.join("\0")
}

/// Names are in the profiles already: that there are symbols is all that is asked of a server that has them.
fn symbol(request: &Request) -> Reply {
    let text =
        if request.method == Method::GET || request.method == Method::POST { "num_symbols: 1\n" } else { "" };
    unguessed(Reply::text(StatusCode::OK, text))
}

fn index() -> String {
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>/debug/pprof/</title><h1>/debug/pprof/</h1><p>For \
         <code>go tool pprof</code>.</p><ul>",
    );
    for (kind, what) in [
        ("profile?seconds=10", "what the processors do"),
        ("heap", "what memory is in use for, in programs with the feature jemalloc"),
        ("goroutine?debug=1", "the threads"),
        ("cmdline", "the command line"),
    ] {
        let _ = write!(page, "<li><a href=\"{kind}\">{kind}</a>: {what}</li>");
    }
    page.push_str("</ul>\n");
    page
}
