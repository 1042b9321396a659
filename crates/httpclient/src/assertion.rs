//! JSON Web Tokens (RFC 7519) signed with RSA, by which a client proves who it is (RFC 7523).

use std::time::{Duration, SystemTime};

use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value};

use crate::base64;
use crate::options::{Assertion, OAuth2, SignatureAlgorithm};

/// How long an assertion can be used.
const LASTS: Duration = Duration::from_secs(600);

/// An assertion of now, signed with `key` (PEM).
///
/// # Errors
/// When the key is not one that can sign it.
pub(crate) fn sign(options: &OAuth2, assertion: &Assertion, key: &str) -> Result<String, String> {
    let (name, scheme) = match assertion.algorithm {
        SignatureAlgorithm::Rs256 => ("RS256", SignatureScheme::RSA_PKCS1_SHA256),
        SignatureAlgorithm::Rs384 => ("RS384", SignatureScheme::RSA_PKCS1_SHA384),
        SignatureAlgorithm::Rs512 => ("RS512", SignatureScheme::RSA_PKCS1_SHA512),
    };
    let no_pem = |_| "invalid key: Key must be a PEM encoded PKCS1 or PKCS8 key".to_owned();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(no_pem)?;
    let no_rsa = || "key is not a valid RSA private key".to_owned();
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(|_| no_rsa())?;
    let signer = key.choose_scheme(&[scheme]).ok_or_else(no_rsa)?;

    let mut header = Map::new();
    header.insert("alg".to_owned(), name.into());
    header.insert("typ".to_owned(), "JWT".into());
    if let Some(id) = &assertion.key_id {
        header.insert("kid".to_owned(), id.as_str().into());
    }
    let claims = claims(options, assertion)?;
    let part = |map: Map<String, Value>| base64::encode_for_url(Value::Object(map).to_string().as_bytes());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = signer.sign(signed.as_bytes()).map_err(|err| err.to_string())?;
    Ok(format!("{signed}.{}", base64::encode_for_url(&signature)))
}

fn claims(options: &OAuth2, assertion: &Assertion) -> Result<Map<String, Value>, String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let issuer = assertion.issuer.as_ref().unwrap_or(&options.client_id);
    let audience = assertion.audience.as_ref().unwrap_or(&options.token_url);
    let mut claims = Map::new();
    let mut claim = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    claim("iss", issuer.as_str().into());
    claim("sub", options.client_id.as_str().into());
    claim("jti", unique_name()?.into());
    claim("aud", audience.as_str().into());
    claim("iat", now.as_secs().into());
    claim("exp", (now + LASTS).as_secs().into());
    if !options.scopes.is_empty() {
        claim("scope", options.scopes.join(" ").into());
    }
    for (name, value) in &assertion.claims {
        claims.insert(name.clone(), value.clone());
    }
    Ok(claims)
}

/// A random UUID (RFC 9562, section 5.4).
fn unique_name() -> Result<String, String> {
    let mut bytes = [0; 16];
    let random = aws_lc_rs::default_provider().secure_random;
    random.fill(&mut bytes).map_err(|_| "no random bytes".to_owned())?;
    let bits = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62;
    let digits = format!("{bits:032x}");
    let (a, rest) = digits.split_at(8);
    let (b, rest) = rest.split_at(4);
    let (c, rest) = rest.split_at(4);
    let (d, e) = rest.split_at(4);
    Ok(format!("{a}-{b}-{c}-{d}-{e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unique_names_are_random_uuids() {
        let (one, other) = (unique_name().unwrap(), unique_name().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), 36);
        assert_eq!(&one[14..15], "4");
        assert!("89ab".contains(&one[19..20]), "{one}");
    }
}
