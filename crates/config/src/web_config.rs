//! `web.config.file`: TLS, headers, users and tenants of our own server.

use std::collections::BTreeMap;
use std::path::Path;

use httpclient::Source;
use httpserver::{ClientAuth, ServerTls as TlsOptions, WebOptions};
use model::number::quote;

use crate::decode::{Field, Invalid, Issues, Keys, Section, Stop, decode_section, invalid_at, section};
use crate::error::of_reading;
use crate::kinds::{FilePath, Secret};
use crate::web_tenancy::Tenancy;
use crate::yaml::{Node, Out, Resolved, parse, resolve, text};

section! {
    /// The file.
    #[allow(unreachable_pub, reason = "read here alone")]
    WebConfig "web.Config" "web.Config" {
        tls_server_config: ServerTls = "tls_server_config",
        http_server_config: ServerHttp = "http_server_config",
        rate_limit: RateLimit = "rate_limit",
        basic_auth_users: BTreeMap<String, Secret> = "basic_auth_users",
        tenancy: Option<Tenancy> = "tenancy",
    }
}
impl Section for WebConfig {
    fn defaults() -> Self {
        WebConfig {
            tls_server_config: ServerTls::defaults(),
            http_server_config: ServerHttp::defaults(),
            ..WebConfig::default()
        }
    }
}

section! {
    /// Certificates of the server and of its clients.
    #[allow(unreachable_pub, reason = "read here alone")]
    ServerTls "web.TLSConfig" "web.TLSConfig" {
        cert: String = "cert",
        key: Secret = "key",
        client_ca: String = "client_ca",
        cert_file: FilePath = "cert_file",
        key_file: FilePath = "key_file",
        client_auth_type: String = "client_auth_type",
        client_ca_file: FilePath = "client_ca_file",
        cipher_suites: Vec<Cipher> = "cipher_suites",
        curve_preferences: Vec<Curve> = "curve_preferences",
        min_version: Version = "min_version",
        max_version: Version = "max_version",
        prefer_server_cipher_suites: bool = "prefer_server_cipher_suites",
        client_allowed_sans: Option<Vec<String>> = "client_allowed_sans",
    }
}
impl Section for ServerTls {
    const OVERLAY: bool = true;

    fn defaults() -> Self {
        ServerTls {
            min_version: Version("TLS12".into()),
            max_version: Version("TLS13".into()),
            prefer_server_cipher_suites: true,
            ..ServerTls::default()
        }
    }
}

section! {
    /// HTTP/2 and headers of answers.
    #[allow(unreachable_pub, reason = "read here alone")]
    ServerHttp "web.HTTPConfig" "web.HTTPConfig" {
        http2: bool = "http2",
        headers: BTreeMap<String, String> = "headers",
    }
}
impl Section for ServerHttp {
    const OVERLAY: bool = true;

    fn defaults() -> Self {
        ServerHttp { http2: true, ..ServerHttp::default() }
    }
}

section! {
    /// How many requests.
    #[allow(unreachable_pub, reason = "read here alone")]
    RateLimit "web.RateLimiterConfig" "web.RateLimiterConfig" {
        burst: isize = "burst",
        interval: GoDuration = "interval",
    }
}
impl Section for RateLimit {}

/// Declares a word out of a list.
macro_rules! known_word {
    ($(#[$meta:meta])* $name:ident $go_type:literal $what:literal $known:expr) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub(crate) struct $name(String);

        impl Field for $name {
            fn go_type() -> String {
                $go_type.into()
            }

            fn decode(node: &Node, issues: &mut Issues) -> Result<Option<Self>, Stop> {
                let Some(text) = node.text() else {
                    issues.mismatch(node, "string");
                    return Ok(None);
                };
                if $known.contains(&text) {
                    return Ok(Some($name(text.to_owned())));
                }
                let help = format!("one of: {}", $known.join(", "));
                Err(Stop::at(node.span, format!("unknown {}: {text}", $what)).help(help))
            }

            fn is_empty(&self) -> bool {
                self.0.is_empty()
            }

            fn encode(&self) -> Out {
                Out::Text(self.0.clone())
            }
        }
    };
}

known_word! {
    /// A cipher suite that Go counts as secure.
    Cipher "web.Cipher" "cipher" [
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
        "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    ]
}

known_word! {
    /// A curve for key exchange.
    Curve "web.Curve" "curve" ["CurveP256", "CurveP384", "CurveP521", "X25519"]
}

known_word! {
    /// A version of TLS.
    Version "web.TLSVersion" "TLS version" ["TLS13", "TLS12", "TLS11", "TLS10"]
}

/// `1h30m`, or nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct GoDuration(i64);

impl Field for GoDuration {
    fn go_type() -> String {
        "time.Duration".into()
    }

    fn decode(node: &Node, issues: &mut Issues) -> Result<Option<Self>, Stop> {
        let nanos = match resolve(node) {
            Some(Resolved::Int(nanos)) => Some(nanos),
            _ => node.text().and_then(|text| model::duration::parse_go(text).ok()),
        };
        if nanos.is_none() {
            issues.mismatch(node, &Self::go_type());
        }
        Ok(nanos.map(GoDuration))
    }

    fn is_empty(&self) -> bool {
        self.0 == 0
    }

    fn encode(&self) -> Out {
        Out::Text(model::duration::format_go(self.0))
    }
}

/// Checks the file of a server: what it says, the certificates that it names, the hashes of its users.
///
/// # Errors
/// In promtool's words.
pub fn check_web_config(path: &str) -> Result<(), String> {
    let content = std::fs::read(path).map_err(|err| of_reading(path, &err))?;
    let config = read_checked(&content, Path::new(path))?;
    config.tls_server_config.check_certificates()?;
    config.options().map(drop)
}

/// Options of the server as a file's content says; what it names is relative to the directory of `path`.
///
/// # Errors
/// In promtool's words.
pub fn read_web_options(content: &[u8], path: &Path) -> Result<WebOptions, String> {
    let config = read_checked(content, path)?;
    config.tls_server_config.check_certificates()?;
    config.options()
}

fn read_checked(content: &[u8], path: &Path) -> Result<WebConfig, String> {
    let mut config = read(&text(content).map_err(|err| err.message)?)?;
    config.basic_auth_users.values().try_for_each(|hash| check_bcrypt(&hash.0))?;
    Keys::set_directories(&mut config, path.parent().unwrap_or(Path::new("")));
    Ok(config)
}

fn read(text: &str) -> Result<WebConfig, String> {
    let Some(root) = parse(text).map_err(|err| err.message)? else { return Ok(WebConfig::defaults()) };
    if root.is_null() {
        return Ok(WebConfig::defaults());
    }
    let mut issues = Issues::default();
    let config = decode_section(&root, &mut issues).map_err(|stop| stop.line)?;
    if let Some((line, _)) = issues.finish() {
        return Err(line);
    }
    let config: WebConfig = config.unwrap_or_else(WebConfig::defaults);
    config.http_server_config.check_headers().map_err(|err| err.stop(&root).line)?;
    Ok(config)
}

impl WebConfig {
    fn options(&self) -> Result<WebOptions, String> {
        let tls = self.tls_server_config.options();
        let verifies = tls.as_ref().is_some_and(|tls| {
            matches!(tls.client_auth, ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify)
        });
        let is_user = |name: &str| self.basic_auth_users.contains_key(name);
        let tenancy = self.tenancy.as_ref().map(|tenancy| tenancy.options(is_user, verifies)).transpose()?;
        let secret =
            |(name, hash): (&String, &Secret)| (name.clone(), httpclient::Secret::new(hash.0.as_str()));
        Ok(WebOptions {
            tls,
            http2: self.http_server_config.http2,
            headers: self.http_server_config.headers.clone(),
            rate_limit: (self.rate_limit.interval.0 != 0).then(|| httpserver::RateLimit {
                burst: i64::try_from(self.rate_limit.burst).unwrap_or(i64::MAX),
                interval: self.rate_limit.interval.0,
            }),
            users: self.basic_auth_users.iter().map(secret).collect(),
            tenancy,
        })
    }
}

impl ServerHttp {
    fn check_headers(&self) -> Result<(), Invalid> {
        for (name, value) in &self.headers {
            let allowed: &[&str] = match name.as_str() {
                "Strict-Transport-Security" | "X-XSS-Protection" | "Content-Security-Policy" => continue,
                "X-Content-Type-Options" => &["nosniff"],
                "X-Frame-Options" => &["deny", "sameorigin"],
                other => {
                    return invalid_at(
                        "headers",
                        format!("HTTP header {} can not be configured", quote(other)),
                    );
                }
            };
            if !allowed.contains(&value.as_str()) {
                let allowed: Vec<String> = allowed.iter().map(|value| quote(value)).collect();
                let line = format!(
                    "invalid value for {name}. Expected one of: [{}], but got: {}",
                    allowed.join(" "),
                    quote(value)
                );
                return invalid_at("headers", line);
            }
        }
        Ok(())
    }
}

impl ServerTls {
    /// Whether none of the keys that ask for TLS is there.
    fn is_off(&self) -> bool {
        let texts = [&self.cert, &self.key.0, &self.client_ca, &self.client_auth_type];
        let files = [&self.cert_file, &self.key_file, &self.client_ca_file];
        texts.into_iter().all(String::is_empty) && files.into_iter().all(FilePath::is_unset)
    }

    /// What was checked, for the server.
    fn options(&self) -> Option<TlsOptions> {
        if self.is_off() {
            return None;
        }
        let version =
            |version: &Version, default| httpserver::Version::of_name(&version.0).unwrap_or(default);
        Some(TlsOptions {
            cert: source(&self.cert_file, &self.cert)?,
            key: source(&self.key_file, &self.key.0)?,
            client_ca: source(&self.client_ca_file, &self.client_ca),
            client_auth: ClientAuth::of_name(&self.client_auth_type)?,
            allowed_sans: self.client_allowed_sans.clone(),
            min_version: version(&self.min_version, httpserver::Version::Tls12),
            max_version: version(&self.max_version, httpserver::Version::Tls13),
            cipher_suites: self.cipher_suites.iter().map(|cipher| cipher.0.clone()).collect(),
            curves: self.curve_preferences.iter().map(|curve| curve.0.clone()).collect(),
            prefer_server_cipher_suites: self.prefer_server_cipher_suites,
        })
    }

    fn check_certificates(&self) -> Result<(), String> {
        if self.is_off() {
            return Ok(());
        }
        if self.cert.is_empty() && self.cert_file.is_unset() {
            return Err("missing one of cert or cert_file".into());
        }
        if self.key.is_empty() && self.key_file.is_unset() {
            return Err("missing one of key or key_file".into());
        }
        let cert = read_or(&self.cert_file, &self.cert, "cert_file")?;
        let key = read_or(&self.key_file, &self.key.0, "key_file")?;
        httpclient::check_key_pair(&cert, &key)
            .map_err(|err| format!("failed to load X509KeyPair: {err}"))?;
        if !self.client_ca_file.is_unset() {
            let file = &self.client_ca_file.0;
            std::fs::read(file).map_err(|err| of_reading(file, &err))?;
        }
        let Some(client_auth) = ClientAuth::of_name(&self.client_auth_type) else {
            return Err(format!("invalid ClientAuth: {}", self.client_auth_type));
        };
        let asks_clients = client_auth != ClientAuth::None;
        let knows_clients = !self.client_ca.is_empty() || !self.client_ca_file.is_unset();
        if knows_clients && !asks_clients {
            return Err("client CA's have been configured without a Client Auth Policy".into());
        }
        Ok(())
    }
}

/// The file if there is one, else the text; none if both are empty.
fn source(file: &FilePath, text: &str) -> Option<Source> {
    if !file.is_unset() {
        return Some(Source::File(file.0.clone().into()));
    }
    (!text.is_empty()).then(|| Source::Inline(httpclient::Secret::new(text)))
}

/// The content of a file if there is one, else the text.
fn read_or(file: &FilePath, text: &str, key: &str) -> Result<Vec<u8>, String> {
    if file.is_unset() {
        return Ok(text.as_bytes().to_vec());
    }
    let failed = |err| format!("failed to read {key} ({}): {}", file.0, of_reading(&file.0, &err));
    std::fs::read(&file.0).map_err(failed)
}

/// Refuses what is no hash by bcrypt: `$2y$10$` and 53 characters.
fn check_bcrypt(hash: &str) -> Result<(), String> {
    let bytes = hash.as_bytes();
    if bytes.len() < 59 {
        return Err("crypto/bcrypt: hashedSecret too short to be a bcrypted password".into());
    }
    let byte = |i: usize| bytes.get(i).copied().unwrap_or_default();
    if byte(0) != b'$' {
        let found = char::from(byte(0));
        return Err(format!(
            "crypto/bcrypt: bcrypt hashes must start with '$', but hashedSecret started with '{found}'"
        ));
    }
    if byte(1) > b'2' {
        let found = char::from(byte(1));
        return Err(format!(
            "crypto/bcrypt: bcrypt algorithm version '{found}' requested is newer than current version '2'"
        ));
    }
    let cost_at = if byte(2) == b'$' { 3 } else { 4 };
    let cost = String::from_utf8_lossy(bytes.get(cost_at..cost_at + 2).unwrap_or_default()).into_owned();
    let Ok(cost) = cost.parse::<i64>() else {
        return Err(format!("strconv.Atoi: parsing {}: invalid syntax", quote(&cost)));
    };
    if !(4..=31).contains(&cost) {
        return Err(format!("crypto/bcrypt: cost {cost} is outside allowed inclusive range 4..31"));
    }
    Ok(())
}
