//! Certificates of clients: which are asked for and taken, and whom they name.

use std::sync::Arc;

use httpclient::system_roots;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error as TlsError, RootCertStore,
    SignatureScheme,
};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use crate::options::ClientAuth;

/// The certificate that a client has shown.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Whether an authority that is trusted here has signed it.
    pub verified: bool,
    /// The common names of its subject.
    pub common_names: Vec<String>,
    /// Its alternative names: of hosts, of mailboxes, addresses, URIs.
    pub alternative_names: Vec<String>,
}

impl Certificate {
    /// Whether it names this subject.
    #[must_use]
    pub fn is_of(&self, name: &str) -> bool {
        self.common_names.iter().chain(&self.alternative_names).any(|own| own == name)
    }

    /// What a certificate says; none if it is malformed.
    pub(crate) fn read(der: &[u8], verified: bool) -> Option<Certificate> {
        let (_, certificate) = parse_x509_certificate(der).ok()?;
        let names = certificate.subject().iter_common_name();
        let common_names = names.filter_map(|name| name.as_str().ok()).map(str::to_owned).collect();
        let mut alternative_names = Vec::new();
        if let Some(extension) = certificate.subject_alternative_name().ok()? {
            for name in &extension.value.general_names {
                match name {
                    GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => {
                        alternative_names.push((*text).to_owned());
                    }
                    GeneralName::IPAddress(bytes) => {
                        let v4 = <[u8; 4]>::try_from(*bytes).map(|b| std::net::Ipv4Addr::from(b).to_string());
                        let v6 =
                            <[u8; 16]>::try_from(*bytes).map(|b| std::net::Ipv6Addr::from(b).to_string());
                        alternative_names.extend(v4.or(v6));
                    }
                    _ => {}
                }
            }
        }
        Some(Certificate { verified, common_names, alternative_names })
    }
}

/// Judges certificates of clients as Go's server does.
#[derive(Debug)]
pub(crate) struct Verifier {
    policy: ClientAuth,
    /// Who is trusted; none where no authority is known, so that nobody is.
    webpki: Option<Arc<dyn ClientCertVerifier>>,
    trusted: Vec<CertificateDer<'static>>,
    allowed_sans: Option<Vec<String>>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    /// `authorities` is PEM; without it the system's are trusted. What cannot be read of it is passed over, as in Go.
    pub(crate) fn new(
        policy: ClientAuth,
        authorities: Option<&str>,
        allowed_sans: Option<Vec<String>>,
        provider: Arc<CryptoProvider>,
    ) -> Verifier {
        let trusted: Vec<_> = match authorities {
            Some(pem) => CertificateDer::pem_slice_iter(pem.as_bytes()).flatten().collect(),
            None if policy.verifies() => system_roots(),
            None => Vec::new(),
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        let webpki =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().ok();
        Verifier { policy, webpki, trusted, allowed_sans, provider }
    }

    fn verify_chain(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), TlsError> {
        let Some(webpki) = &self.webpki else { return Err(CertificateError::UnknownIssuer.into()) };
        match webpki.verify_client_cert(end_entity, intermediates, now) {
            Ok(_) => Ok(()),
            // A certificate that is trusted itself, though it is marked as an authority's. (The dates were looked at.)
            Err(err) if is_ca_as_client(&err) => {
                match self.trusted.iter().any(|own| own.as_ref() == end_entity.as_ref()) {
                    true => Ok(()),
                    false => Err(CertificateError::UnknownIssuer.into()),
                }
            }
            Err(err) => Err(err),
        }
    }
}

fn is_ca_as_client(err: &TlsError) -> bool {
    matches!(err, TlsError::InvalidCertificate(CertificateError::Other(other))
        if matches!(other.0.downcast_ref::<webpki::Error>(), Some(webpki::Error::CaUsedAsEndEntity)))
}

impl ClientCertVerifier for Verifier {
    fn offer_client_auth(&self) -> bool {
        self.policy != ClientAuth::None
    }

    fn client_auth_mandatory(&self) -> bool {
        // A client without a certificate has none of the allowed names.
        self.policy.requires() || (self.offer_client_auth() && self.allowed_sans.is_some())
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        match &self.webpki {
            Some(webpki) if self.policy.verifies() => webpki.root_hint_subjects(),
            _ => &[],
        }
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        if self.policy.verifies() {
            self.verify_chain(end_entity, intermediates, now)?;
        }
        let shown = Certificate::read(end_entity, self.policy.verifies());
        let shown = shown.ok_or(TlsError::InvalidCertificate(CertificateError::BadEncoding))?;
        if let Some(allowed) = &self.allowed_sans
            && !shown.alternative_names.iter().any(|name| allowed.contains(name))
        {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
