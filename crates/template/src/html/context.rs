//! Where in an HTML document a place of a template is, and how the document's text moves it on.
//!
//! The states are those of Go's `html/template`, which follow the HTML5 tokenizer as far as escaping needs it.

use super::attributes::{AttributeType, attribute_type, is_script_type};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum State {
    #[default]
    Text,
    /// In a tag, where the name of an attribute may begin.
    Tag,
    AttributeName,
    /// Behind the name of an attribute, where `=` may come.
    AfterName,
    BeforeValue,
    HtmlComment,
    /// The content of `<title>` and `<textarea>`: text with entities, without tags.
    RcData,
    /// The value of an attribute without a meaning of its own.
    Attribute,
    Url,
    Srcset,
    MetaContent,
    MetaContentUrl,
    Js,
    JsDoubleQuoted,
    JsSingleQuoted,
    JsTemplate,
    JsRegexp,
    JsBlockComment,
    JsLineComment,
    /// `<!--` and `-->` begin comments of a line in scripts.
    JsHtmlOpenComment,
    JsHtmlCloseComment,
    Css,
    CssDoubleQuoted,
    CssSingleQuoted,
    CssDoubleQuotedUrl,
    CssSingleQuotedUrl,
    CssUrl,
    CssBlockComment,
    CssLineComment,
    /// Behind a `break` or `continue`.
    Dead,
}

impl State {
    pub(super) fn is_comment(self) -> bool {
        matches!(
            self,
            State::HtmlComment
                | State::JsBlockComment
                | State::JsLineComment
                | State::JsHtmlOpenComment
                | State::JsHtmlCloseComment
                | State::CssBlockComment
                | State::CssLineComment
        )
    }

    pub(super) fn is_in_tag(self) -> bool {
        matches!(
            self,
            State::Tag | State::AttributeName | State::AfterName | State::BeforeValue | State::Attribute
        )
    }

    pub(super) fn is_script_literal(self) -> bool {
        matches!(self, State::JsDoubleQuoted | State::JsSingleQuoted | State::JsTemplate | State::JsRegexp)
    }
}

/// What ends the value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Delimiter {
    #[default]
    None,
    DoubleQuote,
    SingleQuote,
    SpaceOrTagEnd,
}

impl Delimiter {
    fn ends(self) -> &'static [u8] {
        match self {
            Delimiter::None => b"",
            Delimiter::DoubleQuote => b"\"",
            Delimiter::SingleQuote => b"'",
            Delimiter::SpaceOrTagEnd => b" \t\n\x0c\r>",
        }
    }

    /// Where the value ends in `text`, and where its delimiter does.
    pub(super) fn value_end(self, text: &[u8]) -> Option<(usize, usize)> {
        let end = find_any(text, self.ends())?;
        Some((end, end + usize::from(self != Delimiter::SpaceOrTagEnd)))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum UrlPart {
    #[default]
    None,
    PreQuery,
    QueryOrFragment,
    Unknown,
}

/// Whether a slash in a script would begin a regular expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Slash {
    #[default]
    Regexp,
    Division,
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum AttributeKind {
    #[default]
    Plain,
    Script,
    ScriptType,
    Style,
    Url,
    Srcset,
    MetaContent,
}

impl AttributeKind {
    pub(super) fn start(self) -> State {
        match self {
            AttributeKind::Plain | AttributeKind::ScriptType => State::Attribute,
            AttributeKind::Script => State::Js,
            AttributeKind::Style => State::Css,
            AttributeKind::Url => State::Url,
            AttributeKind::Srcset => State::Srcset,
            AttributeKind::MetaContent => State::MetaContent,
        }
    }
}

/// Elements whose content is no ordinary text, and `<meta>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Element {
    #[default]
    Other,
    Script,
    Style,
    Textarea,
    Title,
    Meta,
}

impl Element {
    fn of(name: &[u8]) -> Self {
        match name.to_ascii_lowercase().as_slice() {
            b"script" => Element::Script,
            b"style" => Element::Style,
            b"textarea" => Element::Textarea,
            b"title" => Element::Title,
            b"meta" => Element::Meta,
            _ => Element::Other,
        }
    }

    fn name(self) -> &'static [u8] {
        match self {
            Element::Script => b"script",
            Element::Style => b"style",
            Element::Textarea => b"textarea",
            Element::Title => b"title",
            Element::Other | Element::Meta => b"",
        }
    }

    fn content(self) -> State {
        match self {
            Element::Script => State::Js,
            Element::Style => State::Css,
            Element::Textarea | Element::Title => State::RcData,
            Element::Other | Element::Meta => State::Text,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Context {
    pub(super) state: State,
    pub(super) delimiter: Delimiter,
    pub(super) url_part: UrlPart,
    pub(super) slash: Slash,
    /// Open braces in each `${…}` of a script's template that one is in.
    pub(super) braces: Vec<u32>,
    pub(super) attribute: AttributeKind,
    pub(super) element: Element,
}

/// As Go prints it, with its names.
impl std::fmt::Display for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match self.state {
            State::Text => "Text",
            State::Tag => "Tag",
            State::AttributeName => "AttrName",
            State::AfterName => "AfterName",
            State::BeforeValue => "BeforeValue",
            State::HtmlComment => "HTMLCmt",
            State::RcData => "RCDATA",
            State::Attribute => "Attr",
            State::Url => "URL",
            State::Srcset => "Srcset",
            State::MetaContent => "MetaContent",
            State::MetaContentUrl => "MetaContentURL",
            State::Js => "JS",
            State::JsDoubleQuoted => "JSDqStr",
            State::JsSingleQuoted => "JSSqStr",
            State::JsTemplate => "JSTmplLit",
            State::JsRegexp => "JSRegexp",
            State::JsBlockComment => "JSBlockCmt",
            State::JsLineComment => "JSLineCmt",
            State::JsHtmlOpenComment => "JSHTMLOpenCmt",
            State::JsHtmlCloseComment => "JSHTMLCloseCmt",
            State::Css => "CSS",
            State::CssDoubleQuoted => "CSSDqStr",
            State::CssSingleQuoted => "CSSSqStr",
            State::CssDoubleQuotedUrl => "CSSDqURL",
            State::CssSingleQuotedUrl => "CSSSqURL",
            State::CssUrl => "CSSURL",
            State::CssBlockComment => "CSSBlockCmt",
            State::CssLineComment => "CSSLineCmt",
            State::Dead => "Dead",
        };
        let url_part = match self.url_part {
            UrlPart::None => "None",
            UrlPart::PreQuery => "PreQuery",
            UrlPart::QueryOrFragment => "QueryOrFrag",
            UrlPart::Unknown => "Unknown",
        };
        let slash = match self.slash {
            Slash::Regexp => "Regexp",
            Slash::Division => "DivOp",
            Slash::Unknown => "Unknown",
        };
        let attribute = match self.attribute {
            AttributeKind::Plain => "None",
            AttributeKind::Script => "Script",
            AttributeKind::ScriptType => "ScriptType",
            AttributeKind::Style => "Style",
            AttributeKind::Url => "URL",
            AttributeKind::Srcset => "Srcset",
            AttributeKind::MetaContent => "MetaContent",
        };
        let element = match self.element {
            Element::Other => "None".to_owned(),
            named => format!("{named:?}"),
        };
        let braces: Vec<String> = self.braces.iter().map(ToString::to_string).collect();
        let braces = braces.join(" ");
        let delimiter = format!("{:?}", self.delimiter);
        write!(
            f,
            "{{state{state} delim{delimiter} urlPart{url_part} jsCtx{slash} [{braces}] attr{attribute} element{element} \
             <nil>}}"
        )
    }
}

/// A context, and how many bytes led to it; or what is wrong with the document.
type Moved = Result<(Context, usize), String>;

impl Context {
    pub(super) fn of(state: State) -> Self {
        Context { state, ..Context::default() }
    }

    fn with(mut self, state: State) -> Self {
        self.state = state;
        self
    }

    /// The context of a value that is put here: behind a name begins another one.
    pub(super) fn nudged(mut self) -> Self {
        match self.state {
            State::Tag => self.state = State::AttributeName,
            State::BeforeValue => {
                self.state = self.attribute.start();
                self.delimiter = Delimiter::SpaceOrTagEnd;
                self.attribute = AttributeKind::Plain;
            }
            State::AfterName => {
                self.state = State::AttributeName;
                self.attribute = AttributeKind::Plain;
            }
            _ => {}
        }
        self
    }

    /// The context behind some of `text`.
    pub(super) fn after(self, text: &[u8]) -> Moved {
        if self.delimiter == Delimiter::None {
            let (after, end) = special_tag_end(&self, text);
            return if end == 0 { Ok((after, 0)) } else { self.step(text.get(..end).unwrap_or(text)) };
        }
        let (end, past) = self.delimiter.value_end(text).unwrap_or((text.len(), text.len()));
        let value = text.get(..end).unwrap_or(text);
        if self.delimiter == Delimiter::SpaceOrTagEnd
            && let Some(at) = find_any(value, b"\"'<=`")
        {
            let (found, value) = (quote(value.get(at..=at).unwrap_or_default()), quote(value));
            return Err(format!("{found} in unquoted attr: {value}"));
        }
        if end == text.len() {
            // The value goes on behind an action; it means what its entities stand for.
            let unescaped = super::entities::unescape(text);
            let (mut context, mut rest) = (self, unescaped.as_slice());
            while !rest.is_empty() {
                let (next, read) = context.step(rest)?;
                context = next;
                rest = rest.get(read..).unwrap_or_default();
            }
            return Ok((context, text.len()));
        }
        let mut element = self.element;
        if self.state == State::Attribute
            && element == Element::Script
            && self.attribute == AttributeKind::ScriptType
            && !is_script_type(value)
        {
            element = Element::Other;
        }
        Ok((Context { element, ..Context::of(State::Tag) }, past))
    }

    /// One transition, outside of the delimiters of an attribute.
    pub(super) fn step(self, text: &[u8]) -> Moved {
        match self.state {
            State::Text => Ok(self.text(text)),
            State::Tag => self.tag(text),
            State::AttributeName => {
                let end = attribute_name_end(text, 0)?;
                let state = if end == text.len() { State::AttributeName } else { State::AfterName };
                Ok((self.with(state), end))
            }
            State::AfterName => Ok(match after_space(text, 0) {
                end if end == text.len() => (self, end),
                end if text.get(end) == Some(&b'=') => (self.with(State::BeforeValue), end + 1),
                end => (self.with(State::Tag), end),
            }),
            State::BeforeValue => Ok(self.before_value(text)),
            State::HtmlComment => Ok(match find(text, b"-->") {
                Some(end) => (Context::default(), end + 3),
                None => (self, text.len()),
            }),
            State::RcData => Ok(special_tag_end(&self, text)),
            State::Attribute | State::Dead => Ok((self, text.len())),
            State::Url | State::Srcset => Ok((self.url(text), text.len())),
            State::MetaContent => Ok(self.meta_content(text)),
            State::MetaContentUrl => Ok(match text.iter().position(|b| *b == b';') {
                Some(end) => (self.with(State::MetaContent), end + 1),
                None => (self, text.len()),
            }),
            State::Js => self.js(text),
            State::JsDoubleQuoted => self.js_delimited(text, b"\\\""),
            State::JsSingleQuoted => self.js_delimited(text, b"\\'"),
            State::JsRegexp => self.js_delimited(text, b"\\/[]"),
            State::JsTemplate => self.js_template(text),
            State::JsBlockComment => Ok(self.block_comment(text, State::Js)),
            State::CssBlockComment => Ok(self.block_comment(text, State::Css)),
            State::JsLineComment | State::JsHtmlOpenComment | State::JsHtmlCloseComment => {
                let end = [&b"\n"[..], b"\r", "\u{2028}".as_bytes(), "\u{2029}".as_bytes()];
                Ok(self.line_comment(end.iter().filter_map(|end| find(text, end)).min(), text, State::Js))
            }
            State::CssLineComment => Ok(self.line_comment(find_any(text, b"\n\x0c\r"), text, State::Css)),
            State::Css => Ok(self.css(text)),
            State::CssDoubleQuoted | State::CssDoubleQuotedUrl => self.css_string(text, b"\\\""),
            State::CssSingleQuoted | State::CssSingleQuotedUrl => self.css_string(text, b"\\'"),
            State::CssUrl => self.css_string(text, b"\\\t\n\x0c\r )"),
        }
    }

    fn text(self, text: &[u8]) -> (Self, usize) {
        let mut from = 0;
        loop {
            let Some(at) = find(text.get(from..).unwrap_or_default(), b"<").map(|at| at + from) else {
                return (self, text.len());
            };
            if at + 1 == text.len() {
                return (self, text.len());
            }
            if text.get(at..).unwrap_or_default().starts_with(b"<!--") {
                return (Context::of(State::HtmlComment), at + 4);
            }
            let closing = text.get(at + 1) == Some(&b'/');
            let name = at + 1 + usize::from(closing);
            if name == text.len() {
                return (self, text.len());
            }
            let end = tag_name_end(text, name);
            if end != name {
                let named = Element::of(text.get(name..end).unwrap_or_default());
                let element = if closing { Element::Other } else { named };
                return (Context { element, ..Context::of(State::Tag) }, end);
            }
            from = end;
        }
    }

    fn tag(self, text: &[u8]) -> Moved {
        let start = after_space(text, 0);
        if start == text.len() {
            return Ok((self, start));
        }
        let element = self.element;
        if text.get(start) == Some(&b'>') {
            let inside = if element == Element::Meta { Element::Other } else { element };
            return Ok((Context { element: inside, ..Context::of(element.content()) }, start + 1));
        }
        let end = attribute_name_end(text, start)?;
        if start == end {
            let found = quote(text.get(start..).unwrap_or_default());
            return Err(format!("expected space, attr name, or end of tag, but got {found}"));
        }
        let name = String::from_utf8_lossy(text.get(start..end).unwrap_or_default()).to_lowercase();
        let attribute = match attribute_type(&name) {
            _ if element == Element::Script && name == "type" => AttributeKind::ScriptType,
            _ if element == Element::Meta && name == "content" => AttributeKind::MetaContent,
            AttributeType::Url => AttributeKind::Url,
            AttributeType::Css => AttributeKind::Style,
            AttributeType::Js => AttributeKind::Script,
            AttributeType::Srcset => AttributeKind::Srcset,
            AttributeType::Plain | AttributeType::Unsafe | AttributeType::Html => AttributeKind::Plain,
        };
        let state = if end == text.len() { State::AttributeName } else { State::AfterName };
        Ok((Context { element, attribute, ..Context::of(state) }, end))
    }

    fn before_value(mut self, text: &[u8]) -> (Self, usize) {
        let start = after_space(text, 0);
        let (delimiter, start) = match text.get(start) {
            None => return (self, start),
            Some(b'\'') => (Delimiter::SingleQuote, start + 1),
            Some(b'"') => (Delimiter::DoubleQuote, start + 1),
            Some(_) => (Delimiter::SpaceOrTagEnd, start),
        };
        self.state = self.attribute.start();
        self.delimiter = delimiter;
        (self, start)
    }

    fn url(mut self, text: &[u8]) -> Self {
        if find_any(text, b"#?").is_some() {
            self.url_part = UrlPart::QueryOrFragment;
        } else if after_space(text, 0) != text.len() && self.url_part == UrlPart::None {
            self.url_part = UrlPart::PreQuery;
        }
        self
    }

    /// `content="5; url=…"`
    fn meta_content(self, text: &[u8]) -> (Self, usize) {
        for at in 0..text.len().saturating_sub(3) {
            if text.get(at..at + 3).is_some_and(|word| word.eq_ignore_ascii_case(b"url")) {
                let equals = after_space(text, at + 3);
                if text.get(equals) == Some(&b'=') {
                    return (self.with(State::MetaContentUrl), equals + 1);
                }
            }
        }
        (self, text.len())
    }

    fn block_comment(self, text: &[u8], behind: State) -> (Self, usize) {
        match find(text, b"*/") {
            Some(end) => (self.with(behind), end + 2),
            None => (self, text.len()),
        }
    }

    fn line_comment(self, end: Option<usize>, text: &[u8], behind: State) -> (Self, usize) {
        match end {
            Some(end) => (self.with(behind), end),
            None => (self, text.len()),
        }
    }

    fn js(mut self, text: &[u8]) -> Moved {
        let Some(at) = find_any(text, b"\"`'/{}<-#") else {
            self.slash = slash_after(text, self.slash);
            return Ok((self, text.len()));
        };
        self.slash = slash_after(text.get(..at).unwrap_or_default(), self.slash);
        let rest = text.get(at..).unwrap_or_default();
        let literal =
            |context: Self, state| Ok((Context { slash: Slash::Regexp, ..context.with(state) }, at + 1));
        match rest {
            [b'"', ..] => literal(self, State::JsDoubleQuoted),
            [b'\'', ..] => literal(self, State::JsSingleQuoted),
            [b'`', ..] => literal(self, State::JsTemplate),
            [b'/', b'/', ..] => Ok((self.with(State::JsLineComment), at + 2)),
            [b'/', b'*', ..] => Ok((self.with(State::JsBlockComment), at + 2)),
            [b'/', ..] => match self.slash {
                Slash::Regexp => Ok((self.with(State::JsRegexp), at + 1)),
                Slash::Division => Ok((Context { slash: Slash::Regexp, ..self }, at + 1)),
                Slash::Unknown => {
                    let shown = rest.get(..32).unwrap_or(rest);
                    Err(format!("'/' could start a division or regexp: {}", quote(shown)))
                }
            },
            [b'<', b'!', b'-', b'-', ..] => Ok((self.with(State::JsHtmlOpenComment), at + 4)),
            [b'-', b'-', b'>', ..] => Ok((self.with(State::JsHtmlCloseComment), at + 3)),
            [b'#', b'!', ..] => Ok((self.with(State::JsLineComment), at + 2)),
            [brace @ (b'{' | b'}'), ..] => {
                let slash = slash_after(&[*brace], self.slash);
                match self.braces.last_mut() {
                    None => {}
                    Some(depth) if *brace == b'{' => *depth += 1,
                    Some(0) => {
                        self.braces.pop();
                        return Ok((self.with(State::JsTemplate), at + 1));
                    }
                    Some(depth) => *depth -= 1,
                }
                Ok((Context { slash, ..self }, at + 1))
            }
            _ => Ok((self, at + 1)),
        }
    }

    fn js_template(mut self, text: &[u8]) -> Moved {
        let mut from = 0;
        while let Some(at) = find_any(text.get(from..).unwrap_or_default(), b"`\\$").map(|at| at + from) {
            let mut next = at + 1;
            match text.get(at) {
                Some(b'\\') if next == text.len() => return unfinished("JS", text),
                Some(b'\\') => next += 1,
                Some(b'$') if text.get(next) == Some(&b'{') => {
                    self.braces.push(0);
                    return Ok((self.with(State::Js), next + 1));
                }
                Some(b'`') => return Ok((self.with(State::Js), next)),
                _ => {}
            }
            from = next;
        }
        Ok((self, text.len()))
    }

    fn js_delimited(self, text: &[u8], specials: &[u8]) -> Moved {
        let mut from = 0;
        let mut in_set = false;
        while let Some(at) = find_any(text.get(from..).unwrap_or_default(), specials).map(|at| at + from) {
            let mut next = at + 1;
            match text.get(at) {
                Some(b'\\') if next == text.len() => return unfinished("JS", text),
                Some(b'\\') => next += 1,
                Some(b'[') => in_set = true,
                Some(b']') => in_set = false,
                Some(b'/') if closes_script(text, at) => next += 1,
                _ if !in_set => {
                    return Ok((Context { slash: Slash::Division, ..self.with(State::Js) }, next));
                }
                _ => {}
            }
            from = next;
        }
        if in_set {
            return Err(format!("unfinished JS regexp charset: {}", quote(text)));
        }
        Ok((self, text.len()))
    }

    fn css(self, text: &[u8]) -> (Self, usize) {
        for (at, byte) in text.iter().enumerate() {
            match (byte, text.get(at + 1)) {
                (b'(', _) if ends_with_url(text.get(..at).unwrap_or_default()) => {
                    let start = after_space(text, at + 1);
                    return match text.get(start) {
                        Some(b'"') => (self.with(State::CssDoubleQuotedUrl), start + 1),
                        Some(b'\'') => (self.with(State::CssSingleQuotedUrl), start + 1),
                        _ => (self.with(State::CssUrl), start),
                    };
                }
                (b'/', Some(b'/')) => return (self.with(State::CssLineComment), at + 2),
                (b'/', Some(b'*')) => return (self.with(State::CssBlockComment), at + 2),
                (b'"', _) => return (self.with(State::CssDoubleQuoted), at + 1),
                (b'\'', _) => return (self.with(State::CssSingleQuoted), at + 1),
                _ => {}
            }
        }
        (self, text.len())
    }

    fn css_string(mut self, text: &[u8], ends: &[u8]) -> Moved {
        let mut from = 0;
        while let Some(at) = find_any(text.get(from..).unwrap_or_default(), ends).map(|at| at + from) {
            let mut next = at + 1;
            if text.get(at) != Some(&b'\\') {
                return Ok((self.with(State::Css), next));
            }
            if next == text.len() {
                return unfinished("CSS", text);
            }
            next += 1;
            self = self.url(&super::filters::decode_css(text.get(..next).unwrap_or(text)));
            from = next;
        }
        let rest = super::filters::decode_css(text.get(from..).unwrap_or_default());
        Ok((self.url(&rest), text.len()))
    }
}

fn unfinished<T>(language: &str, text: &[u8]) -> Result<T, String> {
    Err(format!("unfinished escape sequence in {language} string: {}", quote(text)))
}

fn quote(text: &[u8]) -> String {
    model::number::quote(&String::from_utf8_lossy(text))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn find_any(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.iter().position(|byte| wanted.contains(byte))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\x0c' | b'\r')
}

fn after_space(text: &[u8], from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    from + rest.iter().position(|byte| !is_space(*byte)).unwrap_or(rest.len())
}

/// Where the text of an element with text of its own kind ends; 0 with the context behind it if that is here.
fn special_tag_end(context: &Context, text: &[u8]) -> (Context, usize) {
    let in_script_text = context.element == Element::Script
        && (context.state.is_script_literal() || context.state.is_comment());
    if context.element == Element::Other || in_script_text {
        return (context.clone(), text.len());
    }
    match tag_end(text, context.element.name()) {
        Some(at) => (Context::default(), at),
        None => (context.clone(), text.len()),
    }
}

/// Where `</name` with what may follow it is.
fn tag_end(text: &[u8], name: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + find(text.get(from..)?, b"</")?;
        let start = at + 2;
        let named = text.get(start..start + name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name));
        if named && text.get(start + name.len()).is_some_and(|byte| b"> \t\n\x0c/".contains(byte)) {
            return Some(at);
        }
        from = start;
    }
}

/// Whether the slash at `at` is that of `</script`.
fn closes_script(text: &[u8], at: usize) -> bool {
    let around = at.checked_sub(1).and_then(|start| text.get(start..start + 8));
    around.is_some_and(|found| found.eq_ignore_ascii_case(b"</script"))
}

fn attribute_name_end(text: &[u8], from: usize) -> Result<usize, String> {
    for (at, byte) in text.iter().enumerate().skip(from) {
        match byte {
            b' ' | b'\t' | b'\n' | b'\x0c' | b'\r' | b'=' | b'>' => return Ok(at),
            b'\'' | b'"' | b'<' => {
                let shown = text.get(..32).unwrap_or(text);
                return Err(format!("{} in attribute name: {}", quote(&[*byte]), quote(shown)));
            }
            _ => {}
        }
    }
    Ok(text.len())
}

fn tag_name_end(text: &[u8], from: usize) -> usize {
    if !text.get(from).is_some_and(u8::is_ascii_alphabetic) {
        return from;
    }
    let mut end = from + 1;
    loop {
        match (text.get(end), text.get(end + 1)) {
            (Some(byte), _) if byte.is_ascii_alphanumeric() => end += 1,
            (Some(b':' | b'-'), Some(next)) if next.is_ascii_alphanumeric() => end += 2,
            _ => return end,
        }
    }
}

/// Whether a slash behind `text` would begin a regular expression.
fn slash_after(text: &[u8], before: Slash) -> Slash {
    const SPACES: [char; 6] = ['\x0c', '\n', '\r', '\t', '\x0b', '\u{feff}'];
    let decoded = String::from_utf8_lossy(text);
    let trimmed = decoded.trim_end_matches(|c: char| c.is_whitespace() || SPACES.contains(&c)).as_bytes();
    let Some((last, rest)) = trimmed.split_last() else {
        return before;
    };
    match last {
        b'+' | b'-' => {
            // An odd number of them leaves an operator.
            let count = trimmed.iter().rev().take_while(|byte| *byte == last).count();
            if count % 2 == 1 { Slash::Regexp } else { Slash::Division }
        }
        b'.' => match rest.last() {
            Some(byte) if byte.is_ascii_digit() => Slash::Division,
            _ => Slash::Regexp,
        },
        b',' | b'<' | b'>' | b'=' | b'*' | b'%' | b'&' | b'|' | b'^' | b'?' | b'!' | b'~' | b'(' | b'['
        | b':' | b';' | b'{' | b'}' => Slash::Regexp,
        _ => {
            let word = trimmed
                .iter()
                .rposition(|byte| !super::filters::is_js_identifier(*byte))
                .map_or(0, |at| at + 1);
            match trimmed.get(word..).unwrap_or_default() {
                b"break" | b"case" | b"continue" | b"delete" | b"do" | b"else" | b"finally" | b"in"
                | b"instanceof" | b"return" | b"throw" | b"try" | b"typeof" | b"void" => Slash::Regexp,
                _ => Slash::Division,
            }
        }
    }
}

fn ends_with_url(text: &[u8]) -> bool {
    let text =
        text.get(..text.iter().rposition(|b| !is_space(*b)).map_or(0, |at| at + 1)).unwrap_or_default();
    let Some(start) = text.len().checked_sub(3) else {
        return false;
    };
    let (before, word) = text.split_at(start);
    let in_a_name =
        before.last().is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_') || *b >= 0x80);
    word.eq_ignore_ascii_case(b"url") && !in_a_name
}
