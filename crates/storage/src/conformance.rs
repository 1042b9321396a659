//! What every store has to do, whoever implements it: to be run by each implementation's tests.

use chunk::Columns;
use model::{Labels, MatchOp, Matcher, STALE_NAN, Sample, is_stale};

use crate::{
    Affinity, Append, Batch, BatchSample, ChunkView, Interrupted, Newest, Outcome, Projection, QueryContext,
    Rejection, Request, Select, SelectError, SeriesRef,
};

/// What went wrong in a case.
type Case = Result<(), String>;

/// A case's name and what it does.
type Named<S> = (&'static str, fn(&S) -> Case);

/// Matchers, and the indices of the series that they select.
type Selected<'a> = (&'a [(MatchOp, &'a str, &'a str)], &'a [usize]);

/// Runs every case against a fresh store of its own.
///
/// # Errors
/// Names the first case that fails, and how.
pub fn check<S: Append + Select>(new_store: impl Fn() -> S) -> Result<(), String> {
    let cases: [Named<S>; 12] = [
        ("resolving twice gives the same series", resolving_twice),
        ("what is appended is read", appended_is_read),
        ("values keep their bits", values_keep_their_bits),
        ("only refused samples stay out of a batch", refusals),
        ("the time range is honoured", time_range),
        ("matchers select series", matchers_select),
        ("projections keep what is wanted", projections),
        ("the newest sample is delivered", newest),
        ("an answer is a snapshot", snapshot),
        ("a series is in one part only", one_part_a_series),
        ("label names and values are listed", label_lists),
        ("a cancelled query stops", cancelled),
    ];
    for (name, case) in cases {
        case(&new_store()).map_err(|e| format!("{name}: {e}"))?;
    }
    Ok(())
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

fn equal<T: PartialEq + std::fmt::Debug>(got: &T, want: &T) -> Case {
    if got == want { Ok(()) } else { Err(format!("got {got:?}, want {want:?}")) }
}

fn text(e: impl std::fmt::Display) -> String {
    e.to_string()
}

fn name_is(name: &str) -> Matcher {
    Matcher::equal("__name__", name)
}

/// Appends one batch that must be stored whole.
fn append<S: Append>(store: &S, series: &Labels, samples: &[(i64, f64)]) -> Case {
    let series = store.resolve(Affinity(1), series).map_err(text)?.series;
    let batch = Batch {
        samples: samples.iter().map(|&(t, v)| BatchSample { series, t, v }).collect(),
        ..Batch::default()
    };
    let mut outcome = Outcome::default();
    store.append(&batch, &mut outcome).map_err(text)?;
    equal(&outcome.rejected, &Vec::new())?;
    equal(&outcome.appended, &samples.len())
}

fn request<'a>(matchers: &'a [Matcher], min_time: i64, max_time: i64) -> Request<'a> {
    Request { matchers, min_time, max_time, labels: Projection::All, newest: None }
}

/// All series with samples in the time range, ordered by labels; chunks that reach beyond it are cut.
fn read<S: Select>(store: &S, request: &Request<'_>) -> Result<Vec<(Labels, Vec<Sample>)>, String> {
    let ctx = QueryContext::unlimited();
    let mut all = Vec::new();
    for mut part in store.select(&ctx, request).map_err(text)? {
        while let Some(series) = part.next().map_err(text)? {
            let mut samples: Vec<Sample> = Vec::new();
            for chunk in series.chunks.iter() {
                match chunk {
                    ChunkView::Samples(s) => samples.extend_from_slice(s),
                    ChunkView::Histograms(_) => return Err("histograms where floats were written".to_owned()),
                    ChunkView::Encoded { encoding, samples: count, bytes, min_time, max_time } => {
                        let mut columns = Columns::default();
                        chunk::decode(*encoding, bytes, *count, &mut columns).map_err(text)?;
                        let (first, last) = (columns.times.first(), columns.times.last());
                        if first.is_none_or(|t| t < min_time) || last.is_none_or(|t| t > max_time) {
                            return Err(format!(
                                "chunk bounds {min_time}..{max_time} of {first:?}..{last:?}"
                            ));
                        }
                        let columns = columns.times.iter().zip(&columns.values);
                        samples.extend(columns.map(|(&t, &v)| Sample { t, v }));
                    }
                }
            }
            if !samples.is_sorted_by(|a, b| a.t < b.t) {
                return Err(format!("{}: samples out of order", series.labels));
            }
            samples.retain(|s| s.t >= request.min_time && s.t <= request.max_time);
            if !samples.is_empty() {
                all.push((series.labels, samples));
            }
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all)
}

fn resolving_twice<S: Append + Select>(store: &S) -> Case {
    let up = labels(&[("__name__", "up"), ("job", "a")]);
    let first = store.resolve(Affinity(1), &up).map_err(text)?;
    let second = store.resolve(Affinity(2), &up).map_err(text)?;
    let other = store.resolve(Affinity(1), &labels(&[("__name__", "up"), ("job", "b")])).map_err(text)?;
    equal(&(first.created, second.created, other.created), &(true, false, true))?;
    equal(&first.series, &second.series)?;
    if other.series == first.series { Err("two series share a handle".to_owned()) } else { Ok(()) }
}

fn appended_is_read<S: Append + Select>(store: &S) -> Case {
    let mut want = Vec::new();
    for instance in ["a", "b", "c"] {
        let series = labels(&[("__name__", "m"), ("instance", instance)]);
        let samples: Vec<(i64, f64)> = (0..500).map(|i| (1_000 + i * 15_000, (i * i) as f64 / 7.0)).collect();
        for batch in samples.chunks(7) {
            append(store, &series, batch)?;
        }
        want.push((series, samples.iter().map(|&(t, v)| Sample { t, v }).collect::<Vec<_>>()));
    }
    equal(&read(store, &request(&[name_is("m")], 0, i64::MAX / 2))?, &want)
}

fn values_keep_their_bits<S: Append + Select>(store: &S) -> Case {
    let values = [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, STALE_NAN, 5e-324, f64::MAX, 0.1];
    let samples: Vec<(i64, f64)> = values.iter().enumerate().map(|(i, &v)| (1_000 + i as i64, v)).collect();
    append(store, &labels(&[("__name__", "odd")]), &samples)?;
    let got = read(store, &request(&[name_is("odd")], 0, 10_000))?;
    let bits: Vec<u64> = got.iter().flat_map(|(_, s)| s.iter().map(|s| s.v.to_bits())).collect();
    equal(&bits, &values.iter().map(|v| v.to_bits()).collect())
}

fn refusals<S: Append + Select>(store: &S) -> Case {
    let (a, b) = (labels(&[("__name__", "a")]), labels(&[("__name__", "b")]));
    append(store, &a, &[(2_000, 1.0)])?;
    let series = store.resolve(Affinity(1), &a).map_err(text)?.series;
    let other = store.resolve(Affinity(1), &b).map_err(text)?.series;
    let sample = |series, t, v| BatchSample { series, t, v };
    let batch = Batch {
        samples: vec![
            sample(other, 1_000, 5.0),
            sample(series, 1_000, 1.0),
            sample(series, 2_000, 2.0),
            sample(series, 2_000, 1.0),
            sample(SeriesRef(u64::MAX), 3_000, 1.0),
            sample(series, 3_000, 3.0),
        ],
        ..Batch::default()
    };
    let mut outcome = Outcome { appended: 99, rejected: vec![(9, Rejection::TooOld)], ..Outcome::default() };
    store.append(&batch, &mut outcome).map_err(text)?;
    let mut rejected = outcome.rejected;
    rejected.sort_by_key(|r| r.0);
    let want = vec![(1, Rejection::OutOfOrder), (2, Rejection::Duplicate), (4, Rejection::UnknownSeries)];
    equal(&rejected, &want)?;
    let sample = |t, v| Sample { t, v };
    let want = vec![(a, vec![sample(2_000, 1.0), sample(3_000, 3.0)]), (b, vec![sample(1_000, 5.0)])];
    let either = [Matcher::new(MatchOp::Regex, "__name__", "a|b").map_err(text)?];
    equal(&read(store, &request(&either, 0, 10_000))?, &want)
}

fn time_range<S: Append + Select>(store: &S) -> Case {
    let series = labels(&[("__name__", "m")]);
    let samples: Vec<(i64, f64)> = (0..400).map(|i| (i * 1_000, i as f64)).collect();
    append(store, &series, &samples)?;
    for (min, max) in [(0, 0), (1_000, 1_000), (1_001, 1_999), (150_500, 250_000), (399_000, 900_000)] {
        let want: Vec<Sample> =
            samples.iter().filter(|s| s.0 >= min && s.0 <= max).map(|&(t, v)| Sample { t, v }).collect();
        let got = read(store, &request(&[name_is("m")], min, max))?;
        equal(&got.into_iter().flat_map(|(_, s)| s).collect(), &want)
            .map_err(|e| format!("{min}..{max}: {e}"))?;
    }
    Ok(())
}

fn matchers_select<S: Append + Select>(store: &S) -> Case {
    let all = [("a", "x", "1"), ("a", "y", ""), ("b", "x", "12"), ("b", "", "2")];
    for (name, job, code) in all {
        append(store, &labels(&[("__name__", name), ("job", job), ("code", code)]), &[(1_000, 1.0)])?;
    }
    let cases: [Selected<'_>; 9] = [
        (&[(MatchOp::Equal, "__name__", "a")], &[0, 1]),
        (&[(MatchOp::Equal, "__name__", "a"), (MatchOp::NotEqual, "job", "x")], &[1]),
        (&[(MatchOp::Equal, "__name__", "b"), (MatchOp::Equal, "job", "")], &[3]),
        (&[(MatchOp::Regex, "code", "1.*")], &[0, 2]),
        (&[(MatchOp::Regex, "code", "1")], &[0]),
        (&[(MatchOp::Regex, "__name__", ".+"), (MatchOp::NotRegex, "code", "1.*")], &[1, 3]),
        (&[(MatchOp::Regex, "__name__", ".+"), (MatchOp::Regex, "job", "x|")], &[0, 2, 3]),
        (&[(MatchOp::Equal, "__name__", "a"), (MatchOp::Equal, "nope", "1")], &[]),
        (&[(MatchOp::NotEqual, "job", ""), (MatchOp::NotEqual, "nope", "1")], &[0, 1, 2]),
    ];
    for (matchers, want) in cases {
        let matchers: Result<Vec<Matcher>, _> =
            matchers.iter().map(|&(op, name, value)| Matcher::new(op, name, value)).collect();
        let matchers = matchers.map_err(text)?;
        let mut want: Vec<Labels> = want
            .iter()
            .filter_map(|&i| all.get(i))
            .map(|&(name, job, code)| labels(&[("__name__", name), ("job", job), ("code", code)]))
            .collect();
        want.sort();
        let request = request(&matchers, 0, 10_000);
        let got: Vec<Labels> = read(store, &request)?.into_iter().map(|(l, _)| l).collect();
        equal(&got, &want).map_err(|e| format!("{matchers:?}: {e}"))?;
        let listed = store.series(&QueryContext::unlimited(), &request).map_err(text)?;
        equal(&listed, &want).map_err(|e| format!("series of {matchers:?}: {e}"))?;
    }
    Ok(())
}

fn projections<S: Append + Select>(store: &S) -> Case {
    append(store, &labels(&[("__name__", "m"), ("a", "1"), ("b", "2")]), &[(1_000, 1.0)])?;
    append(store, &labels(&[("__name__", "m"), ("a", "1"), ("b", "3")]), &[(1_000, 2.0)])?;
    let matchers = [name_is("m")];
    for (projection, wanted) in
        [(Projection::Only(&["a"]), &["a"][..]), (Projection::Without(&["b"]), &["__name__", "a"][..])]
    {
        let request = Request { labels: projection, ..request(&matchers, 0, 10_000) };
        let got = read(store, &request)?;
        equal(&got.len(), &2)?;
        for (l, _) in got {
            let kept = l.filter(|name| wanted.contains(&name));
            equal(&kept, &labels(&[("__name__", "m"), ("a", "1")]).filter(|name| wanted.contains(&name)))?;
        }
    }
    Ok(())
}

fn newest<S: Append + Select>(store: &S) -> Case {
    let value = |i: i64| if i % 123 == 0 || i > 297 { STALE_NAN } else { i as f64 };
    let samples: Vec<(i64, f64)> = (1..300).map(|i| (i * 1_000, value(i))).collect();
    append(store, &labels(&[("__name__", "m")]), &samples)?;
    let matchers = [name_is("m")];
    for max in [1_000, 1_500, 123_000, 246_500, 299_000, 500_000] {
        for newest in [Newest::Last, Newest::NotStale] {
            let wanted = |v: f64| newest == Newest::Last || !is_stale(v);
            let request = Request { newest: Some(newest), ..request(&matchers, 0, max) };
            let got = read(store, &request)?.into_iter().flat_map(|(_, s)| s).rfind(|s| wanted(s.v));
            let want = samples.iter().rfind(|s| s.0 <= max && wanted(s.1));
            let bits = |(t, v): (i64, f64)| (t, v.to_bits());
            equal(&got.map(|s| bits((s.t, s.v))), &want.copied().map(bits))
                .map_err(|e| format!("{newest:?} at {max}: {e}"))?;
        }
    }
    Ok(())
}

fn snapshot<S: Append + Select>(store: &S) -> Case {
    let series = labels(&[("__name__", "m")]);
    append(store, &series, &[(1_000, 1.0), (2_000, 2.0)])?;
    let matchers = [name_is("m")];
    let ctx = QueryContext::unlimited();
    let parts = store.select(&ctx, &request(&matchers, 0, 100_000)).map_err(text)?;
    append(store, &series, &[(3_000, 3.0)])?;
    let mut count = 0;
    for mut part in parts {
        while let Some(series) = part.next().map_err(text)? {
            for chunk in series.chunks.iter() {
                count += match chunk {
                    ChunkView::Samples(s) => s.len(),
                    ChunkView::Histograms(h) => h.len(),
                    ChunkView::Encoded { encoding, samples, bytes, .. } => {
                        let mut columns = Columns::default();
                        chunk::decode(*encoding, bytes, *samples, &mut columns).map_err(text)?;
                        columns.len()
                    }
                };
            }
        }
    }
    equal(&count, &2)
}

fn one_part_a_series<S: Append + Select>(store: &S) -> Case {
    let mut want = Vec::new();
    for i in 0..300 {
        let series = labels(&[("__name__", "m"), ("i", &format!("{i:03}"))]);
        append(store, &series, &[(1_000, f64::from(i)), (2_000, 0.0)])?;
        want.push((series, 2));
    }
    let got = read(store, &request(&[name_is("m")], 0, 10_000))?;
    equal(&got.into_iter().map(|(l, s)| (l, s.len())).collect(), &want)
}

fn label_lists<S: Append + Select>(store: &S) -> Case {
    append(store, &labels(&[("__name__", "a"), ("job", "x")]), &[(1_000, 1.0)])?;
    append(store, &labels(&[("__name__", "b"), ("job", "y"), ("code", "1")]), &[(1_000, 1.0)])?;
    let ctx = QueryContext::unlimited();
    let names = |matchers: &[Matcher]| store.label_names(&ctx, 0, 10_000, matchers).map_err(text);
    let values =
        |name: &str, matchers: &[Matcher]| store.label_values(&ctx, name, 0, 10_000, matchers).map_err(text);
    let list = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<String>>();
    equal(&names(&[])?, &list(&["__name__", "code", "job"]))?;
    equal(&names(&[name_is("a")])?, &list(&["__name__", "job"]))?;
    equal(&values("job", &[])?, &list(&["x", "y"]))?;
    equal(&values("job", &[name_is("b")])?, &list(&["y"]))?;
    equal(&values("nope", &[])?, &Vec::new())
}

fn cancelled<S: Append + Select>(store: &S) -> Case {
    append(store, &labels(&[("__name__", "m")]), &[(1_000, 1.0)])?;
    let ctx = QueryContext::unlimited();
    ctx.cancel();
    let matchers = [name_is("m")];
    match store.select(&ctx, &request(&matchers, 0, 10_000)) {
        Err(SelectError::Interrupted(Interrupted::Cancelled)) => Ok(()),
        Err(e) => Err(format!("got {e}")),
        Ok(_) => Err("went on".to_owned()),
    }
}
