//! URLs rendered as Go's `net/url` renders them, since users compare them with Prometheus'.

use std::collections::BTreeMap;

use httpclient::Url;
use model::go_url;
use model::number::quote;

/// `scheme://host/path?params`, parameters sorted by name.
pub(crate) fn render(scheme: &str, host: &str, path: &str, params: &BTreeMap<String, Vec<String>>) -> String {
    let mut out = String::new();
    go_url::push_location(&mut out, scheme, host, path);
    let mut separator = '?';
    for (name, values) in params {
        for value in values {
            out.push(separator);
            separator = '&';
            go_url::push_query(&mut out, name);
            out.push('=');
            go_url::push_query(&mut out, value);
        }
    }
    out
}

/// The URL to ask, or why there is none.
///
/// # Errors
/// Go's words for what is mistyped most: an IPv6 address without brackets, more than a host and a port, a blank.
pub(crate) fn parse(url: &str) -> Result<Url, String> {
    let quoted = quote(url);
    let Some((_, rest)) = url.split_once("://") else {
        return Err(format!("Get {quoted}: unsupported protocol scheme \"\""));
    };
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    if let Some(wrong) = wrong_authority(authority) {
        return Err(format!("parse {quoted}: {wrong}"));
    }
    match go_url::split_host_port(authority) {
        Some((_, port)) if !port.is_empty() && port.parse::<u16>().is_err() => {
            Err(format!("Get {quoted}: dial tcp: address {port}: invalid port"))
        }
        _ => Url::parse(url).map_err(|err| format!("parse {quoted}: {err}")),
    }
}

fn wrong_authority(authority: &str) -> Option<String> {
    if !authority.starts_with('[')
        && let Some(colon) = authority.find(':')
    {
        let (port, number) = (&authority[colon..], &authority[colon + 1..]);
        if number.contains(':') {
            return Some(format!(
                "invalid port {} after host: address {authority}: too many colons in address",
                quote(port)
            ));
        }
        if !number.bytes().all(|b| b.is_ascii_digit()) {
            return Some(format!("invalid port {} after host", quote(port)));
        }
    }
    // Only what is beyond ASCII may be escaped in a host, and the sign of escaping.
    let mut escapes = authority.match_indices('%').filter_map(|(at, _)| authority.get(at..at + 3));
    let wrong = escapes.find(|escape| *escape != "%25" && escape.as_bytes()[1] < b'8')?;
    Some(format!("invalid URL escape {}", quote(wrong)))
}

/// How others reach this process, for links to targets on this machine.
#[derive(Debug, Clone)]
pub struct ExternalAddress {
    /// `host:port` of the external URL.
    pub host: String,
    /// The port of the listen address.
    pub listen_port: String,
}

/// The URL with a host that means "this machine" replaced by the name others know it by.
pub(crate) fn global(url: &str, external: &ExternalAddress) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let Some((host, port)) = go_url::split_host_port(authority) else { return url.to_owned() };
    if !["127.0.0.1", "localhost", "::1"].contains(&host) {
        return url.to_owned();
    }
    if port == external.listen_port {
        return format!("{scheme}://{}{path}", external.host);
    }
    let name = go_url::split_host_port(&external.host).map_or(external.host.as_str(), |(name, _)| name);
    format!("{scheme}://{name}:{port}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_escaped_as_in_go() {
        let params = BTreeMap::from([
            ("match[]".to_owned(), vec!["{job=\"a b\"}".to_owned(), "é".to_owned()]),
            ("a".to_owned(), vec!["1".to_owned()]),
        ]);
        assert_eq!(
            render("http", "h:1", "federate x?y", &params),
            "http://h:1/federate%20x%3Fy?a=1&match%5B%5D=%7Bjob%3D%22a+b%22%7D&match%5B%5D=%C3%A9"
        );
    }

    #[test]
    fn what_is_no_url_is_told_as_in_go() {
        for (url, expected) in [
            ("http://::1/m", "invalid port \"::1\" after host: address ::1: too many colons in address"),
            (
                "http://fd00::1:9100/m",
                "invalid port \"::1:9100\" after host: address fd00::1:9100: too many colons in address",
            ),
            ("http://h:http/m", "invalid port \":http\" after host"),
            ("http://h:9100%20/m", "invalid port \":9100%20\" after host"),
            ("http://a%20b:1/m", "invalid URL escape \"%20\""),
        ] {
            assert_eq!(parse(url).unwrap_err(), format!("parse \"{url}\": {expected}"));
        }
        let far = "http://127.0.0.1:99999/m";
        assert_eq!(parse(far).unwrap_err(), format!("Get \"{far}\": dial tcp: address 99999: invalid port"));
        assert_eq!(parse("//h:1/m").unwrap_err(), "Get \"//h:1/m\": unsupported protocol scheme \"\"");
        for good in
            ["http://[fd00::1]:9100/m", "https://h/m?a=b:c", "http://h:/m", "http://%C3%A4.example:1/m"]
        {
            assert!(parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn local_hosts_become_the_external_one() {
        let external =
            ExternalAddress { host: "prom.example:9090".to_owned(), listen_port: "9090".to_owned() };
        for (url, expected) in [
            ("http://127.0.0.1:9090/metrics", "http://prom.example:9090/metrics"),
            ("http://localhost:9100/metrics?a=b", "http://prom.example:9100/metrics?a=b"),
            ("http://[::1]:80/metrics", "http://prom.example:80/metrics"),
            ("http://::1/metrics", "http://::1/metrics"),
            ("http://other:9100/", "http://other:9100/"),
            ("http://localhost/metrics", "http://localhost/metrics"),
        ] {
            assert_eq!(global(url, &external), expected);
        }
    }
}
