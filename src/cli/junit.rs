//! `--junit`: a run as JUnit XML, in the form that the schema of Jenkins' xunit plugin (junit-10.xsd)
//! describes. It has no place for properties of a testcase: they stand in its output, and in the
//! suite's properties.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};
use serde_json::Value;

use super::cases::{Case, Cases, End};
use super::console::Console;
use crate::diagnosis::Finding;
use crate::printable::{printable, printable_but};

type Xml = Writer<Vec<u8>>;

/// The bytes of the file: one suite, and in it a testcase for each case.
pub fn document(cases: &Cases, console: Console) -> io::Result<Vec<u8>> {
    let suite = format!("vae-fidelity {}", cases.command);
    let count = |matches: fn(&&Case) -> bool| cases.cases.iter().filter(matches).count();
    let numbers = [
        ("tests", cases.cases.len().to_string()),
        ("failures", count(|case| case.failed()).to_string()),
        ("errors", count(|case| case.not_judged().is_some()).to_string()),
        ("time", seconds(cases.started.elapsed())),
    ];
    let numbers = || numbers.iter().map(|(name, number)| (*name, number.as_str()));
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let all = xml.create_element("testsuites").with_attribute(("name", &*suite));
    all.with_attributes(numbers()).write_inner_content(|xml| {
        let of_suite = xml.create_element("testsuite").with_attribute(("name", &*suite));
        of_suite.with_attributes(numbers()).write_inner_content(|xml| {
            properties(xml, cases, console)?;
            cases.cases.iter().try_for_each(|case| testcase(xml, case, &suite, console))
        })?;
        Ok(())
    })?;
    let mut bytes = xml.into_inner();
    bytes.push(b'\n');
    Ok(bytes)
}

/// The model's, and what was measured of each case: under its own name where there is one.
fn properties(xml: &mut Xml, cases: &Cases, console: Console) -> io::Result<()> {
    let version = ("vae-fidelity".to_owned(), Value::from(env!("CARGO_PKG_VERSION")));
    let of_model = cases.model.iter().map(|(name, value)| (format!("model.{name}"), value.clone()));
    let mut named: Vec<(String, Value)> = [version].into_iter().chain(of_model).collect();
    for case in &cases.cases {
        for (name, value) in &case.numbers {
            let name = match cases.cases.len() {
                1 => name.clone(),
                _ => format!("{}: {name}", case.subject.name),
            };
            named.push((name, value.clone()));
        }
    }
    let list = xml.create_element("properties");
    list.write_inner_content(|xml| {
        for (name, value) in &named {
            let (name, value) = (line(name, console), line(&plain(value), console));
            let property = xml.create_element("property");
            property.with_attributes([("name", &*name), ("value", &*value)]).write_empty()?;
        }
        Ok(())
    })?;
    Ok(())
}

fn testcase(xml: &mut Xml, case: &Case, suite: &str, console: Console) -> io::Result<()> {
    let class = suite.replace(' ', ".");
    let name = line(&case.subject.name, console);
    let took = seconds(case.took);
    let element = xml.create_element("testcase").with_attributes([
        ("classname", &*class),
        ("name", &*name),
        ("time", &*took),
    ]);
    element.write_inner_content(|xml| {
        match &case.end {
            End::Judged(reasons) if reasons.is_empty() => {}
            End::Judged(reasons) => {
                let kind = case.errors().next().map_or("verdict", |finding| finding.code.as_str());
                let mut text: String = case.errors().map(told).collect();
                text.extend(case.missed().map(|reason| format!("{reason}\n")));
                problem(xml, "failure", kind, &reasons.join("; "), &text, console)?;
            }
            End::NotJudged(error) => {
                let mut text = format!("{error}\n  next: {}\n", error.next());
                text.extend(case.findings.iter().map(told));
                problem(xml, "error", error.kind().code(), &error.to_string(), &text, console)?;
            }
        }
        let numbers = case.numbers.iter().map(|(name, value)| format!("{name} {}\n", plain(value)));
        let mut output: String = numbers.collect();
        if case.not_judged().is_none() {
            output.extend(case.remarks().map(told));
        }
        if !output.is_empty() {
            let output = lines(&output, console);
            xml.create_element("system-out").write_text_content(BytesText::new(&output))?;
        }
        Ok(())
    })?;
    Ok(())
}

fn problem(
    xml: &mut Xml,
    element: &str,
    kind: &str,
    message: &str,
    text: &str,
    console: Console,
) -> io::Result<()> {
    let (message, text) = (line(message, console), lines(text, console));
    let element = xml.create_element(element);
    let element = element.with_attributes([("type", kind), ("message", &*message)]);
    element.write_text_content(BytesText::new(&text))?;
    Ok(())
}

/// A finding in lines.
fn told(finding: &Finding) -> String {
    let Finding { code, severity, title, layer, remedy, .. } = finding;
    let layer = layer.as_ref().map_or(String::new(), |layer| format!("  layer: {layer}\n"));
    format!(
        "{severity}: {code}: {title}\n{layer}  remedy: {remedy}\n  more: vae-fidelity explain {code}\n"
    )
}

/// A value of JSON without quotes.
fn plain(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        value => Cow::Owned(value.to_string()),
    }
}

/// The text of an element, in lines, as the user is to see it.
fn lines(text: &str, console: Console) -> String {
    of_xml(&printable_but(&console.shown(text), |c| c == '\n'))
}

/// The value of an attribute: readers take the end of a line in one for a space.
fn line(text: &str, console: Console) -> String {
    of_xml(&printable(&console.shown(text)))
}

/// Of what is printable, XML 1.0 lacks two characters.
fn of_xml(printable: &str) -> String {
    printable.replace('\u{fffe}', "\\u{fffe}").replace('\u{ffff}', "\\u{ffff}")
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}
