//! Signed assertions (RFC 7515, RFC 7519) and the RSA keys for them.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Serialize;

use crate::error::{Error, while_doing};

/// How something is signed with RSA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// With PKCS #1 padding and SHA-256.
    Rs256,
    /// With PKCS #1 padding and SHA-512.
    Rs512,
    /// With PSS padding and SHA-256.
    Ps256,
}

/// What the head of a token says about the key; what is empty is left out.
#[derive(Debug, Default, Serialize)]
pub(crate) struct KeyHead<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) kid: &'a str,
    /// The thumbprint of the key's certificate: its SHA-256, as base64 for URLs.
    #[serde(rename = "x5t#S256", skip_serializing_if = "String::is_empty")]
    pub(crate) thumbprint: String,
    /// The certificate and those of its authorities, as base64.
    #[serde(rename = "x5c", skip_serializing_if = "Vec::is_empty")]
    pub(crate) chain: Vec<String>,
}

/// An RSA key that signs.
#[derive(Debug)]
pub struct SigningKey(RsaKeyPair);

impl SigningKey {
    /// Reads a key in PEM, PKCS #8 or PKCS #1.
    ///
    /// # Errors
    /// When it is none, or too small.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        let der = PrivateKeyDer::from_pem_slice(pem)
            .map_err(|err| Error(format!("private key should be a PEM or plain PKCS1 or PKCS8: {err}")))?;
        let pair = match &der {
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            _ => return Err(Error::new("private key is not an RSA key")),
        };
        pair.map(SigningKey).map_err(while_doing("private key is invalid"))
    }

    /// The signature of `message`.
    ///
    /// # Errors
    /// When the key is too small for the algorithm.
    pub fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, Error> {
        let encoding = match algorithm {
            Algorithm::Rs256 => &RSA_PKCS1_SHA256,
            Algorithm::Rs512 => &RSA_PKCS1_SHA512,
            Algorithm::Ps256 => &RSA_PSS_SHA256,
        };
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(encoding, &SystemRandom::new(), message, &mut signature)
            .map_err(while_doing("signing"))?;
        Ok(signature)
    }

    /// `claims` as a signed token; `key_id` names the key in its head.
    ///
    /// # Errors
    /// When the claims are no JSON, or as [`sign`](Self::sign).
    pub fn assertion(
        &self,
        algorithm: Algorithm,
        key_id: &str,
        claims: &impl Serialize,
    ) -> Result<String, Error> {
        self.assertion_of(algorithm, &KeyHead { kid: key_id, ..KeyHead::default() }, claims)
    }

    pub(crate) fn assertion_of(
        &self,
        algorithm: Algorithm,
        key: &KeyHead<'_>,
        claims: &impl Serialize,
    ) -> Result<String, Error> {
        #[derive(Serialize)]
        struct Head<'a> {
            alg: &'a str,
            typ: &'a str,
            #[serde(flatten)]
            key: &'a KeyHead<'a>,
        }
        let alg = match algorithm {
            Algorithm::Rs256 => "RS256",
            Algorithm::Rs512 => "RS512",
            Algorithm::Ps256 => "PS256",
        };
        let head = serde_json::to_vec(&Head { alg, typ: "JWT", key }).map_err(while_doing("head"))?;
        let claims = serde_json::to_vec(claims).map_err(while_doing("claims"))?;
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.sign(algorithm, signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
