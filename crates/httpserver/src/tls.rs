//! TLS of the server: rustls stays behind this file and `certificate`.

use std::io;
use std::sync::Arc;

use httpclient::Source;
use parking_lot::Mutex;
use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion, version};

use crate::certificate::Verifier;
use crate::options::{ServerTls, Version};
use crate::web::Loaded;

/// Handshakes with what the files say now.
#[derive(Default)]
pub(crate) struct Handshakes {
    built: Mutex<Option<(Material, Arc<ServerConfig>)>>,
}

/// What a configuration was built from.
struct Material {
    loaded: Arc<Loaded>,
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Material {
    fn read(loaded: &Arc<Loaded>, tls: &ServerTls) -> Result<Material, String> {
        Ok(Material {
            loaded: Arc::clone(loaded),
            cert: read(&tls.cert, "cert_file")?,
            key: read(&tls.key, "key_file")?,
            client_ca: tls.client_ca.as_ref().map(|ca| read(ca, "client_ca_file")).transpose()?,
        })
    }

    fn is(&self, other: &Material) -> bool {
        Arc::ptr_eq(&self.loaded, &other.loaded)
            && self.cert == other.cert
            && self.key == other.key
            && self.client_ca == other.client_ca
    }
}

fn read(source: &Source, key: &str) -> Result<Vec<u8>, String> {
    match source {
        Source::Inline(text) => Ok(text.reveal().as_bytes().to_vec()),
        Source::File(path) => std::fs::read(path).map_err(|err| {
            let path = path.display();
            format!("failed to read {key} ({path}): open {path}: {}", text_of(&err))
        }),
    }
}

fn text_of(err: &io::Error) -> String {
    match err.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => err.to_string(),
    }
}

impl Handshakes {
    /// With certificates and keys as they are now; the same as before if nothing has changed.
    pub(crate) fn current(&self, loaded: &Arc<Loaded>, http2: bool) -> Result<Arc<ServerConfig>, String> {
        let tls = loaded.options.tls.as_ref().ok_or("TLS config is not present")?;
        let material = Material::read(loaded, tls)?;
        let mut built = self.built.lock();
        if let Some((from, config)) = built.as_ref()
            && from.is(&material)
        {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(build(tls, &material, http2)?);
        *built = Some((material, Arc::clone(&config)));
        Ok(config)
    }
}

fn build(tls: &ServerTls, material: &Material, http2: bool) -> Result<ServerConfig, String> {
    httpclient::check_key_pair(&material.cert, &material.key)
        .map_err(|err| format!("failed to load X509KeyPair: {err}"))?;
    let offer = Offer::new(tls)?;
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| offer.suites.contains(&suite_name(suite.suite())));
    if !offer.curves.is_empty() {
        provider.kx_groups.clone_from(&offer.curves);
    }
    let provider = Arc::new(provider);
    let authorities = material.client_ca.as_deref().map(String::from_utf8_lossy);
    let verifier = Verifier::new(
        tls.client_auth,
        authorities.as_deref(),
        tls.allowed_sans.clone(),
        Arc::clone(&provider),
    );
    let unusable = |err: &dyn std::fmt::Display| format!("failed to load X509KeyPair: tls: {err}");
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&material.cert)
        .collect::<Result<_, _>>()
        .map_err(|err| unusable(&err))?;
    let key = PrivateKeyDer::from_pem_slice(&material.key).map_err(|err| unusable(&err))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&offer.versions)
        .map_err(|err| err.to_string())?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(chain, key)
        .map_err(|err| unusable(&err))?;
    config.ignore_client_order = tls.prefer_server_cipher_suites;
    config.alpn_protocols = match http2 {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    Ok(config)
}

/// What is offered to clients of what the file allows, and what cannot be.
pub(crate) struct Offer {
    versions: Vec<&'static SupportedProtocolVersion>,
    suites: Vec<&'static str>,
    curves: Vec<&'static dyn rustls::crypto::SupportedKxGroup>,
    /// For people.
    pub(crate) left_out: Vec<String>,
}

impl Offer {
    pub(crate) fn new(tls: &ServerTls) -> Result<Offer, String> {
        let mut left_out = Vec::new();
        let (suites, has_suites_of_12) = suites(tls, &mut left_out);
        let versions = versions(tls, has_suites_of_12, &mut left_out)?;
        let curves = curves(tls, &mut left_out)?;
        Ok(Offer { versions, suites, curves, left_out })
    }
}

fn versions(
    tls: &ServerTls,
    has_suites_of_12: bool,
    left_out: &mut Vec<String>,
) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    if tls.min_version < Version::Tls12 {
        left_out.push("min_version: TLS 1.0 and 1.1 are not spoken; TLS 1.2 is the oldest".to_owned());
    }
    let mut spoken = Vec::new();
    if tls.max_version >= Version::Tls13 {
        spoken.push(&version::TLS13);
    }
    if tls.min_version <= Version::Tls12 && tls.max_version >= Version::Tls12 && has_suites_of_12 {
        spoken.push(&version::TLS12);
    }
    if spoken.is_empty() {
        return Err(match has_suites_of_12 {
            true => "tls_server_config: no version that is spoken here (TLS12, TLS13) lies between min_version and max_version",
            false => "tls_server_config: none of cipher_suites is spoken here in TLS 1.2, and max_version leaves out TLS 1.3",
        }
        .to_owned());
    }
    Ok(spoken)
}

/// Go's names of those of TLS 1.3, which are always offered, as Go does.
const SUITES_OF_13: [&str; 3] =
    ["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"];
const SUITES_OF_12: [&str; 6] = [
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// The suites offered, and whether TLS 1.2 can be spoken with them.
fn suites(tls: &ServerTls, left_out: &mut Vec<String>) -> (Vec<&'static str>, bool) {
    let wanted = &tls.cipher_suites;
    let is_wanted = |known: &&str| wanted.is_empty() || wanted.iter().any(|name| name == known);
    let of_12: Vec<&str> = SUITES_OF_12.into_iter().filter(is_wanted).collect();
    let unknown: Vec<&str> = wanted
        .iter()
        .map(String::as_str)
        .filter(|name| !SUITES_OF_12.contains(name) && !SUITES_OF_13.contains(name))
        .collect();
    if !unknown.is_empty() {
        left_out.push(format!("cipher_suites: not spoken here: {}", unknown.join(", ")));
    }
    let has_suites_of_12 = !of_12.is_empty();
    (SUITES_OF_13.into_iter().chain(of_12).collect(), has_suites_of_12)
}

/// Go's name of a suite.
fn suite_name(suite: rustls::CipherSuite) -> &'static str {
    let name = suite.as_str().unwrap_or_default();
    let of_13 = name.strip_prefix("TLS13_");
    let known = SUITES_OF_13.into_iter().chain(SUITES_OF_12);
    known
        .into_iter()
        .find(|go| *go == name || of_13.is_some_and(|rest| go.strip_prefix("TLS_") == Some(rest)))
        .unwrap_or_default()
}

fn curves(
    tls: &ServerTls,
    left_out: &mut Vec<String>,
) -> Result<Vec<&'static dyn rustls::crypto::SupportedKxGroup>, String> {
    let mut groups = Vec::new();
    for name in &tls.curves {
        match name.as_str() {
            "X25519" => groups.push(kx_group::X25519),
            "CurveP256" => groups.push(kx_group::SECP256R1),
            "CurveP384" => groups.push(kx_group::SECP384R1),
            other => left_out.push(format!("curve_preferences: not spoken here: {other}")),
        }
    }
    if groups.is_empty() && !tls.curves.is_empty() {
        let wanted = tls.curves.join(", ");
        return Err(format!("tls_server_config: none of curve_preferences is spoken here: {wanted}"));
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_of_the_library_has_a_name_in_go() {
        for suite in aws_lc_rs::default_provider().cipher_suites {
            assert!(!suite_name(suite.suite()).is_empty(), "{:?}", suite.suite());
        }
    }
}
