//! The objects of `--json`, from their schema.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::heading::generated;

/// What stands before the objects.
const INTRODUCTION: &str = include_str!("json.md");

pub(crate) fn page(schema: &Value) -> String {
    let mut text = generated("JSON", "the types that are printed");
    text += INTRODUCTION;
    let mut order = Vec::new();
    for line in list(schema, "anyOf") {
        text += &format!("| {} | {} |\n", description(line), kind(line));
        collect(line, schema, &mut order);
    }
    for name in order {
        let definition = &schema["$defs"][name];
        text += &format!("\n## {name}\n\n{}\n", description(definition));
        text += &body(definition);
    }
    text
}

/// The names of all definitions that `value` leads to, each before those that it leads to itself.
fn collect<'a>(value: &'a Value, schema: &'a Value, order: &mut Vec<&'a str>) {
    match value {
        Value::Object(object) => {
            if let Some(name) = object.get("$ref").and_then(Value::as_str).map(last)
                && !order.contains(&name)
            {
                order.push(name);
                collect(&schema["$defs"][name], schema, order);
            }
            object.values().for_each(|value| collect(value, schema, order));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, schema, order)),
        _ => {}
    }
}

fn last(reference: &str) -> &str {
    reference.rsplit('/').next().unwrap_or(reference)
}

/// A table of an object's fields, of an enum's words, or of the forms that a value can take.
fn body(definition: &Value) -> String {
    let mut text = String::new();
    if let Some(fields) = definition["properties"].as_object() {
        text += &fields_table(definition, fields);
    }
    let forms = list(definition, "oneOf").iter().chain(list(definition, "anyOf"));
    let forms: Vec<&Value> = forms.collect();
    let words: Vec<&Value> =
        forms.iter().copied().filter(|form| form.get("const").is_some()).collect();
    if !words.is_empty() {
        text += "\n| word | meaning |\n|---|---|\n";
        for word in &words {
            text += &format!("| {} | {} |\n", kind(word), description(word));
        }
    }
    for form in forms.iter().filter(|form| form.get("const").is_none()) {
        let said = description(form);
        match form["properties"].as_object() {
            Some(fields) => {
                text += &format!("\n{}\n", if said.is_empty() { "Or:" } else { &said });
                text += &fields_table(form, fields);
            }
            None => text += &format!("\n- {}\n", [kind(form), said].join(" ").trim()),
        }
    }
    if let Some(words) = definition["enum"].as_array() {
        let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
        text += &format!("\nOne of {}.\n", words.join(", "));
    }
    text
}

fn fields_table(object: &Value, fields: &Map<String, Value>) -> String {
    let mut text = String::from("\n| field | type | meaning |\n|---|---|---|\n");
    for (name, field) in fields {
        let required = list(object, "required").iter().any(|required| required == name);
        let left_out = if required { "" } else { " May be left out." };
        let _ = writeln!(text, "| `{name}` | {} | {}{left_out} |", kind(field), description(field));
    }
    text
}

/// The type of a value, in words.
fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = last(reference);
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(word) = schema.get("const") {
        return format!("`{word}`");
    }
    let forms = [list(schema, "anyOf"), list(schema, "oneOf"), list(schema, "allOf")].concat();
    if !forms.is_empty() {
        return forms.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    let types = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => vec!["anything"],
    };
    let named = |name: &str| match name {
        "array" => match (schema.get("items"), list(schema, "prefixItems")) {
            (Some(items), _) => match schema["maxItems"].as_u64() {
                Some(length) => format!("list of {length}: {}", kind(items)),
                None => format!("list of {}", kind(items)),
            },
            (None, items) => {
                format!("list: {}", items.iter().map(kind).collect::<Vec<_>>().join(", "))
            }
        },
        "object" => match schema.get("additionalProperties").filter(|value| value.is_object()) {
            Some(values) => format!("object of {}", kind(values)),
            None => "object".to_owned(),
        },
        name => name.to_owned(),
    };
    types.into_iter().map(named).collect::<Vec<_>>().join(" or ")
}

/// What a doc comment says to a reader of JSON, on one line: links to other items are words, sentences
/// that name Rust's paths are left out, and what Rust calls `None` is `null`.
fn description(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = without_links(&text).replace("`None`", "`null`").replace('|', "\\|");
    let sentences = text.split_inclusive(". ").filter(|sentence| !sentence.contains("::"));
    sentences.collect::<String>().trim_end().to_owned()
}

/// `text` with `word` for [`word`] and for [`word`](path).
fn without_links(text: &str) -> String {
    let mut words = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once("[`") {
        let Some((word, after)) = link.split_once("`]") else { break };
        words += &format!("{before}`{word}`");
        let path = after.strip_prefix('(').and_then(|path| path.split_once(')'));
        rest = path.map_or(after, |(_, after)| after);
    }
    words + rest
}

fn list<'a>(schema: &'a Value, name: &str) -> &'a [Value] {
    schema[name].as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_doc_comment_becomes_a_line_for_readers_of_json() {
        let said = |text| description(&json!({"description": text}));
        assert_eq!(
            said("SSIM (see [`ssim`](super::ssim)),\nor `None`."),
            "SSIM (see `ssim`), or `null`."
        );
        assert_eq!(said("A config. Read one with [`Config::read`]. Whole."), "A config. Whole.");
        assert_eq!(said("[`open"), "[`open");
    }

    #[test]
    fn types_are_words() {
        let list_of_two = json!({"type": "array", "items": {"type": "number"}, "maxItems": 2});
        assert_eq!(kind(&list_of_two), "list of 2: number");
        let optional = json!({"anyOf": [{"$ref": "#/$defs/Verdict"}, {"type": "null"}]});
        assert_eq!(kind(&optional), "[Verdict](#verdict) or null");
        assert_eq!(kind(&json!({"type": ["string", "null"]})), "string or null");
    }
}
