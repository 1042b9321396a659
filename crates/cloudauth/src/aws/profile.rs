//! The files of `~/.aws`: sections of `key = value`.

use std::collections::BTreeMap;

use crate::environment::Environment;
use crate::error::{Error, while_doing};

/// The keys of one profile.
pub(crate) type Profile = BTreeMap<String, String>;

/// All profiles of both files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Profiles(BTreeMap<String, Profile>);

impl Profiles {
    /// Reads the files that the environment names; those that are not there have no profiles.
    pub(crate) async fn read(environment: &Environment) -> Result<Self, Error> {
        let mut profiles = Profiles::default();
        let files = [
            ("AWS_CONFIG_FILE", ".aws/config", true),
            // Read last: the keys of this file win.
            ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials", false),
        ];
        for (variable, usual, is_config) in files {
            let path = environment.get(variable).map(Into::into).or_else(|| environment.in_home(usual));
            let Some(path) = path else { continue };
            match tokio::fs::read_to_string(&path).await {
                Ok(text) => profiles.add(&text, is_config),
                Err(err) if err.kind() == std::io::ErrorKind::NotFound => {}
                Err(err) => return Err(while_doing(&path.display().to_string())(err)),
            }
        }
        Ok(profiles)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Profile> {
        self.0.get(name)
    }

    /// Adds the sections of a file. In the file `config` all but the default one are called `profile NAME`.
    fn add(&mut self, text: &str, is_config: bool) {
        let mut current: Option<&mut Profile> = None;
        for line in text.lines() {
            if line.trim().is_empty() || line.trim_start().starts_with(['#', ';']) {
                continue;
            }
            if let Some(section) = line.trim().strip_prefix('[') {
                let section = section.split(']').next().unwrap_or_default();
                current =
                    profile_name(section, is_config).map(|name| self.0.entry(name.to_owned()).or_default());
                continue;
            }
            // What is indented belongs to a key whose value is a table of its own.
            if line.starts_with([' ', '\t']) {
                continue;
            }
            if let (Some(profile), Some((key, value))) = (&mut current, line.split_once('=')) {
                profile.insert(key.trim().to_ascii_lowercase(), without_comment(value).to_owned());
            }
        }
    }
}

fn profile_name(section: &str, is_config: bool) -> Option<&str> {
    let section = section.trim();
    let named = section.strip_prefix("profile").filter(|rest| rest.starts_with([' ', '\t']));
    match (is_config, named) {
        (true, Some(name)) => Some(name.trim()),
        (true, None) => section.eq_ignore_ascii_case("default").then_some("default"),
        (false, Some(_)) => None,
        (false, None) => Some(section),
    }
}

/// A value ends where a blank and `#` or `;` follow.
fn without_comment(value: &str) -> &str {
    let end = [" #", " ;", "\t#", "\t;"].iter().filter_map(|mark| value.find(mark)).min();
    value[..end.unwrap_or(value.len())].trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_of_both_files_are_joined_and_credentials_win() {
        let mut profiles = Profiles::default();
        profiles.add(
            "# c\n[default]\nregion = eu-west-1 ; here\n[profile  a ]\nrole_arn=arn:aws:iam::1:role/x\ns3 =\n  max = 3\nsource_profile = default\n[b]\nregion = lost\n[sso-session s]\nsso_region = x\n",
            true,
        );
        profiles.add(
            "[default]\nAWS_ACCESS_KEY_ID = k#1\naws_secret_access_key=s==\n[a]\nregion=q\n[profile z]\nx=y",
            false,
        );
        let pairs = |name: &str| -> Vec<String> {
            profiles.get(name).into_iter().flatten().map(|(k, v)| format!("{k}={v}")).collect()
        };
        assert_eq!(
            pairs("default"),
            ["aws_access_key_id=k#1", "aws_secret_access_key=s==", "region=eu-west-1"]
        );
        assert_eq!(
            pairs("a"),
            ["region=q", "role_arn=arn:aws:iam::1:role/x", "s3=", "source_profile=default"]
        );
        assert_eq!((profiles.get("b"), profiles.get("z"), profiles.get("s")), (None, None, None));
    }
}
