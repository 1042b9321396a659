//! How well a name or value fits what somebody typed: a score between 0 and 1.
//!
//! Both measures and their rounding are Prometheus' own, whose answers carry the scores.

/// How a term is compared with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// All characters of the term in their order; runs weigh more than single ones, gaps cost.
    Subsequence,
    /// The term within the value, or nearly the same text.
    JaroWinkler,
}

impl Algorithm {
    pub(crate) const ALL: [Algorithm; 2] = [Algorithm::Subsequence, Algorithm::JaroWinkler];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Algorithm::Subsequence => "subsequence",
            Algorithm::JaroWinkler => "jarowinkler",
        }
    }
}

/// Takes the values that fit one of the terms at least.
#[derive(Debug)]
pub(crate) struct Filter {
    terms: Vec<Term>,
    algorithm: Algorithm,
    threshold: f64,
    case_sensitive: bool,
}

#[derive(Debug)]
struct Term {
    text: String,
    chars: Vec<char>,
}

impl Filter {
    /// Empty terms do not count; without any other there is no filter. `threshold` is between 0 and 1.
    pub(crate) fn new<'a>(
        terms: impl Iterator<Item = &'a str>,
        algorithm: Algorithm,
        threshold: f64,
        case_sensitive: bool,
    ) -> Option<Filter> {
        let terms: Vec<Term> = terms
            .filter(|t| !t.is_empty())
            .map(|t| if case_sensitive { t.to_owned() } else { lowercase(t) })
            .map(|text| Term { chars: text.chars().collect(), text })
            .collect();
        (!terms.is_empty()).then_some(Filter { terms, algorithm, threshold, case_sensitive })
    }

    /// The best score of the terms that the value fits; none if it fits no term.
    pub(crate) fn score(&self, value: &str) -> Option<f64> {
        let folded;
        let value = if self.case_sensitive {
            value
        } else {
            folded = lowercase(value);
            &folded
        };
        let mut best: Option<f64> = None;
        for term in &self.terms {
            let score = match self.algorithm {
                Algorithm::Subsequence => self.subsequence(term, value),
                Algorithm::JaroWinkler => substring(term, value).or_else(|| self.nearly(term, value)),
            };
            best = best.max_by_score(score);
            if best.is_some_and(|b| b >= 1.0) {
                break;
            }
        }
        best
    }

    fn subsequence(&self, term: &Term, value: &str) -> Option<f64> {
        if value.starts_with(&term.text) {
            return Some(1.0);
        }
        let score = match term.text.is_ascii() && value.is_ascii() {
            true => subsequence(term.text.as_bytes(), value.as_bytes()),
            false => subsequence(&term.chars, &value.chars().collect::<Vec<_>>()),
        };
        (score > 0.0 && score >= self.threshold).then_some(score)
    }

    fn nearly(&self, term: &Term, value: &str) -> Option<f64> {
        if self.threshold <= 0.0 {
            return None;
        }
        let score = match term.text.is_ascii() && value.is_ascii() {
            _ if term.text == value => 1.0,
            true => jaro_winkler(term.text.as_bytes(), value.as_bytes()),
            false => jaro_winkler(&term.chars, &value.chars().collect::<Vec<_>>()),
        };
        (score >= self.threshold).then_some(score)
    }
}

trait MaxByScore {
    fn max_by_score(self, other: Self) -> Self;
}

impl MaxByScore for Option<f64> {
    fn max_by_score(self, other: Self) -> Self {
        match (self, other) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        }
    }
}

/// Character by character, as Go folds: no character becomes two.
fn lowercase(text: &str) -> String {
    text.chars().map(|c| c.to_lowercase().next().unwrap_or(c)).collect()
}

/// 1 at the beginning, falling to 0.1 at the end.
fn substring(term: &Term, value: &str) -> Option<f64> {
    let at = value.find(&term.text)?;
    if at == 0 {
        return Some(1.0);
    }
    let position = value[..at].chars().count();
    let last = value.chars().count() - term.chars.len();
    Some(1.0 - 0.9 * position as f64 / last as f64)
}

/// What is not the very text scores a little less than 1.
const NOT_EXACT: f64 = 0.999;

/// 0 if the pattern's characters are not all there in order, else the best of the matches that begin at each
/// occurrence of the first: the squares of the lengths of its runs, less a share for what stands between and around.
fn subsequence<T: Copy + PartialEq>(pattern: &[T], text: &[T]) -> f64 {
    if pattern == text {
        return 1.0;
    }
    let (Some(&first), Some(last_start)) = (pattern.first(), text.len().checked_sub(pattern.len())) else {
        return 0.0;
    };
    let mut best = -1.0;
    for start in 0..=last_start {
        if text[start] != first {
            continue;
        }
        // What is no match from here is none from further on.
        let Some(score) = match_from(start, pattern, text) else { break };
        if score > best {
            best = score;
        }
    }
    if best < 0.0 { 0.0 } else { best / (pattern.len() * pattern.len()) as f64 * NOT_EXACT }
}

fn match_from<T: Copy + PartialEq>(start: usize, pattern: &[T], text: &[T]) -> Option<f64> {
    let share = 1.0 / text.len() as f64;
    let (mut score, mut wanted, mut behind, mut at) = (0.0, 0, 0, start);
    while wanted < pattern.len() {
        let from = at + text[at..].iter().position(|c| *c == pattern[wanted])?;
        let run = text[from..].iter().zip(&pattern[wanted..]).take_while(|(a, b)| a == b).count();
        if from > behind {
            score -= (from - behind) as f64 * share;
        }
        score += (run * run) as f64;
        wanted += run;
        behind = from + run;
        at = behind;
    }
    let trailing = text.len() - behind;
    if trailing > 0 {
        score -= trailing as f64 * share * 0.5;
    }
    Some(score)
}

/// Jaro's similarity, raised for up to four equal characters at the beginning (Winkler).
fn jaro_winkler<T: Copy + PartialEq>(a: &[T], b: &[T]) -> f64 {
    let (short, long) = if a.len() > b.len() { (b, a) } else { (a, b) };
    if short.is_empty() {
        return 0.0;
    }
    let reach = (long.len() / 2).saturating_sub(1);
    let mut taken = vec![false; long.len()];
    let mut matched = Vec::with_capacity(short.len());
    for (i, c) in short.iter().enumerate() {
        let window = i.saturating_sub(reach)..(i + reach + 1).min(long.len());
        let found = window.into_iter().find(|&j| !taken[j] && long[j] == *c);
        if let Some(j) = found {
            taken[j] = true;
            matched.push(*c);
        }
    }
    if matched.is_empty() {
        return 0.0;
    }
    let in_long = long.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(c, _)| c);
    let transposed = matched.iter().zip(in_long).filter(|(a, b)| a != b).count() as f64;
    let matches = matched.len() as f64;
    // Multiplied with reciprocals: a division would round otherwise.
    let (by_short, by_long) = (1.0 / short.len() as f64, 1.0 / long.len() as f64);
    let jaro = (matches * by_short + matches * by_long + (matches - transposed * 0.5) / matches) / 3.0;
    let prefix = short.iter().zip(long).take(4).take_while(|(a, b)| a == b).count() as f64;
    jaro + prefix * 0.1 * (1.0 - jaro)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(algorithm: Algorithm, threshold: f64, term: &str, value: &str) -> Option<f64> {
        Filter::new([term].into_iter(), algorithm, threshold, true)?.score(value)
    }

    #[test]
    fn scores_are_those_of_prometheus() {
        use Algorithm::{JaroWinkler, Subsequence};
        for (algorithm, threshold, term, value, want) in [
            (Subsequence, 0.0, "rqst", "http_requests_total", Some(0.336_833_881_578_947_4)),
            (Subsequence, 0.0, "rqst", "request_duration_seconds_bucket", Some(0.344_413_306_451_613)),
            (Subsequence, 0.0, "up", "dup_a", Some(0.899_099_999_999_999_9)),
            (Subsequence, 0.0, "up", "up_again", Some(1.0)),
            (Subsequence, 0.0, "a", "target_info", Some(0.999 * (1.0 - 1.0 / 11.0 - 9.0 / 11.0 * 0.5))),
            (Subsequence, 0.0, "pu", "up", None),
            (Subsequence, 0.0, "longer", "long", None),
            (Subsequence, 0.5, "rqst", "http_requests_total", None),
            (Subsequence, 0.0, "é", "cafe", None),
            (JaroWinkler, 0.7, "http_request", "http.server.duration", Some(0.836_666_666_666_666_7)),
            (JaroWinkler, 0.7, "http_request", "http_requests_total", Some(1.0)),
            (JaroWinkler, 0.7, "http_request", "h", Some(0.724_999_999_999_999_9)),
            (JaroWinkler, 0.7, "http_request", "http.route", Some(0.855_833_333_333_333_4)),
            (JaroWinkler, 0.0, "meth", "prometheus", Some(0.55)),
            (JaroWinkler, 0.0, "本", "東京日本京都", Some(0.459_999_999_999_999_96)),
            (JaroWinkler, 0.0, "prometheus", "promethus", None),
            (JaroWinkler, 0.8, "prometheus", "grafana", None),
        ] {
            let got = score(algorithm, threshold, term, value);
            let equal = match (got, want) {
                (Some(a), Some(b)) => (a - b).abs() < 1e-15,
                (a, b) => a.is_none() && b.is_none(),
            };
            assert!(equal, "{algorithm:?} {term} {value}: {got:?} instead of {want:?}");
        }
    }

    #[test]
    fn the_best_of_the_terms_counts_and_case_only_if_wanted() {
        let terms = ["", "ZZ", "TOTAL"];
        let filter = |sensitive| Filter::new(terms.into_iter(), Algorithm::JaroWinkler, 0.0, sensitive);
        assert!(filter(true).is_some_and(|f| f.score("requests_total").is_none()));
        assert!(filter(false).is_some_and(|f| f.score("requests_Total").is_some_and(|s| s > 0.09)));
        assert!(Filter::new([""].into_iter(), Algorithm::Subsequence, 0.0, true).is_none());
    }
}
