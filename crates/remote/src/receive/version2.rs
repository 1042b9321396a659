//! `io.prometheus.write.v2.Request`: texts stand in a table and are named by number.

use exposition::ParseError;
use exposition::protobuf_wire::{BYTES, Reader, Tag, VARINT};
use model::{METRIC_TYPE, METRIC_UNIT};
use storage::{Metadata, SeriesCache, SeriesKey};

use super::Reading;
use super::incoming::Phase;
use super::wire_labels::{BadLabels, Pair, exemplar_labels, shown};
use crate::histogram::WireHistogram;
use crate::metric_kind;
use crate::sample::{self, WireSample};

/// The texts of a request.
#[derive(Default)]
pub(super) struct Symbols<'a> {
    pub(super) texts: Vec<&'a [u8]>,
    keys: Vec<SeriesKey>,
}

impl<'a> Symbols<'a> {
    fn text(&self, number: u64) -> &'a [u8] {
        usize::try_from(number).ok().and_then(|number| self.texts.get(number)).copied().unwrap_or(&[])
    }

    fn key(&self, number: u64) -> Option<SeriesKey> {
        self.keys.get(usize::try_from(number).ok()?).copied()
    }
}

/// The type of metrics of which nothing is known.
const UNKNOWN: &str = "unknown";

/// What a series says about itself.
#[derive(Default, Clone, Copy)]
struct About {
    kind: u64,
    help: u64,
    unit: u64,
}

impl About {
    fn kind(self) -> &'static str {
        metric_kind::of_number(self.kind)
    }

    /// Whether type or unit become labels where they may.
    fn describes(self, symbols: &Symbols<'_>) -> bool {
        self.kind() != UNKNOWN || !symbols.text(self.unit).is_empty()
    }
}

/// What a series is known by.
fn series_key(
    refs: &[u32],
    about: About,
    symbols: &Symbols<'_>,
    described: bool,
    cache: &SeriesCache,
) -> SeriesKey {
    let more = (described && about.describes(symbols))
        .then(|| [cache.key(about.kind().as_bytes())].into_iter().chain(symbols.key(about.unit)));
    let keys = refs.iter().filter_map(|&number| symbols.key(number.into()));
    cache.key_of(keys.chain(more.into_iter().flatten()))
}

/// The labels of a series.
fn collect<'a>(
    refs: &[u32],
    about: About,
    symbols: &Symbols<'a>,
    described: bool,
    pairs: &mut Vec<Pair<'a>>,
) {
    pairs.clear();
    let text = |number: u32| symbols.text(number.into());
    pairs.extend(refs.chunks_exact(2).map(|pair| (text(pair[0]), text(pair[1]))));
    if described && about.describes(symbols) {
        let (kind, unit) = (METRIC_TYPE.as_bytes(), METRIC_UNIT.as_bytes());
        pairs.retain(|(name, _)| *name != kind && *name != unit);
        if about.kind() != UNKNOWN {
            pairs.push((kind, about.kind().as_bytes()));
        }
        if !symbols.text(about.unit).is_empty() {
            pairs.push((unit, symbols.text(about.unit)));
        }
    }
}

/// The labels of a series that was accepted, and what they are known by.
pub(super) fn labels_again<'a>(
    series: &'a [u8],
    symbols: &Symbols<'a>,
    described: bool,
    cache: &SeriesCache,
    pairs: &mut Vec<Pair<'a>>,
) -> Result<Option<SeriesKey>, ParseError> {
    let (refs, about) = read_labels(series)?;
    collect(&refs, about, symbols, described, pairs);
    Ok(Some(series_key(&refs, about, symbols, described, cache)))
}

/// Lists of one series, used again.
#[derive(Default)]
struct Lists<'a> {
    labels: Vec<u32>,
    exemplar: Vec<u32>,
    pairs: Vec<Pair<'a>>,
}

/// Reads a request. The table may stand anywhere, so it is read first.
pub(super) fn read<'a>(body: &'a [u8], reading: &mut Reading<'_>) -> Result<Symbols<'a>, ParseError> {
    let mut symbols = Symbols::default();
    let mut request = Reader::new("Request", body);
    while let Some(tag) = request.tag()? {
        match tag.field {
            4 => {
                tag.expect(BYTES, "Symbols")?;
                let text = request.bytes()?;
                symbols.texts.push(text);
                symbols.keys.push(reading.cache.key(text));
            }
            5 => {
                tag.expect(BYTES, "Timeseries")?;
                request.bytes()?;
            }
            _ => request.skip(tag)?,
        }
    }
    let mut lists = Lists::default();
    let mut request = Reader::new("Request", body);
    while let Some(tag) = request.tag()? {
        if tag.field != 5 {
            request.skip(tag)?;
            continue;
        }
        let series = request.bytes()?;
        let end = body.len() - request.rest().len();
        reading.incoming.begin(end - series.len()..end)?;
        read_series(series, &symbols, reading, &mut lists)?;
    }
    Ok(symbols)
}

fn read_series<'a>(
    data: &'a [u8],
    symbols: &Symbols<'a>,
    reading: &mut Reading<'_>,
    lists: &mut Lists<'a>,
) -> Result<(), ParseError> {
    lists.labels.clear();
    let mut about = About::default();
    let (mut samples, mut exemplars) = (0usize, false);
    let mut r = Reader::new("TimeSeries", data);
    while let Some(tag) = r.tag()? {
        match tag.field {
            1 => read_refs(&mut r, tag, &mut lists.labels)?,
            2 => {
                tag.expect(BYTES, "Samples")?;
                let WireSample { t, v, start_time } = WireSample::read(r.bytes()?)?;
                samples += 1;
                reading.sample(t, v, start_time);
            }
            3 => {
                tag.expect(BYTES, "Histograms")?;
                samples += 1;
                reading.histogram(WireHistogram::read(r.bytes()?)?);
            }
            4 => {
                tag.expect(BYTES, "Exemplars")?;
                r.bytes()?;
                exemplars = true;
            }
            5 => {
                tag.expect(BYTES, "Metadata")?;
                about = read_about(r.bytes()?)?;
            }
            _ => r.skip(tag)?,
        }
    }
    let refused = settle(symbols, reading, lists, about, samples).err();
    if let Some(Refused { text, invalid }) = refused {
        reading.incoming.drop_newest();
        reading.forget_complaints();
        reading.incoming.complain(Phase::Labels, text);
        reading.incoming.invalid += if invalid { samples } else { 0 };
        return Ok(());
    }
    if exemplars {
        read_exemplars(data, symbols, reading, lists)?;
        reading.assign_newest();
    }
    Ok(())
}

/// Why nothing of a series is stored.
struct Refused {
    text: String,
    /// Whether it counts as having invalid labels.
    invalid: bool,
}

/// Finds out which series it is.
fn settle<'a>(
    symbols: &Symbols<'a>,
    reading: &mut Reading<'_>,
    lists: &mut Lists<'a>,
    about: About,
    samples: usize,
) -> Result<(), Refused> {
    let size = symbols.texts.len();
    let invalid = |text: String| Refused { text, invalid: true };
    let refs = &lists.labels;
    let in_series = |refs: &[u32], why: String| {
        let numbers: Vec<String> = refs.iter().map(u32::to_string).collect();
        format!("parsing {why} for series [{}]", numbers.join(" "))
    };
    if !refs.len().is_multiple_of(2) {
        let why = format!("{}: invalid labelRefs length {}", in_series(refs, "labels".into()), refs.len());
        return Err(invalid(why));
    }
    for pair in refs.chunks_exact(2) {
        if pair.iter().any(|&number| number as usize >= size) {
            let (name, value) = (pair[0], pair[1]);
            let why =
                format!("labelRefs {name} (name) = {value} (value) outside of symbols table (size {size})");
            return Err(invalid(format!("{}: {why}", in_series(refs, "labels".into()))));
        }
    }
    for (number, field) in [(about.unit, "unit_ref"), (about.help, "help_ref")] {
        if number >= size as u64 {
            let why = format!("metadata {field} {number} outside of symbols table (size {size})");
            let text = format!("{}: {why}", in_series(refs, "metadata".into()));
            return Err(Refused { text, invalid: false });
        }
    }
    let described = reading.options.type_and_unit_labels;
    let key = Some(series_key(refs, about, symbols, described, reading.cache));
    let news = reading.options.metadata.then(|| {
        let texts = [about.help, about.unit].into_iter().filter_map(|number| symbols.key(number));
        reading.cache.key_of([reading.cache.key(about.kind().as_bytes())].into_iter().chain(texts))
    });
    let known = reading.knows(key);
    if !known || samples == 0 {
        collect(refs, about, symbols, described, &mut lists.pairs);
    }
    if samples == 0 {
        lists.pairs.sort_by_key(|(name, _)| *name);
        reading.check(&mut lists.pairs).map_err(|bad| invalid(told(&bad, &lists.pairs)))?;
        let series = shown(&lists.pairs);
        let text = format!("TimeSeries must contain at least one sample or histogram for series {series}");
        return Err(Refused { text, invalid: false });
    }
    if !known && let Err(bad) = reading.resolve(key, &mut lists.pairs) {
        return Err(invalid(told(&bad, &lists.pairs)));
    }
    if let Some(news) = news
        && reading.is_news(key, news)
    {
        let lossy = |number: u64| String::from_utf8_lossy(symbols.text(number)).into_owned();
        let (unit, help) = (lossy(about.unit), lossy(about.help));
        reading.incoming.metadata(Metadata { kind: about.kind().to_owned(), unit, help });
        reading.assign_newest();
    }
    Ok(())
}

fn told(bad: &BadLabels, pairs: &[Pair<'_>]) -> String {
    let series = shown(pairs);
    match bad {
        BadLabels::Invalid => format!("invalid metric name or labels, got {series}"),
        BadLabels::Duplicate(name) => {
            format!("invalid labels for series, labels {series}, duplicated label {name}")
        }
    }
}

/// Packed, or one of them.
fn read_refs(r: &mut Reader<'_>, tag: Tag, out: &mut Vec<u32>) -> Result<(), ParseError> {
    if tag.wire != BYTES {
        tag.expect(VARINT, "LabelsRefs")?;
        out.push(r.varint()? as u32);
        return Ok(());
    }
    let mut list = Reader::new("TimeSeries", r.bytes()?);
    while !list.is_empty() {
        out.push(list.varint()? as u32);
    }
    Ok(())
}

fn read_about(data: &[u8]) -> Result<About, ParseError> {
    let mut about = About::default();
    let mut r = Reader::new("Metadata", data);
    while let Some(tag) = r.tag()? {
        let (field, number) = match tag.field {
            1 => ("Type", &mut about.kind),
            3 => ("HelpRef", &mut about.help),
            4 => ("UnitRef", &mut about.unit),
            _ => {
                r.skip(tag)?;
                continue;
            }
        };
        tag.expect(VARINT, field)?;
        *number = r.varint()?;
    }
    Ok(about)
}

fn read_exemplars<'a>(
    series: &'a [u8],
    symbols: &Symbols<'a>,
    reading: &mut Reading<'_>,
    lists: &mut Lists<'a>,
) -> Result<(), ParseError> {
    let mut r = Reader::new("TimeSeries", series);
    while let Some(tag) = r.tag()? {
        if tag.field != 4 {
            r.skip(tag)?;
            continue;
        }
        lists.exemplar.clear();
        let (t, v) = sample::read_exemplar(r.bytes()?, |r, tag| read_refs(r, tag, &mut lists.exemplar))?;
        let size = symbols.texts.len();
        let refs = &lists.exemplar;
        let outside = refs.chunks_exact(2).find(|pair| pair.iter().any(|&number| number as usize >= size));
        let why = match outside {
            _ if !refs.len().is_multiple_of(2) => format!("invalid labelRefs length {}", refs.len()),
            Some(pair) => format!(
                "labelRefs {} (name) = {} (value) outside of symbols table (size {size})",
                pair[0], pair[1]
            ),
            None => {
                let text = |number: u32| symbols.texts.get(number as usize).copied().unwrap_or(&[]);
                lists.pairs.clear();
                lists.pairs.extend(refs.chunks_exact(2).map(|pair| (text(pair[0]), text(pair[1]))));
                reading.exemplar(exemplar_labels(&lists.pairs), t, v);
                continue;
            }
        };
        let labels = series_text(series, symbols, reading.options.type_and_unit_labels)?;
        let text = format!("parsing exemplar for series {labels}: {why}");
        reading.incoming.complain(Phase::Exemplars, text);
    }
    Ok(())
}

/// The labels of a series that was accepted, for people.
pub(super) fn series_text(
    series: &[u8],
    symbols: &Symbols<'_>,
    described: bool,
) -> Result<String, ParseError> {
    let (refs, about) = read_labels(series)?;
    let mut pairs = Vec::new();
    collect(&refs, about, symbols, described, &mut pairs);
    pairs.sort_by_key(|(name, _)| *name);
    Ok(shown(&pairs))
}

fn read_labels(series: &[u8]) -> Result<(Vec<u32>, About), ParseError> {
    let (mut refs, mut about) = (Vec::new(), About::default());
    let mut r = Reader::new("TimeSeries", series);
    while let Some(tag) = r.tag()? {
        match tag.field {
            1 => read_refs(&mut r, tag, &mut refs)?,
            5 => {
                tag.expect(BYTES, "Metadata")?;
                about = read_about(r.bytes()?)?;
            }
            _ => r.skip(tag)?,
        }
    }
    Ok((refs, about))
}
