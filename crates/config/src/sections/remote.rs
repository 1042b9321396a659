//! `remote_write` and `remote_read`.

use std::collections::BTreeMap;

use super::azuread::AzureAd;
use super::http_client::{HttpClient, is_reserved_for_remote};
use super::relabel::{Rules, refuse_null};
use crate::decode::{Field, Invalid, Section, invalid, invalid_at, section};
use crate::kinds::{FilePath, LabelSet, Millis, Secret, Url, named_text};

section! {
    /// A server that every sample is sent to.
    RemoteWrite "config.RemoteWriteConfig" "config.plain" {
        /// Where.
        url: Option<Url> = "url" keep,
        /// How long a request may take.
        remote_timeout: Millis = "remote_timeout",
        /// Headers that are added.
        headers: BTreeMap<String, String> = "headers",
        /// Rules over each series.
        write_relabel_configs: Rules = "write_relabel_configs",
        /// Its name in metrics.
        name: String = "name",
        /// Send exemplars.
        send_exemplars: bool = "send_exemplars",
        /// Send native histograms.
        send_native_histograms: bool = "send_native_histograms",
        /// Take the addresses of the host in turn.
        round_robin_dns: bool = "round_robin_dns",
        /// Log what the server refuses. Known to Prometheus after 3.14.
        failed_request_logging: bool = "failed_request_logging",
        /// The message of version 1 or 2.
        protobuf_message: MessageType = "protobuf_message",
        /// How it is reached.
        http: HttpClient = inline,
        /// What waits to be sent.
        queue_config: Queue = "queue_config",
        /// Types, units and help.
        metadata_config: Metadata = "metadata_config",
        /// AWS signatures.
        sigv4: Option<SigV4> = "sigv4",
        /// Azure tokens.
        azuread: Option<AzureAd> = "azuread",
        /// Google tokens.
        google_iam: Option<GoogleIam> = "google_iam",
    }
}

section! {
    /// AWS signatures.
    SigV4 "sigv4.SigV4Config" "sigv4.plain" {
        /// The region.
        region: String = "region",
        /// The key's name.
        access_key: String = "access_key",
        /// The key.
        secret_key: Secret = "secret_key",
        /// A named profile.
        profile: String = "profile",
        /// A role to take.
        role_arn: String = "role_arn",
        /// Told to the role.
        external_id: String = "external_id",
        /// Use the FIPS endpoint.
        use_fips_sts_endpoint: bool = "use_fips_sts_endpoint",
        /// The service that is signed for.
        service_name: String = "service_name",
    }
}

impl Section for SigV4 {
    fn check(&mut self) -> Result<(), Invalid> {
        if self.access_key.is_empty() != self.secret_key.is_empty() {
            return invalid(
                "must provide a AWS SigV4 Access key and Secret Key if credentials are specified in the SigV4 config",
            );
        }
        if !self.external_id.is_empty() && self.role_arn.is_empty() {
            return invalid_at("external_id", "external_id can only be used with role_arn");
        }
        Ok(())
    }
}

section! {
    /// Google tokens.
    GoogleIam "googleiam.Config" "googleiam.Config" {
        /// The service account's key.
        credentials_file: FilePath = "credentials_file",
    }
}
impl Section for GoogleIam {}

section! {
    /// What waits to be sent.
    Queue "config.QueueConfig" "config.QueueConfig" {
        /// Samples of a shard.
        capacity: isize = "capacity",
        /// Most shards.
        max_shards: isize = "max_shards",
        /// Fewest shards.
        min_shards: isize = "min_shards",
        /// Samples of a request.
        max_samples_per_send: isize = "max_samples_per_send",
        /// How long a sample waits for others.
        batch_send_deadline: Millis = "batch_send_deadline",
        /// Shortest pause before another try.
        min_backoff: Millis = "min_backoff",
        /// Longest pause before another try.
        max_backoff: Millis = "max_backoff",
        /// Try again when told to slow down.
        retry_on_http_429: bool = "retry_on_http_429",
        /// Older samples are not sent.
        sample_age_limit: Millis = "sample_age_limit",
    }
}
impl Section for Queue {
    const OVERLAY: bool = true;
}

section! {
    /// Types, units and help.
    Metadata "config.MetadataConfig" "config.MetadataConfig" {
        /// Whether they are sent.
        send: bool = "send" keep,
        /// How often.
        send_interval: Millis = "send_interval" keep,
        /// How many in a request.
        max_samples_per_send: isize = "max_samples_per_send",
    }
}
impl Section for Metadata {
    const OVERLAY: bool = true;
}

named_text! {
    /// The message of version 1 or 2.
    MessageType "remote.WriteMessageType"
}

const VERSION_1: &str = "prometheus.WriteRequest";
const VERSION_2: &str = "io.prometheus.write.v2.Request";

impl Section for RemoteWrite {
    fn defaults() -> Self {
        RemoteWrite {
            remote_timeout: Millis(30_000),
            protobuf_message: MessageType(VERSION_1.into()),
            http: HttpClient { enable_http2: false, ..HttpClient::defaults() },
            queue_config: Queue {
                capacity: 10_000,
                max_shards: 50,
                min_shards: 1,
                max_samples_per_send: 2000,
                batch_send_deadline: Millis(5000),
                min_backoff: Millis(30),
                max_backoff: Millis(5000),
                ..Queue::default()
            },
            metadata_config: Metadata {
                send: true,
                send_interval: Millis(60_000),
                max_samples_per_send: 2000,
            },
            ..RemoteWrite::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.url.is_none() {
            return invalid("url for remote_write is empty");
        }
        refuse_null(
            &self.write_relabel_configs,
            "write_relabel_configs",
            "empty or null relabeling rule in remote write config",
        )?;
        check_headers(&self.headers)?;
        if ![VERSION_1, VERSION_2].contains(&self.protobuf_message.0.as_str()) {
            return invalid_at(
                "protobuf_message",
                format!(
                    "invalid protobuf_message value: unknown type for remote write protobuf message {}, supported: {VERSION_1}, {VERSION_2}",
                    self.protobuf_message.0
                ),
            );
        }
        self.http.check()?;
        self.check_queue()?;
        self.check_credentials()
    }
}

impl RemoteWrite {
    fn check_queue(&self) -> Result<(), Invalid> {
        let queue = &self.queue_config;
        let rules = [
            (queue.max_shards > 0, "remote write queue max_shards must be positive"),
            (queue.min_shards > 0, "remote write queue min_shards must be positive"),
            (
                queue.min_shards <= queue.max_shards,
                "remote write queue min_shards must not be greater than max_shards",
            ),
            (queue.max_samples_per_send > 0, "remote write queue max_samples_per_send must be positive"),
            (queue.capacity > 0, "remote write queue capacity must be positive"),
            (
                queue.max_backoff >= queue.min_backoff,
                "remote write queue max_backoff must not be less than min_backoff",
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, line)) => invalid_at("queue_config", line),
            None => Ok(()),
        }
    }

    fn check_credentials(&self) -> Result<(), Invalid> {
        let all = [
            (self.http.basic_auth.is_some(), "basic_auth"),
            (self.http.authorization.is_some(), "authorization"),
            (self.http.oauth2.is_some(), "oauth2"),
            (self.sigv4.is_some(), "sigv4"),
            (self.azuread.is_some(), "azuread"),
            (self.google_iam.is_some(), "google_iam"),
        ];
        let set: Vec<&str> = all.into_iter().filter(|(set, _)| *set).map(|(_, key)| key).collect();
        if set.len() > 1 {
            return invalid(format!(
                "at most one of basic_auth, authorization, oauth2, sigv4, azuread or google_iam must be configured. Currently configured: [{}]",
                set.join(" ")
            ));
        }
        Ok(())
    }
}

fn check_headers(headers: &BTreeMap<String, String>) -> Result<(), Invalid> {
    for header in headers.keys() {
        if header.eq_ignore_ascii_case("authorization") {
            return invalid_at(
                "headers",
                "authorization header must be changed via the basic_auth, authorization, oauth2, sigv4, azuread or google_iam parameter",
            );
        }
        if is_reserved_for_remote(header) {
            return invalid_at("headers", format!("{header} is a reserved header. It must not be changed"));
        }
    }
    Ok(())
}

section! {
    /// A server that queries are passed on to.
    RemoteRead "config.RemoteReadConfig" "config.plain" {
        /// Where.
        url: Option<Url> = "url" keep,
        /// How long a request may take.
        remote_timeout: Millis = "remote_timeout",
        /// Longest frame, in bytes.
        chunked_read_limit: u64 = "chunked_read_limit",
        /// Headers that are added.
        headers: BTreeMap<String, String> = "headers",
        /// Ask it also for what is here.
        read_recent: bool = "read_recent",
        /// Its name in metrics.
        name: String = "name",
        /// How it is reached.
        http: HttpClient = inline,
        /// Matchers that a selector must have.
        required_matchers: LabelSet = "required_matchers",
        /// Add the external labels to selectors.
        filter_external_labels: bool = "filter_external_labels",
    }
}

impl Section for RemoteRead {
    fn defaults() -> Self {
        RemoteRead {
            remote_timeout: Millis(60_000),
            chunked_read_limit: 50_000_000,
            http: HttpClient::defaults(),
            filter_external_labels: true,
            ..RemoteRead::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        if self.url.is_none() {
            return invalid("url for remote_read is empty");
        }
        check_headers(&self.headers)?;
        self.http.check()
    }
}
