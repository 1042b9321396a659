//! Small XML documents as trees.

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesStart, Event};

/// Elements in elements deeper than this are refused.
const MAX_DEPTH: usize = 64;

/// An element. Names are without the prefix of their namespace.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) children: Vec<Element<'a>>,
    /// The text directly within it.
    pub(crate) text: String,
    /// What stands between its tags, as it is written.
    pub(crate) inner: &'a str,
}

impl<'a> Element<'a> {
    /// The last child of that name.
    pub(crate) fn child(&self, name: &str) -> Option<&Element<'a>> {
        self.children.iter().rev().find(|child| child.name == name)
    }

    /// All children of that name.
    pub(crate) fn all<'e>(&'e self, name: &'e str) -> impl Iterator<Item = &'e Element<'a>> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text of the last child of that name, or nothing.
    pub(crate) fn text_of(&self, name: &str) -> &str {
        self.child(name).map_or("", |child| &child.text)
    }

    /// The value of an attribute, or nothing.
    pub(crate) fn attribute(&self, name: &str) -> &str {
        self.attributes.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// Reads a document: its outermost element.
pub(crate) fn parse(bytes: &[u8]) -> Result<Element<'_>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "XML: it is not UTF-8".to_owned())?;
    let mut reader = Reader::from_str(text);
    // Elements that are not closed yet, and where their content begins.
    let mut open: Vec<(Element<'_>, usize)> = Vec::new();
    loop {
        let before = reader.buffer_position() as usize;
        match reader.read_event().map_err(|err| format!("XML: {err}"))? {
            Event::Start(tag) => {
                if open.len() == MAX_DEPTH {
                    return Err("XML: elements are too deep".to_owned());
                }
                open.push((element(&tag)?, reader.buffer_position() as usize));
            }
            Event::Empty(tag) => {
                let element = element(&tag)?;
                match open.last_mut() {
                    Some((parent, _)) => parent.children.push(element),
                    None => return Ok(element),
                }
            }
            Event::End(_) => {
                let Some((mut element, start)) = open.pop() else {
                    return Err("XML: a tag too much".to_owned());
                };
                element.inner = text.get(start..before).unwrap_or_default();
                match open.last_mut() {
                    Some((parent, _)) => parent.children.push(element),
                    None => return Ok(element),
                }
            }
            Event::Text(piece) => push_text(&mut open, &piece.xml10_content()),
            Event::CData(piece) => push_text(&mut open, &piece.xml10_content()),
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref().map_err(|err| format!("XML: {err}"))?;
                match (character, resolve_predefined_entity(&reference)) {
                    (Some(character), _) => push_text(&mut open, character.encode_utf8(&mut [0; 4])),
                    (None, Some(text)) => push_text(&mut open, text),
                    (None, None) => return Err(format!("XML: invalid character entity &{};", &*reference)),
                }
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            Event::Eof => return Err("XML: it ends early".to_owned()),
        }
    }
}

fn push_text(open: &mut [(Element<'_>, usize)], text: &str) {
    if let Some((element, _)) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn element<'a>(tag: &BytesStart<'_>) -> Result<Element<'a>, String> {
    let mut attributes = Vec::new();
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|err| format!("XML: {err}"))?;
        let value =
            attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|err| format!("XML: {err}"))?;
        attributes.push((attribute.key.local_name().as_ref().to_owned(), value.into_owned()));
    }
    let name = tag.local_name().as_ref().to_owned();
    Ok(Element { name, attributes, ..Element::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_becomes_a_tree() {
        let text = "<?xml version='1.0'?><!DOCTYPE x><a k='v&lt;' n:l=\"w\">1<!-- c -->2&amp;&#x41;<b/><n:c><![CDATA[<&]]> x &amp; <d>y</d></n:c><b>last</b></a> rest";
        let root = parse(text.as_bytes()).unwrap();
        assert_eq!((root.name.as_str(), root.text.as_str()), ("a", "12&A"));
        assert_eq!((root.attribute("k"), root.attribute("l"), root.attribute("x")), ("v<", "w", ""));
        assert_eq!((root.text_of("b"), root.all("b").count(), root.text_of("none")), ("last", 2, ""));
        let c = root.child("c").unwrap();
        assert_eq!((c.text.as_str(), c.inner), ("<& x & ", "<![CDATA[<&]]> x &amp; <d>y</d>"));
    }

    #[test]
    fn what_is_no_document_is_refused() {
        let deep = "<a>".repeat(100);
        for text in ["", "x", "<a>", "<a></b>", "<a>&who;</a>", "</a>", "<a k></a>", "<a k=v/>", &deep] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse(b"<a>\xff</a>").is_err());
    }
}
