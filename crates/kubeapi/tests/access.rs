//! The ways to an API server: as a pod of its cluster, and by kubeconfig files of all kinds, over TLS.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use exposition::registry::Registry;
use kubeapi::{
    Access, Behaviour, Clusters, Decode, Decoded, Encoded, Key, RequestMetrics, Selection, ServiceAccount,
    Shared, Unreadable, schema,
};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use testkit::api_server::{ApiServer, synthetic_pod};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

const PODS: &str = "/api/v1/pods";
/// How long anything may take; far above what it takes.
const PATIENCE: Duration = Duration::from_secs(30);

struct Names;

impl Decode for Names {
    type Object = ();

    fn decode(&self, object: Encoded<'_>) -> Result<Decoded<()>, Unreadable> {
        let object: serde_json::Value = object.read(&schema::ONLY_METADATA)?;
        let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        let key = Key::new(&text("namespace"), &text("name"));
        Ok(Decoded { key, version: text("resourceVersion"), object: () })
    }
}

struct Identity {
    cert: String,
    key: String,
}

fn identity(name: &str) -> Identity {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    Identity { cert: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

fn acceptor(identity: &Identity, clients: Option<&Identity>) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(clients.cert.as_bytes()).unwrap()).unwrap();
            let verifier =
                rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let chain = vec![CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()))
}

/// A cluster whose API server is reached through TLS.
struct World {
    server: ApiServer,
    front: SocketAddr,
    shows: Arc<Mutex<TlsAcceptor>>,
    folder: tempfile::TempDir,
    registry: Registry,
    clusters: Clusters,
}

impl World {
    async fn new(shows: TlsAcceptor, watch: Duration) -> Self {
        let server = ApiServer::start().unwrap();
        let items = [synthetic_pod(0), synthetic_pod(1)];
        server.load(PODS, &json!({"metadata": {"resourceVersion": "100"}, "items": items}).to_string());
        let behind = server.url().trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = listener.local_addr().unwrap();
        let shows = Arc::new(Mutex::new(shows));
        let shown = shows.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, behind) = (shown.lock().unwrap().clone(), behind.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut onward = TcpStream::connect(behind).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
                });
            }
        });
        let registry = Registry::new();
        let metrics = RequestMetrics {
            by_status: registry.counter_vec("answers", "Answers.", &["code"]),
            duration: registry.summary_vec("seconds", "Time.", &["path"], &[]),
            failures: registry.counter("failures", "Failures."),
        };
        let behaviour = Behaviour {
            watch: (watch, watch),
            first_pause: Duration::from_millis(5),
            longest_pause: Duration::from_millis(50),
            ..Behaviour::default()
        };
        let folder = tempfile::tempdir().unwrap();
        World { server, front, shows, folder, registry, clusters: Clusters::new(metrics, behaviour) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn follow(&self, access: &Access) -> Arc<Shared<()>> {
        let selection = Selection { group: "/api/v1", resource: "pods", ..Selection::default() };
        self.clusters.get(access).follow(selection, Names)
    }

    /// Has the server tell something new on new connections alone.
    fn change(&self, number: usize) {
        self.server.drop_connections();
        self.server.put(PODS, synthetic_pod(number));
    }

    fn refused(&self) -> f64 {
        self.registry.counter_vec("answers", "Answers.", &["code"]).with(&["401"]).get()
    }
}

async fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const LONG: Duration = Duration::from_secs(300);

#[tokio::test]
async fn a_pod_reaches_its_cluster_with_tokens_and_authorities_that_change() {
    let (first, second) = (identity("127.0.0.1"), identity("127.0.0.1"));
    let world = World::new(acceptor(&first, None), LONG).await;
    world.server.conduct(|conduct| conduct.token = Some("one".into()));
    world.write("ca.crt", &first.cert);
    world.write("token", "one\n");
    let access = Access::ServiceAccount(ServiceAccount {
        host: "127.0.0.1".to_owned(),
        port: world.front.port().to_string(),
        folder: world.folder.path().to_owned(),
    });
    let pods = world.follow(&access);
    wait_for("the pods", || pods.len() == 2).await;

    world.server.conduct(|conduct| conduct.token = Some("two".into()));
    world.write("token", "two\n");
    world.change(2);
    wait_for("a pod after the token changed", || pods.len() == 3).await;
    assert_eq!(world.refused(), 0.0);

    *world.shows.lock().unwrap() = acceptor(&second, None);
    world.write("ca.crt", &second.cert);
    world.change(3);
    wait_for("a pod after the authority changed", || pods.len() == 4).await;
}

fn base64(text: &str) -> String {
    let bits: String = text.bytes().map(|b| format!("{b:08b}")).collect();
    let alphabet: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
    let digits = bits.as_bytes().chunks(6).map(|chunk| {
        let digit = format!("{:0<6}", std::str::from_utf8(chunk).unwrap());
        alphabet[usize::from_str_radix(&digit, 2).unwrap()]
    });
    digits.collect()
}

fn kubeconfig(cluster: &serde_json::Value, user: &serde_json::Value) -> String {
    json!({
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    })
    .to_string()
}

/// A proxy that opens tunnels to `behind`; answers the requests for them.
async fn proxy(behind: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let heard = heard.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let line = String::from_utf8_lossy(&head).lines().next().unwrap().to_owned();
                heard.lock().unwrap().push(line);
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let mut onward = TcpStream::connect(behind).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
            });
        }
    });
    (address, asked)
}

#[tokio::test]
async fn a_kubeconfig_says_everything_about_the_way() {
    let (server, client) = (identity("kubernetes"), identity("me"));
    let world = World::new(acceptor(&server, Some(&client)), LONG).await;
    world.server.conduct(|conduct| conduct.token = Some("t".into()));
    let (proxy, asked) = proxy(world.front).await;
    world.write("token", "t\n");
    world.write("client.key", &client.key);
    let cluster = json!({
        "server": "https://api.example:6443",
        "certificate-authority-data": base64(&server.cert),
        "tls-server-name": "kubernetes",
        "proxy-url": format!("http://{proxy}"),
    });
    let user = json!({
        "tokenFile": "token",
        "client-certificate-data": base64(&client.cert),
        "client-key": "client.key",
    });
    world.write("config", &kubeconfig(&cluster, &user));
    let pods = world.follow(&Access::KubeConfig(world.path("config")));
    wait_for("the pods", || pods.len() == 2).await;
    assert_eq!(asked.lock().unwrap()[0], "CONNECT api.example:6443 HTTP/1.1");
}

/// A script for `./shell`: a plugin that hands out what is in `token`, good for `lasts` (as `date` understands it), and counts how often it ran.
fn write_plugin(world: &World, lasts: &str) {
    let folder = world.folder.path().display();
    let script = format!(
        r#"echo run >> {folder}/runs
echo "{{\"apiVersion\":\"client.authentication.k8s.io/$1\",\"kind\":\"ExecCredential\",\"status\":{{\"token\":\"$(cat {folder}/token)\",\"expirationTimestamp\":\"$(date -u -d "{lasts}" +%Y-%m-%dT%H:%M:%SZ)\"}}}}"
"#
    );
    world.write("plugin", &script);
    std::os::unix::fs::symlink("/bin/sh", world.path("shell")).unwrap();
}

fn runs(folder: &Path) -> usize {
    std::fs::read_to_string(folder.join("runs")).map_or(0, |text| text.lines().count())
}

fn with_plugin(world: &World, version: &str) -> Access {
    let cluster = json!({"server": format!("https://{}", world.front), "insecure-skip-tls-verify": true});
    let exec = json!({
        "apiVersion": format!("client.authentication.k8s.io/{version}"),
        "command": "./shell",
        "args": [world.path("plugin"), version],
        "interactiveMode": "IfAvailable",
    });
    world.write("config", &kubeconfig(&cluster, &json!({ "exec": exec })));
    Access::KubeConfig(world.path("config"))
}

#[tokio::test]
async fn a_plugin_is_asked_again_when_the_server_does_not_know_its_token() {
    for version in ["v1", "v1beta1"] {
        let world = World::new(acceptor(&identity("x"), None), LONG).await;
        world.server.conduct(|conduct| conduct.token = Some("one".into()));
        world.write("token", "one");
        write_plugin(&world, "1 hour");
        let pods = world.follow(&with_plugin(&world, version));
        wait_for("the pods", || pods.len() == 2).await;
        world.change(2);
        wait_for("a pod with the same token", || pods.len() == 3).await;
        assert_eq!(runs(world.folder.path()), 1);
        world.write("token", "two");
        world.server.conduct(|conduct| conduct.token = Some("two".into()));
        world.change(3);
        wait_for("a pod with another token", || pods.len() == 4).await;
        assert_eq!((runs(world.folder.path()), world.refused()), (2, 1.0));
    }
}

#[tokio::test]
async fn a_plugin_is_asked_again_when_its_token_expires() {
    let world = World::new(acceptor(&identity("x"), None), Duration::from_secs(1)).await;
    world.server.conduct(|conduct| conduct.token = Some("one".into()));
    world.write("token", "one");
    write_plugin(&world, "2 seconds");
    let pods = world.follow(&with_plugin(&world, "v1"));
    wait_for("the pods", || pods.len() == 2).await;
    wait_for("a second run", || runs(world.folder.path()) >= 2).await;
    world.change(2);
    wait_for("a pod", || pods.len() == 3).await;
    assert_eq!(world.refused(), 0.0);
}
