//! `/federate`: the newest sample of every series that matches, as a page for another server to scrape.
//!
//! One metric after the other is read and written, so that what is held does not grow with the number of series.

use std::collections::BTreeMap;
use std::sync::Arc;

use chunk::Columns;
use exposition::{Format, SamplePage, SampleValue};
use http::{HeaderValue, StatusCode, header};
use model::histogram::{FloatHistogram, HistogramSample};
use model::{Labels, METRIC_NAME, Matcher, is_stale};
use storage::{
    ChunkView, Interrupted, Newest, Projection, QueryContext, Request as SelectRequest, SelectError,
};
use tokio::sync::oneshot;

use crate::pace::{Gone, Pieces, Place};
use crate::query::CancelOnDrop;
use crate::reply::{Answer, Body, Coding, Encoder, Reply};
use crate::request::Request;
use crate::view::View;
use crate::{Api, lifecycle};

/// About how long a piece of the page is before it is compressed and sent.
const PIECE: usize = 64 * 1024;
/// What the memory of federation is accounted as.
const ACCOUNT: &str = "federation";

pub(crate) async fn federate(api: Arc<Api>, request: Request) -> Answer {
    let coding = Coding::accepted(request.header(header::ACCEPT_ENCODING));
    if !api.runtime.is_ready() {
        return Ok(lifecycle::unavailable(api.runtime.is_stopping()));
    }
    let mut reply = match answer(api, &request, coding).await {
        Ok(reply) => reply,
        Err((status, text)) => Reply::go_error(status, format!("{text}\n")),
    };
    reply.headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    Ok(reply)
}

async fn answer(
    api: Arc<Api>,
    request: &Request,
    coding: Option<Coding>,
) -> Result<Reply, (StatusCode, String)> {
    request.params.check().map_err(|error| (StatusCode::BAD_REQUEST, error.message))?;
    let parsed = request.params.all("match[]").map(promql::parse_metric_selector);
    let selectors = parsed
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
    let format = exposition::negotiate_with_protobuf(request.header(header::ACCEPT));
    let failed = |api: &Api, error: String| {
        api.metrics.federation_errors.inc();
        (StatusCode::INTERNAL_SERVER_ERROR, error)
    };
    // A page has a thread and the series of its largest metric until its client has read it.
    let Ok(slot) = Arc::clone(&api.federation_slots).acquire_owned().await else {
        return Err(failed(&api, "federation has ended".to_owned()));
    };
    let (head, begun) = oneshot::channel();
    let work = Arc::clone(&api);
    let view = request.view(&api);
    let ctx = Arc::new(QueryContext::unlimited().with_memory(api.options.memory.account(ACCOUNT)));
    let mut guard = CancelOnDrop(Some(Arc::clone(&ctx)));
    tokio::task::spawn_blocking(move || {
        let place = Place::new(slot, &work.waiting_pages);
        Federation::new(&work, &view, &ctx, selectors).run(format, coding, place, head);
    });
    let sender = match begun.await {
        Ok(Ok(body)) => body,
        Ok(Err(error)) => return Err(failed(&api, error.to_string())),
        Err(_) => return Err(failed(&api, "federation has failed".to_owned())),
    };
    // The page has begun: from here a client that goes away shows as a closed channel of pieces.
    guard.0 = None;
    let mut reply = Reply::empty(StatusCode::OK);
    reply.body = sender;
    if let Ok(value) = HeaderValue::from_str(&format.content_type()) {
        reply.headers.insert(header::CONTENT_TYPE, value);
    }
    if let Some(coding) = coding {
        reply.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
    Ok(reply)
}

/// What is read, and what is added to it.
struct Federation<'a> {
    api: &'a Api,
    view: &'a View,
    ctx: &'a QueryContext,
    selectors: Vec<Vec<Matcher>>,
    /// The times that count, both inclusive.
    min_time: i64,
    max_time: i64,
    /// Labels that series get which lack them, sorted. One is `instance`: empty, so that the scraping side does not
    /// put its own there.
    external: Vec<(String, String)>,
}

/// A series' newest sample.
struct Found {
    labels: Labels,
    t: i64,
    value: Value,
}

enum Value {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

/// Memory for decoding, kept from series to series.
#[derive(Default)]
struct Scratch {
    floats: Columns,
    histograms: Vec<HistogramSample>,
}

/// Why the page is not written to its end.
enum Stopped {
    /// Nobody reads it any more.
    Gone,
    Failed(SelectError),
}

impl From<SelectError> for Stopped {
    fn from(error: SelectError) -> Self {
        Stopped::Failed(error)
    }
}

impl From<Interrupted> for Stopped {
    fn from(why: Interrupted) -> Self {
        Stopped::Failed(why.into())
    }
}

impl<'a> Federation<'a> {
    fn new(api: &'a Api, view: &'a View, ctx: &'a QueryContext, selectors: Vec<Vec<Matcher>>) -> Self {
        let max_time = api.now();
        let mut external = BTreeMap::from([("instance".to_owned(), String::new())]);
        external.extend(api.runtime.external_labels());
        Federation {
            api,
            view,
            ctx,
            selectors,
            min_time: max_time.saturating_sub(api.engine.options().lookback_delta_ms),
            max_time,
            external: external.into_iter().collect(),
        }
    }

    /// Writes the page. What goes wrong before its first piece is told to `head`.
    fn run(
        &self,
        format: Format,
        coding: Option<Coding>,
        place: Place,
        head: oneshot::Sender<Result<Body, SelectError>>,
    ) {
        let names = match self.names() {
            Ok(names) => names,
            Err(error) => {
                let _ = head.send(Err(error));
                return;
            }
        };
        let (mut pieces, receiver) = Pieces::new(place);
        if head.send(Ok(Body::Pieces(receiver))).is_err() {
            return;
        }
        let encoder = Encoder::new(coding);
        let written = self.pages(&names, format, encoder, &mut pieces);
        if let Err(Stopped::Failed(error)) = written {
            self.api.metrics.federation_errors.inc();
            tracing::error!(component = "web", err = %error, "federation failed");
            // The connection is broken off: a page that lacks series must not look whole.
            pieces.break_off(std::io::Error::other(error));
        }
        self.api.metrics.federation_warnings.add(self.ctx.warnings().texts().len() as f64);
    }

    /// The names of all metrics that may match, each with the selectors that name it.
    fn names(&self) -> Result<BTreeMap<String, Vec<usize>>, SelectError> {
        let mut names: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        // What asks for nothing in particular gets nothing, as in Prometheus.
        for (i, matchers) in self.selectors.iter().enumerate().filter(|(_, matchers)| !matchers.is_empty()) {
            let mut matchers = matchers.clone();
            matchers.push(Matcher::not_equal(METRIC_NAME, ""));
            let found = self.view.local_store().label_values(
                self.ctx,
                METRIC_NAME,
                self.min_time,
                self.max_time,
                &matchers,
            )?;
            found.into_iter().for_each(|name| names.entry(name).or_default().push(i));
        }
        Ok(names)
    }

    fn pages(
        &self,
        names: &BTreeMap<String, Vec<usize>>,
        format: Format,
        mut encoder: Encoder,
        pieces: &mut Pieces,
    ) -> Result<(), Stopped> {
        let gone = |Gone| Stopped::Gone;
        let mut page = SamplePage::new(format);
        let mut scratch = Scratch::default();
        let mut held = 0;
        for (name, selectors) in names {
            let found = self.newest(name, selectors, &mut scratch, pieces)?;
            let bytes = found.iter().map(|found| storage::labels_size(&found.labels)).sum::<u64>();
            if bytes > held {
                // The largest metric so far.
                self.ctx.hold_bytes(bytes - held)?;
                held = bytes;
            }
            for Found { labels, t, value } in &found {
                let own = labels.iter().filter(|(name, _)| *name != METRIC_NAME);
                let lacking = self.external.iter().filter(|(name, _)| labels.get(name).is_none());
                let added = lacking.map(|(name, value)| (name.as_str(), value.as_str()));
                let value = match value {
                    Value::Float(v) => SampleValue::Float(*v),
                    Value::Histogram(h) => SampleValue::Histogram(h),
                };
                page.sample(name, own.chain(added), value, *t);
                if page.ready() >= PIECE {
                    encoder.write(&page.take()).map_err(|_| Stopped::Gone)?;
                    let piece = encoder.take();
                    if !piece.is_empty() {
                        pieces.send(piece).map_err(gone)?;
                    }
                }
            }
        }
        encoder.write(&page.finish()).map_err(|_| Stopped::Gone)?;
        let rest = encoder.finish().map_err(|_| Stopped::Gone)?;
        if rest.is_empty() { Ok(()) } else { pieces.send(rest).map_err(gone) }
    }

    /// The newest samples of the series of a metric that match, sorted by labels.
    fn newest(
        &self,
        name: &str,
        selectors: &[usize],
        scratch: &mut Scratch,
        reader: &Pieces,
    ) -> Result<Vec<Found>, Stopped> {
        let mut all = Vec::new();
        for matchers in selectors.iter().filter_map(|i| self.selectors.get(*i)) {
            let mut matchers: Vec<Matcher> =
                matchers.iter().filter(|matcher| &*matcher.name != METRIC_NAME).cloned().collect();
            matchers.push(Matcher::equal(METRIC_NAME, name));
            let request = SelectRequest {
                matchers: &matchers,
                min_time: self.min_time,
                max_time: self.max_time,
                labels: Projection::All,
                newest: Some(Newest::Last),
            };
            for mut part in self.view.local_store().select(self.ctx, &request)? {
                while let Some(series) = part.next()? {
                    if reader.is_closed() {
                        return Err(Stopped::Gone);
                    }
                    if let Some((t, value)) = self.newest_of(&series.chunks, scratch)? {
                        all.push(Found { labels: series.labels, t, value });
                    }
                }
            }
        }
        all.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        if selectors.len() > 1 {
            all.dedup_by(|a, b| a.labels == b.labels);
        }
        Ok(all)
    }

    /// The newest sample in these chunks; none if it is a staleness marker.
    fn newest_of(
        &self,
        chunks: &[ChunkView<'_>],
        scratch: &mut Scratch,
    ) -> Result<Option<(i64, Value)>, SelectError> {
        let counts = |t: i64| (self.min_time..=self.max_time).contains(&t);
        let corrupt = |error: chunk::ChunkError| SelectError::Corrupt(error.to_string());
        let mut newest = None;
        for chunk in chunks.iter().rev().filter(|chunk| !chunk.is_histograms()) {
            let found = match *chunk {
                ChunkView::Encoded { encoding, samples, bytes, .. } => {
                    scratch.floats.clear();
                    chunk::decode(encoding, bytes, samples, &mut scratch.floats).map_err(corrupt)?;
                    let samples = scratch.floats.times.iter().zip(&scratch.floats.values);
                    samples.rev().find(|(t, _)| counts(**t)).map(|(t, v)| (*t, *v))
                }
                ChunkView::Samples(samples) => {
                    samples.iter().rev().find(|sample| counts(sample.t)).map(|sample| (sample.t, sample.v))
                }
                ChunkView::Histograms(_) => None,
            };
            if let Some((t, v)) = found {
                newest = Some((t, Value::Float(v)));
                break;
            }
        }
        for chunk in chunks.iter().rev().filter(|chunk| chunk.is_histograms()) {
            scratch.histograms.clear();
            chunk.histograms(&mut scratch.histograms).map_err(corrupt)?;
            let found = scratch.histograms.iter().rev().find(|sample| counts(sample.t));
            if let Some(sample) = found {
                if newest.as_ref().is_none_or(|(t, _)| *t < sample.t) {
                    newest = Some((sample.t, Value::Histogram(Arc::clone(&sample.histogram))));
                }
                break;
            }
        }
        Ok(newest.filter(|(_, value)| match value {
            Value::Float(v) => !is_stale(*v),
            Value::Histogram(h) => !is_stale(h.sum),
        }))
    }
}
