//! Keys of a task of ECS or a pod of EKS, from an address in the environment.

use httpclient::{Client, Url};

use super::credentials::{Document, Keys};
use crate::environment::Environment;
use crate::error::{Error, while_doing};
use crate::exchange::Ask;

const ECS: &str = "http://169.254.170.2";
/// Hosts besides this machine that may be asked without TLS: ECS, EKS.
const TRUSTED: [&str; 3] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];
const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";

/// Where the environment says that they are.
pub(crate) fn address(environment: &Environment) -> Option<Result<String, Error>> {
    if let Some(path) = environment.get(RELATIVE) {
        return Some(Ok(format!("{ECS}{path}")));
    }
    environment.get(FULL).map(|url| trusted(url).map(|()| url.to_owned()))
}

fn trusted(text: &str) -> Result<(), Error> {
    let url = Url::parse(text).map_err(while_doing("invalid URL"))?;
    let host = url.host_str().unwrap_or_default();
    let loopback = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => return Err(Error::new("unable to parse host from local HTTP cred provider URL")),
    };
    if url.scheme() == "http" && !loopback && !TRUSTED.contains(&host) {
        return Err(Error(format!(
            "invalid endpoint host, {host:?}, only loopback/ecs/eks hosts are allowed"
        )));
    }
    Ok(())
}

/// Asks there.
pub(crate) async fn keys(client: &Client, url: &str, environment: &Environment) -> Result<Keys, Error> {
    let token = match environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(path) => Some(
            tokio::fs::read_to_string(path)
                .await
                .map_err(|err| Error(format!("failed to read authorization token from {path}: {err}")))?,
        ),
        None => environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(str::to_owned),
    };
    let mut ask = Ask::get(url).header("accept", "application/json")?;
    if let Some(token) = token {
        ask = ask.header("authorization", &token)?;
    }
    let what = "failed to load credentials";
    let answer = ask.send(client).await.map_err(while_doing(what))?;
    Document::parse(&answer).and_then(Document::keys).map_err(while_doing(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_sent_in_the_open_only_to_hosts_that_hand_out_keys() {
        for good in [
            "http://127.0.0.1:8080/x",
            "http://localhost/x",
            "http://[::1]/x",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::23]/v1/credentials",
            "https://anywhere.example/x",
        ] {
            assert_eq!(trusted(good), Ok(()), "{good}");
        }
        for bad in
            ["http://10.0.0.1/x", "http://localhost.example/x", "http://169.254.169.254/", "x", "unix:x"]
        {
            assert!(trusted(bad).is_err(), "{bad}");
        }
    }
}
