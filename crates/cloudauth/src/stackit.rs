//! STACKIT: tokens for the key of a service account.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand;
use httpclient::{Client, Secret};
use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::error::{Error, while_doing};
use crate::exchange::Ask;
use crate::jwt::{Algorithm, SigningKey};
use crate::token::{Kept, Token};

const TOKEN_URL: &str = "https://service-account.api.stackit.cloud/token";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const LIFETIME: Duration = Duration::from_secs(3600);

/// A text, or the file that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextOrFile {
    /// The text.
    Text(Secret),
    /// The file.
    File(PathBuf),
}

impl TextOrFile {
    async fn read(&self) -> Result<Secret, Error> {
        match self {
            TextOrFile::Text(text) => Ok(text.clone()),
            TextOrFile::File(path) => {
                let text = tokio::fs::read_to_string(path).await;
                text.map(Secret::from).map_err(while_doing(&path.display().to_string()))
            }
        }
    }
}

/// Tokens of a service account.
#[derive(Debug)]
pub struct Stackit {
    /// The account's key as JSON.
    account_key: TextOrFile,
    /// The private key, if it is not part of that.
    private_key: Option<TextOrFile>,
    environment: Environment,
    client: Client,
    kept: Kept,
}

#[derive(Deserialize)]
struct AccountKey {
    credentials: Credentials,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Credentials {
    aud: String,
    iss: String,
    kid: String,
    sub: String,
    private_key: Option<String>,
    token_endpoint: String,
}

impl Stackit {
    /// Reads nothing yet.
    #[must_use]
    pub fn new(
        account_key: TextOrFile,
        private_key: Option<TextOrFile>,
        environment: Environment,
        client: Client,
    ) -> Self {
        Stackit { account_key, private_key, environment, client, kept: Kept::default() }
    }

    /// A token that is good for some minutes more.
    ///
    /// # Errors
    /// When there is none and the old one has ended.
    pub async fn token(&mut self) -> Result<Secret, Error> {
        let now = SystemTime::now();
        if let Some(token) = self.kept.good(now) {
            return Ok(token);
        }
        let outcome = self.fetch(now).await;
        self.kept.replace(outcome, now)
    }

    async fn fetch(&self, now: SystemTime) -> Result<Token, Error> {
        let text = self.account_key.read().await?;
        let key: AccountKey =
            serde_json::from_str(text.reveal()).map_err(while_doing("unmarshalling service account key"))?;
        let credentials = key.credentials;
        let private = match (&self.private_key, &credentials.private_key) {
            (Some(key), _) => key.read().await?,
            (None, Some(key)) => Secret::from(key.as_str()),
            (None, None) => {
                return Err(Error::new(
                    "private key is not part of the service account key and could not be found",
                ));
            }
        };
        let assertion = assertion(&credentials, &SigningKey::from_pem(private.reveal().as_bytes())?, now)?;
        let usual =
            Some(credentials.token_endpoint.as_str()).filter(|url| !url.is_empty()).unwrap_or(TOKEN_URL);
        let url = self.environment.get("STACKIT_TOKEN_BASEURL").unwrap_or(usual);
        let form = [("grant_type", JWT_BEARER), ("assertion", assertion.as_str())];
        let answer =
            Ask::form(url, &form).send(&self.client).await.map_err(while_doing("requesting token"))?;
        Token::parse(&answer, now)
    }
}

fn assertion(credentials: &Credentials, key: &SigningKey, now: SystemTime) -> Result<String, Error> {
    #[derive(Serialize)]
    struct Claims<'a> {
        iss: &'a str,
        sub: &'a str,
        jti: String,
        aud: &'a str,
        iat: u64,
        exp: u64,
    }
    let iat = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let Credentials { iss, sub, aud, kid, .. } = credentials;
    let claims = Claims { iss, sub, jti: random_uuid()?, aud, iat, exp: iat + LIFETIME.as_secs() };
    key.assertion(Algorithm::Rs512, kid, &claims)
}

/// RFC 9562, version 4.
fn random_uuid() -> Result<String, Error> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(while_doing("random number"))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut out = String::with_capacity(36);
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        let _ = write!(out, "{byte:02x}");
    }
    Ok(out)
}
