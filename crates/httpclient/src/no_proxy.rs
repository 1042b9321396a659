//! Which hosts are reached without a proxy: the rules of `NO_PROXY` as Go's programs have them.

use std::net::IpAddr;

/// A list of exceptions, parsed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Exceptions {
    everything: bool,
    networks: Vec<(IpAddr, u8)>,
    addresses: Vec<(IpAddr, Option<String>)>,
    domains: Vec<Domain>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Domain {
    /// With a dot in front.
    suffix: String,
    /// Not only what is below it.
    itself: bool,
    port: Option<String>,
}

impl Exceptions {
    /// `host`, `.domain`, `*.domain`, `address`, each with or without `:port`; `network/bits`; `*` for everything.
    pub(crate) fn parse(list: &str) -> Self {
        let mut exceptions = Exceptions::default();
        for entry in list.split(',').map(|entry| entry.trim().to_lowercase()) {
            if entry == "*" {
                return Exceptions { everything: true, ..Exceptions::default() };
            }
            if let Some(network) = network(&entry) {
                exceptions.networks.push(network);
                continue;
            }
            let (host, port) = match split_port(&entry) {
                Some((host, port)) => (host, (!port.is_empty()).then(|| port.to_owned())),
                None => (entry.as_str(), None),
            };
            if let Ok(address) = host.parse::<IpAddr>() {
                exceptions.addresses.push((address.to_canonical(), port));
                continue;
            }
            let host = match host.strip_prefix("*.") {
                Some(_) => &host[1..],
                None => host,
            };
            if host.is_empty() {
                continue;
            }
            let below = host.strip_prefix('.');
            exceptions.domains.push(Domain {
                suffix: format!(".{}", ascii(below.unwrap_or(host))),
                itself: below.is_none(),
                port,
            });
        }
        exceptions
    }

    /// Whether `host` (an IPv6 address without brackets) at `port` is one. This machine always is.
    pub(crate) fn contain(&self, host: &str, port: u16) -> bool {
        if host == "localhost" {
            return true;
        }
        let is_port = |wanted: &Option<String>| wanted.as_ref().is_none_or(|w| *w == port.to_string());
        match host.parse::<IpAddr>() {
            Ok(address) => {
                let address = address.to_canonical();
                address.is_loopback()
                    || self.everything
                    || self.networks.iter().any(|(network, bits)| within(address, *network, *bits))
                    || self.addresses.iter().any(|(known, port)| *known == address && is_port(port))
            }
            Err(_) => {
                let host = host.to_lowercase();
                self.everything
                    || self.domains.iter().any(|domain| {
                        let itself = domain.itself && domain.suffix.strip_prefix('.') == Some(&*host);
                        (itself || host.ends_with(&domain.suffix)) && is_port(&domain.port)
                    })
            }
        }
    }
}

fn ascii(host: &str) -> String {
    url::Host::parse(host).map_or_else(|_| host.to_owned(), |host| host.to_string())
}

/// `net.SplitHostPort`.
fn split_port(entry: &str) -> Option<(&str, &str)> {
    if let Some(rest) = entry.strip_prefix('[') {
        return rest.split_once("]:");
    }
    let (host, port) = entry.rsplit_once(':')?;
    (!host.contains(':')).then_some((host, port))
}

fn network(entry: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = entry.split_once('/')?;
    let (address, bits): (IpAddr, u8) = (address.parse().ok()?, bits.parse().ok()?);
    let most = if address.is_ipv4() { 32 } else { 128 };
    (bits <= most).then_some((address, bits))
}

fn within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let wide = |address: IpAddr| match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
        IpAddr::V6(v6) => u128::from(v6),
    };
    let mask = match bits {
        0 => 0,
        bits => u128::MAX << (128 - u32::from(bits.min(128))),
    };
    let network = match network {
        // A network of mapped addresses is one of IPv4 addresses.
        IpAddr::V6(v6) if bits >= 96 && v6.to_ipv4_mapped().is_some() => {
            return within(address, v6.to_canonical(), bits - 96);
        }
        other => other,
    };
    address.is_ipv4() == network.is_ipv4() && wide(address) & mask == wide(network) & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_are_those_of_go() {
        for (list, yes, no) in [
            ("", "localhost:80 127.0.0.1:80 127.9.9.9:1 ::1:443", "example.com:80 10.0.0.1:80 LOCALHOST:80"),
            ("*", "example.com:80 10.0.0.1:80", ""),
            ("a.b, *", "x.y:80 10.0.0.1:80", ""),
            ("example.com", "example.com:80 a.example.com:443 EXAMPLE.com:1", "anexample.com:80 com:80"),
            (".example.com", "a.example.com:80", "example.com:80"),
            ("*.example.com", "a.b.example.com:80", "example.com:80"),
            ("example.com:8080", "example.com:8080 a.example.com:8080", "example.com:80"),
            (" one , two:1,,", "one:5 x.one:5 two:1", "two:2 three:1"),
            ("10.0.0.0/8", "10.1.2.3:80", "11.0.0.1:80 ten:80"),
            ("10.0.0.0/33,10.0.0.5", "10.0.0.5:1", "10.0.0.6:1"),
            ("192.168.1.7:9090", "192.168.1.7:9090", "192.168.1.7:80"),
            (
                "fd00::/8,[fe80::1]:80,2001:db8::5",
                "fd12::1:80 fe80::1:80 2001:db8::5:1",
                "fe80::1:81 2001:db8::6:1",
            ),
            (":80,[]:80", "", "example.com:80 10.0.0.1:80"),
            ("bücher.de", "xn--bcher-kva.de:80", "buecher.de:80"),
        ] {
            let exceptions = Exceptions::parse(list);
            for (targets, direct) in [(yes, true), (no, false)] {
                for target in targets.split_whitespace() {
                    let (host, port) = target.rsplit_once(':').unwrap();
                    assert_eq!(exceptions.contain(host, port.parse().unwrap()), direct, "{list:?} {target}");
                }
            }
        }
    }
}
