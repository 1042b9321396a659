//! Google: application default credentials (<https://cloud.google.com/docs/authentication/application-default-credentials>).

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use httpclient::{Client, Secret};
use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::error::{Error, while_doing};
use crate::exchange::Ask;
use crate::jwt::{Algorithm, SigningKey};
use crate::token::{Kept, Token};

const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
const METADATA_HOST: &str = "169.254.169.254";
/// The metadata server is one hop away: who waits longer is not on an instance.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Where the credentials are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum GoogleSource {
    /// The file of `GOOGLE_APPLICATION_CREDENTIALS`, that of gcloud, or the metadata server.
    #[default]
    Default,
    /// This file.
    File(PathBuf),
}

/// Tokens for one scope.
#[derive(Debug)]
pub struct Google {
    source: GoogleSource,
    scope: &'static str,
    environment: Environment,
    client: Client,
    kept: Kept,
}

/// A credentials file: of a service account, or of a person.
#[derive(Deserialize)]
struct File {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    client_email: String,
    #[serde(default)]
    private_key_id: String,
    #[serde(default)]
    private_key: Secrecy,
    #[serde(default)]
    token_uri: String,
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    client_secret: Secrecy,
    #[serde(default)]
    refresh_token: Secrecy,
}

/// A text of the file that must not be printed.
#[derive(Deserialize, Default)]
#[serde(from = "String")]
struct Secrecy(Secret);

impl From<String> for Secrecy {
    fn from(text: String) -> Self {
        Secrecy(text.into())
    }
}

impl Google {
    /// Looks for nothing yet. `scope` is what the tokens are for.
    #[must_use]
    pub fn new(source: GoogleSource, scope: &'static str, environment: Environment, client: Client) -> Self {
        Google { source, scope, environment, client, kept: Kept::default() }
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
        if let GoogleSource::File(path) = &self.source {
            return self.by_file(path.clone(), now).await;
        }
        const VARIABLE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
        if let Some(path) = self.environment.get(VARIABLE) {
            let what = format!("google: error getting credentials using {VARIABLE} environment variable");
            return self.by_file(path.into(), now).await.map_err(while_doing(&what));
        }
        match self.environment.in_home(".config/gcloud/application_default_credentials.json") {
            Some(path) if tokio::fs::try_exists(&path).await.unwrap_or(false) => {
                self.by_file(path, now).await
            }
            _ => self.by_metadata(now).await,
        }
    }

    async fn by_file(&self, path: PathBuf, now: SystemTime) -> Result<Token, Error> {
        let text = tokio::fs::read(&path).await.map_err(while_doing(&path.display().to_string()))?;
        let file: File = serde_json::from_slice(&text).map_err(while_doing(&path.display().to_string()))?;
        let url = if file.token_uri.is_empty() { TOKEN_URL } else { &file.token_uri };
        let form = match file.kind.as_str() {
            "service_account" => {
                let assertion = assertion(&file, url, self.scope, now)?;
                vec![("grant_type", JWT_BEARER.to_owned()), ("assertion", assertion)]
            }
            "authorized_user" => vec![
                ("grant_type", "refresh_token".to_owned()),
                ("client_id", file.client_id),
                ("client_secret", file.client_secret.0.reveal().to_owned()),
                ("refresh_token", file.refresh_token.0.reveal().to_owned()),
            ],
            "" => return Err(Error::new("google: missing 'type' field in credentials")),
            kind => return Err(Error(format!("google: credentials of type {kind:?} are not supported"))),
        };
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = Ask::form(url, &form)
            .send(&self.client)
            .await
            .map_err(while_doing("oauth2: cannot fetch token"))?;
        Token::parse(&answer, now)
    }

    async fn by_metadata(&self, now: SystemTime) -> Result<Token, Error> {
        let host = self.environment.get("GCE_METADATA_HOST").unwrap_or(METADATA_HOST);
        let scope: String = url::form_urlencoded::byte_serialize(self.scope.as_bytes()).collect();
        let url = format!(
            "http://{host}/computeMetadata/v1/instance/service-accounts/default/token?scopes={scope}"
        );
        let ask = Ask::get(&url).header("metadata-flavor", "Google")?.timeout(METADATA_TIMEOUT);
        let answer = ask.send(&self.client).await;
        let answer = answer.map_err(while_doing("google: could not find default credentials"))?;
        Token::parse(&answer, now)
    }
}

/// What a service account says to get a token (RFC 7523).
fn assertion(file: &File, audience: &str, scope: &str, now: SystemTime) -> Result<String, Error> {
    #[derive(Serialize)]
    struct Claims<'a> {
        iss: &'a str,
        scope: &'a str,
        aud: &'a str,
        iat: u64,
        exp: u64,
    }
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    // The clock of whoever checks it may be behind ours.
    let iat = now.saturating_sub(10);
    let claims = Claims { iss: &file.client_email, scope, aud: audience, iat, exp: iat + 3600 };
    let key = SigningKey::from_pem(file.private_key.0.reveal().as_bytes())?;
    key.assertion(Algorithm::Rs256, &file.private_key_id, &claims)
}
