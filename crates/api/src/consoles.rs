//! `/consoles/*`: pages that operators write as templates, and that query the server as they are expanded.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;
use model::Labels;
use promql::{Overrides, Value};
use storage::QueryContext;
use template::prometheus::{
    CONSOLE_VARIABLES, ExternalUrl, QuerySample, SampleValue, Surroundings, console_data, expand_html,
};

use crate::Api;
use crate::query::ACCOUNT;
use crate::reply::{Answer, Reply};
use crate::request::Request;
use crate::user_files::resolve;
use crate::view::View;

/// Where console templates are, and what their links begin with.
#[derive(Debug, Clone, Default)]
pub struct Consoles {
    /// The directory of the templates themselves: `--web.console.templates`.
    pub templates: PathBuf,
    /// The directory of templates that they use, files called `*.lib`: `--web.console.libraries`.
    pub libraries: PathBuf,
    /// Under which URL users reach the server, without a slash at the end.
    pub external_url: String,
}

pub(crate) async fn console(api: Arc<Api>, request: Request) -> Answer {
    let began = Instant::now();
    let timeout = api.options.query_timeout;
    let queue = Arc::clone(&api.query_queue);
    let Ok(Ok(permit)) = tokio::time::timeout(timeout, queue.acquire_owned()).await else {
        return Ok(Reply::go_error(StatusCode::SERVICE_UNAVAILABLE, "query timed out in query queue\n"));
    };
    let expanded = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        expand(&api, &request, began + timeout)
    });
    Ok(match expanded.await {
        Ok(Ok(page)) => Reply::new(StatusCode::OK, "text/html; charset=utf-8", page),
        Ok(Err((status, text))) => Reply::go_error(status, format!("{text}\n")),
        Err(_) => Reply::go_error(StatusCode::INTERNAL_SERVER_ERROR, "the console's thread has died\n"),
    })
}

type Refusal = (StatusCode, String);

fn internal(error: &impl ToString) -> Refusal {
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

fn expand(api: &Arc<Api>, request: &Request, deadline: Instant) -> Result<String, Refusal> {
    let name = &request.path_param;
    let consoles = &api.options.consoles;
    let shown = shown_path(&consoles.templates, name);
    let path = resolve(&consoles.templates, name)
        .ok_or_else(|| (StatusCode::NOT_FOUND, format!("open {shown}: no such file or directory")))?;
    if path.is_dir() {
        return Err(internal(&format!("read {shown}: is a directory")));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| internal(&format!("read {shown}: {error}")))?;
    let parameters = crate::request::Params::parse(b"", &request.raw_query);
    if let Some(flaw) = parameters.flaw() {
        return Err((StatusCode::BAD_REQUEST, flaw.to_owned()));
    }
    let external_labels = Labels::from_pairs(api.runtime.external_labels());
    let data = console_data(parameters.pairs(), name.trim_start_matches('/'), &external_labels);
    let libraries = libraries(&consoles.libraries).map_err(|error| internal(&error))?;
    let time = api.now();
    let surroundings = Surroundings {
        time,
        external_url: ExternalUrl {
            url: consoles.external_url.clone(),
            path: api.options.external_path.clone(),
        },
        query: {
            let (api, view) = (Arc::clone(api), request.view(api));
            Arc::new(move |text| query(&api, &view, text, time, deadline))
        },
    };
    let template = format!("{CONSOLE_VARIABLES}{text}");
    expand_html(
        &format!("__console_/{}", name.trim_start_matches('/')),
        &template,
        &libraries,
        &data,
        &surroundings,
    )
    .map_err(|error| internal(&error))
}

/// As messages name the file `name`.
fn shown_path(templates: &Path, name: &str) -> String {
    templates.join(name.trim_matches('/')).display().to_string().trim_end_matches('/').to_owned()
}

/// Names and texts of the libraries, sorted.
fn libraries(directory: &Path) -> io::Result<Vec<(String, String)>> {
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut libraries = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "lib") {
            libraries.push((
                entry.file_name().to_string_lossy().into_owned(),
                std::fs::read_to_string(entry.path())?,
            ));
        }
    }
    libraries.sort();
    Ok(libraries)
}

/// What `query` in a template gives.
fn query(api: &Api, view: &View, text: &str, at: i64, deadline: Instant) -> Result<Vec<QuerySample>, String> {
    let memory = api.options.memory.account(ACCOUNT);
    let ctx = QueryContext::new(Some(deadline), api.options.max_samples).with_memory(memory);
    let _running = api.options.active_queries.as_ref().and_then(|active| active.insert(text, at / 1000));
    let result = api
        .engine
        .instant(view.store(), &ctx, text, at, &Overrides::default())
        .map_err(|error| error.to_string())?;
    match result.value {
        Value::Vector(samples) => Ok(samples
            .into_iter()
            .map(|sample| QuerySample {
                labels: sample.labels,
                value: sample.histogram.map_or(SampleValue::Float(sample.v), SampleValue::Histogram),
            })
            .collect()),
        Value::Scalar { v, .. } => {
            Ok(vec![QuerySample { labels: Labels::default(), value: SampleValue::Float(v) }])
        }
        _ => Err("rule result is not a vector or scalar".into()),
    }
}
