//! `tenancy` of `web.config.file`: who may see which series. Not known to Prometheus.

use std::sync::Arc;

use httpserver::{Grant, HeaderRule, Network, TenantRule};
use model::number::quote;
use model::{Matcher, is_legacy_label_name};

use crate::decode::{Section, section};

section! {
    /// Rules, and whose headers they believe.
    #[allow(unreachable_pub, reason = "read by the file around it alone")]
    Tenancy "web.Tenancy" "web.Tenancy" {
        trusted_proxies: Vec<String> = "trusted_proxies",
        rules: Vec<Rule> = "rules",
    }
}
impl Section for Tenancy {}

section! {
    /// Who, and what those may see.
    #[allow(unreachable_pub, reason = "read by the file around it alone")]
    Rule "web.TenancyRule" "web.TenancyRule" {
        user: String = "user",
        header: String = "header",
        value: String = "value",
        certificate: String = "certificate",
        selector: String = "selector",
        label: String = "label",
        everything: bool = "everything",
    }
}
impl Section for Rule {}

impl Tenancy {
    /// Options of the server.
    ///
    /// # Errors
    /// What is wrong, and with which rule.
    pub(crate) fn options(
        &self,
        is_user: impl Fn(&str) -> bool,
        verifies_clients: bool,
    ) -> Result<httpserver::Tenancy, String> {
        let network = |text: &String| {
            let refused =
                || format!("tenancy: trusted_proxies: {} is no address and no network", quote(text));
            Network::parse(text).ok_or_else(refused)
        };
        let trusted_proxies: Vec<Network> =
            self.trusted_proxies.iter().map(network).collect::<Result<_, _>>()?;
        if self.rules.is_empty() {
            return Err("tenancy: rules: there is none, so that nobody would see anything".into());
        }
        let mut rules = Vec::new();
        for (i, rule) in self.rules.iter().enumerate() {
            let of_rule = |why: String| format!("tenancy: rule {}: {why}", i + 1);
            if !rule.user.is_empty() && !is_user(&rule.user) {
                return Err(of_rule(format!("user {} is not in basic_auth_users", quote(&rule.user))));
            }
            if !rule.certificate.is_empty() && !verifies_clients {
                let why = "a certificate counts only with client_auth_type RequireAndVerifyClientCert or VerifyClientCertIfGiven";
                return Err(of_rule(why.into()));
            }
            if !rule.header.is_empty() && trusted_proxies.is_empty() {
                let why = "a header counts only if it comes from one of trusted_proxies, and there is none";
                return Err(of_rule(why.into()));
            }
            rules.push(rule.options().map_err(of_rule)?);
        }
        Ok(httpserver::Tenancy { trusted_proxies, rules })
    }
}

impl Rule {
    fn options(&self) -> Result<TenantRule, String> {
        if self.user.is_empty() && self.header.is_empty() && self.certificate.is_empty() {
            return Err("it does not say for whom: user, header or certificate".into());
        }
        if !self.value.is_empty() && self.header.is_empty() {
            return Err("a value is that of a header".into());
        }
        let header = match self.header.as_str() {
            "" => None,
            name => Some(HeaderRule {
                name: name.parse().map_err(|_| format!("{} is no name of a header", quote(name)))?,
                value: Some(self.value.clone()).filter(|value| !value.is_empty()),
            }),
        };
        let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        let grant = self.grant(header.as_ref())?;
        Ok(TenantRule { user: given(&self.user), header, certificate: given(&self.certificate), grant })
    }

    fn grant(&self, header: Option<&HeaderRule>) -> Result<Grant, String> {
        match (self.selector.as_str(), self.label.as_str(), self.everything) {
            ("", "", true) => Ok(Grant::Everything),
            ("", label, false) if !label.is_empty() => {
                if header.is_none_or(|header| header.value.is_some()) {
                    return Err("a label takes its value from a header: give the header, and no value".into());
                }
                match is_legacy_label_name(label) {
                    true => Ok(Grant::HeaderAsLabel(label.to_owned())),
                    false => Err(format!("{} is no name of a label", quote(label))),
                }
            }
            (selector, "", false) if !selector.is_empty() => selected(selector).map(Grant::Series),
            _ => Err("exactly one of selector, label and everything must be given".into()),
        }
    }
}

fn selected(selector: &str) -> Result<Arc<[Matcher]>, String> {
    let matchers = promql::parse_metric_selector(selector)
        .map_err(|err| format!("selector {}: {err}", quote(selector)))?;
    if matchers.iter().all(Matcher::matches_empty) {
        return Err(format!(
            "selector {}: it also matches series that have none of its labels",
            quote(selector)
        ));
    }
    Ok(matchers.into())
}
