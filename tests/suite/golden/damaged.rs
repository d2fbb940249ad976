//! A suite that is not what its manifest says is refused: it is neither a pass nor a failure of the
//! implementation.

use std::fs;
use std::path::Path;

use serde_json::Value;
use vae_fidelity::ErrorKind;
use vae_fidelity::golden::Suite;

use super::toy::{TOY, Toy};

/// The error of a run of the fixture after `edit` changed a copy of it.
fn refused(edit: impl Fn(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    copy(Path::new(TOY), folder.path());
    edit(folder.path());
    let failures = tempfile::tempdir().unwrap();
    let run = Suite::open(folder.path()).and_then(|suite| {
        suite
            .failures(failures.path())
            .run(|checkpoint| Ok(Box::new(Toy::load(checkpoint)?)))
            .map(|report| report.passed)
    });
    let error = run.expect_err("a damaged suite was accepted");
    assert_eq!(error.kind(), ErrorKind::Golden, "{error}");
    error.to_string()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn replace(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{from} is not in {}", file.display());
    fs::write(file, text.replacen(from, to, 1)).unwrap();
}

fn edit_json(file: &Path, edit: impl Fn(&mut Value)) {
    let mut value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    edit(&mut value);
    fs::write(file, value.to_string()).unwrap();
}

/// The error of a suite with a row in units in the last place of bf16, after `edit` changed that.
fn in_units(edit: fn(&mut Value)) -> String {
    refused(|folder| edit_json(&folder.join("tolerances.json"), |t| in_units_of_bf16(t, edit)))
}

fn in_units_of_bf16(tolerances: &mut Value, edit: fn(&mut Value)) {
    let row = &mut tolerances["rows"][0];
    row["dtype"] = "bf16".into();
    (row["ulps"], row["sum_ulps"], row["sum_size"]) = (1.into(), 2.into(), 3.9.into());
    (row["atol"], row["rtol"]) = (0.03125.into(), 0.0078125.into());
    edit(row);
}

#[test]
fn a_row_in_units_in_the_last_place_is_read() {
    let folder = tempfile::tempdir().unwrap();
    copy(Path::new(TOY), folder.path());
    edit_json(&folder.path().join("tolerances.json"), |t| in_units_of_bf16(t, |_| ()));
    Suite::open(folder.path()).unwrap();
}

#[test]
fn a_damaged_suite_is_refused_and_says_what_is_wrong() {
    let manifest =
        |edit: fn(&mut Value)| refused(|folder| edit_json(&folder.join("manifest.json"), edit));
    let tolerances =
        |edit: fn(&mut Value)| refused(|folder| edit_json(&folder.join("tolerances.json"), edit));
    for (text, part) in [
        (manifest(|m| m["schema_version"] = 2.into()), "schema_version"),
        (manifest(|m| m["cases"] = Value::Array(vec![])), "no cases"),
        (manifest(|m| m["cases"][1]["name"] = "mode".into()), "two cases are named mode"),
        (manifest(|m| m["cases"][0]["name"] = "../mode".into()), "bad name"),
        (manifest(|m| m["cases"][1]["height"] = Value::Null), "one of width and height"),
        (manifest(|m| m["tolerances"] = "../tolerances.json".into()), "bad name"),
        (manifest(|m| m["cases"][0]["model"] = "gone".into()), "models/gone"),
        (
            manifest(|m| {
                m["cases"][0]["width"] = 7.into();
                m["cases"][0]["height"] = 8.into();
            }),
            "multiple of 8",
        ),
        (
            refused(|folder| fs::remove_file(folder.join("images/pattern.png")).unwrap()),
            "no such file",
        ),
        (
            refused(|folder| fs::write(folder.join("images/pattern.png"), "text").unwrap()),
            "expected an image",
        ),
        (
            refused(|folder| {
                fs::remove_file(folder.join("models/toy/vae/config.json")).unwrap();
            }),
            "config.json",
        ),
        (manifest(|m| m["cases"][0]["posterior"]["kind"] = "sample".into()), "no tensor noise"),
        (
            manifest(|m| {
                m["cases"][0]["tensors"].as_object_mut().unwrap().remove("decoded").unwrap();
            }),
            "no tensor decoded",
        ),
        (
            manifest(|m| m["cases"][0]["tensors"]["moments"]["sha256"] = "00".into()),
            "not the tensor that the manifest hashed",
        ),
        (
            manifest(|m| m["cases"][0]["tensors"]["moments"]["shape"] = vec![6, 96].into()),
            "expected f32 [6, 96], found f32 [1, 6, 8, 12]",
        ),
        (tolerances(|t| t["schema_version"] = 0.into()), "schema_version"),
        (tolerances(|t| t["rows"][0]["modle"] = "toy".into()), "modle"),
        (tolerances(|t| t["rows"][0]["atol"] = (-1.0).into()), "atol -1"),
        (tolerances(|t| t["rows"][0]["rtol"] = Value::Null), "null"),
        (tolerances(|t| t["rows"][3]["share"] = 2.0.into()), "share"),
        (
            tolerances(|t| t["rows"][0]["dtype"] = "bf16".into()),
            "rtol 0.000001 is less than one step of bf16, which is up to 0.0078125 of a value",
        ),
        (in_units(|row| row["rtol"] = 0.0078.into()), "less than one step of bf16"),
        (in_units(|row| row["sum_ulps"] = Value::Null), "all of ulps, sum_ulps and a sum_size"),
        (in_units(|row| row["sum_size"] = 0.0.into()), "a sum_size above 0"),
        (in_units(|row| row["atol"] = 0.0625.into()), "its ulps are an atol of 0.03125"),
        (in_units(|row| row["ulps"] = 2.into()), "an rtol of 0.015625"),
        (refused(|folder| fs::remove_file(folder.join("manifest.json")).unwrap()), "no such file"),
        (
            refused(|folder| {
                fs::remove_file(folder.join("cases/mode/latents.safetensors")).unwrap();
            }),
            "latents.safetensors",
        ),
        (
            refused(|folder| {
                replace(
                    &folder.join("cases/mode/trace.json"),
                    "\"schema_version\": 1",
                    "\"schema_version\": 9",
                );
            }),
            "schema_version",
        ),
        (
            refused(|folder| {
                // The sample's last value, made NaN.
                let file = folder.join("cases/mode/sample.safetensors");
                let mut bytes = fs::read(&file).unwrap();
                let end = bytes.len();
                bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
                fs::write(&file, bytes).unwrap();
            }),
            "is NaN",
        ),
    ] {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}
