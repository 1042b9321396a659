//! Bearer tokens with an end.

use std::time::{Duration, SystemTime};

use httpclient::Secret;
use serde::{Deserialize, Deserializer};

use crate::error::{Error, while_doing};

/// A token is replaced this long before it ends.
const RENEW_BEFORE: Duration = Duration::from_secs(300);

/// A token while it is good.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept(Option<Token>);

/// A token as it came.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) secret: Secret,
    pub(crate) expires: SystemTime,
}

impl Kept {
    /// The token, if it is good for some minutes more.
    pub(crate) fn good(&self, now: SystemTime) -> Option<Secret> {
        let token = self.0.as_ref().filter(|token| token.expires > now + RENEW_BEFORE)?;
        Some(token.secret.clone())
    }

    /// Keeps a new one; of a failure only when the old one has ended.
    pub(crate) fn replace(
        &mut self,
        outcome: Result<Token, Error>,
        now: SystemTime,
    ) -> Result<Secret, Error> {
        match (outcome, &self.0) {
            (Ok(token), _) => Ok(self.0.insert(token).secret.clone()),
            (Err(_), Some(old)) if old.expires > now => Ok(old.secret.clone()),
            (Err(err), _) => Err(err),
        }
    }
}

impl Token {
    /// Reads `{"access_token": …, "expires_in": …}` (RFC 6749, section 5.1). Azure writes numbers as texts.
    pub(crate) fn parse(json: &[u8], now: SystemTime) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            access_token: String,
            #[serde(default, deserialize_with = "seconds")]
            expires_in: u64,
        }
        let answer: Answer = serde_json::from_slice(json).map_err(while_doing("cannot fetch token"))?;
        if answer.access_token.is_empty() {
            return Err(Error::new("cannot fetch token: server response missing access_token"));
        }
        let lasts = Duration::from_secs(answer.expires_in.min(10 * 365 * 24 * 3600));
        Ok(Token { secret: answer.access_token.into(), expires: now + lasts })
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Spelled {
        Number(f64),
        Text(String),
    }
    Ok(match Spelled::deserialize(deserializer)? {
        Spelled::Number(n) => n as u64,
        Spelled::Text(text) => text.parse().map_err(serde::de::Error::custom)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_last_as_long_as_they_say_and_a_failure_does_not_end_them() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let mut kept = Kept::default();
        assert!(kept.good(now).is_none());
        for (json, seconds) in [
            (r#"{"access_token":"a","expires_in":3600}"#, 3600),
            (r#"{"access_token":"b","expires_in":"3599"}"#, 3599),
        ] {
            let token = Token::parse(json.as_bytes(), now).unwrap();
            assert_eq!(token.expires, now + Duration::from_secs(seconds));
            kept.replace(Ok(token), now).unwrap();
        }
        assert_eq!(kept.good(now).unwrap().reveal(), "b");
        let late = now + Duration::from_secs(3400);
        assert!(kept.good(late).is_none());
        assert_eq!(kept.replace(Err(Error::new("away")), late).unwrap().reveal(), "b");
        assert_eq!(
            kept.replace(Err(Error::new("away")), now + Duration::from_secs(3600)),
            Err(Error::new("away"))
        );
        for bad in ["", "{}", r#"{"access_token":"a","expires_in":"x"}"#, r#"{"access_token":1}"#, "[]"] {
            assert!(Token::parse(bad.as_bytes(), now).is_err(), "{bad}");
        }
    }
}
