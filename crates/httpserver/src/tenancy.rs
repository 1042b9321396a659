//! Who may see which series: the first rule that fits a request says it.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use model::Matcher;

use crate::Certificate;

/// What a caller may see.
#[derive(Debug, Clone)]
pub enum Access {
    /// All there is.
    Everything,
    /// The series that match all of these (there is at least one).
    Within(Arc<[Matcher]>),
    /// No series at all.
    Nothing,
}

/// Rules, in order. A request that none fits sees nothing.
#[derive(Debug, Clone)]
pub struct Tenancy {
    /// Networks of proxies whose headers are believed.
    pub trusted_proxies: Vec<Network>,
    /// The rules.
    pub rules: Vec<TenantRule>,
}

/// All that it asks for must hold.
#[derive(Debug, Clone)]
pub struct TenantRule {
    /// The name that was proved with a password.
    pub user: Option<String>,
    /// A header that a trusted proxy has set.
    pub header: Option<HeaderRule>,
    /// The common name or an alternative name of a certificate that was verified.
    pub certificate: Option<String>,
    /// What those may see.
    pub grant: Grant,
}

/// A header, and the value that it must have; none: any that is not empty.
#[derive(Debug, Clone)]
pub struct HeaderRule {
    /// Its name.
    pub name: HeaderName,
    /// Its value.
    pub value: Option<String>,
}

/// What a rule allows.
#[derive(Debug, Clone)]
pub enum Grant {
    /// All there is.
    Everything,
    /// The series that match all of these.
    Series(Arc<[Matcher]>),
    /// The series whose label of this name has the header's value.
    HeaderAsLabel(String),
}

/// Addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: u128,
    bits: u32,
}

impl Network {
    /// `10.0.0.0/8`, `fd00::/8`, or an address for that alone.
    #[must_use]
    pub fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => {
                let plain = !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
                (address, Some(bits.parse::<u32>().ok().filter(|_| plain)?))
            }
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        (bits <= width).then(|| Network { address: wide(address), bits: bits + (128 - width) })
    }

    /// Whether the address is in it.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        let differing = self.address ^ wide(address);
        differing.leading_zeros() >= self.bits
    }
}

/// Addresses of both families as those of one.
fn wide(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// What rules are held against.
pub(crate) struct Claims<'a> {
    pub(crate) peer: IpAddr,
    pub(crate) user: Option<&'a str>,
    pub(crate) certificate: Option<&'a Certificate>,
    pub(crate) headers: &'a HeaderMap,
}

impl Tenancy {
    pub(crate) fn access(&self, claims: &Claims<'_>) -> Access {
        self.rules.iter().find_map(|rule| self.granted(rule, claims)).unwrap_or(Access::Nothing)
    }

    fn granted(&self, rule: &TenantRule, claims: &Claims<'_>) -> Option<Access> {
        if let Some(user) = &rule.user
            && claims.user != Some(user)
        {
            return None;
        }
        if let Some(name) = &rule.certificate
            && !claims.certificate.is_some_and(|c| c.verified && c.is_of(name))
        {
            return None;
        }
        let mut from_header = None;
        if let Some(header) = &rule.header {
            let value = self.believed(&header.name, claims)?;
            if header.value.as_deref().is_some_and(|wanted| wanted != value) {
                return None;
            }
            from_header = Some(value);
        }
        Some(match &rule.grant {
            Grant::Everything => Access::Everything,
            Grant::Series(matchers) => Access::Within(Arc::clone(matchers)),
            Grant::HeaderAsLabel(label) => {
                Access::Within(Arc::new([Matcher::equal(label.as_str(), from_header?)]))
            }
        })
    }

    /// A header's value, if a trusted proxy has set it, once, to something.
    fn believed<'a>(&self, name: &HeaderName, claims: &Claims<'a>) -> Option<&'a str> {
        if !self.trusted_proxies.iter().any(|network| network.holds(claims.peer)) {
            return None;
        }
        let mut values = claims.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        // Twice may mean: once by the client, and once by a proxy that adds where it should replace.
        (values.next().is_none() && !value.is_empty()).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(tenancy: &Tenancy, peer: &str, user: Option<&str>, headers: &[(&str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let peer = peer.parse().unwrap();
        let claims = Claims { peer, user, certificate: None, headers: &map };
        match tenancy.access(&claims) {
            Access::Everything => "everything".into(),
            Access::Nothing => "nothing".into(),
            Access::Within(matchers) => matchers.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    #[allow(clippy::type_complexity)] // a table of cases
    fn the_first_rule_that_fits_says_what_may_be_seen() {
        let header = |value: Option<&str>| {
            Some(HeaderRule { name: HeaderName::from_static("x-team"), value: value.map(str::to_owned) })
        };
        let rule = |user: Option<&str>, header, grant| TenantRule {
            user: user.map(str::to_owned),
            header,
            certificate: None,
            grant,
        };
        let a = Grant::Series([Matcher::equal("team", "a")].into());
        let tenancy = Tenancy {
            trusted_proxies: vec![Network::parse("10.0.0.0/8").unwrap(), Network::parse("fd00::1").unwrap()],
            rules: vec![
                rule(Some("root"), None, Grant::Everything),
                rule(Some("ann"), None, a),
                rule(None, header(Some("admins")), Grant::Everything),
                rule(None, header(None), Grant::HeaderAsLabel("team".into())),
            ],
        };
        let cases: &[(&str, Option<&str>, &[(&str, &str)], &str)] = &[
            ("1.2.3.4", Some("root"), &[], "everything"),
            ("1.2.3.4", Some("ann"), &[("x-team", "admins")], "team=\"a\""),
            ("10.9.9.9", None, &[("X-Team", "admins")], "everything"),
            ("::ffff:10.9.9.9", None, &[("X-Team", "b\"c")], "team=\"b\\\"c\""),
            ("fd00::1", None, &[("X-Team", "b")], "team=\"b\""),
            ("fd00::2", None, &[("X-Team", "b")], "nothing"),
            ("11.0.0.1", None, &[("X-Team", "admins")], "nothing"),
            ("10.9.9.9", None, &[("X-Team", "")], "nothing"),
            ("10.9.9.9", None, &[("X-Team", "b"), ("X-Team", "admins")], "nothing"),
            ("10.9.9.9", Some("bob"), &[], "nothing"),
        ];
        for (peer, user, headers, want) in cases {
            assert_eq!(access(&tenancy, peer, *user, headers), *want, "{peer} {user:?} {headers:?}");
        }
    }

    #[test]
    fn networks_are_addresses_with_bits() {
        for wrong in ["", "x", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "::/129", "10.0.0/8"] {
            assert_eq!(Network::parse(wrong), None, "{wrong}");
        }
        let all = Network::parse("0.0.0.0/0").unwrap();
        assert!(all.holds("255.1.2.3".parse().unwrap()) && !all.holds("fd00::".parse().unwrap()));
        assert!(Network::parse("::/0").unwrap().holds("1.2.3.4".parse().unwrap()));
    }
}
