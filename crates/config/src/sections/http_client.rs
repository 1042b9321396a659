//! How an HTTP server is reached: credentials, TLS, proxy, headers.

use std::collections::BTreeMap;

use model::number::quote;

use crate::decode::{Field, Invalid, Section, invalid, invalid_at, section};
use crate::kinds::{Anything, FilePath, Secret, Url, Word, named_map, word};

section! {
    /// The keys that every HTTP client has.
    HttpClient "config.HTTPClientConfig" "config.plain" {
        /// User name and password.
        basic_auth: Option<BasicAuth> = "basic_auth",
        /// The `Authorization` header.
        authorization: Option<Authorization> = "authorization",
        /// A token fetched from an OAuth 2 server.
        oauth2: Option<OAuth2> = "oauth2",
        /// Old spelling of `authorization.credentials`; moved there when loaded.
        bearer_token: Secret = "bearer_token",
        /// Old spelling of `authorization.credentials_file`; moved there when loaded.
        bearer_token_file: FilePath = "bearer_token_file",
        /// TLS of `https` URLs.
        tls_config: TlsConfig = "tls_config",
        /// Follow redirects.
        follow_redirects: bool = "follow_redirects" keep,
        /// Speak HTTP/2 where it is offered.
        enable_http2: bool = "enable_http2" keep,
        /// The proxy.
        proxy: Proxy = inline,
        /// Headers that are added.
        http_headers: Option<Headers> = "http_headers",
    }
}

section! {
    /// A proxy in between.
    Proxy "config.ProxyConfig" "config.ProxyConfig" {
        /// Its URL.
        proxy_url: Url = "proxy_url",
        /// Hosts that are reached directly.
        no_proxy: String = "no_proxy",
        /// Take the proxy from the environment.
        proxy_from_environment: bool = "proxy_from_environment",
        /// Headers of CONNECT requests.
        proxy_connect_header: ProxyHeaders = "proxy_connect_header",
    }
}

section! {
    /// Basic authentication.
    BasicAuth "config.BasicAuth" "config.plain" {
        /// The name.
        username: String = "username",
        /// A file that holds the name.
        username_file: FilePath = "username_file",
        /// A reference into a secret manager.
        username_ref: String = "username_ref",
        /// The password.
        password: Secret = "password",
        /// A file that holds the password.
        password_file: FilePath = "password_file",
        /// A reference into a secret manager.
        password_ref: String = "password_ref",
    }
}

section! {
    /// The `Authorization` header.
    Authorization "config.Authorization" "config.Authorization" {
        /// `Bearer` unless written.
        kind: String = "type",
        /// What follows the type.
        credentials: Secret = "credentials",
        /// A file that holds what follows the type.
        credentials_file: FilePath = "credentials_file",
        /// A reference into a secret manager.
        credentials_ref: String = "credentials_ref",
    }
}

section! {
    /// OAuth 2: client credentials or a signed assertion (RFC 7523).
    OAuth2 "config.OAuth2" "config.plain" {
        /// The client's name.
        client_id: String = "client_id",
        /// The client's secret.
        client_secret: Secret = "client_secret",
        /// A file that holds the client's secret.
        client_secret_file: FilePath = "client_secret_file",
        /// A reference into a secret manager.
        client_secret_ref: String = "client_secret_ref",
        /// Names the key in the assertion's header.
        client_certificate_key_id: String = "client_certificate_key_id",
        /// The key that signs assertions.
        client_certificate_key: Secret = "client_certificate_key",
        /// A file that holds the key that signs assertions.
        client_certificate_key_file: FilePath = "client_certificate_key_file",
        /// A reference into a secret manager.
        client_certificate_key_ref: String = "client_certificate_key_ref",
        /// `client_credentials` or the name of RFC 7523.
        grant_type: String = "grant_type",
        /// `RS256`, `RS384`, `RS512`.
        signature_algorithm: String = "signature_algorithm",
        /// The assertion's issuer.
        iss: String = "iss",
        /// The assertion's audience.
        audience: String = "audience",
        /// Further claims of the assertion.
        claims: BTreeMap<String, Anything> = "claims",
        /// What is asked for.
        scopes: Vec<String> = "scopes",
        /// Where tokens are fetched.
        token_url: String = "token_url",
        /// Further parameters of the request.
        endpoint_params: BTreeMap<String, String> = "endpoint_params",
        /// TLS of the token server.
        tls_config: TlsConfig = "tls_config",
        /// The proxy to the token server.
        proxy: Proxy = inline,
    }
}

section! {
    /// TLS of a client.
    TlsConfig "config.TLSConfig" "config.plain" {
        /// Certificates of authorities, as text.
        ca: String = "ca",
        /// Our certificate, as text.
        cert: String = "cert",
        /// Our key, as text.
        key: Secret = "key",
        /// Certificates of authorities.
        ca_file: FilePath = "ca_file",
        /// Our certificate.
        cert_file: FilePath = "cert_file",
        /// Our key.
        key_file: FilePath = "key_file",
        /// A reference into a secret manager.
        ca_ref: String = "ca_ref",
        /// A reference into a secret manager.
        cert_ref: String = "cert_ref",
        /// A reference into a secret manager.
        key_ref: String = "key_ref",
        /// The name that the server's certificate must have.
        server_name: String = "server_name",
        /// Take any certificate.
        insecure_skip_verify: bool = "insecure_skip_verify" keep,
        /// Lowest version.
        min_version: TlsVersion = "min_version",
        /// Highest version.
        max_version: TlsVersion = "max_version",
    }
}

/// A version of TLS, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TlsVersion(pub Option<httpclient::TlsVersion>);

impl Word for TlsVersion {
    const GO_TYPE: &'static str = "config.TLSVersion";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(TlsVersion(Some(match text {
            "TLS13" => httpclient::TlsVersion::Tls13,
            "TLS12" => httpclient::TlsVersion::Tls12,
            "TLS11" => httpclient::TlsVersion::Tls11,
            "TLS10" => httpclient::TlsVersion::Tls10,
            other => return Err(format!("unknown TLS version: {other}")),
        })))
    }

    fn word(self) -> &'static str {
        match self.0 {
            None => "",
            Some(httpclient::TlsVersion::Tls13) => "TLS13",
            Some(httpclient::TlsVersion::Tls12) => "TLS12",
            Some(httpclient::TlsVersion::Tls11) => "TLS11",
            Some(httpclient::TlsVersion::Tls10) => "TLS10",
        }
    }

    fn choices() -> &'static str {
        "TLS10, TLS11, TLS12, TLS13"
    }
}
word!(TlsVersion);

section! {
    /// A header's values, from three sources.
    Header "config.Header" "config.Header" {
        /// Values.
        values: Vec<String> = "values",
        /// Values that are not shown.
        secrets: Vec<Secret> = "secrets",
        /// Files that hold values.
        files: Vec<FilePath> = "files",
    }
}

named_map! {
    /// Headers by name.
    Headers Header = "config.Headers"
}

named_map! {
    /// Headers of CONNECT requests by name.
    ProxyHeaders Vec<Secret> = "config.ProxyHeader"
}

impl Section for Proxy {}
impl Section for BasicAuth {}
impl Section for Authorization {}
impl Section for Header {}

impl Section for OAuth2 {
    fn check(&mut self) -> Result<(), Invalid> {
        self.proxy.check_combination()
    }
}

impl Section for HttpClient {
    fn defaults() -> Self {
        HttpClient { follow_redirects: true, enable_http2: true, ..HttpClient::default() }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        self.check_bearer_token()?;
        self.check_basic_auth()?;
        self.check_authorization()?;
        self.check_oauth2()?;
        self.proxy.check_combination()?;
        let headers = self.http_headers.iter().flat_map(|headers| headers.0.keys());
        for name in headers.map(|name| canonical_header(name)) {
            if RESERVED_HEADERS.contains(&name.as_str()) {
                return invalid_at("http_headers", format!("setting header {} is not allowed", quote(&name)));
            }
        }
        Ok(())
    }
}

fn more_than_one(set: [bool; 3]) -> bool {
    set.into_iter().filter(|set| *set).count() > 1
}

impl HttpClient {
    fn check_bearer_token(&self) -> Result<(), Invalid> {
        let (token, file) = (!self.bearer_token.is_empty(), !self.bearer_token_file.is_unset());
        if token && file {
            return invalid_at(
                "bearer_token",
                "at most one of bearer_token & bearer_token_file must be configured",
            );
        }
        if (self.basic_auth.is_some() || self.oauth2.is_some()) && (token || file) {
            let key = if token { "bearer_token" } else { "bearer_token_file" };
            return invalid_at(
                key,
                "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
            );
        }
        Ok(())
    }

    fn check_basic_auth(&self) -> Result<(), Invalid> {
        let Some(auth) = &self.basic_auth else { return Ok(()) };
        if more_than_one([
            !auth.username.is_empty(),
            !auth.username_file.is_unset(),
            !auth.username_ref.is_empty(),
        ]) {
            return invalid_at(
                "basic_auth",
                "at most one of basic_auth username, username_file & username_ref must be configured",
            );
        }
        if more_than_one([
            !auth.password.is_empty(),
            !auth.password_file.is_unset(),
            !auth.password_ref.is_empty(),
        ]) {
            return invalid_at(
                "basic_auth",
                "at most one of basic_auth password, password_file & password_ref must be configured",
            );
        }
        Ok(())
    }

    /// Also moves the old spellings where they belong.
    fn check_authorization(&mut self) -> Result<(), Invalid> {
        let token = std::mem::take(&mut self.bearer_token);
        let file = std::mem::take(&mut self.bearer_token_file);
        let old_spelling = !token.is_empty() || !file.is_unset();
        let Some(auth) = &mut self.authorization else {
            if old_spelling {
                self.authorization = Some(Authorization {
                    kind: "Bearer".into(),
                    credentials: token,
                    credentials_file: file,
                    ..Authorization::default()
                });
            }
            return Ok(());
        };
        if old_spelling {
            return invalid_at(
                "authorization",
                "authorization is not compatible with bearer_token & bearer_token_file",
            );
        }
        if more_than_one([
            !auth.credentials.is_empty(),
            !auth.credentials_file.is_unset(),
            !auth.credentials_ref.is_empty(),
        ]) {
            return invalid_at(
                "authorization",
                "at most one of authorization credentials & credentials_file must be configured",
            );
        }
        auth.kind = auth.kind.trim().to_owned();
        if auth.kind.is_empty() {
            auth.kind = "Bearer".into();
        }
        if auth.kind.eq_ignore_ascii_case("basic") {
            return invalid_at(
                "authorization",
                "authorization type cannot be set to \"basic\", use \"basic_auth\" instead",
            );
        }
        if self.basic_auth.is_some() || self.oauth2.is_some() {
            return invalid_at(
                "authorization",
                "at most one of basic_auth, oauth2 & authorization must be configured",
            );
        }
        Ok(())
    }

    fn check_oauth2(&self) -> Result<(), Invalid> {
        let Some(auth) = &self.oauth2 else { return Ok(()) };
        let refuse = |message: &str| invalid_at("oauth2", message);
        if self.basic_auth.is_some() {
            return refuse("at most one of basic_auth, oauth2 & authorization must be configured");
        }
        if auth.client_id.is_empty() {
            return refuse("oauth2 client_id must be configured");
        }
        if auth.token_url.is_empty() {
            return refuse("oauth2 token_url must be configured");
        }
        if auth.grant_type == JWT_GRANT {
            let (key, file) =
                (!auth.client_certificate_key.is_empty(), !auth.client_certificate_key_file.is_unset());
            if more_than_one([key, file, !auth.client_certificate_key_ref.is_empty()]) {
                return refuse(
                    "at most one of oauth2 client_certificate_key, client_certificate_key_file & client_certificate_key_ref must be configured using grant-type=urn:ietf:params:oauth:grant-type:jwt-bearer",
                );
            }
            if !matches!(auth.signature_algorithm.as_str(), "" | "RS256" | "RS384" | "RS512") {
                return refuse("valid signature algorithms are RS256, RS384 and RS512");
            }
        } else if more_than_one([
            !auth.client_secret.is_empty(),
            !auth.client_secret_file.is_unset(),
            !auth.client_secret_ref.is_empty(),
        ]) {
            return refuse(
                "at most one of oauth2 client_secret, client_secret_file & client_secret_ref must be configured using grant-type=client_credentials",
            );
        }
        Ok(())
    }

    /// Whether nothing was changed from the defaults.
    pub(crate) fn is_default(&self) -> bool {
        *self == HttpClient::defaults()
    }
}

impl Proxy {
    fn check_combination(&self) -> Result<(), Invalid> {
        let url = !self.proxy_url.is_unset();
        if !self.proxy_connect_header.is_empty() && !self.proxy_from_environment && !url {
            return invalid_at(
                "proxy_connect_header",
                "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured",
            );
        }
        if self.proxy_from_environment && url {
            return invalid_at(
                "proxy_url",
                "if proxy_from_environment is configured, proxy_url must not be configured",
            );
        }
        if self.proxy_from_environment && !self.no_proxy.is_empty() {
            return invalid_at(
                "no_proxy",
                "if proxy_from_environment is configured, no_proxy must not be configured",
            );
        }
        // An empty URL is one here.
        if self.proxy_url.is_empty() && !self.no_proxy.is_empty() {
            return invalid_at("no_proxy", "if no_proxy is configured, proxy_url must also be configured");
        }
        Ok(())
    }
}

impl Section for TlsConfig {
    fn check(&mut self) -> Result<(), Invalid> {
        let cert = [!self.cert.is_empty(), !self.cert_file.is_unset(), !self.cert_ref.is_empty()];
        let key = [!self.key.is_empty(), !self.key_file.is_unset(), !self.key_ref.is_empty()];
        if more_than_one([!self.ca.is_empty(), !self.ca_file.is_unset(), !self.ca_ref.is_empty()]) {
            return invalid("at most one of ca, ca_file & ca_ref must be configured");
        }
        if more_than_one(cert) {
            return invalid("at most one of cert, cert_file & cert_ref must be configured");
        }
        if more_than_one(key) {
            return invalid("at most one of key and key_file must be configured");
        }
        match (cert.contains(&true), key.contains(&true)) {
            (true, false) => invalid(
                "exactly one of key or key_file must be configured when a client certificate is configured",
            ),
            (false, true) => {
                invalid("exactly one of cert or cert_file must be configured when a client key is configured")
            }
            _ => Ok(()),
        }
    }
}

/// The grant type of signed assertions.
pub(crate) const JWT_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Headers that are set otherwise or that belong to the connection.
const RESERVED_HEADERS: [&str; 18] = [
    "Authorization",
    "Host",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "User-Agent",
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Www-Authenticate",
    "Accept-Encoding",
    "X-Prometheus-Remote-Write-Version",
    "X-Prometheus-Remote-Read-Version",
    "X-Prometheus-Scrape-Timeout-Seconds",
    "X-Amz-Date",
    "X-Amz-Security-Token",
    "X-Amz-Content-Sha256",
];

/// The reserved headers of remote write and read and of tracing; case does not matter.
pub(super) fn is_reserved_for_remote(header: &str) -> bool {
    let name = canonical_header(header);
    !matches!(name.as_str(), "Authorization" | "X-Prometheus-Scrape-Timeout-Seconds")
        && RESERVED_HEADERS.contains(&name.as_str())
}

/// `Content-Type` for `content-type`: Go's canonical form.
fn canonical_header(name: &str) -> String {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if !name.bytes().all(token) {
        return name.to_owned();
    }
    let mut upper = true;
    name.chars()
        .map(|c| {
            let c = if upper { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            upper = c == '-';
            c
        })
        .collect()
}
