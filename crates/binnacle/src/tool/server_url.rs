//! URLs of servers, as Go reads and writes them.

use model::go_url::push_query;
use model::number::quote;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerUrl {
    /// In lower case; may be empty.
    scheme: String,
    /// User and password, host and port, as written.
    authority: String,
    /// What stands behind the scheme of a URL that goes nowhere: `1` of `localhost:1`.
    opaque: Option<String>,
    path: String,
    query: Option<String>,
}

impl ServerUrl {
    /// The value of a flag or an argument.
    ///
    /// # Errors
    /// In promtool's words.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        config::check_url(text).map_err(|why| format!("invalid URL: parse {}: {why}", quote(text)))?;
        let text = text.split('#').next().unwrap_or_default();
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_ascii_lowercase(), rest),
            _ => (String::new(), text),
        };
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query.to_owned())),
            None => (rest, None),
        };
        let opaque = (!scheme.is_empty() && !rest.starts_with('/')).then(|| rest.to_owned());
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            None => ("", rest),
        };
        Ok(ServerUrl { scheme, authority: authority.into(), opaque, path: path.into(), query })
    }

    /// The same, of `http` unless it says otherwise; then what looks like a path begins with the host.
    pub(crate) fn with_scheme(mut self) -> Self {
        if self.scheme.is_empty() {
            self.scheme = "http".to_owned();
            if self.authority.is_empty() && !self.path.starts_with('/') {
                let path = std::mem::take(&mut self.path);
                let (authority, path) = path.split_at(path.find('/').unwrap_or(path.len()));
                (self.authority, self.path) = (authority.to_owned(), path.to_owned());
            }
        }
        self
    }

    /// The URL of what is below it, escaped already.
    pub(crate) fn join(&self, below: &str) -> Self {
        let path = clean(&format!("{}/{below}", self.path));
        ServerUrl { path, ..self.clone() }
    }

    /// Parameters that it has of its own, decoded.
    pub(crate) fn parameters(&self) -> Vec<(String, String)> {
        let query = self.query.as_deref().unwrap_or_default();
        let Ok(url) = httpclient::Url::parse(&format!("http://localhost/?{query}")) else {
            return Vec::new();
        };
        url.query_pairs().into_owned().collect()
    }

    /// The same with other parameters.
    pub(crate) fn with_query(&self, query: &str) -> Self {
        let query = (!query.is_empty()).then(|| query.to_owned());
        ServerUrl { query, ..self.clone() }
    }

    /// Whether it names a user.
    pub(crate) fn has_user(&self) -> bool {
        self.authority.rsplit_once('@').is_some_and(|(user, _)| !user.is_empty() && !user.starts_with(':'))
    }

    /// As it is asked for.
    pub(crate) fn text(&self) -> String {
        self.written(&self.authority)
    }

    /// As errors show it.
    pub(crate) fn shown(&self) -> String {
        match self.authority.rsplit_once('@').and_then(|(user, host)| Some((user.split_once(':')?.0, host))) {
            Some((user, host)) => self.written(&format!("{user}:***@{host}")),
            None => self.text(),
        }
    }

    /// Why nothing can be asked there.
    pub(crate) fn refusal(&self) -> Option<String> {
        if !matches!(self.scheme.as_str(), "http" | "https") {
            return Some(format!("unsupported protocol scheme {}", quote(&self.scheme)));
        }
        self.authority.is_empty().then(|| "http: no Host in request URL".to_owned())
    }

    fn written(&self, authority: &str) -> String {
        let query = self.query.as_deref().map(|query| format!("?{query}")).unwrap_or_default();
        match &self.opaque {
            Some(opaque) => format!("{}:{opaque}{query}", self.scheme),
            None => format!("{}://{authority}{}{query}", self.scheme, self.path),
        }
    }
}

/// Parameters as a form or a query has them, in order of their names.
pub(crate) fn encoded(parameters: &[(String, String)]) -> String {
    let mut sorted: Vec<&(String, String)> = parameters.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let mut out = String::new();
    for (name, value) in sorted {
        if !out.is_empty() {
            out.push('&');
        }
        push_query(&mut out, name);
        out.push('=');
        push_query(&mut out, value);
    }
    out
}

/// A part of a path, as a URL has it.
pub(crate) fn escaped_path(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        let c = char::from(byte);
        if byte.is_ascii_alphanumeric() || (byte.is_ascii() && "-_.~$&+,/:;=@".contains(c)) {
            out.push(c);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// Go's `path.Clean` of a path from the root.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_written_as_go_does() {
        let cases = [
            ("http://127.0.0.1:1", "http://127.0.0.1:1/api/v1/query"),
            ("HTTP://127.0.0.1:80/x//y/", "http://127.0.0.1:80/x/y/api/v1/query"),
            ("http://a/x?y=z#f", "http://a/x/api/v1/query?y=z"),
            ("http://u:p@a", "http://u:***@a/api/v1/query"),
            ("localhost:1", "localhost:1"),
            ("foo", "http://foo/api/v1/query"),
            ("foo/bar", "http://foo/bar/api/v1/query"),
            ("//foo:1/bar", "http://foo:1/bar/api/v1/query"),
            ("http://", "http:///api/v1/query"),
        ];
        for (text, want) in cases {
            let url = ServerUrl::parse(text).unwrap().with_scheme().join("/api/v1/query");
            assert_eq!(url.shown(), want, "{text}");
        }
        for (text, want) in [
            (":::", "parse \":::\": missing protocol scheme"),
            ("127.0.0.1:1", "parse \"127.0.0.1:1\": first path segment in URL cannot contain colon"),
            ("http://a:b:c", "parse \"http://a:b:c\": invalid port \":b:c\" after host"),
        ] {
            assert_eq!(ServerUrl::parse(text), Err(format!("invalid URL: {want}")));
        }
        let refusal = |text: &str| ServerUrl::parse(text).unwrap().with_scheme().refusal();
        assert_eq!(refusal("ftp://x").as_deref(), Some("unsupported protocol scheme \"ftp\""));
        assert_eq!(refusal("http://").as_deref(), Some("http: no Host in request URL"));
        assert_eq!(refusal("x"), None);
    }
}
