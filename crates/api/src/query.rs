//! `/api/v1/query`, `/query_range`, `/query_explain`, `/query_exemplars`, `/format_query`, `/parse_query`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use exposition::registry::Gauge;
use http::{HeaderValue, StatusCode, header};
use model::Matcher;
use promql::ast::Expr;
use promql::{
    Engine, MatrixSeries, Overrides, QueryError, QueryResult, QueryStats, StepStats, Value, VectorSample,
};
use storage::{MemoryStage, QueryContext};
use tokio::sync::oneshot;

use crate::pace::{Gone, Pieces, Place};
use crate::query_log::{Asker, Entry};
use crate::reply::{Answer, ApiError, Body, Coding, Encoder, ErrorKind, Reply, SUCCESS, finish, success};
use crate::request::{Request, evaluation_time, parse_duration};
use crate::view::View;
use crate::{Api, explain, json, points};

/// Prometheus' bound on `(end - start) / step`.
const MAX_STEPS: i64 = 11_000;
/// Annotations of one kind that an answer carries; the rest is counted.
const MAX_ANNOTATIONS: usize = 10;
/// How much JSON is gathered before a piece is sent off.
const PIECE: usize = 64 * 1024;
/// Samples of a matrix that are made JSON before any of it is sent off: a few megabytes.
const SAMPLES_AT_ONCE: usize = 50_000;
/// What a series takes besides, about.
const SERIES_LEN: usize = 256;
/// Into how many shares these are divided among threads.
const SHARES: usize = 8;
/// Account of queries in the memory budget.
pub(crate) const ACCOUNT: &str = "queries";
/// How long a query waits for memory, if its timeout is not sooner.
const LONGEST_WAIT_FOR_MEMORY: Duration = Duration::from_secs(10);
/// How often a query that waits looks whether there is memory.
const MEMORY_INTERVAL: Duration = Duration::from_millis(100);
const TRUNCATED: &str = "results truncated due to limit";

/// What the range of a query is.
#[derive(Debug, Clone, Copy)]
enum Range {
    Instant(i64),
    Steps { start: i64, end: i64, step: i64 },
}

/// A query and all that the caller said about it.
struct Job {
    query: String,
    range: Range,
    limit: usize,
    overrides: Overrides,
    /// Whether the answer says what it cost.
    stats: bool,
    /// And that of each step.
    per_step: bool,
    /// What the request should not say any more.
    deprecated: Option<String>,
    coding: Option<Coding>,
    asked_by: Asker,
    view: View,
}

pub(crate) async fn instant(api: Arc<Api>, request: Request) -> Answer {
    let limit = request.params.limit("limit")?;
    let at = request.params.time_or("time", api.now())?;
    let timeout = timeout(&api, &request)?;
    let job = job(&api, &request, Range::Instant(evaluation_time(at)), limit)?;
    run(api, timeout, job).await
}

pub(crate) async fn range(api: Arc<Api>, request: Request) -> Answer {
    let limit = request.params.limit("limit")?;
    let start = request.params.time("start")?;
    let end = request.params.time("end")?;
    if end < start {
        return Err(ApiError::invalid("end", "end timestamp must not be before start time"));
    }
    let step = parse_duration(request.params.get("step")).map_err(|e| ApiError::invalid("step", &e))?;
    if step <= 0 {
        let why = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(ApiError::invalid("step", why));
    }
    // Go's durations go no further than 64 bits of nanoseconds.
    let length = end.saturating_sub(start).saturating_mul(1_000_000);
    if length / step > MAX_STEPS {
        let why = "exceeded maximum resolution of 11,000 points per timeseries. \
                   Try decreasing the query resolution (?step=XX)";
        return Err(ApiError::bad_data(why));
    }
    let timeout = timeout(&api, &request)?;
    // Steps are whole milliseconds; a shorter one counts as one.
    let step = (step / 1_000_000).max(1);
    let range = Range::Steps { start: evaluation_time(start), end: evaluation_time(end), step };
    let job = job(&api, &request, range, limit)?;
    run(api, timeout, job).await
}

/// `query` or `query_range`, by which times are given; the answer says how it was carried out.
pub(crate) async fn explain(api: Arc<Api>, request: Request) -> Answer {
    if request.params.has("start") { range(api, request).await } else { instant(api, request).await }
}

fn timeout(api: &Api, request: &Request) -> Result<Duration, ApiError> {
    let text = request.params.get("timeout");
    let max = api.options.query_timeout;
    if text.is_empty() {
        return Ok(max);
    }
    let nanos = parse_duration(text).map_err(|e| ApiError::invalid("timeout", &e))?;
    Ok(max.min(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))))
}

fn job(api: &Api, request: &Request, range: Range, limit: usize) -> Result<Job, ApiError> {
    let lookback = request.params.get("lookback_delta");
    let mut overrides = Overrides::default();
    if !lookback.is_empty() {
        let nanos = parse_duration(lookback)
            .map_err(|e| ApiError::bad_data(format!("error parsing lookback delta duration: {e}")))?;
        // Zero and less mean the server's own.
        overrides.lookback_delta_ms = Some(nanos / 1_000_000).filter(|&ms| ms > 0);
    }
    let stats_wanted = request.params.get("stats");
    let stats = !stats_wanted.is_empty();
    let per_step = stats_wanted == "all" && api.engine.options().per_step_stats;
    let deprecated = (!matches!(stats_wanted, "" | "true" | "all")).then(|| {
        let value = model::number::quote(stats_wanted);
        format!(
            "value {value} for parameter \"stats\" is deprecated and will be rejected in the next major release, \
             use \"true\" or \"all\""
        )
    });
    overrides.count_samples = stats || api.options.query_log.is_on();
    overrides.explain = request.path.ends_with("/query_explain");
    let coding = Coding::accepted(request.header(header::ACCEPT_ENCODING));
    let asked_by = Asker {
        client: request.client,
        method: request.method.to_string(),
        path: format!("{}{}", api.options.route_prefix, request.path),
    };
    Ok(Job {
        query: request.params.get("query").to_owned(),
        range,
        limit,
        overrides,
        stats,
        per_step,
        deprecated,
        coding,
        asked_by,
        view: request.view(api),
    })
}

/// Asks a query to stop when the future that waits for it is dropped: the client has gone.
pub(crate) struct CancelOnDrop(pub(crate) Option<Arc<QueryContext>>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(ctx) = &self.0 {
            ctx.cancel();
        }
    }
}

/// A query that waits or runs, as long as this is there.
struct Counted(Gauge);

impl Counted {
    fn new(queries: &Gauge) -> Self {
        queries.inc();
        Counted(queries.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

async fn run(api: Arc<Api>, timeout: Duration, job: Job) -> Answer {
    let asked = Instant::now();
    let counted = Counted::new(&api.metrics.queries);
    let memory = api.options.memory.account(ACCOUNT);
    let ctx = QueryContext::new(Some(asked + timeout), api.options.max_samples).with_memory(memory);
    let ctx = Arc::new(ctx);
    let mut guard = CancelOnDrop(Some(Arc::clone(&ctx)));
    let queue = Arc::clone(&api.query_queue);
    let Ok(Ok(permit)) = tokio::time::timeout(timeout, queue.acquire_owned()).await else {
        let why = "query timed out in query queue";
        let cost = Cost { queued: asked.elapsed(), ..Cost::default() };
        log(&api, &job, &cost, Some(why.to_owned()));
        return Err(ApiError::new(ErrorKind::Timeout, why));
    };
    if let Err(error) = wait_for_memory(&api, asked, timeout).await {
        let cost = Cost { queued: asked.elapsed(), ..Cost::default() };
        log(&api, &job, &cost, Some(error.message.clone()));
        return Err(error);
    }
    api.metrics.queue_time.observe(asked.elapsed());
    let (sender, receiver) = oneshot::channel();
    // The thread evaluates and then writes the answer out, at the client's pace.
    tokio::task::spawn_blocking(move || {
        let _counted = counted;
        let place = Place::new(permit, &api.waiting);
        evaluate(&api, &ctx, &job, asked, Head { sender: Some(sender) }, place);
    });
    let answer = receiver.await;
    // The answer has begun: from here a client that goes away shows as a closed channel of pieces.
    guard.0 = None;
    answer.unwrap_or_else(|_| Err(ApiError::new(ErrorKind::Internal, "the query's thread has died")))
}

/// Waits until there is memory for another query.
pub(crate) async fn wait_for_memory(api: &Api, asked: Instant, timeout: Duration) -> Result<(), ApiError> {
    let until = asked + timeout.min(LONGEST_WAIT_FOR_MEMORY);
    let memory = &api.options.memory;
    while memory.stage() >= MemoryStage::HoldQueries {
        if Instant::now() >= until {
            api.metrics.queries_refused.inc();
            let limit = model::size::format(i64::try_from(memory.limit()).unwrap_or(i64::MAX));
            let why =
                format!("query not started: the memory limit of {limit} (--memory.limit) is nearly reached");
            return Err(ApiError::new(ErrorKind::Unavailable, why));
        }
        api.waiting.break_off_longest();
        tokio::time::sleep(MEMORY_INTERVAL).await;
    }
    Ok(())
}

/// The one chance to say how the answer begins.
struct Head {
    sender: Option<oneshot::Sender<Answer>>,
}

impl Head {
    fn send(&mut self, answer: Answer) {
        if let Some(sender) = self.sender.take() {
            // A receiver that is gone means that the client is gone.
            let _ = sender.send(answer);
        }
    }
}

fn evaluate(api: &Api, ctx: &QueryContext, job: &Job, asked: Instant, mut head: Head, place: Place) {
    let queued = asked.elapsed();
    let began = Instant::now();
    let _running =
        api.options.active_queries.as_ref().and_then(|active| active.insert(&job.query, api.now() / 1000));
    let store = job.view.store();
    let result = match job.range {
        Range::Instant(at) => api.engine.instant(store, ctx, &job.query, at, &job.overrides),
        Range::Steps { start, end, step } => {
            api.engine.range(store, ctx, &job.query, start, end, step, &job.overrides)
        }
    };
    let took = began.elapsed();
    let mut result = match result {
        Ok(result) => result,
        Err(error) => {
            // What is not a query for this range did not run.
            if !matches!(error, QueryError::Parse(_) | QueryError::Invalid(_)) {
                let cost = Cost { queued, took, ..Cost::default() };
                log(api, job, &cost, Some(error.to_string()));
            }
            return head.send(Err(query_error(&error)));
        }
    };
    let cost = Cost { stats: std::mem::take(&mut result.stats), queued, took };
    let QueryStats { prepared, sorted, .. } = cost.stats;
    api.metrics.prepare_time.observe(prepared);
    api.metrics.eval_time.observe(took.saturating_sub(prepared + sorted));
    api.metrics.sort_time.observe(sorted);
    api.metrics.query_samples.add(cost.stats.total_queryable_samples as f64);
    api.metrics.query_samples_read.add(cost.stats.samples_read as f64);
    log(api, job, &cost, None);
    let out = Output {
        text: SUCCESS.to_owned(),
        encoder: Encoder::new(job.coding),
        unsent: 0,
        job,
        head,
        place: Some(place),
        pieces: None,
    };
    // An error here is a client that went away.
    let _ = write_result(out, &api.engine, result, &cost);
}

/// What a query cost.
#[derive(Debug, Default)]
struct Cost {
    stats: QueryStats,
    queued: Duration,
    took: Duration,
}

/// Writes the query down, if that is wanted.
fn log(api: &Api, job: &Job, cost: &Cost, error: Option<String>) {
    if !api.options.query_log.is_on() {
        return;
    }
    let (start, end, step) = match job.range {
        Range::Instant(at) => (at, at, 0),
        Range::Steps { start, end, step } => (start, end, step),
    };
    let mut stats = String::new();
    write_stats(&mut stats, job, cost);
    let (query, asked_by) = (job.query.as_str(), &job.asked_by);
    api.options.query_log.write(&Entry { query, start, end, step, error, stats: &stats, asked_by });
}

fn query_error(error: &QueryError) -> ApiError {
    let text = error.to_string();
    match error {
        QueryError::Parse(_) | QueryError::Invalid(_) => ApiError::invalid("query", &text),
        QueryError::Timeout(_) => ApiError::new(ErrorKind::Timeout, text),
        QueryError::Cancelled(_) => ApiError::new(ErrorKind::Canceled, text),
        QueryError::Storage(_) => ApiError::new(ErrorKind::Internal, text),
        QueryError::Execution(_) => ApiError::new(ErrorKind::Execution, text),
    }
}

/// JSON on its way out: a small answer is sent whole, a large one in pieces.
struct Output<'a> {
    text: String,
    encoder: Encoder,
    /// Bytes that the encoder was given by [`pass_on`](Self::pass_on) and that were not sent yet.
    unsent: usize,
    job: &'a Job,
    head: Head,
    /// Until the first piece is sent.
    place: Option<Place>,
    pieces: Option<Pieces>,
}

impl Output<'_> {
    /// Writes the comma between two series; there, and only there, a piece may end.
    fn next_series(&mut self) -> Result<(), Gone> {
        self.text.push(',');
        if self.text.len() < PIECE {
            return Ok(());
        }
        self.encoder.write(self.text.as_bytes()).map_err(|_| Gone)?;
        self.text.clear();
        let piece = self.encoder.take();
        self.send(piece)
    }

    /// Appends series rendered elsewhere, each with a comma before it: the first of an answer is cut off.
    fn pass_on(&mut self, mut rendered: Vec<u8>) -> Result<(), Gone> {
        if self.text.ends_with('[') {
            rendered.drain(..1);
        }
        if !self.text.is_empty() {
            self.encoder.write(self.text.as_bytes()).map_err(|_| Gone)?;
            self.text.clear();
        }
        if self.job.coding.is_none() && rendered.len() >= PIECE {
            let before = self.encoder.take();
            self.unsent = 0;
            self.send(before)?;
            return self.send(rendered);
        }
        self.encoder.write(&rendered).map_err(|_| Gone)?;
        self.unsent += rendered.len();
        if self.unsent < PIECE {
            return Ok(());
        }
        self.unsent = 0;
        let piece = self.encoder.take();
        self.send(piece)
    }

    fn send(&mut self, piece: Vec<u8>) -> Result<(), Gone> {
        if piece.is_empty() {
            return Ok(());
        }
        if let Some(place) = self.place.take() {
            let (pieces, receiver) = Pieces::new(place);
            let mut reply = Reply::json(StatusCode::OK, Vec::new());
            reply.body = Body::Pieces(receiver);
            self.head.send(Ok(coded(reply, self.job.coding)));
            self.pieces = Some(pieces);
        }
        self.pieces.as_mut().ok_or(Gone)?.send(piece)
    }

    fn end(mut self) -> Result<(), Gone> {
        self.encoder.write(self.text.as_bytes()).map_err(|_| Gone)?;
        self.text.clear();
        let encoder = std::mem::replace(&mut self.encoder, Encoder::new(None));
        let rest = encoder.finish().map_err(|_| Gone)?;
        if self.pieces.is_some() {
            return self.send(rest);
        }
        let reply = Reply::json(StatusCode::OK, rest);
        self.head.send(Ok(coded(reply, self.job.coding)));
        Ok(())
    }
}

fn coded(mut reply: Reply, coding: Option<Coding>) -> Reply {
    if let Some(coding) = coding {
        reply.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
    reply
}

fn write_result(mut out: Output<'_>, engine: &Engine, result: QueryResult, cost: &Cost) -> Result<(), Gone> {
    let QueryResult { mut value, mut warnings, mut infos, plan, .. } = result;
    cap_annotations(&mut warnings, "warning");
    cap_annotations(&mut infos, "info");
    warnings.extend(out.job.deprecated.clone());
    if truncate(&mut value, out.job.limit) {
        warnings.push(TRUNCATED.to_owned());
    }
    let kind = match value {
        Value::Scalar { .. } => "scalar",
        Value::String { .. } => "string",
        Value::Vector(_) => "vector",
        Value::Matrix(_) => "matrix",
    };
    out.text.push_str(r#"{"resultType":""#);
    out.text.push_str(kind);
    if let Some(plan) = &plan {
        out.text.push_str(r#"","plan":"#);
        explain::push_plan(&mut out.text, plan);
        json::key(&mut out.text, "stats");
        write_stats(&mut out.text, out.job, cost);
        out.text.push('}');
        finish(&mut out.text, &warnings, &infos);
        return out.end();
    }
    out.text.push_str(r#"","result":"#);
    match &value {
        Value::Scalar { t, v } => json::scalar(&mut out.text, *t, *v),
        Value::String { t, v } => {
            out.text.push('[');
            json::timestamp(&mut out.text, *t);
            out.text.push(',');
            json::string(&mut out.text, v);
            out.text.push(']');
        }
        Value::Vector(samples) => write_vector(&mut out, samples)?,
        Value::Matrix(series) => write_matrix(&mut out, engine, series)?,
    }
    if out.job.stats {
        json::key(&mut out.text, "stats");
        write_stats(&mut out.text, out.job, cost);
    }
    out.text.push('}');
    finish(&mut out.text, &warnings, &infos);
    out.end()
}

fn write_vector(out: &mut Output<'_>, samples: &[VectorSample]) -> Result<(), Gone> {
    out.text.push('[');
    for (i, sample) in samples.iter().enumerate() {
        if i > 0 {
            out.next_series()?;
        }
        out.text.push_str(r#"{"metric":"#);
        json::labels(&mut out.text, &sample.labels);
        if let Some(histogram) = &sample.histogram {
            out.text.push_str(r#","histogram":"#);
            json::histogram_point(&mut out.text, sample.t, histogram);
        } else {
            out.text.push_str(r#","value":"#);
            json::point(&mut out.text, sample.t, sample.v);
        }
        out.text.push('}');
    }
    out.text.push(']');
    Ok(())
}

/// Renders some series at a time, on several threads where there are many samples, and sends them off in order.
fn write_matrix(out: &mut Output<'_>, engine: &Engine, series: &[MatrixSeries]) -> Result<(), Gone> {
    let mut rest = series;
    out.text.push('[');
    while !rest.is_empty() {
        let (mut count, mut samples) = (0, 0);
        while let Some(next) = rest.get(count).filter(|_| samples < SAMPLES_AT_ONCE) {
            samples += next.values.len() + next.histograms.len();
            count += 1;
        }
        let (some, after) = rest.split_at(count);
        let shares: Vec<&[MatrixSeries]> = some.chunks(count.div_ceil(SHARES)).collect();
        let heavy = samples >= SAMPLES_AT_ONCE / 2;
        for rendered in engine.on_threads(shares, heavy, |share| rendered(&share)) {
            out.pass_on(rendered)?;
        }
        rest = after;
    }
    out.text.push(']');
    Ok(())
}

/// The series as JSON, a comma before each.
fn rendered(shares: &[&[MatrixSeries]]) -> Vec<u8> {
    let series = || shares.iter().copied().flatten();
    let len = series().map(|one| SERIES_LEN + one.values.len() * points::POINT_LEN).sum();
    let mut out = Vec::with_capacity(len);
    let mut text = String::new();
    for series in series() {
        text.clear();
        text.push_str(r#",{"metric":"#);
        json::labels(&mut text, &series.labels);
        out.extend_from_slice(text.as_bytes());
        if !series.values.is_empty() {
            out.extend_from_slice(b",\"values\":");
            points::write(&mut out, &series.times, &series.values);
        }
        if !series.histograms.is_empty() {
            text.clear();
            text.push_str(r#","histograms":["#);
            for (i, sample) in series.histograms.iter().enumerate() {
                if i > 0 {
                    text.push(',');
                }
                json::histogram_point(&mut text, sample.t, &sample.histogram);
            }
            text.push(']');
            out.extend_from_slice(text.as_bytes());
        }
        out.push(b'}');
    }
    out
}

/// One number a step, with its time.
fn write_steps(
    out: &mut String,
    name: &str,
    range: Range,
    steps: &[StepStats],
    number: fn(&StepStats) -> u64,
) {
    let (start, step) = match range {
        Range::Instant(at) => (at, 0),
        Range::Steps { start, step, .. } => (start, step),
    };
    json::key(out, name);
    out.push('[');
    for (i, stats) in (0..).zip(steps) {
        out.push_str(if i == 0 { "[" } else { ",[" });
        json::timestamp(out, start + i * step);
        out.push(',');
        out.push_str(&number(stats).to_string());
        out.push(']');
    }
    out.push(']');
}

fn write_stats(out: &mut String, job: &Job, cost: &Cost) {
    let Cost { stats, queued, took } = cost;
    let (queued, took) = (*queued, *took);
    let seconds = |d: Duration| model::number::format_f(d.as_secs_f64());
    out.push_str(r#"{"timings":{"#);
    json::raw_field(out, "evalTotalTime", seconds(took));
    json::raw_field(out, "resultSortTime", seconds(stats.sorted));
    json::raw_field(out, "queryPreparationTime", seconds(stats.prepared));
    json::raw_field(out, "innerEvalTime", seconds(took.saturating_sub(stats.prepared + stats.sorted)));
    json::raw_field(out, "execQueueTime", seconds(queued));
    json::raw_field(out, "execTotalTime", seconds(queued + took));
    out.push('}');
    json::key(out, "samples");
    out.push('{');
    if job.per_step {
        write_steps(out, "totalQueryableSamplesPerStep", job.range, &stats.per_step, |s| s.queryable);
    }
    json::raw_field(out, "totalQueryableSamples", stats.total_queryable_samples);
    if job.per_step {
        write_steps(out, "samplesReadPerStep", job.range, &stats.per_step, |s| s.read);
    }
    json::raw_field(out, "samplesRead", stats.samples_read);
    json::raw_field(out, "peakSamples", stats.peak_samples);
    out.push_str("}}");
}

/// Cuts the result down to `limit` series (0: no limit); says whether anything was cut.
fn truncate(value: &mut Value, limit: usize) -> bool {
    let len = match value {
        Value::Vector(samples) => samples.len(),
        Value::Matrix(series) => series.len(),
        Value::Scalar { .. } | Value::String { .. } => 0,
    };
    if limit == 0 || len <= limit {
        return false;
    }
    match value {
        Value::Vector(samples) => samples.truncate(limit),
        Value::Matrix(series) => series.truncate(limit),
        Value::Scalar { .. } | Value::String { .. } => {}
    }
    true
}

fn cap_annotations(texts: &mut Vec<String>, kind: &str) {
    if texts.len() > MAX_ANNOTATIONS {
        let more = texts.len() - MAX_ANNOTATIONS;
        texts.truncate(MAX_ANNOTATIONS);
        texts.push(format!("{more} more {kind} annotations omitted"));
    }
}

pub(crate) async fn exemplars(api: Arc<Api>, request: Request) -> Answer {
    let start = request.params.time_or("start", i64::MIN)?;
    let end = request.params.time_or("end", i64::MAX)?;
    if end < start {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    }
    let expr = promql::parse(request.params.get("query"), &api.engine.options().parse)
        .map_err(|e| ApiError::bad_data(e.to_string()))?;
    let mut selectors = Vec::new();
    collect_selectors(&expr, &mut selectors);
    if selectors.is_empty() {
        return Ok(Reply::empty(StatusCode::NO_CONTENT));
    }
    let view = request.view(&api);
    let found = tokio::task::spawn_blocking(move || view.exemplars(selectors, start, end))
        .await
        .map_err(|e| ApiError::new(ErrorKind::Internal, e.to_string()))?;
    let mut out = String::from("[");
    for of_series in found {
        json::comma(&mut out);
        out.push('{');
        json::key(&mut out, "seriesLabels");
        json::labels(&mut out, &of_series.labels);
        json::key(&mut out, "exemplars");
        out.push('[');
        for exemplar in of_series.exemplars {
            json::comma(&mut out);
            out.push('{');
            json::key(&mut out, "labels");
            json::labels(&mut out, &exemplar.labels);
            json::field(&mut out, "value", &model::number::format_f(exemplar.v));
            json::key(&mut out, "timestamp");
            json::timestamp(&mut out, exemplar.t);
            out.push('}');
        }
        out.push_str("]}");
    }
    out.push(']');
    Ok(success(&out, &[], &[]))
}

/// The matchers of each selector that is anywhere in the expression.
fn collect_selectors(expr: &Expr, out: &mut Vec<Vec<Matcher>>) {
    match expr {
        Expr::Number(_) | Expr::String(_) => {}
        Expr::Vector(e) => out.push(e.matchers.clone()),
        Expr::Matrix(e) => out.push(e.selector.matchers.clone()),
        Expr::Subquery(e) => collect_selectors(&e.expr, out),
        Expr::Aggregate(e) => {
            collect_selectors(&e.expr, out);
            e.param.iter().for_each(|param| collect_selectors(param, out));
        }
        Expr::Binary(e) => {
            collect_selectors(&e.left, out);
            collect_selectors(&e.right, out);
        }
        Expr::Call(e) => e.args.iter().for_each(|arg| collect_selectors(arg, out)),
        Expr::Unary(e) => collect_selectors(&e.expr, out),
        Expr::Paren(e) => collect_selectors(&e.expr, out),
    }
}

pub(crate) async fn format(api: Arc<Api>, request: Request) -> Answer {
    let expr = parse(&api, &request)?;
    let mut out = String::new();
    json::string(&mut out, &promql::pretty(&expr));
    Ok(success(&out, &[], &[]))
}

pub(crate) async fn tree(api: Arc<Api>, request: Request) -> Answer {
    let expr = parse(&api, &request)?;
    Ok(success(&promql::ast_json(&expr), &[], &[]))
}

fn parse(api: &Api, request: &Request) -> Result<promql::ast::Expr, ApiError> {
    promql::parse(request.params.get("query"), &api.engine.options().parse)
        .map_err(|e| ApiError::invalid("query", &e.to_string()))
}
