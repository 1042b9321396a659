//! Ids of resources: `/subscriptions/S/resourceGroups/G/providers/NAMESPACE/TYPE/NAME`.

/// What of an id is of interest.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct Resource {
    pub(super) resource_group: String,
    /// The last name.
    pub(super) name: String,
}

/// Takes an id apart: pairs of a type and a name, where `providers` has a namespace too.
pub(super) fn parse(id: &str) -> Result<Resource, String> {
    let wrong = || format!("invalid ID '{id}': invalid resource ID: {id}");
    let parts: Vec<&str> = id.split('/').map(str::trim).filter(|part| !part.is_empty()).collect();
    let known =
        |part: &str| part.eq_ignore_ascii_case("subscriptions") || part.eq_ignore_ascii_case("providers");
    if !id.starts_with('/') || parts.len() < 2 || !parts.first().is_some_and(|part| known(part)) {
        return Err(wrong());
    }
    let mut resource = Resource::default();
    let mut rest = parts.as_slice();
    loop {
        rest = match rest {
            [] => return Ok(resource),
            [provider, _, _, name, rest @ ..] if provider.eq_ignore_ascii_case("providers") => {
                resource.name = (*name).to_owned();
                rest
            }
            [provider, namespace] if provider.eq_ignore_ascii_case("providers") => {
                resource.name = (*namespace).to_owned();
                &[]
            }
            [kind, name, rest @ ..] if !kind.eq_ignore_ascii_case("providers") => {
                if kind.eq_ignore_ascii_case("resourceGroups") {
                    resource.resource_group = (*name).to_owned();
                }
                resource.name = (*name).to_owned();
                rest
            }
            [kind] if !kind.eq_ignore_ascii_case("providers") => {
                resource.name = String::new();
                &[]
            }
            _ => return Err(wrong()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_groups_and_names() {
        let cases = [
            (
                "/subscriptions/s/resourceGroups/G/providers/Microsoft.Compute/virtualMachines/vm",
                Some(("G", "vm")),
            ),
            (
                "/subscriptions/s/resourcegroups/g/providers/a.B/sets/x/virtualMachines/0/networkInterfaces/nic",
                Some(("g", "nic")),
            ),
            ("/providers/a.B/c/d", Some(("", "d"))),
            ("/subscriptions/s", Some(("", "s"))),
            ("subscriptions/s", None),
            ("", None),
            ("/x/y/z", None),
            ("/subscriptions/s/resourceGroups/g/providers/a/b", None),
        ];
        for (id, want) in cases {
            let got = parse(id).ok();
            let got = got.as_ref().map(|r| (r.resource_group.as_str(), r.name.as_str()));
            assert_eq!(got, want, "{id}");
        }
    }
}
