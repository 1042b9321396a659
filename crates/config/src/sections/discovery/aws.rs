//! `ec2_sd_configs` and the other services of AWS.

use std::time::Duration;

use cloudauth::{AccountOptions, Environment};
use discovery::{
    AwsFilter, AwsOptions, Ec2Options, EcsOptions, ElastiCacheOptions, LightsailOptions, MskOptions,
    ProviderOptions, RdsOptions,
};
use model::number::quote;

use super::{Entry, MINUTE};
use crate::decode::{Invalid, Section, invalid, invalid_at, section};
use crate::kinds::{Millis, Secret, Word, word};
use crate::sections::HttpClient;

section! {
    /// Instances of EC2.
    Ec2Sd "aws.EC2SDConfig" "aws.plain" {
        /// Another URL than the region's.
        endpoint: String = "endpoint" keep,
        /// The region.
        region: String = "region" keep,
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
        /// How often.
        refresh_interval: Millis = "refresh_interval",
        /// The port of targets.
        port: isize = "port" keep,
        /// Which instances; all if none.
        filters: Vec<Option<Filter>> = "filters" keep,
        /// How it is reached.
        http: HttpClient = inline,
    }
}

section! {
    /// Which of a list.
    Filter "aws.Filter" "aws.Filter" {
        /// What is looked at.
        name: String = "name" keep,
        /// What is taken.
        values: Vec<String> = "values" keep,
    }
}
impl Section for Filter {}

fn check_filters(filters: &[Option<Filter>], service: &str) -> Result<(), Invalid> {
    if filters.iter().any(|filter| filter.as_ref().is_none_or(|filter| filter.values.is_empty())) {
        return invalid_at("filters", format!("{service} SD configuration filter values cannot be empty"));
    }
    Ok(())
}

fn to_filters(filters: &[Option<Filter>]) -> Vec<AwsFilter> {
    let filters = filters.iter().flatten();
    filters.map(|filter| AwsFilter { name: filter.name.clone(), values: filter.values.clone() }).collect()
}

/// A negative number sets no bound.
fn at_once(requests: isize) -> usize {
    usize::try_from(requests).unwrap_or(usize::MAX)
}

/// What the sections of all services have, as options.
macro_rules! to_aws {
    ($section:expr, $at_once:expr) => {
        AwsOptions {
            at_once: at_once($at_once),
            account: AccountOptions {
                region: $section.region.clone(),
                access_key: $section.access_key.clone(),
                secret_key: httpclient::Secret::new($section.secret_key.0.as_str()),
                profile: $section.profile.clone(),
                role_arn: $section.role_arn.clone(),
                external_id: $section.external_id.clone(),
                fips_sts: false,
            },
            endpoint: $section.endpoint.clone(),
            port: $section.port as i64,
            refresh_interval: Duration::from($section.refresh_interval),
            client: $section.http.to_options(),
            environment: Environment::of_process(),
        }
    };
}

impl Section for Ec2Sd {
    fn defaults() -> Self {
        Ec2Sd { port: 80, refresh_interval: Millis(MINUTE), http: HttpClient::defaults(), ..Ec2Sd::default() }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        check_filters(&self.filters, "EC2")?;
        self.http.check()
    }
}

impl Entry for Ec2Sd {
    fn provider(&self) -> Option<ProviderOptions> {
        let options = Ec2Options { aws: to_aws!(self, 1), filters: to_filters(&self.filters) };
        Some(ProviderOptions::Ec2(Box::new(options)))
    }

    fn client(&self) -> Option<&HttpClient> {
        Some(&self.http)
    }
}

section! {
    /// Instances of Lightsail.
    LightsailSd "aws.LightsailSDConfig" "aws.plain" {
        /// Another URL than the region's.
        endpoint: String = "endpoint" keep,
        /// The region.
        region: String = "region" keep,
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
        /// How often.
        refresh_interval: Millis = "refresh_interval",
        /// The port of targets.
        port: isize = "port" keep,
        /// How it is reached.
        http: HttpClient = inline,
    }
}

impl Section for LightsailSd {
    fn defaults() -> Self {
        LightsailSd {
            port: 80,
            refresh_interval: Millis(MINUTE),
            http: HttpClient::defaults(),
            ..LightsailSd::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        self.http.check()
    }
}

impl Entry for LightsailSd {
    fn provider(&self) -> Option<ProviderOptions> {
        Some(ProviderOptions::Lightsail(Box::new(LightsailOptions { aws: to_aws!(self, 1) })))
    }

    fn client(&self) -> Option<&HttpClient> {
        Some(&self.http)
    }
}

/// A service whose targets are found cluster by cluster: its section, how many requests may be under way if nothing is
/// written, and its options.
macro_rules! cluster_service {
    ($(#[$meta:meta])* $name:ident $go_name:literal, $concurrency:literal, $options:ident, $provider:ident) => {
        section! {
            $(#[$meta])*
            $name $go_name "aws.plain" {
                /// The region.
                region: String = "region" keep,
                /// Another URL than the region's.
                endpoint: String = "endpoint" keep,
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
                /// Which clusters; all if none.
                clusters: Vec<String> = "clusters",
                /// The port of targets.
                port: isize = "port" keep,
                /// How often.
                refresh_interval: Millis = "refresh_interval",
                /// How many requests may be under way.
                request_concurrency: isize = "request_concurrency",
                /// How it is reached.
                http: HttpClient = inline,
            }
        }

        impl Section for $name {
            fn defaults() -> Self {
                $name {
                    port: 80,
                    refresh_interval: Millis(MINUTE),
                    request_concurrency: $concurrency,
                    http: HttpClient::defaults(),
                    ..$name::default()
                }
            }

            fn check(&mut self) -> Result<(), Invalid> {
                self.http.check()
            }
        }

        impl Entry for $name {
            fn provider(&self) -> Option<ProviderOptions> {
                let options = $options { aws: to_aws!(self, self.request_concurrency), clusters: self.clusters.clone() };
                Some(ProviderOptions::$provider(Box::new(options)))
            }

            fn client(&self) -> Option<&HttpClient> {
                Some(&self.http)
            }
        }
    };
}

cluster_service! {
    /// Tasks of ECS.
    EcsSd "aws.ECSSDConfig", 20, EcsOptions, Ecs
}
cluster_service! {
    /// Nodes of ElastiCache.
    ElastiCacheSd "aws.ElasticacheSDConfig", 10, ElastiCacheOptions, ElastiCache
}
cluster_service! {
    /// Nodes of Kafka clusters of MSK.
    MskSd "aws.MSKSDConfig", 10, MskOptions, Msk
}

section! {
    /// Instances of databases of RDS.
    RdsSd "aws.RDSSDConfig" "aws.plain" {
        /// The region.
        region: String = "region" keep,
        /// Another URL than the region's.
        endpoint: String = "endpoint" keep,
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
        /// Which clusters; all if none.
        clusters: Vec<String> = "clusters",
        /// The port of targets.
        port: isize = "port" keep,
        /// How often.
        refresh_interval: Millis = "refresh_interval",
        /// Which instances; all if none.
        filters: Vec<Option<Filter>> = "filters" keep,
        /// How many requests may be under way.
        request_concurrency: isize = "request_concurrency",
        /// How it is reached.
        http: HttpClient = inline,
    }
}

impl Section for RdsSd {
    fn defaults() -> Self {
        RdsSd {
            port: 80,
            refresh_interval: Millis(MINUTE),
            request_concurrency: 10,
            http: HttpClient::defaults(),
            ..RdsSd::default()
        }
    }

    fn check(&mut self) -> Result<(), Invalid> {
        self.http.check()
    }
}

impl Entry for RdsSd {
    fn provider(&self) -> Option<ProviderOptions> {
        let options = RdsOptions {
            aws: to_aws!(self, self.request_concurrency),
            clusters: self.clusters.clone(),
            filters: to_filters(&self.filters),
        };
        Some(ProviderOptions::Rds(Box::new(options)))
    }

    fn client(&self) -> Option<&HttpClient> {
        Some(&self.http)
    }
}

section! {
    /// Any of these services.
    AwsSd "aws.SDConfig" "aws.plain" {
        /// Which one.
        role: AwsRole = "role" keep,
        /// The region.
        region: String = "region",
        /// Another URL than the region's.
        endpoint: String = "endpoint",
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
        /// How often.
        refresh_interval: Millis = "refresh_interval",
        /// The port of targets.
        port: isize = "port",
        /// How it is reached.
        http: HttpClient = inline,
        /// Which instances; all if none.
        filters: Vec<Option<Filter>> = "filters",
        /// Which clusters; all if none.
        clusters: Vec<String> = "clusters",
    }
}

/// A service whose resources become targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AwsRole {
    /// Not written.
    #[default]
    Unset,
    /// EC2.
    Ec2,
    /// ECS.
    Ecs,
    /// ElastiCache.
    ElastiCache,
    /// Lightsail.
    Lightsail,
    /// MSK.
    Msk,
    /// RDS.
    Rds,
}

impl Word for AwsRole {
    const GO_TYPE: &'static str = "aws.Role";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "ec2" => AwsRole::Ec2,
            "ecs" => AwsRole::Ecs,
            "elasticache" => AwsRole::ElastiCache,
            "lightsail" => AwsRole::Lightsail,
            "msk" => AwsRole::Msk,
            "rds" => AwsRole::Rds,
            other => return Err(format!("unknown AWS SD role {}", quote(other))),
        })
    }

    fn word(self) -> &'static str {
        match self {
            AwsRole::Unset => "",
            AwsRole::Ec2 => "ec2",
            AwsRole::Ecs => "ecs",
            AwsRole::ElastiCache => "elasticache",
            AwsRole::Lightsail => "lightsail",
            AwsRole::Msk => "msk",
            AwsRole::Rds => "rds",
        }
    }

    fn choices() -> &'static str {
        "ec2, ecs, elasticache, lightsail, msk, rds"
    }
}
word!(AwsRole);

/// Nothing is set where nothing is written, not even what every other client has: Prometheus has it so.
impl Section for AwsSd {
    fn check(&mut self) -> Result<(), Invalid> {
        match self.role {
            AwsRole::Unset => invalid("unknown AWS SD role \"\""),
            _ => Ok(()),
        }
    }
}

impl Entry for AwsSd {
    fn provider(&self) -> Option<ProviderOptions> {
        let mut aws = to_aws!(self, if self.role == AwsRole::Ecs { 20 } else { 10 });
        if self.port == 0 {
            aws.port = 80;
        }
        if self.refresh_interval.0 == 0 {
            aws.refresh_interval = Duration::from(Millis(MINUTE));
        }
        let (filters, clusters) = (to_filters(&self.filters), self.clusters.clone());
        Some(match self.role {
            AwsRole::Unset => return None,
            AwsRole::Ec2 => ProviderOptions::Ec2(Box::new(Ec2Options { aws, filters })),
            AwsRole::Ecs => ProviderOptions::Ecs(Box::new(EcsOptions { aws, clusters })),
            AwsRole::ElastiCache => {
                ProviderOptions::ElastiCache(Box::new(ElastiCacheOptions { aws, clusters }))
            }
            AwsRole::Lightsail => ProviderOptions::Lightsail(Box::new(LightsailOptions { aws })),
            AwsRole::Msk => ProviderOptions::Msk(Box::new(MskOptions { aws, clusters })),
            AwsRole::Rds => ProviderOptions::Rds(Box::new(RdsOptions { aws, clusters, filters })),
        })
    }

    fn client(&self) -> Option<&HttpClient> {
        Some(&self.http)
    }
}
