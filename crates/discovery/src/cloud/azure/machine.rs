//! Resources as the resource manager sends them.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::json::{Many, Or};

/// A page of a list.
#[derive(Deserialize)]
pub(super) struct Page<T> {
    #[serde(default = "Many::default")]
    pub(super) value: Many<T>,
    #[serde(rename = "nextLink", default)]
    pub(super) next_link: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ScaleSet {
    pub(super) id: Or<String>,
    pub(super) name: Or<String>,
}

/// A machine, of a scale set or not.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Machine {
    pub(super) id: Or<String>,
    pub(super) name: Or<String>,
    pub(super) location: Or<String>,
    /// Within its scale set.
    pub(super) instance_id: Or<String>,
    pub(super) tags: Or<BTreeMap<String, Option<String>>>,
    properties: Or<Properties>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Properties {
    hardware_profile: Or<Hardware>,
    storage_profile: Or<Storage>,
    os_profile: Or<System>,
    network_profile: Or<Network>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Hardware {
    vm_size: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Storage {
    os_disk: Or<Disk>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Disk {
    os_type: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct System {
    computer_name: Or<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Network {
    network_interfaces: Many<Reference>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Reference {
    id: Or<String>,
}

impl Machine {
    pub(super) fn interfaces(&self) -> impl Iterator<Item = &str> {
        self.properties.network_profile.network_interfaces.0.iter().map(|reference| reference.id.as_str())
    }

    pub(super) fn computer_name(&self) -> &str {
        &self.properties.os_profile.computer_name
    }

    pub(super) fn os_type(&self) -> &str {
        &self.properties.storage_profile.os_disk.os_type
    }

    pub(super) fn size(&self) -> &str {
        &self.properties.hardware_profile.vm_size
    }
}

/// A network interface.
#[derive(Deserialize, Clone)]
pub(super) struct Interface {
    pub(super) properties: Option<InterfaceProperties>,
}

#[derive(Deserialize, Clone)]
pub(super) struct InterfaceProperties {
    pub(super) primary: Option<bool>,
    #[serde(rename = "ipConfigurations", default)]
    pub(super) configurations: Many<Configuration>,
}

#[derive(Deserialize, Clone)]
pub(super) struct Configuration {
    properties: Option<Addresses>,
}

#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase")]
struct Addresses {
    #[serde(rename = "privateIPAddress")]
    private: Option<String>,
    #[serde(rename = "publicIPAddress")]
    public: Option<Public>,
}

#[derive(Deserialize, Clone)]
struct Public {
    properties: Option<PublicProperties>,
}

#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase")]
struct PublicProperties {
    ip_address: Option<String>,
}

impl Configuration {
    pub(super) fn private_ip(&self) -> Option<&str> {
        self.properties.as_ref()?.private.as_deref()
    }

    pub(super) fn public_ip(&self) -> Option<&str> {
        self.properties.as_ref()?.public.as_ref()?.properties.as_ref()?.ip_address.as_deref()
    }
}
