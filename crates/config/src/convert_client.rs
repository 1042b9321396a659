//! What a client needs beside plain credentials: proxies and tokens that are fetched.

use httpclient::{Assertion, ExtraHeader, Grant, ProxyOptions, SignatureAlgorithm, Source};

use crate::convert::secret_source;
use crate::sections::{JWT_GRANT, OAuth2, Proxy};

impl Proxy {
    pub(crate) fn to_options(&self) -> ProxyOptions {
        let mut options = if self.proxy_from_environment {
            ProxyOptions::from_environment()
        } else if self.proxy_url.is_unset() {
            ProxyOptions::default()
        } else {
            ProxyOptions::url(&self.proxy_url.0)
        };
        if !self.no_proxy.is_empty() {
            options.except = Some(self.no_proxy.clone());
        }
        let headers = self.proxy_connect_header.0.iter().map(|(name, values)| ExtraHeader {
            name: name.clone(),
            values: values.iter().map(|value| Source::Inline(httpclient::Secret::new(&*value.0))).collect(),
        });
        options.connect_headers = headers.collect();
        options
    }
}

impl OAuth2 {
    pub(crate) fn to_options(&self) -> httpclient::OAuth2 {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let grant = if self.grant_type == JWT_GRANT {
            Grant::Assertion(Assertion {
                key: secret_source(&self.client_certificate_key, &self.client_certificate_key_file),
                key_id: text(&self.client_certificate_key_id),
                algorithm: match self.signature_algorithm.as_str() {
                    "RS384" => SignatureAlgorithm::Rs384,
                    "RS512" => SignatureAlgorithm::Rs512,
                    _ => SignatureAlgorithm::Rs256,
                },
                issuer: text(&self.iss),
                audience: text(&self.audience),
                claims: self.claims.iter().map(|(name, value)| (name.clone(), value.to_json())).collect(),
            })
        } else {
            Grant::Secret(secret_source(&self.client_secret, &self.client_secret_file))
        };
        httpclient::OAuth2 {
            client_id: self.client_id.clone(),
            grant,
            token_url: self.token_url.clone(),
            scopes: self.scopes.clone(),
            endpoint_params: self.endpoint_params.clone(),
            tls: self.tls_config.to_options(),
            proxy: self.proxy.to_options(),
        }
    }
}
