//! `azuread`: tokens of Microsoft Entra ID for remote write.

use crate::decode::{Invalid, Section, invalid, invalid_at, section};
use crate::kinds::Secret;

section! {
    /// Azure tokens.
    AzureAd "azuread.AzureADConfig" "azuread.plain" {
        /// The identity of the machine.
        managed_identity: Option<ManagedIdentity> = "managed_identity",
        /// The identity of a Kubernetes service account.
        workload_identity: Option<WorkloadIdentity> = "workload_identity",
        /// A secret of an application.
        oauth: Option<AzureOAuth> = "oauth",
        /// What the environment offers.
        sdk: Option<AzureSdk> = "sdk",
        /// A certificate of an application.
        certificate: Option<AzureCertificate> = "certificate",
        /// `AzurePublic`, `AzureGovernment`, `AzureChina`.
        cloud: String = "cloud",
        /// What the token is for; that of the cloud if empty.
        scope: String = "scope",
    }
}

section! {
    /// The identity of the machine.
    ManagedIdentity "azuread.ManagedIdentityConfig" "azuread.ManagedIdentityConfig" {
        /// Which of its identities.
        client_id: String = "client_id",
    }
}
impl Section for ManagedIdentity {}

section! {
    /// The identity of a Kubernetes service account.
    WorkloadIdentity "azuread.WorkloadIdentityConfig" "azuread.WorkloadIdentityConfig" {
        /// The application.
        client_id: String = "client_id",
        /// The directory.
        tenant_id: String = "tenant_id",
        /// The account's token.
        token_file_path: String = "token_file_path",
    }
}
impl Section for WorkloadIdentity {}

section! {
    /// A secret of an application.
    AzureOAuth "azuread.OAuthConfig" "azuread.OAuthConfig" {
        /// The application.
        client_id: String = "client_id",
        /// Its secret.
        client_secret: Secret = "client_secret",
        /// The directory.
        tenant_id: String = "tenant_id",
    }
}
impl Section for AzureOAuth {}

section! {
    /// What the environment offers.
    AzureSdk "azuread.SDKConfig" "azuread.SDKConfig" {
        /// The directory.
        tenant_id: String = "tenant_id",
    }
}
impl Section for AzureSdk {}

section! {
    /// A certificate of an application.
    AzureCertificate "azuread.CertificateConfig" "azuread.CertificateConfig" {
        /// The application.
        client_id: String = "client_id",
        /// The directory.
        tenant_id: String = "tenant_id",
        /// The certificate, perhaps with its key.
        certificate_path: String = "certificate_path",
        /// The key, if it has a file of its own.
        certificate_key_path: String = "certificate_key_path",
        /// What opens the file.
        certificate_password: Secret = "certificate_password",
        /// Send the certificates of the authorities, too.
        send_certificate_chain: bool = "send_certificate_chain",
    }
}
impl Section for AzureCertificate {}

const CLOUDS: [&str; 3] = ["AzureChina", "AzureGovernment", "AzurePublic"];
/// Where Azure's webhook puts the token of a service account.
const TOKEN_FILE: &str = "/var/run/secrets/azure/tokens/azure-identity-token";

impl Section for AzureAd {
    fn check(&mut self) -> Result<(), Invalid> {
        if self.cloud.is_empty() {
            self.cloud = "AzurePublic".into();
        }
        if !CLOUDS.contains(&self.cloud.as_str()) {
            let refusal = invalid_at("cloud", "must provide a cloud in the Azure AD config");
            return refusal.map_err(|err| err.help(format!("one of: {}", CLOUDS.join(", "))));
        }
        let methods = [
            self.managed_identity.is_some(),
            self.workload_identity.is_some(),
            self.oauth.is_some(),
            self.sdk.is_some(),
            self.certificate.is_some(),
        ];
        match methods.into_iter().filter(|set| *set).count() {
            0 => {
                return invalid(
                    "must provide an Azure Managed Identity, Azure Workload Identity, Azure OAuth, Azure Certificate or Azure SDK in the Azure AD config",
                );
            }
            1 => {}
            _ => return invalid("cannot provide multiple authentication methods in the Azure AD config"),
        }
        self.check_method()?;
        let known = |c: char| c.is_ascii_alphanumeric() || "_:/.-\t\n\u{c}\r ".contains(c);
        if !self.scope.chars().all(known) {
            return invalid_at("scope", "the provided scope contains invalid characters");
        }
        Ok(())
    }
}

impl AzureAd {
    fn check_method(&mut self) -> Result<(), Invalid> {
        if let Some(identity) = &self.managed_identity
            && !identity.client_id.is_empty()
        {
            is_valid("Managed Identity", "managed_identity", &identity.client_id, "client_id")?;
        }
        if let Some(identity) = &mut self.workload_identity {
            let (what, key) = ("Workload Identity", "workload_identity");
            for (value, name) in [(&identity.client_id, "client_id"), (&identity.tenant_id, "tenant_id")] {
                is_there(what, key, value.is_empty(), name)?;
            }
            for (value, name) in [(&identity.client_id, "client_id"), (&identity.tenant_id, "tenant_id")] {
                is_valid(what, key, value, name)?;
            }
            if identity.token_file_path.is_empty() {
                identity.token_file_path = TOKEN_FILE.into();
            }
        }
        if let Some(oauth) = &self.oauth {
            let (what, key) = ("OAuth", "oauth");
            is_there(what, key, oauth.client_id.is_empty(), "client_id")?;
            is_there(what, key, oauth.client_secret.0.is_empty(), "client_secret")?;
            is_there(what, key, oauth.tenant_id.is_empty(), "tenant_id")?;
            is_valid(what, key, &oauth.client_id, "client_id")?;
        }
        if let Some(certificate) = &self.certificate {
            let (what, key) = ("Certificate", "certificate");
            is_there(what, key, certificate.client_id.is_empty(), "client_id")?;
            is_there(what, key, certificate.tenant_id.is_empty(), "tenant_id")?;
            is_there(what, key, certificate.certificate_path.is_empty(), "certificate_path")?;
            is_valid(what, key, &certificate.client_id, "client_id")?;
        }
        Ok(())
    }
}

fn is_there(what: &str, key: &'static str, missing: bool, name: &str) -> Result<(), Invalid> {
    if missing {
        return invalid_at(key, format!("must provide an Azure {what} {name} in the Azure AD config"));
    }
    Ok(())
}

fn is_valid(what: &str, key: &'static str, value: &str, name: &str) -> Result<(), Invalid> {
    if is_uuid(value) {
        return Ok(());
    }
    invalid_at(key, format!("the provided Azure {what} {name} is invalid"))
}

/// In one of the four spellings: plain, without dashes, in braces, as a URN.
fn is_uuid(text: &str) -> bool {
    let within = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    let plain = match text.len() {
        45 if within(0, 9).eq_ignore_ascii_case("urn:uuid:") => within(9, 45),
        38 => within(1, 37),
        _ => text,
    };
    let hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    match plain.len() {
        32 => hex(plain),
        36 => {
            let parts: Vec<&str> = plain.split('-').collect();
            parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(|part| hex(part))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_have_four_spellings() {
        let plain = "01234567-89ab-CDEF-0123-456789abcdef";
        let braces = format!("{{{plain}}}");
        let urn = format!("urn:uuid:{plain}");
        for text in [plain, &plain.replace('-', ""), &braces, &urn] {
            assert!(is_uuid(text), "{text}");
        }
        for text in ["", "x", "01234567-89ab-CDEF-0123-456789abcdeg", "0123456789-ab-CDEF-0123-456789abcdef"]
        {
            assert!(!is_uuid(text), "{text}");
        }
    }
}
