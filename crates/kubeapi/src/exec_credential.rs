//! Credentials that a program hands out: the `exec` plugins of kubeconfig files (`client.authentication.k8s.io`, v1 and
//! v1beta1), which cloud providers have for their clusters.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, SystemTime};

use httpclient::{ClientOptions, Secret, Source};
use serde::Deserialize;
use serde_json::json;

use crate::access::bearer;

/// How long a plugin may take: some ask a person's browser elsewhere, none that is of use here.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How often it is looked whether a plugin that has said everything has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// What is read of what a plugin says.
const LONGEST: u64 = 1 << 20;
const API_V1: &str = "client.authentication.k8s.io/v1";
const API_V1BETA1: &str = "client.authentication.k8s.io/v1beta1";

/// Reads what a plugin says, as both versions; whether it is a credential. For fuzzing.
pub fn exec_credential_read(said: &[u8]) -> bool {
    [API_V1, API_V1BETA1].into_iter().any(|version| {
        let plugin = Plugin { api_version: Some(version.to_owned()), ..Plugin::default() };
        plugin.read(said).and_then(|status| expires(status.expiration_timestamp.as_deref())).is_ok()
    })
}

fn expires(timestamp: Option<&str>) -> Result<Option<SystemTime>, String> {
    let timestamp = timestamp.map(str::parse::<jiff::Timestamp>).transpose();
    let timestamp = timestamp.map_err(|err| format!("getting credentials: expirationTimestamp: {err}"))?;
    Ok(timestamp.map(SystemTime::from))
}

/// `exec` of a user.
#[derive(Debug, Clone, Deserialize, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Plugin {
    api_version: Option<String>,
    command: String,
    args: Option<Vec<String>>,
    env: Option<Vec<Variable>>,
    install_hint: Option<String>,
    provide_cluster_info: bool,
    interactive_mode: Option<String>,
}

#[derive(Debug, Clone, Deserialize, Default, PartialEq, Eq)]
#[serde(default)]
struct Variable {
    name: String,
    value: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Credential {
    api_version: String,
    kind: String,
    status: Option<Status>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    expiration_timestamp: Option<String>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

impl Plugin {
    /// Checks what can be checked without running it.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.command.is_empty() {
            return Err("exec: command must be specified to use exec authentication plugin".to_owned());
        }
        let version = self.api_version.as_deref().unwrap_or_default();
        if ![API_V1, API_V1BETA1].contains(&version) {
            return Err(format!("exec plugin: invalid apiVersion {version:?}"));
        }
        match self.interactive_mode.as_deref() {
            Some("Always") => {
                Err("exec plugin cannot support interactive mode: standard input is unavailable".to_owned())
            }
            None | Some("") if version == API_V1 => {
                Err("exec: interactiveMode must be specified to use exec authentication plugin".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Asks the plugin, and puts what it hands out into `options`; answers until when that is good, if it says. A command with
    /// a `/` in it is looked for from `folder`. `server` is what the plugin is told of the cluster if it wants to know.
    pub(crate) async fn apply(
        &self,
        server: &str,
        folder: Option<&Path>,
        options: &mut ClientOptions,
    ) -> Result<Option<SystemTime>, String> {
        let said =
            self.run(server, folder, options).await.map_err(|err| format!("getting credentials: {err}"))?;
        let status = self.read(&said).map_err(|err| format!("getting credentials: {err}"))?;
        if let Some(token) = status.token.filter(|token| !token.is_empty()) {
            options.authorization = Some(bearer(Source::Inline(Secret::new(token))));
        }
        let inline = |text: Option<String>| text.map(|text| Source::Inline(Secret::new(text)));
        if status.client_certificate_data.is_some() {
            options.tls.cert = inline(status.client_certificate_data);
            options.tls.key = inline(status.client_key_data);
        }
        expires(status.expiration_timestamp.as_deref())
    }

    fn read(&self, said: &[u8]) -> Result<Status, String> {
        let credential: Credential =
            serde_json::from_slice(said).map_err(|err| format!("decoding stdout: {err}"))?;
        if credential.kind != "ExecCredential" {
            return Err(format!("decoding stdout: kind is {:?}, not \"ExecCredential\"", credential.kind));
        }
        let wanted = self.api_version.as_deref().unwrap_or_default();
        if credential.api_version != wanted {
            return Err(format!(
                "exec plugin is configured to use API version {wanted}, plugin returned version {}",
                credential.api_version
            ));
        }
        let status = credential.status.ok_or("exec plugin didn't return a status field")?;
        let has = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        match (has(&status.token), has(&status.client_certificate_data), has(&status.client_key_data)) {
            (false, false, false) => Err("exec plugin didn't return a token or cert/key pair".to_owned()),
            (_, true, false) | (_, false, true) => {
                Err("exec plugin returned only certificate or key, not both".to_owned())
            }
            _ => Ok(status),
        }
    }

    async fn run(
        &self,
        server: &str,
        folder: Option<&Path>,
        options: &ClientOptions,
    ) -> Result<Vec<u8>, String> {
        let path = match folder {
            Some(folder) if self.command.contains('/') => folder.join(&self.command),
            _ => PathBuf::from(&self.command),
        };
        let mut command = Command::new(&path);
        command.args(self.args.iter().flatten());
        command.envs(self.env.iter().flatten().map(|variable| (&variable.name, &variable.value)));
        command.env("KUBERNETES_EXEC_INFO", self.info(server, options));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = Running(command.spawn().map_err(|err| match err.kind() {
            std::io::ErrorKind::NotFound => {
                let hint = self.install_hint.as_deref().unwrap_or_default().trim();
                let hint = if hint.is_empty() { String::new() } else { format!("\n\n{hint}") };
                format!("exec: executable {} not found{hint}", self.command)
            }
            _ => format!("exec: {err}"),
        })?);
        let (stdout, stderr) = (running.0.stdout.take(), running.0.stderr.take());
        let (stdout, stderr) =
            (tokio::task::spawn_blocking(|| read(stdout)), tokio::task::spawn_blocking(|| read(stderr)));
        let outcome = tokio::time::timeout(TIMEOUT, async {
            let said = (stdout.await.unwrap_or_default(), stderr.await.unwrap_or_default());
            running.ended().await.map(|status| (said, status))
        });
        let Ok(outcome) = outcome.await else {
            return Err(format!("exec: executable {} did not end within {TIMEOUT:?}", self.command));
        };
        let ((said, complaint), status) = outcome.map_err(|err| format!("exec: {err}"))?;
        if status.success() {
            return Ok(said);
        }
        let how = match status.code() {
            Some(code) => format!("failed with exit code {code}"),
            None => format!("failed: {status}"),
        };
        let complaint = String::from_utf8_lossy(&complaint);
        let last = complaint.lines().rfind(|line| !line.trim().is_empty());
        let last = last.map(|line| format!(": {}", line.trim())).unwrap_or_default();
        Err(format!("exec: executable {} {how}{last}", self.command))
    }

    /// `KUBERNETES_EXEC_INFO`.
    fn info(&self, server: &str, options: &ClientOptions) -> String {
        let mut spec = json!({"interactive": false});
        if self.provide_cluster_info {
            let mut cluster = json!({"server": server, "config": null});
            if let Some(name) = &options.tls.server_name {
                cluster["tls-server-name"] = json!(name);
            }
            if options.tls.insecure_skip_verify {
                cluster["insecure-skip-tls-verify"] = json!(true);
            }
            let authority = match &options.tls.ca {
                Some(Source::Inline(text)) => Some(text.reveal().as_bytes().to_vec()),
                Some(Source::File(path)) => std::fs::read(path).ok(),
                None => None,
            };
            if let Some(authority) = authority {
                cluster["certificate-authority-data"] = json!(crate::base64::encode(&authority));
            }
            spec["cluster"] = cluster;
        }
        json!({"kind": "ExecCredential", "apiVersion": self.api_version, "spec": spec}).to_string()
    }
}

fn read(from: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        let _ = from.take(LONGEST).read_to_end(&mut bytes);
    }
    bytes
}

/// A process that does not outlive its use.
struct Running(Child);

impl Running {
    async fn ended(&mut self) -> std::io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(version: &str, script: &str) -> Plugin {
        Plugin {
            api_version: Some(version.to_owned()),
            command: "sh".to_owned(),
            args: Some(vec!["-c".to_owned(), script.to_owned()]),
            env: Some(vec![Variable { name: "WHO".to_owned(), value: "me".to_owned() }]),
            interactive_mode: Some("Never".to_owned()),
            provide_cluster_info: true,
            ..Plugin::default()
        }
    }

    #[tokio::test]
    async fn what_a_plugin_hands_out_is_used() {
        for version in [API_V1, API_V1BETA1] {
            let status = r#"{\"token\":\"of-$WHO\",\"expirationTimestamp\":\"2026-11-21T12:00:00Z\",\"clientCertificateData\":\"C\",\"clientKeyData\":\"K\"}"#;
            let script = format!(
                "echo \"{{\\\"kind\\\":\\\"ExecCredential\\\",\\\"apiVersion\\\":\\\"{version}\\\",\\\"status\\\":{status}}}\""
            );
            let mut options = ClientOptions::default();
            let plugin = plugin(version, &script);
            plugin.check().unwrap();
            let until = plugin.apply("https://h", None, &mut options).await.unwrap();
            assert_eq!(until, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_262_400)));
            assert_eq!(options.authorization, Some(bearer(Source::Inline("of-me".into()))));
            assert_eq!(options.tls.cert, Some(Source::Inline("C".into())));
            assert_eq!(options.tls.key, Some(Source::Inline("K".into())));
        }
    }

    #[tokio::test]
    async fn a_plugin_is_told_of_the_cluster() {
        let mut options = ClientOptions::default();
        options.tls.ca = Some(Source::Inline("CA".into()));
        options.tls.server_name = Some("name".to_owned());
        let script = "echo \"$KUBERNETES_EXEC_INFO\" >&2; exit 3";
        let err = plugin(API_V1, script).apply("https://h", None, &mut options).await.unwrap_err();
        let told = err.split_once("exit code 3: ").unwrap().1;
        let told: serde_json::Value = serde_json::from_str(told).unwrap();
        let cluster = json!({
            "server": "https://h", "config": null, "tls-server-name": "name", "certificate-authority-data": "Q0E=",
        });
        let spec = json!({"interactive": false, "cluster": cluster});
        assert_eq!(told, json!({"kind": "ExecCredential", "apiVersion": API_V1, "spec": spec}));
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_plugin_is_said() {
        let v1 = r#"echo '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1"#;
        for (script, message) in [
            (format!("{v1}\"}}'"), "exec plugin didn't return a status field"),
            (format!("{v1}\",\"status\":{{}}}}'"), "exec plugin didn't return a token or cert/key pair"),
            (
                format!("{v1}\",\"status\":{{\"clientKeyData\":\"K\"}}}}'"),
                "exec plugin returned only certificate or key, not both",
            ),
            (
                format!("{v1}beta1\",\"status\":{{\"token\":\"t\"}}}}'"),
                "exec plugin is configured to use API version client.authentication.k8s.io/v1, plugin returned version client.authentication.k8s.io/v1beta1",
            ),
            (
                "echo first >&2; echo why >&2; exit 2".to_owned(),
                "exec: executable sh failed with exit code 2: why",
            ),
        ] {
            let err =
                plugin(API_V1, &script).apply("", None, &mut ClientOptions::default()).await.unwrap_err();
            assert_eq!(err, format!("getting credentials: {message}"));
        }
        let missing = Plugin {
            command: "no-such-plugin".to_owned(),
            install_hint: Some("Get it.\n".to_owned()),
            ..plugin(API_V1, "")
        };
        let err = missing.apply("", None, &mut ClientOptions::default()).await.unwrap_err();
        assert_eq!(err, "getting credentials: exec: executable no-such-plugin not found\n\nGet it.");
        for (broken, message) in [
            (Plugin { command: String::new(), ..plugin(API_V1, "") }, "command must be specified"),
            (plugin("client.authentication.k8s.io/v1alpha1", ""), "invalid apiVersion"),
            (Plugin { interactive_mode: None, ..plugin(API_V1, "") }, "interactiveMode must be specified"),
            (Plugin { interactive_mode: Some("Always".to_owned()), ..plugin(API_V1, "") }, "standard input"),
        ] {
            assert!(broken.check().unwrap_err().contains(message));
        }
    }
}
