//! `/api/v1/admin/tsdb`: deleting series, giving back their space, snapshots. Served when a flag allows it.

use std::sync::Arc;

use http::StatusCode;
use tsdb::DbError;

use crate::reply::{Answer, ApiError, ErrorKind, Reply, success};
use crate::request::Request;
use crate::{Api, json};

pub(crate) async fn delete_series(api: Arc<Api>, request: Request) -> Answer {
    allowed(&api)?;
    let params = &request.params;
    params.check()?;
    if !params.has("match[]") {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let min_time = params.time_or("start", i64::MIN)?;
    let max_time = params.time_or("end", i64::MAX)?;
    let selectors: Vec<_> = params
        .all("match[]")
        .map(promql::parse_metric_selector)
        .collect::<Result<_, _>>()
        .map_err(|e| ApiError::invalid("match[]", &e.to_string()))?;
    let db = Arc::clone(api.db()?);
    change(api, move |api| {
        selectors.iter().try_for_each(|matchers| db.delete(matchers, min_time, max_time, api.now()))
    })
    .await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn clean_tombstones(api: Arc<Api>, _: Request) -> Answer {
    allowed(&api)?;
    let db = Arc::clone(api.db()?);
    change(api, move |api| db.clean_tombstones(api.now())).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn snapshot(api: Arc<Api>, request: Request) -> Answer {
    allowed(&api)?;
    let skip_head = match request.params.get("skip_head") {
        "" => false,
        text => parse_bool(text)
            .map_err(|why| ApiError::invalid("skip_head", &format!("unable to parse boolean: {why}")))?,
    };
    let db = Arc::clone(api.db()?);
    let name = change(api, move |api| {
        let now = api.now();
        let name = tsdb::snapshot_name(now, random());
        db.snapshot(&name, skip_head, now)?;
        Ok(name)
    })
    .await?;
    let mut out = String::from("{");
    json::field(&mut out, "name", &name);
    out.push('}');
    Ok(success(&out, &[], &[]))
}

pub(crate) fn allowed(api: &Api) -> Result<(), ApiError> {
    match api.options.enable_admin {
        true => Ok(()),
        false => Err(ApiError::new(ErrorKind::Unavailable, "admin APIs disabled")),
    }
}

/// Runs what takes long on a thread that may block.
async fn change<T: Send + 'static>(
    api: Arc<Api>,
    work: impl FnOnce(&Api) -> Result<T, DbError> + Send + 'static,
) -> Result<T, ApiError> {
    let internal = |why: String| ApiError::new(ErrorKind::Internal, why);
    tokio::task::spawn_blocking(move || work(&api))
        .await
        .map_err(|panic| internal(panic.to_string()))?
        .map_err(|error| internal(error.to_string()))
}

/// Go's `strconv.ParseBool`.
fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {}: invalid syntax", model::number::quote(text))),
    }
}

fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0u8)
}
