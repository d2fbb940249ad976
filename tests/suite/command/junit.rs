//! JUnit XML as a reader takes it.

use std::collections::HashMap;

use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::{BytesStart, Event};

use super::sandbox::Sandbox;

/// An element of an XML document.
#[derive(Debug)]
pub struct Element {
    pub name: String,
    pub attributes: HashMap<String, String>,
    pub text: String,
}

/// The elements of `run.xml`, outer ones first.
pub struct Junit(Vec<Element>);

impl Junit {
    pub fn read(sandbox: &Sandbox) -> Self {
        let bytes = sandbox.read("run.xml");
        let text = std::str::from_utf8(&bytes).unwrap();
        let exists =
            |c| matches!(c, '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        assert!(text.chars().all(exists), "a character that XML 1.0 has not: {text:?}");
        let mut reader = Reader::from_str(text);
        let (mut elements, mut open) = (Vec::<Element>::new(), Vec::<usize>::new());
        loop {
            match reader.read_event().unwrap() {
                Event::Start(tag) => {
                    open.push(elements.len());
                    elements.push(Element::of(&tag));
                }
                Event::Empty(tag) => elements.push(Element::of(&tag)),
                Event::End(_) => drop(open.pop()),
                Event::Text(more) if !open.is_empty() => {
                    elements[open[open.len() - 1]].text += &more;
                }
                Event::GeneralRef(name) => {
                    let text = format!("&{};", &*name);
                    elements[open[open.len() - 1]].text += &unescape(&text).unwrap();
                }
                Event::Eof => return Self(elements),
                _ => {}
            }
        }
    }

    fn named(&self, name: &str) -> Vec<&Element> {
        self.0.iter().filter(|element| element.name == name).collect()
    }

    /// `attribute` of each element of `name`.
    pub fn each(&self, name: &str, attribute: &str) -> Vec<&str> {
        self.named(name).iter().map(|element| element.attributes[attribute].as_str()).collect()
    }

    /// The one element of `name`.
    pub fn one(&self, name: &str) -> &Element {
        let all = self.named(name);
        assert_eq!(all.len(), 1, "{name}: {:?}", self.0);
        all[0]
    }

    pub fn property(&self, name: &str) -> Option<&str> {
        let property =
            self.named("property").into_iter().find(|property| property.attributes["name"] == name);
        property.map(|property| property.attributes["value"].as_str())
    }

    /// How many testcases, failures and errors, as elements; the suite has to say the same.
    pub fn counts(&self) -> [usize; 3] {
        let counts = ["testcase", "failure", "error"].map(|name| self.named(name).len());
        for name in ["testsuites", "testsuite"] {
            let suite = self.one(name);
            let said = ["tests", "failures", "errors"].map(|name| suite.attributes[name].clone());
            assert_eq!(said, counts.map(|count| count.to_string()), "{suite:?}");
            assert!(suite.attributes["time"].parse::<f64>().unwrap() >= 0.0);
        }
        counts
    }
}

impl Element {
    fn of(tag: &BytesStart) -> Self {
        let attributes = tag.attributes().map(|attribute| {
            let attribute = attribute.unwrap();
            let value = unescape(&attribute.value).unwrap().into_owned();
            (attribute.key.as_ref().to_owned(), value)
        });
        let name = tag.name().as_ref().to_owned();
        Self { attributes: attributes.collect(), name, text: String::new() }
    }
}
