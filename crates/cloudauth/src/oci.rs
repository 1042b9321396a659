//! Oracle Cloud: requests signed with a user's API key
//! (<https://docs.oracle.com/en-us/iaas/Content/API/Concepts/signingrequests.htm>).

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use httpclient::Url;
use jiff::Timestamp;

use crate::error::{Error, while_doing};
use crate::jwt::{Algorithm, SigningKey};

/// What is signed, in this order.
const SIGNED: &str = "date (request-target) host";

/// A user's key.
#[derive(Debug)]
pub struct OciKey {
    /// `TENANCY/USER/FINGERPRINT`.
    id: String,
    key: SigningKey,
}

impl OciKey {
    /// Reads a key in PEM.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(tenancy: &str, user: &str, fingerprint: &str, pem: &[u8]) -> Result<Self, Error> {
        Ok(OciKey { id: format!("{tenancy}/{user}/{fingerprint}"), key: SigningKey::from_pem(pem)? })
    }

    /// The headers `Date` and `Authorization` of a request without content.
    ///
    /// # Errors
    /// When the key is too small.
    pub fn sign(&self, method: &str, url: &Url, now: SystemTime) -> Result<(String, String), Error> {
        let time = Timestamp::try_from(now).map_err(while_doing("time of the signature"))?;
        let date = time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let method = method.to_ascii_lowercase();
        let text = format!("date: {date}\n(request-target): {method} {target}\nhost: {host}");
        let signature = STANDARD.encode(self.key.sign(Algorithm::Rs256, text.as_bytes())?);
        let authorization = format!(
            "Signature version=\"1\",headers=\"{SIGNED}\",keyId=\"{}\",algorithm=\"rsa-sha256\",signature=\"{signature}\"",
            self.id
        );
        Ok((date, authorization))
    }
}
