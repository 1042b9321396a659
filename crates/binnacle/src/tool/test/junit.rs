//! Results of tests as JUnit XML.

/// The tests of one file.
#[derive(Debug, Default)]
pub(super) struct Suite {
    name: String,
    timestamp: String,
    failures: usize,
    errors: usize,
    cases: Vec<Case>,
}

#[derive(Debug, Default)]
struct Case {
    name: String,
    failures: Vec<String>,
    error: String,
}

impl Suite {
    pub(super) fn new(name: &str) -> Self {
        Suite { name: name.to_owned(), ..Suite::default() }
    }

    /// When it ran.
    pub(super) fn set_time(&mut self, time: String) {
        self.timestamp = time;
    }

    /// Begins a test.
    pub(super) fn case(&mut self, name: &str) {
        self.cases.push(Case { name: name.to_owned(), ..Case::default() });
    }

    /// The last test has failed.
    pub(super) fn fail(&mut self, why: &str) {
        self.failures += 1;
        self.last().failures.push(why.to_owned());
    }

    /// No test could be run.
    pub(super) fn abort(&mut self, why: &str) {
        self.errors += 1;
        self.last().error = why.to_owned();
    }

    fn last(&mut self) -> &mut Case {
        if self.cases.is_empty() {
            self.case("unknown");
        }
        let last = self.cases.len() - 1;
        &mut self.cases[last]
    }

    fn push(&self, out: &mut String) {
        out.push_str(&format!(
            "<testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"0\" timestamp=\"{}\">",
            escaped(&self.name),
            self.cases.len(),
            self.failures,
            self.errors,
            escaped(&self.timestamp)
        ));
        for case in &self.cases {
            out.push_str(&format!("<testcase name=\"{}\">", escaped(&case.name)));
            for failure in &case.failures {
                out.push_str(&format!("<failure>{}</failure>", escaped(failure)));
            }
            if !case.error.is_empty() {
                out.push_str(&format!("<error>{}</error>", escaped(&case.error)));
            }
            out.push_str("</testcase>");
        }
        out.push_str("</testsuite>");
    }
}

/// All of them as a document.
pub(super) fn document(suites: &[Suite]) -> String {
    let mut out = String::from("<testsuites>");
    suites.iter().for_each(|suite| suite.push(&mut out));
    out + "</testsuites>"
}

/// As Go's `encoding/xml` writes text.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\t' => out.push_str("&#x9;"),
            '\n' => out.push_str("&#xA;"),
            '\r' => out.push_str("&#xD;"),
            // XML has no way to write them.
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
