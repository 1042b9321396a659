//! The promqltest language: load series, evaluate queries, compare.
//!
//! `load`, `clear`, `eval instant`, `eval range` and the `expect` lines, as the scripts of Prometheus use them.

mod compare;
mod custom_buckets;
mod pinned;
mod script;
mod started;

use model::duration;
use promql::{Engine, EngineOptions, Overrides, ParseOptions};
use storage::QueryContext;

use compare::{check_failure, check_result};
use script::{Command, Eval, EvalTime};
use started::StartedStore;

/// What became of one evaluation of a script.
#[derive(Debug)]
pub struct Outcome {
    /// Line of the `eval` command, from 1.
    pub line: usize,
    /// The query.
    pub query: String,
    /// What is different from what is expected.
    pub failure: Option<String>,
}

/// The options that scripts assume.
#[must_use]
pub fn engine_options() -> EngineOptions {
    EngineOptions {
        parse: ParseOptions::all(),
        delayed_name_removal: true,
        use_start_timestamps: true,
        max_samples: 10_000,
        threads: 1,
        ..EngineOptions::default()
    }
}

/// Runs a script from an empty store; one outcome for each evaluation.
///
/// # Errors
/// Line and reason, when the script itself is wrong.
pub fn run_script(text: &str) -> Result<Vec<Outcome>, String> {
    let mut store = StartedStore::default();
    let engine = Engine::new(engine_options());
    let mut outcomes = Vec::new();
    for command in script::parse(text)? {
        match command {
            Command::Clear => store = StartedStore::default(),
            Command::Load(series) => {
                for s in series {
                    let fail = |t: i64, why| format!("load {} at {t}: {why:?}", s.labels);
                    store.samples.insert(&s.labels, s.floats).map_err(|(sample, why)| fail(sample.t, why))?;
                    store
                        .samples
                        .insert_histograms(&s.labels, s.histograms)
                        .map_err(|(t, why)| fail(t, why))?;
                    if !s.starts.is_empty() {
                        store.starts.entry(s.labels).or_default().extend(s.starts);
                    }
                }
            }
            Command::Eval(eval) => {
                let failure = evaluate(&engine, &store, &eval).err();
                outcomes.push(Outcome { line: eval.line, query: eval.query, failure });
            }
        }
    }
    Ok(outcomes)
}

fn evaluate(engine: &Engine, store: &StartedStore, eval: &Eval) -> Result<(), String> {
    let ctx = QueryContext::unlimited();
    let overrides = Overrides::default();
    let answer = match (&eval.time, eval.range_vector) {
        (_, Some((_, end, _))) => engine.instant(store, &ctx, &eval.query, end, &overrides),
        (EvalTime::Instant(t), None) => engine.instant(store, &ctx, &eval.query, *t, &overrides),
        (EvalTime::Range(start, end, step), None) => {
            engine.range(store, &ctx, &eval.query, *start, *end, *step, &overrides)
        }
    };
    let result = match answer {
        Err(error) => return check_failure(eval, &error),
        Ok(_) if eval.fail.is_some() => return Err("expected to fail".to_owned()),
        Ok(result) => result,
    };
    check_result(eval, &result)?;
    // An instant query must say the same as the middle step of a range query around it.
    if let (EvalTime::Instant(t), None, None) = (&eval.time, eval.range_vector, &eval.string)
        && !["start()", "end()", "range()", "step()"].iter().any(|f| eval.query.contains(f))
        && !eval.ordered
    {
        let step = duration::parse("1m").map_err(|e| e.to_string())?;
        let around = engine
            .range(store, &ctx, &eval.query, t - step, t + step, step, &overrides)
            .map_err(|e| format!("as range query: {e}"))?;
        compare::check_middle(eval, &around, *t).map_err(|e| format!("as range query: {e}"))?;
    }
    // With a fixed time it must say the same at any other.
    if let (EvalTime::Instant(t), None, None) = (&eval.time, eval.range_vector, &eval.string)
        && let Some(query) = pinned::pinned(&eval.query, *t)
    {
        let times = if *t == 0 { vec![-1000, 0, 1000] } else { vec![-10 * t, 0, t / 5, *t, 10 * t] };
        for at in times {
            let fail = |e: String| format!("as {query} at {at}: {e}");
            let moved =
                engine.instant(store, &ctx, &query, at, &overrides).map_err(|e| fail(e.to_string()))?;
            compare::check_value(eval, &moved, at).map_err(fail)?;
        }
    }
    Ok(())
}
