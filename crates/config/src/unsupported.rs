//! What is valid, and not implemented yet.

use std::fmt;

use crate::error::{Problem, report};
use crate::load::Config;
use crate::sections::{HttpClient, ScrapeConfig, Step, place};

/// Keys that are understood and would have no effect. A server refuses them, so that nobody believes otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    problems: Vec<Problem>,
    names: Vec<String>,
    text: String,
}

impl Unsupported {
    /// For people: each key with its place.
    #[must_use]
    pub fn report(&self, file: &str) -> String {
        report(&self.problems, file, &self.text)
    }
}

/// `remote_write (line 3) is not supported yet`, a line each.
impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, problem)) in self.names.iter().zip(&self.problems).enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            match problem.span {
                Some(span) => write!(f, "{name} (line {}) is not supported yet", span.start.line)?,
                None => write!(f, "{name} is not supported yet")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Unsupported {}

/// A key and the way to it.
struct Finding {
    name: String,
    steps: Vec<Step>,
}

/// Notes keys of one section.
struct Findings<'a> {
    found: &'a mut Vec<Finding>,
    at: Vec<Step>,
    /// What stands before the key in its name.
    prefix: String,
}

impl Findings<'_> {
    fn note(&mut self, set: bool, key: &'static str) {
        if set {
            let steps = self.at.iter().copied().chain([Step::Key(key)]).collect();
            self.found.push(Finding { name: format!("{}{key}", self.prefix), steps });
        }
    }

    /// Continues inside a key.
    fn inside(&mut self, steps: &[Step], prefix: String) -> Findings<'_> {
        let at = self.at.iter().copied().chain(steps.iter().copied()).collect();
        Findings { found: self.found, at, prefix }
    }
}

impl Config {
    /// What of the main file and of the jobs of further files would have no effect.
    #[must_use]
    pub fn unsupported(&self, jobs: &[ScrapeConfig]) -> Option<Unsupported> {
        let mut found = Vec::new();
        let mut findings = Findings { found: &mut found, at: Vec::new(), prefix: String::new() };
        self.find_in_sections(&mut findings);
        let own_jobs = self.document().scrape_configs.len();
        for (i, job) in self.document().scrape_configs.iter().flatten().enumerate() {
            let at = [Step::Key("scrape_configs"), Step::Index(i)];
            find_in_job(job, &mut findings.inside(&at, format!("job {}: ", job.job_name)));
        }
        let mut in_files = Vec::new();
        for job in jobs.iter().skip(own_jobs) {
            let prefix = format!("job {}: ", job.job_name);
            find_in_job(job, &mut Findings { found: &mut in_files, at: Vec::new(), prefix });
        }
        if found.is_empty() && in_files.is_empty() {
            return None;
        }
        let spans = found
            .iter()
            .map(|finding| self.root().map(|root| place(root, &finding.steps)))
            .chain(in_files.iter().map(|_| None))
            .collect::<Vec<_>>();
        let names: Vec<String> = found.into_iter().chain(in_files).map(|finding| finding.name).collect();
        let problems = names
            .iter()
            .zip(spans)
            .map(|(name, span)| Problem { span, message: format!("{name} is not supported yet"), help: None })
            .collect();
        Some(Unsupported { problems, names, text: self.text().to_owned() })
    }

    fn find_in_sections(&self, findings: &mut Findings<'_>) {
        let document = self.document();
        for (i, write) in document.remote_write.iter().flatten().enumerate() {
            let at =
                [Step::Key("remote_write"), Step::Index(i), Step::Key("azuread"), Step::Key("certificate")];
            let certificate = write.azuread.as_ref().and_then(|azure| azure.certificate.as_ref());
            // Only files in PEM form are read, which have none.
            let password =
                certificate.is_some_and(|certificate| !certificate.certificate_password.is_unset());
            let prefix = "remote_write.azuread.certificate.".into();
            findings.inside(&at, prefix).note(password, "certificate_password");
        }
        findings.note(!document.tracing.endpoint.is_empty(), "tracing");
    }
}

impl ScrapeConfig {
    /// What of this job would have no effect.
    #[must_use]
    pub fn unsupported(&self) -> Option<Unsupported> {
        let mut found = Vec::new();
        let prefix = format!("job {}: ", self.job_name);
        find_in_job(self, &mut Findings { found: &mut found, at: Vec::new(), prefix });
        if found.is_empty() {
            return None;
        }
        let names: Vec<String> = found.into_iter().map(|finding| finding.name).collect();
        let problem = |name: &String| Problem {
            span: None,
            message: format!("{name} is not supported yet"),
            help: None,
        };
        Some(Unsupported { problems: names.iter().map(problem).collect(), names, text: String::new() })
    }
}

fn find_in_job(job: &ScrapeConfig, findings: &mut Findings<'_>) {
    find_in_client(&job.http, findings);
    for (key, i, client) in job.discovery.clients() {
        let prefix = format!("{}{key}.", findings.prefix);
        find_in_client(client, &mut findings.inside(&[Step::Key(key), Step::Index(i)], prefix));
    }
    for key in job.discovery.idle_kinds() {
        findings.note(true, key);
    }
}

/// References into a secret manager, of which there is none.
fn find_in_client(http: &HttpClient, findings: &mut Findings<'_>) {
    let from_manager = http.oauth2.as_ref().is_some_and(|auth| {
        !auth.client_secret_ref.is_empty() || !auth.client_certificate_key_ref.is_empty()
    });
    findings.note(from_manager, "oauth2");
    let from_manager = http
        .basic_auth
        .as_ref()
        .is_some_and(|auth| !auth.username_ref.is_empty() || !auth.password_ref.is_empty());
    findings.note(from_manager, "basic_auth");
    findings.note(
        http.authorization.as_ref().is_some_and(|auth| !auth.credentials_ref.is_empty()),
        "authorization",
    );
    let tls = &http.tls_config;
    let from_manager = !tls.ca_ref.is_empty() || !tls.cert_ref.is_empty() || !tls.key_ref.is_empty();
    findings.note(from_manager, "tls_config");
}
