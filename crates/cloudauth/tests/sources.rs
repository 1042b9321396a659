//! Where keys and tokens come from: each source against a server that answers as the real one does.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RsaKeyPair,
    UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cloudauth::{
    Account, AccountOptions, AwsSigner, Azure, AzureCloud, AzureIdentity, Environment, Google, GoogleSource,
    OciKey, Stackit, TextOrFile, TokenSigner,
};
use httpclient::{Client, ClientOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A request: `METHOD /path?query`, its head, its content.
#[derive(Debug, Clone)]
struct Asked {
    line: String,
    head: String,
    content: String,
}

/// A server that answers by the beginning of the request's line; what it does not know is 404.
struct Stub {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

type Answers = Vec<(&'static str, u16, String)>;

impl Stub {
    async fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stub = Stub { address: listener.local_addr().unwrap(), asked: Arc::default() };
        let (asked, answers) = (stub.asked.clone(), Arc::new(answers));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (asked, answers) = (asked.clone(), answers.clone());
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await.unwrap());
                    }
                    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
                    let length = head
                        .split("content-length: ")
                        .nth(1)
                        .map_or(0, |rest| rest.split('\r').next().unwrap().parse().unwrap());
                    let mut content = vec![0; length];
                    stream.read_exact(&mut content).await.unwrap();
                    let line = head.split(" http/1.1").next().unwrap().to_owned();
                    let known =
                        answers.iter().find(|(start, _, _)| line.starts_with(&start.to_ascii_lowercase()));
                    let (status, body) = known.map_or((404, ""), |(_, status, body)| (*status, body));
                    let answer = format!(
                        "HTTP/1.1 {status} S\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    asked.lock().unwrap().push(Asked {
                        line,
                        head,
                        content: String::from_utf8(content).unwrap(),
                    });
                    stream.write_all(answer.as_bytes()).await.unwrap();
                });
            }
        });
        stub
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn client() -> Client {
    Client::new(&ClientOptions::default()).unwrap()
}

fn document(key_id: &str) -> String {
    format!(
        r#"{{"Code":"Success","AccessKeyId":"{key_id}","SecretAccessKey":"s","Token":"t","Expiration":"2099-01-01T00:00:00Z"}}"#
    )
}

fn assumed(action: &str, key_id: &str) -> String {
    format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><Credentials><AccessKeyId>{key_id}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></{action}Result></{action}Response>"
    )
}

async fn aws_stub() -> Stub {
    Stub::start(vec![
        ("PUT /latest/api/token", 200, "session".to_owned()),
        ("GET /latest/meta-data/iam/security-credentials/web", 200, document("of-instance")),
        ("GET /latest/meta-data/iam/security-credentials/", 200, "web\n".to_owned()),
        ("GET /latest/dynamic/instance-identity/document", 200, r#"{"region":"of-instance-1"}"#.to_owned()),
        ("GET /task", 200, document("of-task")),
        ("POST /web", 200, assumed("AssumeRoleWithWebIdentity", "of-web-identity")),
        ("POST /", 200, assumed("AssumeRole", "of-role")),
    ])
    .await
}

const CONFIG: &str = "[default]\nregion = of-default-1\n[profile chained]\nrole_arn = arn:aws:iam::1:role/chained\nsource_profile = keys\nexternal_id = x1\n[profile machine]\nrole_arn = arn:aws:iam::1:role/m\ncredential_source = Ec2InstanceMetadata\n[profile web]\nrole_arn = arn:aws:iam::1:role/w\nweb_identity_token_file = TOKEN\n[profile round]\nrole_arn = a\nsource_profile = about\n[profile about]\nrole_arn = a\nsource_profile = round\n[profile sso]\nsso_session = s\n";
const CREDENTIALS: &str = "[keys]\naws_access_key_id = of-profile\naws_secret_access_key = s\n";

/// Options, variables, and the keys' id or the error.
type Case<'a, T> = (T, &'a [(&'a str, String)], &'a str);

struct World {
    stub: Stub,
    dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let token = dir.path().join("token");
        std::fs::write(&token, "jwt\n").unwrap();
        let config = CONFIG.replace("TOKEN", &token.display().to_string());
        std::fs::write(dir.path().join("config"), config).unwrap();
        std::fs::write(dir.path().join("credentials"), CREDENTIALS).unwrap();
        World { stub: aws_stub().await, dir }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn account(&self, options: AccountOptions, variables: &[(&str, String)]) -> Account {
        let usual = [
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", self.stub.url("")),
            ("AWS_ENDPOINT_URL_STS", self.stub.url("")),
            ("AWS_CONFIG_FILE", self.path("config")),
            ("AWS_SHARED_CREDENTIALS_FILE", self.path("credentials")),
        ];
        let environment = usual.into_iter().chain(variables.iter().cloned()).collect::<Environment>();
        Account::new(options, environment, client())
    }
}

#[tokio::test]
async fn keys_come_from_the_first_place_that_has_them() {
    let world = World::new().await;
    let region = || AccountOptions { region: "eu-west-1".into(), ..AccountOptions::default() };
    let profile = |name: &str| AccountOptions { profile: name.into(), ..region() };
    let fixed = AccountOptions { access_key: "fixed".into(), secret_key: "s".into(), ..region() };
    let pair = [("AWS_ACCESS_KEY_ID", "of-variable".to_owned()), ("AWS_SECRET_ACCESS_KEY", "s".to_owned())];
    let web = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", world.path("token")),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/w".to_owned()),
        ("AWS_ENDPOINT_URL_STS", world.stub.url("/web")),
    ];
    let task = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", world.stub.url("/task"))];
    let cases: Vec<Case<'_, AccountOptions>> = vec![
        (fixed.clone(), &pair, "fixed"),
        (
            AccountOptions { role_arn: "arn:aws:iam::1:role/r".into(), external_id: "e1".into(), ..fixed },
            &[],
            "of-role",
        ),
        (region(), &pair, "of-variable"),
        (region(), &web, "of-web-identity"),
        (profile("keys"), &pair, "of-profile"),
        (profile("chained"), &[], "of-role"),
        (profile("machine"), &[], "of-role"),
        (region(), &task, "of-task"),
        (region(), &[], "of-instance"),
        (
            profile("nobody"),
            &[],
            "failed to retrieve credentials: failed to get shared config profile, nobody",
        ),
        (
            profile("round"),
            &[],
            "failed to retrieve credentials: profile round: source_profile goes round in circles",
        ),
        (
            profile("sso"),
            &[],
            "failed to retrieve credentials: profile sso: keys of SSO or of a process are not supported",
        ),
    ];
    for (options, variables, want) in cases {
        let account = world.account(options.clone(), variables);
        let got = account.keys().await.map_or_else(|err| err.to_string(), |keys| keys.key_id);
        assert_eq!(got, want, "{options:?}");
    }
    let asked = world.stub.asked();
    let forms: Vec<&str> = asked.iter().filter(|a| a.line == "post /").map(|a| a.content.as_str()).collect();
    assert!(
        forms.iter().any(|form| form.contains("ExternalId=e1") && form.contains("DurationSeconds=900")),
        "{forms:?}"
    );
    assert!(
        forms.iter().any(|form| form.contains("ExternalId=x1") && form.contains("role%2Fchained")),
        "{forms:?}"
    );
    let web = asked.iter().find(|a| a.line == "post /web").unwrap();
    assert!(
        web.content.contains("WebIdentityToken=jwt&") || web.content.ends_with("WebIdentityToken=jwt"),
        "{web:?}"
    );
    assert!(!web.head.contains("authorization"));
    let metadata = asked.iter().find(|a| a.line.starts_with("get /latest/meta-data")).unwrap();
    assert!(metadata.head.contains("x-aws-ec2-metadata-token: session\r\n"), "{metadata:?}");
}

#[tokio::test]
async fn the_region_is_the_wanted_one_or_that_of_the_environment_the_profile_the_instance() {
    let world = World::new().await;
    let wanted = AccountOptions { region: "wanted-1".into(), ..AccountOptions::default() };
    let variable = [("AWS_DEFAULT_REGION", "of-variable-1".to_owned())];
    let nothing = [("AWS_CONFIG_FILE", world.path("nothing"))];
    let cases: [Case<'_, AccountOptions>; 4] = [
        (wanted, &variable, "wanted-1"),
        (AccountOptions::default(), &variable, "of-variable-1"),
        (AccountOptions::default(), &[], "of-default-1"),
        (AccountOptions::default(), &nothing, "of-instance-1"),
    ];
    for (options, variables, want) in cases {
        assert_eq!(world.account(options, variables).region().await.unwrap(), want);
    }
}

#[tokio::test]
async fn keys_are_asked_for_once_while_they_are_good() {
    let world = World::new().await;
    let account = world.account(AccountOptions { region: "r".into(), ..AccountOptions::default() }, &[]);
    account.keys().await.unwrap();
    let first = world.stub.asked().len();
    account.keys().await.unwrap();
    assert_eq!(world.stub.asked().len(), first);
    account.forget_keys().await;
    account.keys().await.unwrap();
    assert!(world.stub.asked().len() > first);
}

fn pem(key: &RsaKeyPair) -> String {
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(key).unwrap();
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()))
}

fn write_service_account(path: &Path, key: &RsaKeyPair, token_uri: &str) {
    let account = serde_json::json!({
        "type": "service_account", "client_email": "a@p.iam.gserviceaccount.com",
        "private_key_id": "k1", "private_key": pem(key), "token_uri": token_uri,
    });
    std::fs::write(path, account.to_string()).unwrap();
}

fn form(content: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(content.as_bytes()).into_owned().collect()
}

#[tokio::test]
async fn google_accepts_a_signed_assertion_and_the_metadata_server_needs_none() {
    let token = r#"{"access_token":"TOKEN","expires_in":3599,"token_type":"Bearer"}"#;
    let stub = Stub::start(vec![
        ("POST /token", 200, token.replace("TOKEN", "by-assertion")),
        (
            "GET /computeMetadata/v1/instance/service-accounts/default/token?scopes=https%3A%2F%2Fs",
            200,
            token.replace("TOKEN", "by-metadata"),
        ),
    ])
    .await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("account.json");
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    write_service_account(&path, &key, &stub.url("/token"));
    let variables = [("GOOGLE_APPLICATION_CREDENTIALS", path.display().to_string())];
    let google = |source, environment| Google::new(source, "https://s", environment, client());
    let mut by_variable = google(GoogleSource::Default, variables.into_iter().collect());
    assert_eq!(by_variable.token().await.unwrap().reveal(), "by-assertion");
    assert_eq!(by_variable.token().await.unwrap().reveal(), "by-assertion");
    let mut by_file = google(GoogleSource::File(path.clone()), Environment::default());
    assert_eq!(by_file.token().await.unwrap().reveal(), "by-assertion");
    let host = [("GCE_METADATA_HOST", stub.address.to_string())];
    let mut by_metadata = google(GoogleSource::Default, host.into_iter().collect());
    assert_eq!(by_metadata.token().await.unwrap().reveal(), "by-metadata");

    let asked = stub.asked();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked[2].head.contains("metadata-flavor: google\r\n"));
    let pairs = form(&asked[0].content);
    assert_eq!(pairs[0], ("grant_type".to_owned(), "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned()));
    let (signed, signature) = pairs[1].1.rsplit_once('.').unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key());
    public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let parts: Vec<serde_json::Value> = signed
        .split('.')
        .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
        .collect();
    assert_eq!(parts[0], serde_json::json!({"alg": "RS256", "typ": "JWT", "kid": "k1"}));
    assert_eq!(parts[1]["iss"], "a@p.iam.gserviceaccount.com");
    assert_eq!(parts[1]["scope"], "https://s");
    assert_eq!(parts[1]["aud"], stub.url("/token"));
    assert_eq!(parts[1]["exp"].as_u64().unwrap() - parts[1]["iat"].as_u64().unwrap(), 3600);
}

#[tokio::test]
async fn requests_carry_signatures_and_tokens() {
    let token = r#"{"access_token":"tok","expires_in":3599}"#;
    let stub =
        Stub::start(vec![("GET /computeMetadata", 200, token.to_owned()), ("POST /", 200, "ok".to_owned())])
            .await;
    let keys = AccountOptions {
        region: "r-1".into(),
        access_key: "AKIA1".into(),
        secret_key: "s".into(),
        ..AccountOptions::default()
    };
    let aws = AwsSigner::new(Account::new(keys, Environment::default(), client()), "aps");
    let host = [("GCE_METADATA_HOST", stub.address.to_string())];
    let google = Google::new(GoogleSource::Default, "https://s", host.into_iter().collect(), client());
    let url = httpclient::Url::parse(&stub.url("/api/v1/write")).unwrap();
    let headers = httpclient::HeaderMap::new();
    let request = httpclient::Request {
        method: httpclient::Method::POST,
        content: httpclient::Bytes::from_static(b"samples"),
        ..httpclient::Request::get(&url, &headers)
    };
    let signers: [Arc<dyn httpclient::Signer>; 2] = [Arc::new(aws), Arc::new(TokenSigner::from(google))];
    let wants = ["authorization: aws4-hmac-sha256 credential=akia1/", "authorization: bearer tok\r\n"];
    for (signer, want) in signers.into_iter().zip(wants) {
        let client = client().with_signer(signer);
        let timeout = Duration::from_secs(10);
        client.send(&request, httpclient::Limits::default(), timeout).await.unwrap();
        let asked = stub.asked().pop().unwrap();
        assert!(asked.head.contains(want), "{asked:?}");
        assert_eq!(asked.content, "samples");
    }
    let signed = &stub.asked()[0].head;
    assert!(signed.contains("/r-1/aps/aws4_request, signedheaders=host;x-amz-date, signature="), "{signed}");
}

#[test]
fn requests_to_oracle_cloud_are_signed_with_their_date_target_and_host() {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let oci = OciKey::new("t", "u", "aa:bb", pem(&key).as_bytes()).unwrap();
    let url = httpclient::Url::parse("https://iaas.r.oraclecloud.com/20160918/instances?limit=100").unwrap();
    let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let (date, authorization) = oci.sign("GET", &url, now).unwrap();
    assert_eq!(date, "Tue, 14 Nov 2023 22:13:20 GMT");
    let want = "Signature version=\"1\",headers=\"date (request-target) host\",keyId=\"t/u/aa:bb\",algorithm=\"rsa-sha256\",signature=\"";
    let signature = authorization.strip_prefix(want).unwrap().strip_suffix('"').unwrap();
    let signed = format!(
        "date: {date}\n(request-target): get /20160918/instances?limit=100\nhost: iaas.r.oraclecloud.com"
    );
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key());
    public.verify(signed.as_bytes(), &STANDARD.decode(signature).unwrap()).unwrap();
}

#[tokio::test]
async fn stackit_accepts_a_signed_assertion() {
    let token = r#"{"access_token":"by-key","expires_in":3599,"token_type":"Bearer"}"#;
    let stub = Stub::start(vec![("POST /token", 200, token.to_owned())]).await;
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let account = serde_json::json!({"credentials": {
        "aud": "a", "iss": "i@sa.stackit.cloud", "kid": "k1", "sub": "s", "privateKey": pem(&key),
        "tokenEndpoint": stub.url("/token"),
    }});
    let account = TextOrFile::Text(account.to_string().into());
    let mut stackit = Stackit::new(account, None, Environment::default(), client());
    assert_eq!(stackit.token().await.unwrap().reveal(), "by-key");
    let pairs = form(&stub.asked()[0].content);
    let (signed, signature) = pairs[1].1.rsplit_once('.').unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA512, key.public_key());
    public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let claims = URL_SAFE_NO_PAD.decode(signed.split('.').nth(1).unwrap()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((claims["iss"].as_str(), claims["sub"].as_str()), (Some("i@sa.stackit.cloud"), Some("s")));
    assert_eq!(claims["jti"].as_str().unwrap().len(), 36);
}

#[tokio::test]
async fn credential_files_that_are_none_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f.json");
    let cases = [
        ("{}", "google: missing 'type' field in credentials"),
        (
            r#"{"type":"external_account"}"#,
            "google: credentials of type \"external_account\" are not supported",
        ),
        (
            r#"{"type":"service_account","private_key":"x"}"#,
            "private key should be a PEM or plain PKCS1 or PKCS8: no items found",
        ),
    ];
    for (text, want) in cases {
        std::fs::write(&path, text).unwrap();
        let mut google = Google::new(GoogleSource::File(path.clone()), "s", Environment::default(), client());
        assert_eq!(google.token().await.unwrap_err().to_string(), want);
    }
}

#[tokio::test]
async fn azure_asks_the_authority_or_the_machine() {
    let token =
        |text: &str| format!(r#"{{"access_token":"{text}","expires_in":"86399","token_type":"Bearer"}}"#);
    let stub = Stub::start(vec![
        ("POST /tenant/oauth2/v2.0/token", 200, token("of-authority")),
        ("GET /metadata/identity/oauth2/token?resource=https%3A%2F%2Fr%2F&client_id=c&api-version=2018-02-01", 200, token("of-named-identity")),
        ("GET /metadata/identity/oauth2/token?resource=https%3A%2F%2Fr%2F&api-version=2018-02-01", 200, token("of-machine")),
        ("GET /app?resource=https%3A%2F%2Fr%2F&api-version=2019-08-01", 200, token("of-app-service")),
    ])
    .await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, "jwt\n").unwrap();
    let base = [("AZURE_AUTHORITY_HOST", stub.url("/")), ("AZURE_POD_IDENTITY_AUTHORITY_HOST", stub.url(""))];
    let workload = [
        ("AZURE_CLIENT_ID", "c".to_owned()),
        ("AZURE_TENANT_ID", "tenant".to_owned()),
        ("AZURE_FEDERATED_TOKEN_FILE", path.display().to_string()),
    ];
    let app = [("IDENTITY_ENDPOINT", stub.url("/app")), ("IDENTITY_HEADER", "h".to_owned())];
    let secret = AzureIdentity::ClientSecret {
        tenant_id: "tenant".into(),
        client_id: "c".into(),
        client_secret: "s".into(),
    };
    let of_environment = || AzureIdentity::Workload {
        tenant_id: String::new(),
        client_id: String::new(),
        token_file: String::new(),
    };
    let managed = |client_id: &str| AzureIdentity::Managed { client_id: client_id.into() };
    let chain = || AzureIdentity::Chain { tenant_id: String::new() };
    let cases: [Case<'_, AzureIdentity>; 7] = [
        (secret, &[], "of-authority"),
        (of_environment(), &workload, "of-authority"),
        (
            of_environment(),
            &[],
            "WorkloadIdentityCredential: no client ID specified. Check pod configuration or set it in the options",
        ),
        (managed(""), &[], "of-machine"),
        (managed("c"), &[], "of-named-identity"),
        (chain(), &app, "of-app-service"),
        (chain(), &workload, "of-authority"),
    ];
    for (identity, variables, want) in cases {
        let environment = base.iter().chain(variables).cloned().collect();
        let mut azure =
            Azure::new(AzureCloud::Public, identity.clone(), "https://r//.default", environment, client());
        let got = azure.token().await.map_or_else(|err| err.to_string(), |token| token.reveal().to_owned());
        assert_eq!(got, want, "{identity:?}");
    }
    let asked = stub.asked();
    let forms: Vec<Vec<(String, String)>> =
        asked.iter().filter(|a| a.line.starts_with("post")).map(|a| form(&a.content)).collect();
    let has = |form: &[(String, String)], name: &str, value: &str| {
        form.contains(&(name.to_owned(), value.to_owned()))
    };
    assert!(has(&forms[0], "client_secret", "s") && has(&forms[0], "scope", "https://r//.default"));
    assert!(has(&forms[1], "client_assertion", "jwt") && has(&forms[1], "client_id", "c"));
    assert!(asked.iter().any(|a| a.head.contains("metadata: true\r\n")));
    assert!(asked.iter().any(|a| a.head.contains("x-identity-header: h\r\n")));
}

#[tokio::test]
async fn azure_accepts_an_assertion_signed_with_the_key_of_a_certificate() {
    let token = r#"{"access_token":"of-certificate","expires_in":"86399","token_type":"Bearer"}"#;
    let stub = Stub::start(vec![("POST /tenant/oauth2/v2.0/token", 200, token.to_owned())]).await;
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let certificate = |der: &[u8]| {
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
    };
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(path("cert.pem"), certificate(b"own") + &certificate(b"authority")).unwrap();
    std::fs::write(path("key.pem"), pem(&key)).unwrap();
    std::fs::write(path("both.pem"), pem(&key) + &certificate(b"own")).unwrap();
    let identity = |certificate_file: String, key_file: String, chain| AzureIdentity::Certificate {
        tenant_id: "tenant".into(),
        client_id: "c".into(),
        certificate_file,
        key_file,
        chain,
    };
    let get = async |identity: AzureIdentity| {
        let environment = [("AZURE_AUTHORITY_HOST", stub.url("/"))].into_iter().collect();
        let mut azure = Azure::new(AzureCloud::Public, identity, "s/.default", environment, client());
        azure.token().await.map_or_else(|err| err.to_string(), |token| token.reveal().to_owned())
    };
    assert_eq!(get(identity(path("both.pem"), String::new(), false)).await, "of-certificate");
    assert_eq!(get(identity(path("cert.pem"), path("key.pem"), true)).await, "of-certificate");
    let asked = stub.asked();
    for (asked, chain) in asked.iter().zip([None, Some(["own", "authority"])]) {
        let form = form(&asked.content);
        let value = |name: &str| form.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v.as_str());
        assert_eq!((value("client_id"), value("grant_type")), ("c", "client_credentials"));
        assert_eq!(value("client_assertion_type"), "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        let (signed, signature) = value("client_assertion").rsplit_once('.').unwrap();
        UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key.public_key().as_ref())
            .verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
            .unwrap();
        let part = |at: usize| -> serde_json::Value {
            let part = signed.split('.').nth(at).unwrap();
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        let (head, claims) = (part(0), part(1));
        let thumbprint = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"own");
        assert_eq!(head["x5t#S256"], URL_SAFE_NO_PAD.encode(thumbprint));
        assert_eq!((&head["alg"], &head["typ"]), (&"PS256".into(), &"JWT".into()));
        let sent = chain.map(|chain| chain.map(|text| STANDARD.encode(text)));
        assert_eq!(head.get("x5c").cloned(), sent.map(|sent| serde_json::json!(sent)));
        assert_eq!(claims["aud"], stub.url("/tenant/oauth2/v2.0/token"));
        assert_eq!((&claims["iss"], &claims["sub"]), (&"c".into(), &"c".into()));
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["nbf"].as_u64().unwrap(), 600);
    }
    let missing = get(identity(path("none.pem"), String::new(), false)).await;
    assert!(missing.starts_with("ClientCertificateCredential: failed to read certificate file"), "{missing}");
    let without = get(identity(path("key.pem"), String::new(), false)).await;
    assert!(without.contains("no certificate in PEM form"), "{without}");
}
