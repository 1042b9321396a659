//! Whether a certificate and a key belong together, as Go's `tls.X509KeyPair` tells it.

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Checks texts in PEM form.
///
/// # Errors
/// In Go's words.
pub fn check_key_pair(certificate: &[u8], key: &[u8]) -> Result<(), String> {
    check_certificate_blocks(&labels(certificate))?;
    check_key_blocks(&labels(key))?;
    let malformed = |_| "x509: malformed certificate".to_owned();
    let leaf = CertificateDer::from_pem_slice(certificate).map_err(|_| malformed(()))?;
    let leaf = webpki::EndEntityCert::try_from(&leaf).map_err(|_| malformed(()))?;
    let unreadable = "tls: failed to parse private key";
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| unreadable)?;
    let key = any_supported_type(&key).map_err(|_| unreadable)?;
    let Some(of_key) = key.public_key() else { return Ok(()) };
    let of_certificate = leaf.subject_public_key_info();
    if of_key.as_ref() == of_certificate.as_ref() {
        return Ok(());
    }
    Err(match (algorithm(of_key.as_ref()), algorithm(of_certificate.as_ref())) {
        (Some(a), Some(b)) if a == b => "tls: private key does not match public key".to_owned(),
        _ => "tls: private key type does not match public key type".to_owned(),
    })
}

fn check_certificate_blocks(labels: &[&str]) -> Result<(), String> {
    if labels.contains(&"CERTIFICATE") {
        return Ok(());
    }
    Err(match labels {
        [] => "tls: failed to find any PEM data in certificate input".to_owned(),
        [one] if one.ends_with("PRIVATE KEY") => {
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched".to_owned()
        }
        skipped => format!(
            "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: [{}]",
            skipped.join(" ")
        ),
    })
}

fn check_key_blocks(labels: &[&str]) -> Result<(), String> {
    if labels.iter().any(|label| *label == "PRIVATE KEY" || label.ends_with(" PRIVATE KEY")) {
        return Ok(());
    }
    Err(match labels {
        [] => "tls: failed to find any PEM data in key input".to_owned(),
        ["CERTIFICATE"] => {
            "tls: found a certificate rather than a key in the PEM for the private key".to_owned()
        }
        skipped => format!(
            "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks of the following types: [{}]",
            skipped.join(" ")
        ),
    })
}

/// What the blocks of a text call themselves.
fn labels(text: &[u8]) -> Vec<&str> {
    let lines = text.split(|b| *b == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    lines.filter_map(|line| line.trim_end().strip_prefix("-----BEGIN ")?.strip_suffix("-----")).collect()
}

/// The object identifier of the algorithm of a public key: the first element of the first element.
fn algorithm(key: &[u8]) -> Option<&[u8]> {
    let identifier = content(content(key, 0x30)?, 0x30)?;
    content(identifier, 0x06)
}

/// The content of the first element, if it has this tag.
fn content(der: &[u8], tag: u8) -> Option<&[u8]> {
    let (&found, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => (usize::from(*rest.first()?) << 8 | usize::from(*rest.get(1)?), rest.get(2..)?),
        short if short < 0x80 => (usize::from(short), rest),
        _ => return None,
    };
    if found == tag { rest.get(..length) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(algorithm: &'static rcgen::SignatureAlgorithm) -> (String, String) {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let certificate = rcgen::CertificateParams::new(vec!["x".into()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn what_does_not_belong_together_is_told_in_gos_words() {
        let (cert, key) = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
        let (_, other) = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
        let (_, edwards) = pair(&rcgen::PKCS_ED25519);
        let check = |cert: &str, key: &str| check_key_pair(cert.as_bytes(), key.as_bytes());
        assert_eq!(check(&cert, &key), Ok(()));
        let cases = [
            (&*cert, &*other, "tls: private key does not match public key"),
            (&cert, &edwards, "tls: private key type does not match public key type"),
            ("x", &key, "tls: failed to find any PEM data in certificate input"),
            (&cert, "x", "tls: failed to find any PEM data in key input"),
            (&cert, &cert, "tls: found a certificate rather than a key in the PEM for the private key"),
        ];
        for (cert, key, want) in cases {
            assert_eq!(check(cert, key), Err(want.to_owned()));
        }
        assert!(check(&key, &cert).unwrap_err().ends_with("PEM inputs may have been switched"));
    }
}
