//! What a client can be told: plain data, filled in by `config`.

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
    /// Headers added to each request.
    pub headers: Vec<ExtraHeader>,
    /// Follow up to ten redirects (301, 302, 303, 307, 308).
    pub follow_redirects: bool,
    /// An HTTP proxy: absolute-form requests for `http`, a CONNECT tunnel for `https`.
    pub proxy_url: Option<String>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            tls: TlsOptions::default(),
            basic_auth: None,
            authorization: None,
            headers: Vec::new(),
            follow_redirects: true,
            proxy_url: None,
        }
    }
}

/// Text given in place or as a file that is read again whenever it is needed.
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
