//! Azure: tokens of Microsoft Entra ID, once called Azure Active Directory.

use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use httpclient::{Client, Secret};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::environment::Environment;
use crate::error::{Error, while_doing};
use crate::exchange::Ask;
use crate::jwt::{Algorithm, KeyHead, SigningKey};
use crate::token::{Kept, Token};

const METADATA: &str = "http://169.254.169.254";
/// The metadata service is one hop away: who waits longer is not on a virtual machine.
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// One of Azure's clouds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AzureCloud {
    /// That of the world.
    #[default]
    Public,
    /// That of China.
    China,
    /// That of the government of the United States.
    Government,
}

impl AzureCloud {
    /// Where tokens come from.
    fn authority(self) -> &'static str {
        match self {
            AzureCloud::Public => "https://login.microsoftonline.com/",
            AzureCloud::China => "https://login.chinacloudapi.cn/",
            AzureCloud::Government => "https://login.microsoftonline.us/",
        }
    }

    /// Where the resource manager is.
    #[must_use]
    pub fn resource_manager(self) -> &'static str {
        match self {
            AzureCloud::Public => "https://management.azure.com",
            AzureCloud::China => "https://management.chinacloudapi.cn",
            AzureCloud::Government => "https://management.usgovcloudapi.net",
        }
    }

    /// What tokens for the resource manager are asked for.
    #[must_use]
    pub fn resource_manager_scope(self) -> &'static str {
        match self {
            AzureCloud::Public => "https://management.core.windows.net//.default",
            AzureCloud::China => "https://management.core.chinacloudapi.cn/.default",
            AzureCloud::Government => "https://management.core.usgovcloudapi.net/.default",
        }
    }
}

/// Who asks for tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AzureIdentity {
    /// An application with a secret.
    ClientSecret {
        /// The directory.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// Its secret.
        client_secret: Secret,
    },
    /// An application with a certificate (PEM).
    Certificate {
        /// The directory.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// The file of the certificate, and of its key if that has no file of its own.
        certificate_file: String,
        /// The file of the key; empty where it is in the certificate's.
        key_file: String,
        /// Send the certificates of the authorities along.
        chain: bool,
    },
    /// What the machine runs as; with a `client_id` that of its identities.
    Managed {
        /// Which one; empty for the machine's own.
        client_id: String,
    },
    /// A service account of Kubernetes; what is empty is taken from the environment, where AKS writes it.
    Workload {
        /// The directory.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// The file with the service account's token.
        token_file: String,
    },
    /// What the environment offers: a secret, then a workload's token, then the machine's identity.
    Chain {
        /// The directory, unless the environment names it.
        tenant_id: String,
    },
}

/// Tokens for one scope.
#[derive(Debug)]
pub struct Azure {
    cloud: AzureCloud,
    identity: AzureIdentity,
    scope: String,
    environment: Environment,
    client: Client,
    kept: Kept,
}

impl Azure {
    /// Looks for nothing yet. `scope` is what the tokens are for; it ends in `/.default`.
    #[must_use]
    pub fn new(
        cloud: AzureCloud,
        identity: AzureIdentity,
        scope: &str,
        environment: Environment,
        client: Client,
    ) -> Self {
        Azure { cloud, identity, scope: scope.to_owned(), environment, client, kept: Kept::default() }
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
        let outcome = self.fetch(&self.identity, now).await;
        self.kept.replace(outcome, now)
    }

    async fn fetch(&self, identity: &AzureIdentity, now: SystemTime) -> Result<Token, Error> {
        match identity {
            AzureIdentity::ClientSecret { tenant_id, client_id, client_secret } => {
                let proof = [("client_secret", client_secret.reveal())];
                let answer = self.ask_authority(tenant_id, client_id, &proof).await;
                Token::parse(&answer.map_err(while_doing("ClientSecretCredential"))?, now)
            }
            AzureIdentity::Certificate { tenant_id, client_id, certificate_file, key_file, chain } => {
                let doing = while_doing("ClientCertificateCredential");
                let files = [certificate_file.as_str(), key_file.as_str()];
                let url = self.authority(tenant_id);
                let assertion = match certificate_assertion(files, client_id, &url, *chain, now).await {
                    Ok(assertion) => assertion,
                    Err(err) => return Err(doing(err)),
                };
                let proof = [("client_assertion_type", JWT_BEARER), ("client_assertion", &*assertion)];
                let answer = self.ask_authority(tenant_id, client_id, &proof).await;
                Token::parse(&answer.map_err(doing)?, now)
            }
            AzureIdentity::Managed { client_id } => {
                let answer = self.ask_machine(client_id).await;
                Token::parse(&answer.map_err(while_doing("ManagedIdentityCredential"))?, now)
            }
            AzureIdentity::Workload { tenant_id, client_id, token_file } => {
                let answer = self.ask_for_workload(tenant_id, client_id, token_file).await;
                Token::parse(&answer.map_err(while_doing("WorkloadIdentityCredential"))?, now)
            }
            AzureIdentity::Chain { tenant_id } => {
                let mut failures = Vec::new();
                for identity in self.chain(tenant_id) {
                    match Box::pin(self.fetch(&identity, now)).await {
                        Ok(token) => return Ok(token),
                        Err(err) => failures.push(err.to_string()),
                    }
                }
                Err(Error(format!("DefaultAzureCredential: {}", failures.join("; "))))
            }
        }
    }

    /// Identities that the environment speaks of, and the machine's, which is always worth a try.
    fn chain(&self, tenant_id: &str) -> Vec<AzureIdentity> {
        let get = |name: &str| self.environment.get(name).map(str::to_owned);
        let client_id = get("AZURE_CLIENT_ID").unwrap_or_default();
        let mut chain = Vec::new();
        if let (Some(tenant_id), Some(secret)) = (get("AZURE_TENANT_ID"), get("AZURE_CLIENT_SECRET")) {
            chain.push(AzureIdentity::ClientSecret {
                tenant_id,
                client_id: client_id.clone(),
                client_secret: secret.into(),
            });
        }
        if get("AZURE_FEDERATED_TOKEN_FILE").is_some() {
            chain.push(AzureIdentity::Workload {
                tenant_id: tenant_id.to_owned(),
                client_id: String::new(),
                token_file: String::new(),
            });
        }
        chain.push(AzureIdentity::Managed { client_id });
        chain
    }

    async fn ask_for_workload(
        &self,
        tenant_id: &str,
        client_id: &str,
        token_file: &str,
    ) -> Result<Vec<u8>, Error> {
        let or_environment = |given: &str, name: &str, what: &str| {
            let found = Some(given).filter(|text| !text.is_empty()).or_else(|| self.environment.get(name));
            found.map(str::to_owned).ok_or_else(|| {
                Error(format!("no {what} specified. Check pod configuration or set it in the options"))
            })
        };
        let client_id = or_environment(client_id, "AZURE_CLIENT_ID", "client ID")?;
        let tenant_id = or_environment(tenant_id, "AZURE_TENANT_ID", "tenant ID")?;
        let token_file = or_environment(token_file, "AZURE_FEDERATED_TOKEN_FILE", "token file")?;
        let token = tokio::fs::read_to_string(&token_file).await.map_err(while_doing(&token_file))?;
        let proof = [("client_assertion_type", JWT_BEARER), ("client_assertion", token.trim())];
        self.ask_authority(&tenant_id, &client_id, &proof).await
    }

    /// Where tokens of a directory come from.
    fn authority(&self, tenant_id: &str) -> String {
        let authority = self.environment.get("AZURE_AUTHORITY_HOST").unwrap_or(self.cloud.authority());
        let tenant: String = url::form_urlencoded::byte_serialize(tenant_id.as_bytes()).collect();
        format!("{}/{tenant}/oauth2/v2.0/token", authority.trim_end_matches('/'))
    }

    async fn ask_authority(
        &self,
        tenant_id: &str,
        client_id: &str,
        proof: &[(&str, &str)],
    ) -> Result<Vec<u8>, Error> {
        let url = self.authority(tenant_id);
        let mut form = vec![
            ("client_id", client_id),
            ("grant_type", "client_credentials"),
            ("scope", self.scope.as_str()),
        ];
        form.extend_from_slice(proof);
        Ask::form(&url, &form).send(&self.client).await
    }

    /// Asks App Service, if the environment says that we run there, or the virtual machine's metadata service.
    async fn ask_machine(&self, client_id: &str) -> Result<Vec<u8>, Error> {
        // What is asked for is a resource here, not a scope.
        let resource = self.scope.strip_suffix("/.default").unwrap_or(&self.scope);
        let query = |version: &str| {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("resource", resource);
            if !client_id.is_empty() {
                query.append_pair("client_id", client_id);
            }
            query.append_pair("api-version", version).finish()
        };
        let of_service = (self.environment.get("IDENTITY_ENDPOINT"), self.environment.get("IDENTITY_HEADER"));
        if let (Some(endpoint), Some(header)) = of_service {
            let url = format!("{endpoint}?{}", query("2019-08-01"));
            return Ask::get(&url).header("x-identity-header", header)?.send(&self.client).await;
        }
        let host = self.environment.get("AZURE_POD_IDENTITY_AUTHORITY_HOST").unwrap_or(METADATA);
        let url =
            format!("{}/metadata/identity/oauth2/token?{}", host.trim_end_matches('/'), query("2018-02-01"));
        Ask::get(&url).header("metadata", "true")?.timeout(METADATA_TIMEOUT).send(&self.client).await
    }
}

/// How long an assertion is good.
const ASSERTION_LASTS: Duration = Duration::from_secs(600);

/// Says of an application that it has the key of a certificate. The files are read anew each time.
async fn certificate_assertion(
    [certificate_file, key_file]: [&str; 2],
    client_id: &str,
    audience: &str,
    chain: bool,
    now: SystemTime,
) -> Result<String, Error> {
    #[derive(serde::Serialize)]
    struct Claims<'a> {
        aud: &'a str,
        iss: &'a str,
        sub: &'a str,
        jti: String,
        nbf: u64,
        exp: u64,
    }
    let read = async |file: &str, what: &str| {
        let failed = format!("failed to read {what} file {file}");
        tokio::fs::read(file).await.map_err(while_doing(&failed))
    };
    let mut pem = read(certificate_file, "certificate").await?;
    if !key_file.is_empty() {
        pem.push(b'\n');
        pem.extend(read(key_file, "private key").await?);
    }
    let certificates: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(while_doing("failed to parse certificate data"))?;
    let Some(own) = certificates.first() else {
        return Err(Error::new("failed to parse certificate data: no certificate in PEM form found"));
    };
    let key = SigningKey::from_pem(&pem)?;
    let thumbprint = digest(&SHA256, own);
    let sent = certificates.iter().filter(|_| chain);
    let head = KeyHead {
        thumbprint: URL_SAFE_NO_PAD.encode(thumbprint),
        chain: sent.map(|certificate| STANDARD.encode(certificate)).collect(),
        ..KeyHead::default()
    };
    let mut unique = [0; 16];
    aws_lc_rs::rand::fill(&mut unique).map_err(while_doing("random bytes"))?;
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let claims = Claims {
        aud: audience,
        iss: client_id,
        sub: client_id,
        jti: URL_SAFE_NO_PAD.encode(unique),
        nbf: now.as_secs(),
        exp: (now + ASSERTION_LASTS).as_secs(),
    };
    key.assertion_of(Algorithm::Ps256, &head, &claims)
}
