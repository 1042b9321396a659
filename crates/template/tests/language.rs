//! Templates as Go 1.26 executed them, with the data of `setting` (testdata/language.jsonl: template and text).

#![allow(clippy::unwrap_used)]

mod setting;

use proptest::prelude::*;

#[test]
fn templates_are_executed_as_go_executes_them() {
    let mut different = Vec::new();
    for line in include_str!("../testdata/language.jsonl").lines() {
        let (template, want): (String, String) = serde_json::from_str(line).unwrap();
        let got = setting::expand(&template);
        if got != want {
            different.push(format!("{template}\n  want {want}\n  got  {got}"));
        }
    }
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
}

/// As above, for HTML documents (testdata/documents.jsonl).
#[test]
fn what_goes_into_a_document_is_escaped_for_its_place() {
    let mut different = Vec::new();
    for line in include_str!("../testdata/documents.jsonl").lines() {
        let (template, want): (String, String) = serde_json::from_str(line).unwrap();
        let got = setting::expand_html(&template);
        if got != want {
            different.push(format!("{template}\n  want {want}\n  got  {got}"));
        }
    }
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
}

#[test]
fn deep_nesting_and_recursion_end_with_an_error() {
    let parentheses = format!("{{{{ {}1{} }}}}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(setting::expand(&parentheses).contains("max expression depth exceeded"));
    let branches = "{{ if true }}".repeat(100_000);
    assert!(setting::expand(&branches).contains("max expression depth exceeded"));
    let recursion = r#"{{ define "x" }}{{ template "x" . }}{{ end }}{{ template "x" . }}"#;
    assert!(setting::expand(recursion).contains("exceeded maximum template depth"));
    let (open, close) = ("{{ if (print (print 1)) }}".repeat(90), "{{ end }}".repeat(90));
    let both = format!(
        r#"{{{{ define "x" }}}}{open}{{{{ template "x" . }}}}{close}{{{{ end }}}}{{{{ template "x" . }}}}"#
    );
    assert!(setting::expand(&both).contains("exceeded maximum template depth"));
}

#[test]
fn documents_in_which_too_much_is_nested_are_refused_at_once() {
    let (open, close) = ("{{ range .D }}".repeat(60), "{{ end }}".repeat(60));
    assert!(setting::expand_html(&format!("{open}{{{{ . }}}}{close}")).contains("too much is nested"));
    let chain: String = (0..2000)
        .map(|i| format!(r#"{{{{ define "{i}" }}}}{{{{ template "{}" }}}}{{{{ end }}}}"#, i + 1))
        .collect();
    let all = format!(r#"{chain}{{{{ define "2000" }}}}x{{{{ end }}}}{{{{ template "0" }}}}"#);
    assert!(setting::expand_html(&all).contains("too much is nested"));
}

#[test]
fn loops_over_large_numbers_and_texts_without_end_are_stopped() {
    assert!(setting::expand("{{ range 1000000000000 }}{{ end }}").contains("steps"));
    let long = format!(r#"{{{{ range 1000000 }}}}{}{{{{ end }}}}"#, "x".repeat(1000));
    assert!(setting::expand(&long).contains("bytes of text"));
}

/// What moves a document from one kind of place to another.
const PIECES: &[&str] = &[
    "<a ",
    "href=\"",
    "href=",
    "\">",
    ">",
    "</a>",
    "<script>",
    "</script>",
    "<style>",
    "</style>",
    "\"",
    "'",
    "{{ .B }}",
    "{{ if .A }}",
    "{{ else }}",
    "{{ end }}",
    "{{ range .D }}",
    " style=\"",
    " onclick=\"",
    "url(",
    ")",
    "?",
    "/",
    "//",
    "/*",
    "*/",
    "<!--",
    "-->",
    "`",
    "${",
    "}",
    "{",
    "<textarea>",
    "<",
    "&amp;",
    "{{ define \"x\" }}",
    "{{ template \"x\" . }}",
    " srcset=\"",
    "[",
    "]",
    "\\",
    "<title>",
    "<meta content=\"",
    "é",
    "\u{2028}",
];

proptest! {
    #[test]
    fn no_text_brings_it_down(template in "(\\{\\{|\\}\\}|-|[ .$|()\"'`,:=\n]|[a-e0-9]|if|else|end|range|with|len|index|é){0,60}") {
        setting::expand(&template);
        setting::expand_html(&template);
    }

    #[test]
    fn no_document_brings_it_down(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..20)) {
        setting::expand_html(&pieces.concat());
    }
}
