//! Secrets are not shown: which keys hold them, and texts without them.

/// Whether a key of this name holds something that must not be shown.
pub(crate) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let names_a_place = key.ends_with("_file") || key.ends_with("_id") || key.ends_with("_url");
    let sounds_secret = ["password", "passphrase", "secret", "token", "credential", "_key"]
        .iter()
        .any(|part| key.contains(part));
    sounds_secret && !names_a_place && key != "access_key"
}

/// The text, with `xxxxx` for the password if it is a URL that has one. Prometheus shows such passwords where an address
/// is plain text to it.
pub(crate) fn without_password(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, host) = authority.rsplit_once('@')?;
    let (name, _) = user.split_once(':')?;
    Some(format!("{scheme}://{name}:xxxxx@{host}{path}"))
}

/// A line of a file as it may be shown: with stars for its secrets, so that all else keeps its place.
pub(crate) fn masked_line(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(colon) = rest.find(':') {
        let (before, after) = rest.split_at(colon + 1);
        out.push_str(before);
        rest = after;
        let key = before[..colon].trim_end_matches(['"', '\'']);
        let name = key.rsplit(|c: char| !c.is_ascii_alphanumeric() && !"_-.".contains(c)).next();
        let value = after.trim_start_matches([' ', '\t']);
        if name.is_some_and(is_secret) {
            let (secret, behind) = value.split_at(value_end(value, line.contains('{')));
            out.push_str(&after[..after.len() - value.len()]);
            out.extend(secret.chars().map(|_| '*'));
            rest = behind;
        } else if let Some((before, password, behind)) = password_of_url(after) {
            out.push_str(before);
            out.extend(password.chars().map(|_| '*'));
            rest = behind;
        }
    }
    out.push_str(rest);
    out
}

/// Where a value ends; within braces, commas end it, too.
fn value_end(value: &str, in_braces: bool) -> usize {
    let closed_by = |c: char| value[1..].find(c).map_or(value.len(), |i| i + 2);
    match value.chars().next() {
        Some(quote @ ('"' | '\'')) => closed_by(quote),
        Some('[') => closed_by(']'),
        _ if in_braces => value.find([',', '}']).unwrap_or(value.len()),
        _ => value.len(),
    }
}

/// Of what follows the scheme's colon: what stands before the password, itself, and the rest.
fn password_of_url(text: &str) -> Option<(&str, &str, &str)> {
    let authority = text.strip_prefix("//")?;
    let authority =
        &authority[..authority.find(|c: char| "/?# \t\"',}]".contains(c)).unwrap_or(authority.len())];
    let user = &authority[..authority.rfind('@')?];
    let from = 2 + user.find(':')? + 1;
    let to = 2 + user.len();
    Some((&text[..from], &text[from..to], &text[to..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_shown_without_their_secrets() {
        for (line, shown) in [
            ("  password: a, b}", "  password: *****"),
            (
                "basic_auth: {username: u, password: p1, x: y}",
                "basic_auth: {username: u, password: **, x: y}",
            ),
            (
                "{client_secret: 'a,}b', token_url: http://h/t}",
                "{client_secret: ******, token_url: http://h/t}",
            ),
            ("X-Key: {secrets: [a, b], files: [c]}", "X-Key: {secrets: ******, files: [c]}"),
            ("- url: http://u:p@q@h:1/x", "- url: http://u:***@h:1/x"),
            ("{\"bearer_token\": \"t\"}", "{\"bearer_token\": ***}"),
            ("password_file: /a/b", "password_file: /a/b"),
            ("- targets: ['h:1']  # a: b", "- targets: ['h:1']  # a: b"),
            ("password:", "password:"),
            ("", ""),
        ] {
            assert_eq!(masked_line(line), shown);
        }
    }

    #[test]
    fn passwords_in_addresses_are_hidden() {
        for (text, shown) in [
            ("http://u:p@h/x?a=b", Some("http://u:xxxxx@h/x?a=b")),
            ("http://u:p@q@h", Some("http://u:xxxxx@h")),
            ("http://u@h", None),
            ("http://h/u:p@x", None),
            ("a:b@c", None),
            ("", None),
        ] {
            assert_eq!(without_password(text).as_deref(), shown, "{text}");
        }
    }
}
