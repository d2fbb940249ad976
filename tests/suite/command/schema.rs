//! Everything that a run prints as JSON is what the published schema says, and nothing more.

use std::path::Path;
use std::sync::LazyLock;
use std::{fs, mem};

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

/// The schema, closed: readers have to expect new fields, but no test may meet one that the schema lacks.
static SCHEMA: LazyLock<(Schemas, SchemaIndex)> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/src/reference/schema.json");
    let mut schema: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    close(&mut schema);
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("schema.json", schema).unwrap();
    let index = compiler.compile("schema.json", &mut schemas).unwrap();
    (schemas, index)
});

/// Forbids fields that are not named, in every object but the forms that one object can take together.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            for name in ["$defs", "properties"] {
                if let Some(Value::Object(named)) = object.get_mut(name) {
                    named.values_mut().for_each(close);
                }
            }
            object.get_mut("items").into_iter().for_each(close);
            let of_object = |form: &Value| form.get("properties").is_some();
            let forms = object.get("oneOf").and_then(Value::as_array);
            if object.contains_key("properties") || forms.is_some_and(|f| f.iter().any(of_object)) {
                object.insert("unevaluatedProperties".to_owned(), Value::Bool(false));
            }
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(close),
        _ => {}
    }
}

/// What `object` has that the schema does not, or the other way round.
pub fn violation(object: &Value) -> Option<String> {
    let (schemas, index) = &*SCHEMA;
    schemas
        .validate(object, *index)
        .err()
        .map(|error| format!("not what schema.json says: {error}"))
}

#[test]
fn a_line_that_is_not_in_the_schema_is_noticed() {
    let right = json!({
        "schema_version": 1, "verdict": null,
        "error": {"code": "image", "message": "no such file", "next": "check the path"},
    });
    assert_eq!(violation(&right), None);
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 5] = [
        ("another type", |line| line["error"]["code"] = json!(3)),
        ("a word that is none", |line| line["verdict"] = json!("maybe")),
        ("a new field", |line| line["more"] = json!(1)),
        ("a new field inside", |line| line["error"]["more"] = json!(1)),
        ("a field that is missing", |line| {
            let error = mem::take(&mut line["error"]);
            line["error"] = json!({"code": error["code"], "message": error["message"]});
        }),
    ];
    for (what, change) in changes {
        let mut line = right.clone();
        change(&mut line);
        assert!(violation(&line).is_some(), "{what}: {line}");
    }
}
