//! What the server is told: by flags once, and by a file that may change at any time.

use std::collections::BTreeMap;
use std::time::Duration;

use httpclient::{Secret, Source};

use crate::tenancy::Tenancy;

/// Bounds on connections.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections served at once, over all addresses. Beyond them one that waits for its client makes room.
    pub max_connections: usize,
    /// How long a client may take to send a request, and how long an idle connection is kept.
    pub read_timeout: Duration,
    /// How long a client may take nothing of an answer.
    pub stall_timeout: Duration,
    /// How long running requests may go on when the server ends.
    pub shutdown_timeout: Duration,
}

/// What a file of `--web.config.file` says.
#[derive(Debug, Clone, Default)]
pub struct WebOptions {
    /// Certificates; none: plain HTTP.
    pub tls: Option<ServerTls>,
    /// Whether HTTP/2 is offered (over TLS).
    pub http2: bool,
    /// Headers that every answer has, unless its maker has set them.
    pub headers: BTreeMap<String, String>,
    /// How many requests there may be; none: any number.
    pub rate_limit: Option<RateLimit>,
    /// Names, and bcrypt's hashes of passwords; none: everybody may come in.
    pub users: BTreeMap<String, Secret>,
    /// Who may see which series; none: everybody may see all.
    pub tenancy: Option<Tenancy>,
}

/// So many requests at once, and one more after each interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// At once.
    pub burst: i64,
    /// For one more, in nanoseconds; not positive: no limit.
    pub interval: i64,
}

/// TLS of the server. Certificates and keys are read again for each handshake.
#[derive(Debug, Clone)]
pub struct ServerTls {
    /// The server's chain, as PEM.
    pub cert: Source,
    /// Its key, as PEM.
    pub key: Source,
    /// Who signs certificates of clients, as PEM; none: the system's authorities.
    pub client_ca: Option<Source>,
    /// What is asked of clients.
    pub client_auth: ClientAuth,
    /// Names of which the certificate of a client has to have one; none: any will do.
    pub allowed_sans: Option<Vec<String>>,
    /// The oldest version spoken.
    pub min_version: Version,
    /// The newest version spoken.
    pub max_version: Version,
    /// Go's names of cipher suites for TLS 1.2; none: all that are good.
    pub cipher_suites: Vec<String>,
    /// Go's names of curves, the best first; none: as the library sees fit.
    pub curves: Vec<String>,
    /// Whether the server's order of cipher suites counts, not the client's.
    pub prefer_server_cipher_suites: bool,
}

/// What is asked of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// Nothing.
    #[default]
    None,
    /// A certificate, if there is one, whoever signed it.
    Request,
    /// A certificate, whoever signed it.
    RequireAny,
    /// A certificate, if there is one, of an authority that is trusted.
    VerifyIfGiven,
    /// A certificate of an authority that is trusted.
    RequireAndVerify,
}

impl ClientAuth {
    /// By the name that the file has for it.
    #[must_use]
    pub fn of_name(name: &str) -> Option<ClientAuth> {
        Some(match name {
            "" | "NoClientCert" => ClientAuth::None,
            "RequestClientCert" => ClientAuth::Request,
            "RequireAnyClientCert" | "RequireClientCert" => ClientAuth::RequireAny,
            "VerifyClientCertIfGiven" => ClientAuth::VerifyIfGiven,
            "RequireAndVerifyClientCert" => ClientAuth::RequireAndVerify,
            _ => return None,
        })
    }

    pub(crate) fn verifies(self) -> bool {
        matches!(self, ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify)
    }

    pub(crate) fn requires(self) -> bool {
        matches!(self, ClientAuth::RequireAny | ClientAuth::RequireAndVerify)
    }
}

/// A version of TLS. The two oldest are known by name only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 1.0
    Tls10,
    /// 1.1
    Tls11,
    /// 1.2
    Tls12,
    /// 1.3
    Tls13,
}

impl Version {
    /// By the name that the file has for it.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Version> {
        Some(match name {
            "TLS10" => Version::Tls10,
            "TLS11" => Version::Tls11,
            "TLS12" => Version::Tls12,
            "TLS13" => Version::Tls13,
            _ => return None,
        })
    }
}
