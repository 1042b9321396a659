//! `/consoles`: templates that query the server; what they make equals what Prometheus makes of them.

use crate::site::Site;

const LIBRARY: &str = r##"
{{ define "head" }}<html><head><title>{{ .title }}</title><script>var p = {{ .params }}, at = "{{ pathPrefix }}";</script></head>{{ end }}
{{ define "drilldown" }}{{ $render := (or .arg1 "plain") }}<a href="{{ pathPrefix }}{{ graphLink .arg0 }}">{{ with query .arg0 }}{{ tmpl $render (. | first | value) }}{{ else }}-{{ end }}</a>{{ end }}
{{ define "plain" }}{{ . }}{{ end }}
"##;

const CONSOLE: &str = r##"{{ template "head" .Params }}
<h1 title="{{ $path }}">{{ $params.instance }} {{ $rawParams.Get "x" }} {{ $rawParams.x }} {{ $externalLabels.region }}</h1>
{{ range query "vector(1) or on(a) label_replace(vector(2), 'a', '<', '', '')" | sortByLabel "a" }}<td>{{ .Labels.a }}={{ .Value }}</td>{{ end }}
{{ template "drilldown" (args "vector(1536)") }} {{ template "drilldown" (args "nosuch") }}
<a href="{{ externalURL }}/x?{{ $params.q }}" style="width: {{ query "scalar(vector(12))" | first | value }}%">{{ safeHtml "<b>" }}</a>
<script>show("#{{ $params.id }}", "up{job='{{ $params.q }}'}")</script>"##;

const PAGE: &str = r##"<html><head><title></title><script>var p = "", at = "\/pre";</script></head>
<h1 title="a.html">i 1 [1 2] b&lt;</h1>
<td>=1</td><td>&lt;=2</td>
<a href="/pre/graph?g0.expr=vector%281536%29&amp;g0.tab=0">1536</a> <a href="/pre/graph?g0.expr=nosuch&amp;g0.tab=0">-</a>
<a href="http://prom.example:1/pre/x?a%26b%22%3c" style="width: 12%"><b></a>
<script>show("#z", "up{job='a\u0026b\u0022\u003c'}")</script>"##;

#[test]
fn consoles_are_expanded_as_documents() {
    let site = Site::server("global: {external_labels: {region: 'b<'}}\n");
    for directory in ["consoles/more", "console_libraries"] {
        std::fs::create_dir_all(site.path(directory)).unwrap();
    }
    for (file, text) in [
        ("console_libraries/a.lib", LIBRARY),
        ("console_libraries/a.txt", "{{ not a template"),
        ("consoles/a.html", CONSOLE),
        ("consoles/open.html", "<p>\n{{ .Foo"),
        ("consoles/query.html", "{{ query \"sum(\" }}"),
        ("consoles/tag.html", "<a href=\"{{ . }}"),
        ("consoles/range.html", "{{ query \"up[5m]\" }}"),
    ] {
        std::fs::write(site.path(file), text).unwrap();
    }
    let templates = format!("--web.console.templates={}", site.path("consoles").display());
    let libraries = format!("--web.console.libraries={}", site.path("console_libraries").display());
    let url = "--web.external-url=http://prom.example:1/pre";
    let site = site.flag(&templates).flag(&libraries).flag(url).flag("--web.route-prefix=/");
    let program = site.start();

    let page = program.get("/consoles/a.html?instance=i&x=1&x=2&q=a%26b%22%3C&id=z");
    assert_eq!((page.status, page.text().trim()), (200, PAGE));
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));

    let refusals = [
        (
            "open.html",
            500,
            "error parsing template __console_/open.html: template: __console_/open.html:2: unclosed action",
        ),
        ("query.html", 500, "error calling query: 1:5: parse error: unclosed left parenthesis"),
        ("tag.html", 500, "ends in a non-text context: {stateURL delimDoubleQuote urlPartNone"),
        ("range.html", 500, "error calling query: rule result is not a vector or scalar"),
        ("more", 500, "is a directory"),
        ("nope.html", 404, "no such file or directory"),
        ("a.html?%zz", 400, "invalid URL escape \"%zz\""),
    ];
    for (path, status, text) in refusals {
        let answer = program.get(&format!("/consoles/{path}"));
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(answer.text().contains(text), "{path}: {}", answer.text());
    }
}
