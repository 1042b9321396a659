//! `alerting`.

use super::discovery::Discovery;
use super::http_client::HttpClient;
use super::relabel::{Rules, refuse_null};
use super::remote::SigV4;
use crate::decode::{Field, Invalid, Issues, Section, Stop, invalid_at, section};
use crate::kinds::{Millis, Word, word};
use crate::yaml::{Kind, Node, Out};

section! {
    /// Where alerts go.
    Alerting "config.AlertingConfig" "config.plain" {
        /// Rules over each alert.
        alert_relabel_configs: Rules = "alert_relabel_configs",
        /// The Alertmanagers.
        alertmanagers: Alertmanagers = "alertmanagers",
    }
}

/// Several, in their order; none is null once the file is loaded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Alertmanagers(pub Vec<Option<Alertmanager>>);

impl Field for Alertmanagers {
    fn go_type() -> String {
        "config.AlertmanagerConfigs".into()
    }

    fn decode(node: &Node, issues: &mut Issues) -> Result<Option<Self>, Stop> {
        if !matches!(node.kind, Kind::Sequence(_)) {
            issues.mismatch(node, &Self::go_type());
            return Ok(None);
        }
        Ok(Field::decode(node, issues)?.map(Alertmanagers))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn encode(&self) -> Out {
        self.0.encode()
    }

    fn set_directory(&mut self, directory: &std::path::Path) {
        self.0.set_directory(directory);
    }
}

impl Section for Alerting {
    fn check(&mut self) -> Result<(), Invalid> {
        refuse_null(
            &self.alert_relabel_configs,
            "alert_relabel_configs",
            "empty or null alert relabeling rule",
        )
    }
}

section! {
    /// Alertmanagers: where they are found and how they are reached.
    Alertmanager "config.AlertmanagerConfig" "config.AlertmanagerConfig" {
        /// How they are reached.
        http: HttpClient = inline,
        /// AWS signatures.
        sigv4: Option<SigV4> = "sigv4",
        /// The URL's scheme.
        scheme: String = "scheme",
        /// A path before the API's.
        path_prefix: String = "path_prefix",
        /// How long a request may take.
        timeout: Millis = "timeout",
        /// The version of the API.
        api_version: ApiVersion = "api_version" keep,
        /// Rules over discovered labels.
        relabel_configs: Rules = "relabel_configs",
        /// Rules over each alert.
        alert_relabel_configs: Rules = "alert_relabel_configs",
        /// Where they are found.
        discovery: Discovery = inline,
    }
}

/// The version of Alertmanager's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ApiVersion {
    /// None.
    #[default]
    Unset,
    /// The only one.
    V2,
}

impl Word for ApiVersion {
    const GO_TYPE: &'static str = "config.AlertmanagerAPIVersion";
    const GO_READ: &'static str = "config.plain";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "v2" => Ok(ApiVersion::V2),
            other => Err(format!("expected Alertmanager api version to be one of [v2] but got {other}")),
        }
    }

    fn word(self) -> &'static str {
        match self {
            ApiVersion::Unset => "",
            ApiVersion::V2 => "v2",
        }
    }

    fn choices() -> &'static str {
        "v2"
    }
}
word!(ApiVersion);

impl Section for Alertmanager {
    fn defaults() -> Self {
        Alertmanager {
            scheme: "http".into(),
            timeout: Millis(10_000),
            api_version: ApiVersion::V2,
            http: HttpClient::defaults(),
            ..Alertmanager::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        self.discovery.check_elements(true)?;
        self.http.check()?;
        let auth =
            self.http.basic_auth.is_some() || self.http.authorization.is_some() || self.http.oauth2.is_some();
        if auth && self.sigv4.is_some() {
            return invalid_at(
                "sigv4",
                "at most one of basic_auth, authorization, oauth2, & sigv4 must be configured",
            );
        }
        self.discovery.check_elements(!self.relabel_configs.is_empty())?;
        refuse_null(
            &self.relabel_configs,
            "relabel_configs",
            "empty or null Alertmanager target relabeling rule",
        )?;
        refuse_null(
            &self.alert_relabel_configs,
            "alert_relabel_configs",
            "empty or null Alertmanager alert relabeling rule",
        )
    }
}
