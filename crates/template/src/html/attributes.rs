//! What the attributes of HTML mean.

/// Whether the content of `<script type=value>` is a script.
pub(super) fn is_script_type(value: &[u8]) -> bool {
    let value = String::from_utf8_lossy(value);
    let kind = value.split(';').next().unwrap_or_default().trim().to_lowercase();
    matches!(
        kind.as_str(),
        "" | "application/ecmascript"
            | "application/javascript"
            | "application/json"
            | "application/ld+json"
            | "application/x-ecmascript"
            | "application/x-javascript"
            | "module"
            | "text/ecmascript"
            | "text/javascript"
            | "text/javascript1.0"
            | "text/javascript1.1"
            | "text/javascript1.2"
            | "text/javascript1.3"
            | "text/javascript1.4"
            | "text/javascript1.5"
            | "text/jscript"
            | "text/livescript"
            | "text/x-ecmascript"
            | "text/x-javascript"
    )
}

/// What the value of an attribute means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AttributeType {
    Plain,
    /// Decides what other values mean; values from outside are not put there.
    Unsafe,
    Url,
    Css,
    Js,
    Html,
    Srcset,
}

/// The type of the attribute `name`, in small letters.
pub(super) fn attribute_type(name: &str) -> AttributeType {
    let name = match (name.strip_prefix("data-"), name.split_once(':')) {
        (Some(name), _) => name,
        (None, Some(("xmlns", _))) => return AttributeType::Url,
        (None, Some((_, name))) => name,
        (None, None) => name,
    };
    match name {
        "accept-charset" | "async" | "challenge" | "charset" | "content" | "crossorigin" | "defer"
        | "enctype" | "form" | "formenctype" | "formmethod" | "formnovalidate" | "http-equiv" | "keytype"
        | "language" | "method" | "novalidate" | "pattern" | "rel" | "sandbox" | "type" | "value" => {
            AttributeType::Unsafe
        }
        "action" | "archive" | "background" | "cite" | "classid" | "codebase" | "data" | "formaction"
        | "href" | "icon" | "longdesc" | "manifest" | "poster" | "profile" | "src" | "usemap" | "xmlns" => {
            AttributeType::Url
        }
        "srcdoc" => AttributeType::Html,
        "srcset" => AttributeType::Srcset,
        "style" => AttributeType::Css,
        "srclang" => AttributeType::Plain,
        name if name.starts_with("on") => AttributeType::Js,
        name if ["src", "uri", "url"].iter().any(|part| name.contains(part)) => AttributeType::Url,
        _ => AttributeType::Plain,
    }
}
