//! Credentials and extra headers of a request. What is in files is as it is there at each request, so that a rotated
//! token is used at once.

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::base64;
use crate::error::BuildError;
use crate::oauth2::Tokens;
use crate::options::{ClientOptions, ExtraHeader};
use crate::percent;
use crate::redirect::is_sensitive;
use crate::text::Text;

/// What a client adds to its requests.
pub(crate) struct Credentials {
    scheme: Option<Scheme>,
    headers: Vec<Extra>,
}

enum Scheme {
    Basic { username: Option<Text>, password: Option<Text> },
    Typed { kind: String, credentials: Option<Text> },
    Fetched(Box<Tokens>),
}

struct Extra {
    name: HeaderName,
    values: Vec<ExtraValue>,
}

enum ExtraValue {
    Fixed(HeaderValue),
    Read(Text),
}

impl Credentials {
    pub(crate) fn new(options: &ClientOptions) -> Result<Self, BuildError> {
        let kinds = [options.basic_auth.is_some(), options.authorization.is_some(), options.oauth2.is_some()];
        if kinds.into_iter().filter(|used| *used).count() > 1 {
            return Err(BuildError::Options(
                "at most one of basic_auth, oauth2 & authorization must be configured".to_owned(),
            ));
        }
        let scheme = if let Some(basic) = &options.basic_auth {
            Some(Scheme::Basic {
                username: basic.username.as_ref().map(Text::new),
                password: basic.password.as_ref().map(Text::new),
            })
        } else if let Some(authorization) = &options.authorization {
            Some(Scheme::Typed {
                kind: authorization.kind.clone(),
                credentials: authorization.credentials.as_ref().map(Text::new),
            })
        } else {
            let tokens = options.oauth2.as_deref().map(Tokens::new).transpose()?;
            tokens.map(|tokens| Scheme::Fetched(Box::new(tokens)))
        };
        let headers = options.headers.iter().map(extra).collect::<Result<_, _>>()?;
        Ok(Credentials { scheme, headers })
    }

    /// Adds to `headers` of a request of `url` what it lacks: nothing that says who we are unless the server at the other
    /// end is `trusted` with it.
    ///
    /// # Errors
    /// A sentence saying what could not be read or fetched, or cannot be sent.
    pub(crate) async fn apply(
        &self,
        url: &Url,
        trusted: bool,
        headers: &mut HeaderMap,
    ) -> Result<(), String> {
        if trusted && !url.username().is_empty() && !headers.contains_key(AUTHORIZATION) {
            let password = percent::decode(url.password().unwrap_or_default());
            let credentials = basic_credentials(&percent::decode(url.username()), &password);
            headers.insert(AUTHORIZATION, sensitive(&credentials)?);
        }
        for extra in self.headers.iter().filter(|extra| trusted || !is_sensitive(&extra.name)) {
            for value in &extra.values {
                headers.append(extra.name.clone(), value.read()?);
            }
        }
        match self.scheme.as_ref().filter(|_| trusted) {
            Some(Scheme::Fetched(tokens)) => {
                let agent = headers.get(http::header::USER_AGENT).cloned();
                headers.insert(AUTHORIZATION, tokens.header(agent).await?);
            }
            Some(Scheme::Basic { username, password }) if !headers.contains_key(AUTHORIZATION) => {
                let read = |text: &Option<Text>, what: &str| match text {
                    Some(text) => {
                        text.read().map_err(|reason| format!("unable to read basic auth {what}: {reason}"))
                    }
                    None => Ok("".into()),
                };
                let (username, password) = (read(username, "username")?, read(password, "password")?);
                headers.insert(AUTHORIZATION, sensitive(&basic_credentials(&username, &password))?);
            }
            Some(Scheme::Typed { kind, credentials }) if !headers.contains_key(AUTHORIZATION) => {
                let credentials = match credentials {
                    Some(text) => text
                        .read()
                        .map_err(|reason| format!("unable to read authorization credentials: {reason}"))?,
                    None => "".into(),
                };
                headers.insert(AUTHORIZATION, sensitive(&format!("{kind} {credentials}"))?);
            }
            Some(_) | None => {}
        }
        Ok(())
    }
}

fn extra(header: &ExtraHeader) -> Result<Extra, BuildError> {
    let impossible = || BuildError::Options(format!("setting header {:?} is not possible", header.name));
    let mut values = Vec::with_capacity(header.values.len());
    for value in &header.values {
        values.push(match Text::new(value) {
            Text::Inline(text) => ExtraValue::Fixed(sensitive(&text).map_err(BuildError::Options)?),
            text @ Text::File(_) => ExtraValue::Read(text),
        });
    }
    Ok(Extra { name: header.name.parse().map_err(|_| impossible())?, values })
}

impl ExtraValue {
    fn read(&self) -> Result<HeaderValue, String> {
        match self {
            ExtraValue::Fixed(value) => Ok(value.clone()),
            ExtraValue::Read(text) => {
                let read = text.read();
                sensitive(&read.map_err(|reason| {
                    reason.replacen("unable to read file", "unable to read headers file", 1)
                })?)
            }
        }
    }
}

/// `Basic` and the Base64 of `user:password`.
pub(crate) fn basic_credentials(user: &str, password: &str) -> String {
    format!("Basic {}", base64::encode(format!("{user}:{password}").as_bytes()))
}

/// A header's value that is not printed.
pub(crate) fn sensitive(text: &str) -> Result<HeaderValue, String> {
    let mut value =
        HeaderValue::from_str(text).map_err(|_| "a header value has bytes that cannot be sent".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}
