//! Signed assertions (RFC 7515, RFC 7519) and the RSA keys for them.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Serialize;

use crate::error::{Error, while_doing};

/// How something is signed: RSA with PKCS #1 padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// With SHA-256.
    Rs256,
    /// With SHA-512.
    Rs512,
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
        #[derive(Serialize)]
        struct Head<'a> {
            alg: &'a str,
            typ: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            kid: &'a str,
        }
        let alg = match algorithm {
            Algorithm::Rs256 => "RS256",
            Algorithm::Rs512 => "RS512",
        };
        let head = serde_json::to_vec(&Head { alg, typ: "JWT", kid: key_id }).map_err(while_doing("head"))?;
        let claims = serde_json::to_vec(claims).map_err(while_doing("claims"))?;
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.sign(algorithm, signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
