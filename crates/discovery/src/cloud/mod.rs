//! Machines and services of clouds, through the HTTP APIs of those clouds: a module for each.
//!
//! All of them ask for everything again and again, page by page, and make one group of what they get. An answer that
//! is not what it should be, on any page, leaves what was found before in force.

mod api;
mod aws;
mod azure;
mod digitalocean;
mod gce;
mod hetzner;
mod ionos;
mod linode;
mod oci;
mod openstack;
mod outscale;
mod ovhcloud;
mod scaleway;
mod stackit;
mod targets;
mod vultr;

pub use aws::{
    AwsFilter, AwsOptions, Ec2Options, EcsOptions, ElastiCacheOptions, LightsailOptions, MskOptions,
    RdsOptions,
};
pub use azure::AzureOptions;
pub(crate) use azure::Metrics as AzureMetrics;
pub use digitalocean::{DigitalOceanOptions, DigitalOceanRole};
pub use gce::GceOptions;
pub use hetzner::{HetznerOptions, HetznerRole};
pub use ionos::IonosOptions;
pub use linode::LinodeOptions;
pub(crate) use linode::Metrics as LinodeMetrics;
pub use oci::OciOptions;
pub use openstack::{OpenStackIdentity, OpenStackOptions, OpenStackRole};
pub use outscale::OutscaleOptions;
pub use ovhcloud::{OvhCloudOptions, OvhCloudService};
pub use scaleway::{ScalewayOptions, ScalewayRole, SecretOrFile};
pub use stackit::StackitOptions;
pub use vultr::VultrOptions;

use crate::label_set::NameLists;

/// Pages of a list that are asked for before we believe that the list has no end.
const MAX_PAGES: usize = 10_000;

/// Reads `body` as answers of those clouds whose answers are taken apart by hand.
pub(crate) fn read_any(body: &[u8], lists: &NameLists) -> usize {
    let text = String::from_utf8_lossy(body);
    aws::read_any(body, lists)
        + usize::from(azure::is_resource(&text))
        + usize::from(hetzner::network_of(&text).is_some())
        + ovhcloud::addresses(&text)
}

fn endless(what: &str) -> String {
    format!("the list of {what} has more than {MAX_PAGES} pages")
}
