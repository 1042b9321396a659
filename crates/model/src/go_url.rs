//! Parts of URLs as Go's `net/url` and `net` write and read them: users compare them with Prometheus'.

use std::fmt::Write as _;

/// `url.QueryEscape`
#[must_use]
pub fn query_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_query(&mut out, text);
    out
}

/// Appends a name or a value of a query string.
pub fn push_query(out: &mut String, text: &str) {
    for (i, part) in text.split(' ').enumerate() {
        if i > 0 {
            out.push('+');
        }
        push(out, part, b"");
    }
}

/// Appends `scheme://host/path` as `URL.String` puts them together.
pub fn push_location(out: &mut String, scheme: &str, host: &str, path: &str) {
    if !scheme.is_empty() {
        out.push_str(scheme);
        out.push(':');
    }
    out.push_str("//");
    push(out, host, b"!$&'()*+,;=:[]<>\"");
    if !path.is_empty() && !path.starts_with('/') {
        out.push('/');
    }
    push(out, path, b"$&+,/:;=@");
}

fn push(out: &mut String, text: &str, also_plain: &[u8]) {
    for &b in text.as_bytes() {
        if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) || also_plain.contains(&b) {
            out.push(char::from(b));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{b:02X}");
        }
    }
}

/// `net.SplitHostPort`: the host without its brackets, and the port; `None` where there is no port.
#[must_use]
pub fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let (before, port) = text.rsplit_once(':')?;
    let host = match before.strip_prefix('[') {
        Some(inside) => inside.strip_suffix(']')?,
        None if before.contains(':') => return None,
        None => before,
    };
    (!host.contains(['[', ']']) && !port.contains(['[', ']'])).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_escaped_as_in_go() {
        assert_eq!(query_escaped("a b+{c=\"é\"}~"), "a+b%2B%7Bc%3D%22%C3%A9%22%7D~");
        let mut out = String::new();
        push_location(&mut out, "http", "h:1", "a b/c?d!$");
        assert_eq!(out, "http://h:1/a%20b/c%3Fd%21$");
    }

    #[test]
    fn hosts_and_ports_are_told_apart_as_in_go() {
        for (text, expected) in [
            ("a:1", Some(("a", "1"))),
            ("[::1]:1", Some(("::1", "1"))),
            ("a:", Some(("a", ""))),
            ("a", None),
            ("::1", None),
            ("[::1]", None),
            ("a]:1", None),
            ("a:[1", None),
        ] {
            assert_eq!(split_host_port(text), expected, "{text}");
        }
    }
}
