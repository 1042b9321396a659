//! The metadata service of an EC2 instance, version 2 with a session token, or 1 where 2 is not spoken.

use std::time::Duration;

use httpclient::Client;
use serde::Deserialize;

use super::credentials::{Document, Keys};
use crate::environment::Environment;
use crate::error::{Error, while_doing};
use crate::exchange::Ask;

const IPV4: &str = "http://169.254.169.254";
const IPV6: &str = "http://[fd00:ec2::254]";
/// It is one hop away: who waits longer is not on an instance.
const TIMEOUT: Duration = Duration::from_secs(5);
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

/// The keys of the instance's role.
pub(crate) async fn keys(client: &Client, environment: &Environment) -> Result<Keys, Error> {
    let service = Service::open(client, environment).await?;
    let roles = service.get(ROLES).await.map_err(while_doing("no EC2 IMDS role found"))?;
    let roles = String::from_utf8_lossy(&roles);
    let role = roles.lines().next().map(str::trim).filter(|role| !role.is_empty());
    let role = role.ok_or_else(|| Error::new("unexpected empty EC2 IMDS role list"))?;
    let what = format!("failed to get {role} EC2 IMDS role credentials");
    let answer = service.get(&format!("{ROLES}{role}")).await.map_err(while_doing(&what))?;
    Document::parse(&answer).and_then(Document::keys).map_err(while_doing(&what))
}

/// The region that the instance runs in.
pub(crate) async fn region(client: &Client, environment: &Environment) -> Result<String, Error> {
    let service = Service::open(client, environment).await?;
    let answer = service.get("/latest/dynamic/instance-identity/document").await?;
    region_of(&answer)
}

pub(super) fn region_of(document: &[u8]) -> Result<String, Error> {
    #[derive(Deserialize)]
    struct Identity {
        #[serde(default)]
        region: String,
    }
    let identity: Identity =
        serde_json::from_slice(document).map_err(while_doing("instance identity document"))?;
    Ok(identity.region)
}

struct Service<'a> {
    client: &'a Client,
    endpoint: String,
    token: Option<String>,
}

impl<'a> Service<'a> {
    async fn open(client: &'a Client, environment: &Environment) -> Result<Self, Error> {
        let on = |name: &str| environment.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        if on("AWS_EC2_METADATA_DISABLED") {
            return Err(Error::new(
                "access disabled to EC2 IMDS via client option, or \"AWS_EC2_METADATA_DISABLED\" environment variable",
            ));
        }
        let ipv6 = environment
            .get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE")
            .is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6"));
        let usual = if ipv6 { IPV6 } else { IPV4 };
        let endpoint = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or(usual);
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let url = format!("{endpoint}/latest/api/token");
        let ask = Ask::put(&url).header("x-aws-ec2-metadata-token-ttl-seconds", "21600")?.timeout(TIMEOUT);
        let (status, body) = ask.answer(client).await?;
        let token = match status {
            200 => Some(String::from_utf8_lossy(&body).trim().to_owned()),
            403..=405 if !on("AWS_EC2_METADATA_V1_DISABLED") => None,
            status => return Err(Error(format!("failed to get API token: status {status}"))),
        };
        Ok(Service { client, endpoint, token })
    }

    async fn get(&self, path: &str) -> Result<Vec<u8>, Error> {
        let url = format!("{}{path}", self.endpoint);
        let mut ask = Ask::get(&url).timeout(TIMEOUT);
        if let Some(token) = &self.token {
            ask = ask.header("x-aws-ec2-metadata-token", token)?;
        }
        ask.send(self.client).await
    }
}
