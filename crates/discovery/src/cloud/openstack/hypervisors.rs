//! Hypervisors of Nova.

use serde::Deserialize;
use serde_json::Value;

use super::{Session, page};
use crate::cloud::targets::Targets;
use crate::json::Or;

page!(Hypervisors hypervisors hypervisors_links Hypervisor);

#[derive(Deserialize, Default)]
#[serde(default)]
struct Hypervisor {
    /// A number; a text with newer versions of the API.
    id: Value,
    host_ip: Or<String>,
    hypervisor_hostname: Or<String>,
    hypervisor_type: Or<String>,
    state: Or<String>,
    status: Or<String>,
}

pub(super) async fn find(session: &Session<'_>, port: i64, targets: &mut Targets) -> Result<(), String> {
    let url = format!("{}os-hypervisors/detail", session.endpoint(&["compute"])?);
    for hypervisor in session.all::<Hypervisors>(&url).await? {
        targets.address(&hypervisor.host_ip, port);
        let id = match &hypervisor.id {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let labels = [
            ("hypervisor_id", &id),
            ("hypervisor_hostname", &*hypervisor.hypervisor_hostname),
            ("hypervisor_host_ip", &*hypervisor.host_ip),
            ("hypervisor_status", &*hypervisor.status),
            ("hypervisor_state", &*hypervisor.state),
            ("hypervisor_type", &*hypervisor.hypervisor_type),
        ];
        labels.into_iter().for_each(|(name, value)| targets.label(name, value));
        targets.end_target();
    }
    Ok(())
}
