//! What a client can be told: plain data, filled in by `config`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::secret::Secret;

/// How to reach a server and prove who we are. The default is plain: no credentials, system roots, redirects followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientOptions {
    /// TLS of `https` URLs.
    pub tls: TlsOptions,
    /// `Authorization: Basic`. At most one of this and [`authorization`](Self::authorization).
    pub basic_auth: Option<BasicAuth>,
    /// `Authorization` of any other type.
    pub authorization: Option<Authorization>,
    /// A token that is fetched. At most one of this and the other two.
    pub oauth2: Option<Box<OAuth2>>,
    /// Headers added to each request.
    pub headers: Vec<ExtraHeader>,
    /// Follow up to ten redirects (301, 302, 303, 307, 308).
    pub follow_redirects: bool,
    /// Speak HTTP/2 with `https` servers that offer it.
    pub http2: bool,
    /// What lies in between.
    pub proxy: ProxyOptions,
    /// Begin with any of the addresses that a name has, instead of the first: connections spread over all of them.
    pub any_address: bool,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            tls: TlsOptions::default(),
            basic_auth: None,
            authorization: None,
            oauth2: None,
            headers: Vec::new(),
            follow_redirects: true,
            http2: true,
            proxy: ProxyOptions::default(),
            any_address: false,
        }
    }
}

/// Text given in place or as a file that is read again when it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The text.
    Inline(Secret),
    /// Where the text is; blanks around it are cut off.
    File(PathBuf),
}

/// User name and password.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BasicAuth {
    /// User name; none is an empty one.
    pub username: Option<Source>,
    /// Password; none is an empty one.
    pub password: Option<Source>,
}

/// `Authorization: <kind> <credentials>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// The type, `Bearer` unless told otherwise.
    pub kind: String,
    /// The credentials.
    pub credentials: Option<Source>,
}

/// Which proxy is asked for what. The default is none.
///
/// A proxy's URL is `http`, `https`, `socks5` or `socks5h`, perhaps with a user and password. An HTTP proxy gets requests in absolute
/// form for `http` targets and is asked for a tunnel for `https` targets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProxyOptions {
    /// For `http` targets.
    pub http: Option<Secret>,
    /// For `https` targets.
    pub https: Option<Secret>,
    /// Which targets are reached directly, as `NO_PROXY` has it; none: not one, not even this machine.
    pub except: Option<String>,
    /// Headers of requests for a tunnel.
    pub connect_headers: Vec<ExtraHeader>,
}

impl ProxyOptions {
    /// One proxy for everything.
    #[must_use]
    pub fn url(url: &str) -> Self {
        ProxyOptions { http: Some(url.into()), https: Some(url.into()), ..ProxyOptions::default() }
    }

    /// What `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` say, in capitals or not.
    #[must_use]
    pub fn from_environment() -> Self {
        let variable = |name: &str| {
            let value = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
            value(name).or_else(|| value(&name.to_ascii_lowercase()))
        };
        ProxyOptions {
            http: variable("HTTP_PROXY").map(Secret::from),
            https: variable("HTTPS_PROXY").map(Secret::from),
            except: Some(variable("NO_PROXY").unwrap_or_default()),
            connect_headers: Vec::new(),
        }
    }
}

/// A token fetched from an OAuth 2 server (RFC 6749, section 4.4; RFC 7523), and fetched again before it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuth2 {
    /// The client's name.
    pub client_id: String,
    /// What proves that it is us.
    pub grant: Grant,
    /// Where tokens are fetched.
    pub token_url: String,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// Further parameters of the request; `grant_type` replaces ours.
    pub endpoint_params: BTreeMap<String, String>,
    /// TLS of the token server.
    pub tls: TlsOptions,
    /// The proxy to the token server.
    pub proxy: ProxyOptions,
}

/// How a token is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// With a secret; none is an empty one.
    Secret(Option<Source>),
    /// With a signed assertion.
    Assertion(Assertion),
}

/// A JSON Web Token that we sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// The RSA key that signs, in PEM; none is an error when a token is needed.
    pub key: Option<Source>,
    /// Names the key in the token's header.
    pub key_id: Option<String>,
    /// The hash.
    pub algorithm: SignatureAlgorithm,
    /// Who signs; none: the client's name.
    pub issuer: Option<String>,
    /// For whom; none: the token URL.
    pub audience: Option<String>,
    /// Further claims, which replace ours; each a JSON value.
    pub claims: BTreeMap<String, serde_json::Value>,
}

/// RSA signatures (PKCS #1 v1.5) of assertions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignatureAlgorithm {
    /// With SHA-256.
    #[default]
    Rs256,
    /// With SHA-384.
    Rs384,
    /// With SHA-512.
    Rs512,
}

/// A header that is sent with each request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraHeader {
    /// Its name.
    pub name: String,
    /// Its values, each sent as a header line of its own.
    pub values: Vec<Source>,
}

/// TLS versions that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// `TLS10`: accepted as a minimum, never spoken.
    Tls10,
    /// `TLS11`: accepted as a minimum, never spoken.
    Tls11,
    /// `TLS12`.
    Tls12,
    /// `TLS13`.
    Tls13,
}

/// `tls_config`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsOptions {
    /// PEM certificates to trust instead of the system's.
    pub ca: Option<Source>,
    /// Our certificate chain in PEM.
    pub cert: Option<Source>,
    /// Its private key in PEM.
    pub key: Option<Source>,
    /// Name to ask for and to verify instead of the URL's host.
    pub server_name: Option<String>,
    /// Accept any certificate.
    pub insecure_skip_verify: bool,
    /// Lowest version to speak.
    pub min_version: Option<TlsVersion>,
    /// Highest version to speak.
    pub max_version: Option<TlsVersion>,
}

/// How much of an answer is taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of body as sent.
    pub body: usize,
    /// Bytes of body after decompression.
    pub decompressed: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { body: 64 << 20, decompressed: 64 << 20 }
    }
}
