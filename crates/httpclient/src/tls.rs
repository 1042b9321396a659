//! TLS of outgoing connections: rustls stays behind this file.
//!
//! Certificates and keys that are files are read again for each new connection and compared by content, so that a
//! rotation takes effect without a restart and without handshakes built twice.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    SupportedProtocolVersion, version,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::auth;
use crate::options::{Source, TlsOptions, TlsVersion};

/// Where distributions keep the certificates to trust.
const SYSTEM_ROOTS: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// PEM texts that a configuration was built from.
#[derive(Default, PartialEq, Eq)]
struct Material {
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
}

/// Makes TLS connections as the options say.
pub(crate) struct Tls {
    options: TlsOptions,
    built: Mutex<Option<(Material, Arc<ClientConfig>)>>,
}

impl Tls {
    /// Checks what can be checked without reading a file.
    pub(crate) fn new(options: &TlsOptions) -> Result<Self, String> {
        versions(options)?;
        if options.cert.is_some() != options.key.is_some() {
            let (has, lacks) = if options.cert.is_some() { ("cert", "key") } else { ("key", "cert") };
            return Err(format!(
                "exactly one of {lacks} or {lacks}_file must be configured when a client {has} is configured"
            ));
        }
        Ok(Tls { options: options.clone(), built: Mutex::new(None) })
    }

    /// Wraps `stream` in TLS with the server called `host`.
    pub(crate) async fn connect<S>(&self, host: &str, stream: S) -> Result<TlsStream<S>, String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.config().await?;
        let name = self.options.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| format!("tls: invalid server name {name:?}"))?;
        TlsConnector::from(config)
            .connect(name, stream)
            .await
            .map_err(|err| format!("tls: {}", crate::error::io_text(&err)))
    }

    async fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let material = Material {
            ca: pem(self.options.ca.as_ref(), "CA cert").await?,
            cert: pem(self.options.cert.as_ref(), "client cert").await?,
            key: pem(self.options.key.as_ref(), "client key").await?,
        };
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((from, config)) = built.as_ref()
            && *from == material
        {
            return Ok(config.clone());
        }
        let config = Arc::new(build(&self.options, &material)?);
        *built = Some((material, config.clone()));
        Ok(config)
    }
}

async fn pem(source: Option<&Source>, what: &str) -> Result<Option<String>, String> {
    match source {
        Some(source) => auth::read(source, what).await.map(Some),
        None => Ok(None),
    }
}

fn versions(options: &TlsOptions) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let min = options.min_version.unwrap_or(TlsVersion::Tls12);
    let max = options.max_version.unwrap_or(TlsVersion::Tls13);
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

fn build(options: &TlsOptions, material: &Material) -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions(options)?)
        .map_err(|err| err.to_string())?;
    let verifier: Arc<dyn ServerCertVerifier> = if options.insecure_skip_verify {
        Arc::new(AnyCertificate(provider))
    } else {
        let trusted = match &material.ca {
            Some(text) => certificates(text, "unable to use specified CA cert")?,
            None => system_roots(),
        };
        Arc::new(GoVerifier::new(trusted, provider)?)
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    match (&material.cert, &material.key) {
        (Some(cert), Some(key)) => {
            let chain = certificates(cert, "unable to use specified client cert")?;
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
                .map_err(|err| format!("unable to use specified client key: {err}"))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|err| format!("unable to use specified client cert & key: {err}"))
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

fn certificates(text: &str, what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|err| format!("{what}: {err}"))?;
    if found.is_empty() { Err(format!("{what}: no certificate in it")) } else { Ok(found) }
}

/// The system's certificates; none if it has none (then only [`webpki_roots`] are trusted, see [`GoVerifier::new`]).
fn system_roots() -> Vec<CertificateDer<'static>> {
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
