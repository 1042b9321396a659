//! Finds a route as the two routers of Prometheus do, one behind the other: Go's `ServeMux`, which sends clients to the
//! clean form of a path, and julienschmidt's `httprouter`, which sends them to a route that differs by the trailing slash or
//! by case, answers `OPTIONS` and tells which methods there are.

use http::Method;

/// What a table of routes has for a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<R> {
    /// The route, and what its placeholder stands for.
    Route(R, String),
    /// A route of that method has this path, which is nearly the one asked for.
    Elsewhere(String),
    /// The path has routes, of these methods.
    Otherwise(Vec<Method>),
    Nothing,
}

/// A line of a table of routes.
pub(crate) trait Line: Copy {
    /// Segments; `:name` stands for one, `*name` for the rest.
    fn pattern(self) -> &'static str;
    fn methods(self) -> &'static [Method];
}

/// Looks up a path that is clean and no longer percent-encoded.
pub(crate) fn find<R: Line>(table: impl Iterator<Item = R> + Clone, method: &Method, path: &str) -> Found<R> {
    let own = table.clone().filter(|line| line.methods().contains(method));
    for line in own.clone() {
        if let Some(param) = capture(line.pattern(), path) {
            return Found::Route(line, param);
        }
    }
    if path != "/" {
        let slashed = match path.strip_suffix('/') {
            Some(without) => without.to_owned(),
            None => format!("{path}/"),
        };
        if own.clone().any(|line| capture(line.pattern(), &slashed).is_some()) {
            return Found::Elsewhere(slashed);
        }
        let near = |path: &str| own.clone().find_map(|line| respelled(line.pattern(), path));
        if let Some(path) = near(path).or_else(|| near(&slashed)) {
            return Found::Elsewhere(path);
        }
    }
    let others = table.filter(|line| capture(line.pattern(), path).is_some());
    let mut methods: Vec<Method> = others.flat_map(|line| line.methods().iter().cloned()).collect();
    if methods.is_empty() {
        return Found::Nothing;
    }
    methods.push(Method::OPTIONS);
    methods.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    methods.dedup();
    Found::Otherwise(methods)
}

/// Whether `path` is of the pattern's form, and if so what its placeholder stands for.
fn capture(pattern: &str, path: &str) -> Option<String> {
    let mut captured = String::new();
    let mut rest = path;
    for segment in pattern.split('/').skip(1) {
        rest = rest.strip_prefix('/')?;
        if segment.starts_with('*') {
            return Some(rest.to_owned());
        }
        let (actual, after) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if segment.starts_with(':') {
            captured = actual.to_owned();
        } else if segment != actual {
            return None;
        }
        rest = after;
    }
    rest.is_empty().then_some(captured)
}

/// The path as the pattern has it, if they differ by case alone.
fn respelled(pattern: &str, path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    for segment in pattern.split('/').skip(1) {
        rest = rest.strip_prefix('/')?;
        out.push('/');
        if segment.starts_with('*') {
            out.push_str(rest);
            return Some(out);
        }
        let (actual, after) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if !segment.starts_with(':') && segment.to_lowercase() != actual.to_lowercase() {
            return None;
        }
        out.push_str(if segment.starts_with(':') { actual } else { segment });
        rest = after;
    }
    rest.is_empty().then_some(out)
}

/// The path without empty segments, `.` and `..`; a slash at its end stays.
pub(crate) fn clean(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            name => kept.push(name),
        }
    }
    let end = if path.ends_with('/') && !kept.is_empty() { "/" } else { "" };
    format!("/{}{end}", kept.join("/"))
}

/// Percent-decoded; none where a percent sign is not followed by two digits. What is then no UTF-8 is replaced.
pub(crate) fn decode(path: &str) -> Option<String> {
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(b) = bytes.next() {
        if b != b'%' {
            out.push(b);
            continue;
        }
        let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
        out.push((digit()? << 4 | digit()?) as u8);
    }
    Some(String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

/// A path as it stands in a URL.
pub(crate) fn encode(path: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@!'()*[]".contains(&b);
    let mut out = String::with_capacity(path.len());
    for b in path.bytes() {
        match plain(b) {
            true => out.push(char::from(b)),
            false => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Row(&'static str, &'static [Method]);

    impl Line for Row {
        fn pattern(self) -> &'static str {
            self.0
        }
        fn methods(self) -> &'static [Method] {
            self.1
        }
    }

    const QUERY: Row = Row("/query", &[Method::GET, Method::POST]);
    const VALUES: Row = Row("/label/:name/values", &[Method::GET]);
    const FILES: Row = Row("/files/*path", &[Method::GET]);
    const RELOAD: Row = Row("/reload", &[Method::PUT]);

    #[test]
    fn paths_are_found_or_told_where_they_are() {
        let elsewhere = |path: &str| Found::Elsewhere(path.to_owned());
        let cases = [
            (Method::GET, "/query", Found::Route(QUERY, String::new())),
            (Method::GET, "/query/", elsewhere("/query")),
            (Method::POST, "/query/", elsewhere("/query")),
            (Method::PUT, "/query/", Found::Nothing),
            (Method::GET, "/Query", elsewhere("/query")),
            (Method::GET, "/QUERY/", elsewhere("/query")),
            (Method::DELETE, "/query", Found::Otherwise(vec![Method::GET, Method::OPTIONS, Method::POST])),
            (Method::GET, "/reload", Found::Otherwise(vec![Method::OPTIONS, Method::PUT])),
            (Method::GET, "/label/é/values", Found::Route(VALUES, "é".to_owned())),
            (Method::GET, "/label/A/Values", elsewhere("/label/A/values")),
            (Method::GET, "/label/a/b/values", Found::Nothing),
            (Method::GET, "/files/a/b", Found::Route(FILES, "a/b".to_owned())),
            (Method::GET, "/files/", Found::Route(FILES, String::new())),
            (Method::GET, "/files", elsewhere("/files/")),
            (Method::GET, "/", Found::Nothing),
        ];
        let table = [QUERY, VALUES, FILES, RELOAD];
        for (method, path, want) in cases {
            assert_eq!(find(table.iter().copied(), &method, path), want, "{method} {path}");
        }
    }

    #[test]
    fn paths_are_cleaned() {
        for (path, want) in [
            ("/", "/"),
            ("", "/"),
            ("//", "/"),
            ("/..", "/"),
            ("/a//b/", "/a/b/"),
            ("/a/./b", "/a/b"),
            ("/a/../../b/.", "/b"),
            ("/a/..", "/"),
            ("/%2e%2e/a", "/%2e%2e/a"),
        ] {
            assert_eq!(clean(path), want, "{path}");
        }
    }

    #[test]
    fn paths_are_decoded_and_encoded() {
        for (path, want) in [
            ("/a%2Fb%C3%A9", Some("/a/bé")),
            ("/a%zz", None),
            ("/a%", None),
            ("/a%4", None),
            ("/%ff", Some("/\u{fffd}")),
        ] {
            assert_eq!(decode(path).as_deref(), want, "{path}");
        }
        assert_eq!(encode("/a b/é:[x]?"), "/a%20b/%C3%A9:[x]%3F");
    }
}
