//! XML answers of services whose resources have a hundred fields, as trees.

use quick_xml::Reader;
use quick_xml::events::Event;

use crate::cloud::targets::Targets;

/// Elements may stand in each other this deep: far deeper than in any answer.
const MAX_DEPTH: usize = 64;

/// An element: its name, its text, and the elements in it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

impl Element {
    /// Reads a document; the result holds its outermost element.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(body).map_err(|err| err.to_string())?;
        let mut reader = Reader::from_str(text);
        let mut open = vec![Element::default()];
        loop {
            match reader.read_event().map_err(|err| err.to_string())? {
                Event::Start(start) => {
                    if open.len() >= MAX_DEPTH {
                        return Err(format!("elements stand deeper than {MAX_DEPTH} in each other"));
                    }
                    open.push(Element::named(start.local_name().as_ref()));
                }
                Event::Empty(start) => add(&mut open, Element::named(start.local_name().as_ref()))?,
                Event::End(_) => {
                    let element = open.pop().ok_or("an element ends that did not begin")?;
                    add(&mut open, element)?;
                }
                Event::Text(piece) => push(&mut open, &piece),
                Event::CData(piece) => push(&mut open, &piece),
                Event::GeneralRef(reference) => {
                    let character = reference.resolve_char_ref().map_err(|err| err.to_string())?;
                    match character {
                        Some(character) => push(&mut open, character.encode_utf8(&mut [0; 4])),
                        None => push(&mut open, named(&reference)?),
                    }
                }
                Event::Eof => break,
                _ => {}
            }
        }
        match (open.pop(), open.is_empty()) {
            (Some(document), true) if !document.children.is_empty() => Ok(document),
            _ => Err("unexpected end of XML".to_owned()),
        }
    }

    fn named(name: &str) -> Self {
        Element { name: name.to_owned(), ..Element::default() }
    }

    /// The first element at the end of a path of names.
    pub(super) fn at(&self, path: &str) -> Option<&Element> {
        path.split('/')
            .try_fold(self, |element, name| element.children.iter().find(|child| child.name == name))
    }

    /// The text of the element at `path`; empty if there is none. A moment comes without fractions of a second.
    pub(super) fn text(&self, path: &str) -> String {
        let Some(element) = self.at(path) else { return String::new() };
        let text = element.text.trim();
        if element.name.ends_with("Time") || element.name.ends_with("Date") {
            return without_fraction(text);
        }
        text.to_owned()
    }

    /// The elements of the list at `path`, whatever they are called.
    pub(super) fn list(&self, path: &str) -> &[Element] {
        self.at(path).map_or(&[], |element| &element.children)
    }

    /// The elements of the list at `path`, which are taken out.
    pub(super) fn into_list(self, path: &str) -> Vec<Element> {
        let mut element = self;
        for name in path.split('/') {
            match element.children.into_iter().find(|child| child.name == name) {
                Some(child) => element = child,
                None => return Vec::new(),
            }
        }
        element.children
    }

    /// The result in an answer of the query protocol: `<ActionResponse><ActionResult>`.
    pub(super) fn into_result(self) -> Result<Element, String> {
        let response = self.children.into_iter().next();
        let mut parts = response.map(|response| response.children).unwrap_or_default().into_iter();
        parts.find(|part| part.name.ends_with("Result")).ok_or_else(|| "the answer has no result".to_owned())
    }

    /// Adds the tags of the list at `path` as labels.
    pub(super) fn add_tags(&self, path: &str, targets: &mut Targets, prefix: &str) {
        for tag in self.list(path) {
            targets.labelled(prefix, &tag.text("Key"), &tag.text("Value"));
        }
    }

    /// The text between this element's own tags.
    pub(super) fn own_text(&self) -> &str {
        self.text.trim()
    }
}

fn add(open: &mut [Element], element: Element) -> Result<(), String> {
    let parent = open.last_mut().ok_or("an element ends that did not begin")?;
    parent.children.push(element);
    Ok(())
}

fn push(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

/// The five entities that XML knows by itself.
fn named(entity: &str) -> Result<&'static str, String> {
    Ok(match entity {
        "lt" => "<",
        "gt" => ">",
        "amp" => "&",
        "apos" => "'",
        "quot" => "\"",
        other => return Err(format!("unknown entity {other}")),
    })
}

/// `2024-01-02T03:04:05.678Z` as `2024-01-02T03:04:05Z`; what is no moment stays.
fn without_fraction(text: &str) -> String {
    match text.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_by_path() {
        let xml = "<?xml version=\"1.0\"?><A xmlns=\"u\"><B><C>x &amp; &#233;</C><T>05:00</T><CTime>2024-01-02T03:04:05.678Z</CTime></B><L><member>1</member><other>2</other></L><E/></A>";
        let document = Element::parse(xml.as_bytes()).unwrap();
        assert_eq!(document.text("A/B/C"), "x & é");
        assert_eq!(
            (document.text("A/B/CTime").as_str(), document.text("A/B/T").as_str()),
            ("2024-01-02T03:04:05Z", "05:00")
        );
        let items: Vec<&str> = document.list("A/L").iter().map(Element::own_text).collect();
        assert_eq!(items, ["1", "2"]);
        assert_eq!(
            (document.text("A/E"), document.text("A/N/M"), document.at("A/E").is_some()),
            (String::new(), String::new(), true)
        );
        for cut in 0..xml.len() {
            if xml.is_char_boundary(cut) {
                assert!(Element::parse(&xml.as_bytes()[..cut]).is_err(), "{cut}");
            }
        }
        assert!(Element::parse("<a>".repeat(100_000).as_bytes()).is_err());
        assert!(Element::parse(b"<a>&unknown;</a>").is_err());
    }
}
