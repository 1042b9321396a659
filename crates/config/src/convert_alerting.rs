//! `alerting` to the options of its component.

use discovery::ProviderOptions;
use model::relabel;
use notifier::SetOptions;

use crate::Config;
use crate::convert_remote::hash;
use crate::kinds::NameScheme;
use crate::sections::{Alertmanager, compile};

/// Where alerts go.
#[derive(Debug, Default)]
pub struct AlertingOptions {
    /// Rules over each alert.
    pub relabel: Vec<relabel::Config>,
    /// The Alertmanagers of each entry.
    pub sets: Vec<SetOptions>,
    /// Where each entry's are found, by the entry's name.
    pub providers: Vec<(String, Vec<ProviderOptions>)>,
}

impl Config {
    /// The section `alerting`.
    ///
    /// # Errors
    /// When a rule or a signer cannot be, which loading has mostly ruled out.
    pub fn alerting(&self) -> Result<AlertingOptions, String> {
        let document = self.document();
        let scheme = document.global.metric_name_validation_scheme;
        let alerting = &document.alerting;
        let mut options = AlertingOptions {
            relabel: compile(&alerting.alert_relabel_configs, scheme).map_err(|(_, line, _)| line)?,
            ..AlertingOptions::default()
        };
        for (i, alertmanager) in alerting.alertmanagers.0.iter().flatten().enumerate() {
            let name = format!("config-{i}");
            options.sets.push(alertmanager.to_options(&name, scheme)?);
            options.providers.push((name, alertmanager.discovery.to_providers()));
        }
        Ok(options)
    }
}

impl Alertmanager {
    fn to_options(&self, name: &str, scheme: NameScheme) -> Result<SetOptions, String> {
        let rules = |rules| compile(rules, scheme).map_err(|(_, line, _)| line);
        Ok(SetOptions {
            name: name.to_owned(),
            hash: hash(self),
            scheme: self.scheme.clone(),
            path_prefix: self.path_prefix.clone(),
            timeout: self.timeout.into(),
            relabel: rules(&self.relabel_configs)?,
            alert_relabel: rules(&self.alert_relabel_configs)?,
            client: self.http.to_options(),
            signer: self.sigv4.as_ref().map(|sigv4| sigv4.to_signer()).transpose()?,
        })
    }
}
