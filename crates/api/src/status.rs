//! `/api/v1/status/*`, and where alerts are sent.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::StatusCode;
use model::timestamp::format_rfc3339;

use crate::reply::{Answer, ApiError, Reply, success};
use crate::request::Request;
use crate::{Api, json};

/// Entries of each cardinality table unless the client says otherwise, and at most.
const TOP: usize = 10;
const MAX_TOP: usize = 10_000;

pub(crate) async fn config(api: Arc<Api>, _: Request) -> Answer {
    let mut out = String::from("{");
    json::field(&mut out, "yaml", &api.runtime.config_yaml());
    out.push('}');
    Ok(success(&out, &[], &[]))
}

pub(crate) async fn flags(api: Arc<Api>, _: Request) -> Answer {
    let mut flags = api.runtime.flags();
    flags.sort();
    let mut out = String::from("{");
    for (name, value) in &flags {
        json::field(&mut out, name, value);
    }
    out.push('}');
    Ok(success(&out, &[], &[]))
}

pub(crate) async fn build_info(api: Arc<Api>, _: Request) -> Answer {
    Ok(success(&build_info_json(&api), &[], &[]))
}

/// `/version`: the same object without the envelope.
pub(crate) async fn version(api: Arc<Api>, _: Request) -> Answer {
    Ok(Reply::text(StatusCode::OK, build_info_json(&api) + "\n"))
}

fn build_info_json(api: &Api) -> String {
    let info = api.runtime.build_info();
    let mut out = String::from("{");
    json::field(&mut out, "version", &info.version);
    json::field(&mut out, "revision", &info.revision);
    json::field(&mut out, "branch", &info.branch);
    json::field(&mut out, "buildUser", "");
    json::field(&mut out, "buildDate", "");
    json::field(&mut out, "goVersion", &info.compiler);
    out.push('}');
    out
}

pub(crate) async fn runtime_info(api: Arc<Api>, _: Request) -> Answer {
    let info = api.runtime.runtime_info();
    let mut out = String::from("{");
    json::field(&mut out, "startTime", &format_rfc3339(info.start_time));
    json::field(&mut out, "CWD", &info.cwd);
    json::field(&mut out, "hostname", &info.hostname);
    json::field(&mut out, "serverTime", &format_rfc3339(api.now()));
    json::raw_field(&mut out, "reloadConfigSuccess", info.reload_config_success);
    json::field(&mut out, "lastConfigTime", &format_rfc3339(info.last_config_time));
    json::raw_field(&mut out, "corruptionCount", info.corruption_count);
    // The names are those of Go's runtime; clients read the fields, so they carry the nearest thing there is here.
    json::raw_field(&mut out, "goroutineCount", info.threads);
    json::raw_field(&mut out, "GOMAXPROCS", info.cores);
    json::raw_field(&mut out, "GOMEMLIMIT", i64::MAX);
    json::field(&mut out, "GOGC", "");
    json::field(&mut out, "GODEBUG", "");
    json::field(&mut out, "storageRetention", &info.storage_retention);
    out.push('}');
    Ok(success(&out, &[], &[]))
}

pub(crate) async fn wal_replay(api: Arc<Api>, _: Request) -> Answer {
    let replay = api.db.as_ref().map(|db| db.head().replay_progress());
    // An agent has read its log before it answers, and tells nothing of it, as Prometheus'.
    let [min, max, current] = replay.map_or([0; 3], |replay| {
        [&replay.min, &replay.max, &replay.current].map(|segment| segment.load(Ordering::Relaxed))
    });
    let mut out = String::from("{");
    for (name, segment) in [("min", min), ("max", max), ("current", current)] {
        json::raw_field(&mut out, name, segment);
    }
    out.push('}');
    Ok(success(&out, &[], &[]))
}

pub(crate) async fn tsdb(api: Arc<Api>, request: Request) -> Answer {
    let limit = match request.params.get("limit") {
        "" => TOP,
        text => match text.parse::<i64>() {
            Ok(n) if n >= 1 => usize::try_from(n).unwrap_or(usize::MAX),
            _ => return Err(ApiError::bad_data("limit must be a positive number")),
        },
    };
    if limit > MAX_TOP {
        return Err(ApiError::bad_data(format!("limit must not exceed {MAX_TOP}")));
    }
    let db = Arc::clone(api.db()?);
    let stats = tokio::task::spawn_blocking(move || db.head().stats(limit))
        .await
        .map_err(|e| ApiError::new(crate::reply::ErrorKind::Internal, e.to_string()))?;
    let mut out = String::from(r#"{"headStats":{"#);
    json::raw_field(&mut out, "numSeries", stats.num_series);
    json::raw_field(&mut out, "numLabelPairs", stats.num_label_pairs);
    json::raw_field(&mut out, "chunkCount", stats.chunk_count);
    json::raw_field(&mut out, "minTime", stats.min_time);
    json::raw_field(&mut out, "maxTime", stats.max_time);
    out.push('}');
    let tables = [
        ("seriesCountByMetricName", &stats.series_by_metric),
        ("labelValueCountByLabelName", &stats.values_by_label),
        ("memoryInBytesByLabelName", &stats.bytes_by_label),
        ("seriesCountByLabelValuePair", &stats.series_by_pair),
    ];
    for (name, rows) in tables {
        json::key(&mut out, name);
        out.push('[');
        for (name, value) in rows {
            json::comma(&mut out);
            out.push('{');
            json::field(&mut out, "name", name);
            json::raw_field(&mut out, "value", value);
            out.push('}');
        }
        out.push(']');
    }
    out.push('}');
    Ok(success(&out, &[], &[]))
}

/// What the blocks that are served say about themselves.
pub(crate) async fn blocks(api: Arc<Api>, _: Request) -> Answer {
    let metas: Vec<String> =
        api.db()?.blocks().current().iter().map(|block| block.meta().to_json()).collect();
    Ok(success(&format!(r#"{{"blocks":[{}]}}"#, metas.join(",")), &[], &[]))
}

/// Where alerts are sent.
pub(crate) async fn alertmanagers(api: Arc<Api>, _: Request) -> Answer {
    let (active, dropped) = api.runtime.alertmanagers();
    let mut out = String::new();
    for (key, urls) in [("{\"activeAlertmanagers\":[", active), ("],\"droppedAlertmanagers\":[", dropped)] {
        out.push_str(key);
        for (i, url) in urls.iter().enumerate() {
            out.push_str(if i > 0 { ",{\"url\":" } else { "{\"url\":" });
            json::string(&mut out, url);
            out.push('}');
        }
    }
    out.push_str("]}");
    Ok(success(&out, &[], &[]))
}
