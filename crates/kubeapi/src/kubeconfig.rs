//! Kubeconfig files, as far as a program needs them: the current context's cluster and user.

use std::path::{Path, PathBuf};

use httpclient::{BasicAuth, ClientOptions, ProxyOptions, Secret, Source, TlsOptions};
use serde::Deserialize;

use crate::access::bearer;
use crate::base64;
use crate::exec_credential::Plugin;

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    current_context: Option<String>,
    contexts: Option<Vec<Named<Context>>>,
    clusters: Option<Vec<Named<Cluster>>>,
    users: Option<Vec<Named<User>>>,
}

#[derive(Deserialize)]
struct Named<T> {
    name: String,
    #[serde(alias = "context", alias = "cluster", alias = "user")]
    value: Option<T>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Context {
    cluster: String,
    user: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct Cluster {
    server: Option<String>,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: Option<bool>,
    tls_server_name: Option<String>,
    proxy_url: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    token: Option<String>,
    #[serde(alias = "tokenFile")]
    token_file: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    username: Option<String>,
    password: Option<String>,
    exec: Option<Plugin>,
    auth_provider: Option<serde::de::IgnoredAny>,
}

/// What a file says.
#[derive(Debug)]
pub(crate) struct Kubeconfig {
    pub(crate) server: String,
    /// How it is reached.
    pub(crate) client: ClientOptions,
    /// What has our credentials, if they are not here.
    pub(crate) plugin: Option<Plugin>,
}

/// What the file says of its current context. Paths are taken from `folder`, where the file is.
pub(crate) fn read(text: &str, folder: Option<&Path>) -> Result<Kubeconfig, String> {
    let file: File = serde_saphyr::from_str(text).map_err(|err| err.to_string())?;
    let current = file.current_context.filter(|name| !name.is_empty());
    let current = current.ok_or("no current-context")?;
    let context = find(file.contexts, &current).ok_or_else(|| format!("there is no context {current:?}"))?;
    let cluster = find(file.clusters, &context.cluster)
        .ok_or_else(|| format!("there is no cluster {:?}", context.cluster))?;
    let user = if context.user.is_empty() {
        User::default()
    } else {
        find(file.users, &context.user).ok_or_else(|| format!("there is no user {:?}", context.user))?
    };
    if user.auth_provider.is_some() {
        return Err(format!(
            "user {:?} has its credentials from an auth-provider, which is not supported: give it exec, a token, a tokenFile or a certificate",
            context.user
        ));
    }
    let plugin = user.exec.clone();
    plugin.as_ref().map_or(Ok(()), Plugin::check)?;
    let server = cluster.server.clone().filter(|server| !server.is_empty());
    let server = server.ok_or_else(|| format!("cluster {:?} has no server", context.cluster))?;
    Ok(Kubeconfig { server, client: options(cluster, user, folder)?, plugin })
}

fn find<T: Default>(list: Option<Vec<Named<T>>>, name: &str) -> Option<T> {
    let found = list.into_iter().flatten().find(|entry| entry.name == name)?;
    Some(found.value.unwrap_or_default())
}

fn options(cluster: Cluster, user: User, folder: Option<&Path>) -> Result<ClientOptions, String> {
    let tls = TlsOptions {
        ca: source(
            cluster.certificate_authority_data,
            cluster.certificate_authority,
            folder,
            "certificate-authority-data",
        )?,
        cert: source(
            user.client_certificate_data,
            user.client_certificate,
            folder,
            "client-certificate-data",
        )?,
        key: source(user.client_key_data, user.client_key, folder, "client-key-data")?,
        server_name: cluster.tls_server_name.filter(|name| !name.is_empty()),
        insecure_skip_verify: cluster.insecure_skip_tls_verify.unwrap_or(false),
        ..TlsOptions::default()
    };
    let inline = |text: String| Source::Inline(Secret::new(text));
    // A file wins over the token beside it, which may be older.
    let token = match user.token_file.filter(|path| !path.as_os_str().is_empty()) {
        Some(path) => Some(Source::File(resolve(&path, folder))),
        None => user.token.filter(|token| !token.is_empty()).map(inline),
    };
    let basic = user
        .username
        .filter(|name| !name.is_empty() && token.is_none())
        .map(|name| BasicAuth { username: Some(inline(name)), password: user.password.map(inline) });
    Ok(ClientOptions {
        tls,
        basic_auth: basic,
        authorization: token.map(bearer),
        proxy: cluster
            .proxy_url
            .filter(|url| !url.is_empty())
            .map_or_else(ProxyOptions::default, |url| ProxyOptions::url(&url)),
        ..ClientOptions::default()
    })
}

/// Data in the file wins over a path.
fn source(
    data: Option<String>,
    path: Option<PathBuf>,
    folder: Option<&Path>,
    key: &str,
) -> Result<Option<Source>, String> {
    if let Some(data) = data.filter(|data| !data.is_empty()) {
        let pem = base64::decode(&data).and_then(|bytes| String::from_utf8(bytes).ok());
        let pem = pem.ok_or_else(|| format!("{key} is not Base64 of PEM"))?;
        return Ok(Some(Source::Inline(Secret::new(pem))));
    }
    let path = path.filter(|path| !path.as_os_str().is_empty());
    Ok(path.map(|path| Source::File(resolve(&path, folder))))
}

fn resolve(path: &Path, folder: Option<&Path>) -> PathBuf {
    folder.map_or_else(|| path.to_owned(), |folder| folder.join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
apiVersion: v1
kind: Config
current-context: here
preferences: {}
contexts:
- {name: there, context: {cluster: other, user: nobody}}
- {name: here, context: {cluster: one, user: me, namespace: x}}
clusters:
- name: one
  cluster:
    server: https://10.0.0.1:6443
    certificate-authority-data: LS0tQ0E=
    tls-server-name: kubernetes
users:
- name: me
  user:
    tokenFile: secrets/token
    token: old
    client-certificate: /etc/cert.pem
    client-key-data: S0VZ
";

    #[test]
    fn the_current_contexts_cluster_and_user_are_taken() {
        let Kubeconfig { server, client: options, plugin } =
            read(FILE, Some(Path::new("/home/me/.kube"))).unwrap();
        assert_eq!(plugin, None);
        assert_eq!(server, "https://10.0.0.1:6443");
        assert_eq!(options.tls.ca, Some(Source::Inline(Secret::new("---CA"))));
        assert_eq!(options.tls.cert, Some(Source::File("/etc/cert.pem".into())));
        assert_eq!(options.tls.key, Some(Source::Inline(Secret::new("KEY"))));
        assert_eq!(options.tls.server_name.as_deref(), Some("kubernetes"));
        assert_eq!(options.authorization, Some(bearer(Source::File("/home/me/.kube/secrets/token".into()))));
    }

    #[test]
    fn what_is_missing_is_named() {
        for (file, message) in [
            ("{}", "no current-context"),
            ("current-context: a", "there is no context \"a\""),
            (
                "{current-context: a, contexts: [{name: a, context: {cluster: c}}]}",
                "there is no cluster \"c\"",
            ),
            (
                "{current-context: a, contexts: [{name: a, context: {cluster: c}}], clusters: [{name: c, cluster: {}}]}",
                "cluster \"c\" has no server",
            ),
        ] {
            assert_eq!(read(file, None).unwrap_err(), message);
        }
        for (user, message) in [
            ("auth-provider: {name: gcp}", "auth-provider"),
            ("exec: {command: aws}", "invalid apiVersion"),
            (
                "exec: {command: aws, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Always}",
                "interactive",
            ),
        ] {
            assert!(read(&FILE.replace("token: old", user), None).unwrap_err().contains(message));
        }
    }

    #[test]
    fn how_the_server_is_reached_is_taken_too() {
        let cluster =
            "tls-server-name: kubernetes\n    proxy-url: socks5://p:1080\n    insecure-skip-tls-verify: true";
        let file = FILE.replace("tls-server-name: kubernetes", cluster);
        let exec = "exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: aws, args: [a], env: null, installHint: x}";
        let file = file.replace("token: old", exec);
        let Kubeconfig { client, plugin, .. } = read(&file, None).unwrap();
        assert_eq!(client.proxy, ProxyOptions::url("socks5://p:1080"));
        assert!(client.tls.insecure_skip_verify && plugin.is_some());
    }
}
