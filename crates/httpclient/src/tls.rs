//! TLS of outgoing connections: rustls stays behind this file.
//!
//! Certificates and keys that are files are looked at again for each request. When one has changed, connections made
//! with the old ones are not used again, so that a rotation takes effect at once and without a restart.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError,
    InvalidMessage, RootCertStore, SignatureScheme, SupportedProtocolVersion, version,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::options::{TlsOptions, TlsVersion};
use crate::text::Text;

/// Where distributions keep the certificates to trust.
const SYSTEM_ROOTS: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// PEM texts that a configuration was built from.
#[derive(Default, Clone)]
struct Material {
    ca: Option<Arc<str>>,
    cert: Option<Arc<str>>,
    key: Option<Arc<str>>,
}

impl Material {
    fn is(&self, other: &Material) -> bool {
        let same = |a: &Option<Arc<str>>, b: &Option<Arc<str>>| match (a, b) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
            (a, b) => a.is_none() && b.is_none(),
        };
        same(&self.ca, &other.ca) && same(&self.cert, &other.cert) && same(&self.key, &other.key)
    }
}

/// Makes TLS connections as the options say.
pub(crate) struct Tls {
    options: TlsOptions,
    http2: bool,
    ca: Option<Text>,
    cert: Option<Text>,
    key: Option<Text>,
    built: Mutex<Option<(Material, Arc<Handshakes>)>>,
}

/// What is offered to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    /// HTTP/2 too, if the client may speak it.
    Everything,
    Http1,
}

/// Handshakes with certain certificates and keys. A connection made with it is good as long as they are.
pub(crate) struct Handshakes {
    everything: TlsConnector,
    http1: TlsConnector,
    server_name: Option<String>,
}

impl Tls {
    /// Checks what can be checked without reading a file.
    pub(crate) fn new(options: &TlsOptions, http2: bool) -> Result<Self, String> {
        versions(options)?;
        if options.cert.is_some() != options.key.is_some() {
            let (has, lacks) = if options.cert.is_some() { ("certificate", "key") } else { ("key", "cert") };
            return Err(format!(
                "exactly one of {lacks} or {lacks}_file must be configured when a client {has} is configured"
            ));
        }
        Ok(Tls {
            http2,
            ca: options.ca.as_ref().map(Text::new),
            cert: options.cert.as_ref().map(Text::new),
            key: options.key.as_ref().map(Text::new),
            options: options.clone(),
            built: Mutex::new(None),
        })
    }

    /// With certificates and keys as they are now; the same as before if they did not change.
    pub(crate) fn current(&self) -> Result<Arc<Handshakes>, String> {
        let read = |text: &Option<Text>, what: &str| {
            let text = text.as_ref().map(Text::read).transpose();
            text.map_err(|reason| format!("unable to read {what}: {reason}"))
        };
        let material = Material {
            ca: read(&self.ca, "CA cert")?,
            cert: read(&self.cert, "client cert")?,
            key: read(&self.key, "client key")?,
        };
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((from, handshakes)) = built.as_ref()
            && from.is(&material)
        {
            return Ok(Arc::clone(handshakes));
        }
        let config = self.build(&material)?;
        let mut everything = config.clone();
        if self.http2 {
            everything.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
        let handshakes = Arc::new(Handshakes {
            everything: Arc::new(everything).into(),
            http1: Arc::new(config).into(),
            server_name: self.options.server_name.clone(),
        });
        *built = Some((material, Arc::clone(&handshakes)));
        Ok(handshakes)
    }

    fn build(&self, material: &Material) -> Result<ClientConfig, String> {
        let options = &self.options;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions(options)?)
            .map_err(|err| err.to_string())?;
        let describe = |text: &Option<Text>| text.as_ref().map(Text::describe).unwrap_or_default();
        let verifier: Arc<dyn ServerCertVerifier> = if options.insecure_skip_verify {
            Arc::new(AnyCertificate(provider))
        } else {
            let trusted = match &material.ca {
                Some(text) => certificates(text)
                    .ok_or_else(|| format!("unable to use specified CA cert {}", describe(&self.ca)))?,
                None => system_roots(),
            };
            Arc::new(GoVerifier::new(trusted, provider)?)
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let (Some(cert), Some(key)) = (&material.cert, &material.key) else {
            return Ok(builder.with_no_client_auth());
        };
        let unusable = |reason: &str| {
            let (cert, key) = (describe(&self.cert), describe(&self.key));
            format!("unable to use specified client cert ({cert}) & key ({key}): tls: {reason}")
        };
        let chain =
            certificates(cert).ok_or_else(|| unusable("failed to find any PEM data in certificate input"))?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|_| unusable("failed to find any PEM data in key input"))?;
        builder.with_client_auth_cert(chain, key).map_err(|err| match err {
            TlsError::InconsistentKeys(_) => unusable("private key does not match public key"),
            err => unusable(&err.to_string()),
        })
    }
}

impl Handshakes {
    /// Wraps `stream` in TLS with the server called `host`.
    pub(crate) async fn connect<S>(&self, host: &str, stream: S, offer: Offer) -> Result<TlsStream<S>, String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let host = self.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("tls: invalid server name {host:?}"))?;
        let connector = match offer {
            Offer::Everything => &self.everything,
            Offer::Http1 => &self.http1,
        };
        match timeout(HANDSHAKE_TIMEOUT, connector.connect(name, stream)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(err)) => Err(handshake_text(&err, host)),
            Err(_) => Err("net/http: TLS handshake timeout".to_owned()),
        }
    }
}

/// Why a handshake failed, in Go's words for what happens most.
fn handshake_text(err: &std::io::Error, host: &str) -> String {
    match err.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        Some(TlsError::InvalidCertificate(reason)) => {
            format!("tls: failed to verify certificate: x509: {}", certificate_text(reason, host))
        }
        _ => crate::error::io_text(err),
    }
}

/// What TLS has against the bytes that come, or the other end against ours: while a connection is made, and after that
/// too, since a server of TLS 1.3 looks at our certificate only then.
pub(crate) fn tls_text(err: &TlsError) -> String {
    match err {
        TlsError::AlertReceived(alert) => alert_text(*alert),
        // It is nearly always this, and then no other explanation helps.
        TlsError::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "http: server gave HTTP response to HTTPS client".to_owned()
        }
        other => format!("tls: {other}"),
    }
}

const OUT_OF_TIME: &str = "certificate has expired or is not yet valid";

fn certificate_text(reason: &CertificateError, host: &str) -> String {
    match reason {
        // A signature is bad where an authority is trusted that has the right name and another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "certificate signed by unknown authority".to_owned()
        }
        CertificateError::ExpiredContext { time, not_after } => {
            format!("{OUT_OF_TIME}: current time {} is after {}", rfc3339(*time), rfc3339(*not_after))
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            format!("{OUT_OF_TIME}: current time {} is before {}", rfc3339(*time), rfc3339(*not_before))
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let is_address = host.parse::<IpAddr>().is_ok();
            let kind = if is_address { "IpAddress(" } else { "DnsName(" };
            let names = presented.iter().filter_map(|name| name.strip_prefix(kind)?.strip_suffix(')'));
            let names: Vec<&str> = names.map(|name| name.trim_matches('"')).collect();
            match (names.is_empty(), is_address) {
                (false, _) => format!("certificate is valid for {}, not {host}", names.join(", ")),
                (true, true) => {
                    format!("cannot validate certificate for {host} because it doesn't contain any IP SANs")
                }
                (true, false) => {
                    format!("certificate is not valid for any names, but wanted to match {host}")
                }
            }
        }
        CertificateError::NotValidForName => format!("certificate is not valid for {host}"),
        other => other.to_string(),
    }
}

fn rfc3339(time: UnixTime) -> String {
    let (days, second) = (time.as_secs() / 86_400, time.as_secs() % 86_400);
    // Years that begin in March, in eras of 400 of them, since the first of March of the year 0.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = (era * 400 + year, if month < 10 { month + 3 } else { month - 9 });
    let year = year + u64::from(month < 3);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Alerts as Go calls them.
const ALERTS: [(AlertDescription, &str); 13] = [
    (AlertDescription::HandshakeFailure, "handshake failure"),
    (AlertDescription::BadCertificate, "bad certificate"),
    (AlertDescription::UnsupportedCertificate, "unsupported certificate"),
    (AlertDescription::CertificateRevoked, "revoked certificate"),
    (AlertDescription::CertificateExpired, "expired certificate"),
    (AlertDescription::CertificateUnknown, "unknown certificate"),
    (AlertDescription::UnknownCA, "unknown certificate authority"),
    (AlertDescription::AccessDenied, "access denied"),
    (AlertDescription::ProtocolVersion, "protocol version not supported"),
    (AlertDescription::InternalError, "internal error"),
    (AlertDescription::UnrecognisedName, "unrecognized name"),
    (AlertDescription::CertificateRequired, "certificate required"),
    (AlertDescription::NoApplicationProtocol, "no application protocol"),
];

fn alert_text(alert: AlertDescription) -> String {
    match ALERTS.iter().find(|(known, _)| *known == alert) {
        Some((_, words)) => format!("remote error: tls: {words}"),
        None => format!("remote error: tls: {alert:?}"),
    }
}

/// An alert within the text of an error that HTTP/2 made of it.
pub(crate) fn alert_within(text: &str) -> Option<String> {
    let name = text.rsplit_once("received fatal alert: ")?.1;
    let known = ALERTS.iter().find(|(known, _)| format!("{known:?}") == name);
    known.map(|(alert, _)| alert_text(*alert))
}

fn versions(options: &TlsOptions) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let min = options.min_version.unwrap_or(TlsVersion::Tls12);
    let max = options.max_version.unwrap_or(TlsVersion::Tls13);
    if options.min_version.is_some() && options.max_version.is_some() && max < min {
        return Err("tls_config.max_version must be greater than or equal to tls_config.min_version if both are specified".to_owned());
    }
    let mut spoken = Vec::new();
    if min <= TlsVersion::Tls12 && max >= TlsVersion::Tls12 {
        spoken.push(&version::TLS12);
    }
    if max >= TlsVersion::Tls13 {
        spoken.push(&version::TLS13);
    }
    if spoken.is_empty() {
        return Err("tls_config: no version that is spoken here (TLS12, TLS13) lies between min_version and max_version".to_owned());
    }
    Ok(spoken)
}

/// The certificates of a PEM text, if there are any.
fn certificates(text: &str) -> Option<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>().ok()?;
    (!found.is_empty()).then_some(found)
}

/// The system's certificates; none if it has none (then only [`webpki_roots`] are trusted, see [`GoVerifier::new`]).
#[must_use]
pub fn system_roots() -> Vec<CertificateDer<'static>> {
    SYSTEM_ROOTS
        .iter()
        .filter_map(|path| std::fs::read(path).ok())
        .map(|text| CertificateDer::pem_slice_iter(&text).flatten().collect::<Vec<_>>())
        .find(|roots| !roots.is_empty())
        .unwrap_or_default()
}

/// Verifies as webpki does, and accepts what Go accepts beyond that: a server whose own certificate is marked as a CA
/// (`openssl req -x509` makes those) if exactly that certificate is trusted and names the server.
#[derive(Debug)]
struct GoVerifier {
    webpki: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

impl GoVerifier {
    fn new(trusted: Vec<CertificateDer<'static>>, provider: Arc<CryptoProvider>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|err| err.to_string())?;
        Ok(GoVerifier { webpki, trusted })
    }
}

/// Whether webpki stopped at "a CA certificate used as a server's". It checks the dates before that.
fn is_ca_as_server(err: &TlsError) -> bool {
    matches!(err, TlsError::InvalidCertificate(CertificateError::Other(other))
        if matches!(other.0.downcast_ref::<webpki::Error>(), Some(webpki::Error::CaUsedAsEndEntity)))
}

impl ServerCertVerifier for GoVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        match self.webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(err)
                if is_ca_as_server(&err)
                    && self.trusted.iter().any(|t| t.as_ref() == end_entity.as_ref()) =>
            {
                rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            Err(err) if is_ca_as_server(&err) => Err(CertificateError::UnknownIssuer.into()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// `insecure_skip_verify`: any certificate will do, but the handshake must be signed with its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_in_certificates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
        ] {
            let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            assert_eq!(rfc3339(time), text);
        }
    }
}
