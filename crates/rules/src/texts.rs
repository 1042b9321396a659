//! Labels and annotations of alerts, which are templates.

use std::sync::Arc;

use model::Labels;
use template::Functions;
use template::prometheus::{
    ALERT_VARIABLES, AlertText, QuerySample, SampleValue, Surroundings, alert_data, check, functions,
};

use crate::alert::Annotations;
use crate::environment::{Environment, Settings};
use crate::time::Time;

/// Named templates.
#[derive(Debug)]
pub(crate) struct Texts {
    texts: Vec<(String, AlertText)>,
    /// All of them are the same for all alerts.
    pub(crate) verbatim: bool,
    /// One of them may make something else of the same data another time.
    pub(crate) change: bool,
    /// What they give, if they are verbatim.
    fixed: Annotations,
}

impl Texts {
    pub(crate) fn new<'a>(alert: &str, texts: impl Iterator<Item = (&'a String, &'a String)>) -> Self {
        let texts: Vec<(String, AlertText)> =
            texts.map(|(name, text)| (name.clone(), AlertText::new(alert, text))).collect();
        let verbatim = texts.iter().all(|(_, text)| text.verbatim().is_some());
        let change = texts.iter().any(|(_, text)| text.changes());
        let fixed = texts
            .iter()
            .filter_map(|(name, text)| Some((name.clone(), text.verbatim()?.to_owned())))
            .collect();
        Texts { texts, verbatim, change, fixed }
    }

    /// Each name with what its template makes of one sample.
    pub(crate) fn expand(&self, expander: &Expander<'_>) -> Annotations {
        if self.verbatim {
            return Arc::clone(&self.fixed);
        }
        self.texts.iter().map(|(name, text)| (name.clone(), expander.expand(text))).collect()
    }
}

/// What is wrong with a label or an annotation of the alert `alert`, in Prometheus' words.
///
/// # Errors
/// When it is no template.
pub fn check_text(alert: &str, text: &str) -> Result<(), String> {
    let text = format!("{ALERT_VARIABLES}{text}");
    check(&format!("__alert_{alert}"), &text).map_err(|error| error.to_string())
}

/// Expands templates for one sample.
pub(crate) struct Expander<'a> {
    data: template::Value,
    functions: &'a Functions,
    alert: &'a str,
}

impl<'a> Expander<'a> {
    pub(crate) fn new(
        alert: &'a str,
        labels: &Labels,
        value: &SampleValue,
        settings: &Settings,
        external_url: &str,
        functions: &'a Functions,
    ) -> Self {
        let data = alert_data(labels, &settings.external_labels, external_url, value);
        Expander { data, functions, alert }
    }

    fn expand(&self, text: &AlertText) -> String {
        text.expand(&self.data, self.functions).unwrap_or_else(|error| {
            tracing::warn!(
                component = "rule manager",
                alert = self.alert,
                err = %error,
                "Expanding alert template failed"
            );
            format!("<error expanding template: {error}>")
        })
    }
}

/// What templates may call when they are expanded for the time `at`.
pub(crate) fn callable(environment: &Arc<Environment>, at: Time) -> Functions {
    let (for_queries, time) = (Arc::clone(environment), at.millis());
    functions(&Surroundings {
        time,
        external_url: environment.options.external_url.clone(),
        query: Arc::new(move |query| {
            let samples = for_queries.query(query, time).map_err(|error| error.to_string())?;
            let sample = |sample: promql::VectorSample| QuerySample {
                labels: sample.labels,
                value: sample.histogram.map_or(SampleValue::Float(sample.v), SampleValue::Histogram),
            };
            Ok(samples.into_iter().map(sample).collect())
        }),
    })
}
