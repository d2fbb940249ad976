//! `--table`: a row for each picture or checkpoint.

use serde_json::Value;

use super::sandbox::{Sandbox, picture};

/// Of a picture with an awkward name, one that is none, and `photo.png`.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("in/a, \"b\".png", picture(40, 24, 0));
    sandbox.write("in/broken.png", b"no picture");
    sandbox
}

fn lines(sandbox: &Sandbox, name: &str) -> Vec<Value> {
    let text = String::from_utf8(sandbox.read(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_picture_is_a_row_with_the_numbers_of_its_report() {
    let sandbox = sandbox();
    let run =
        sandbox.check(&["in", "photo.png", "--out-dir", "out", "--table", "t.jsonl", "--json"]);
    let run = run.exits(2);
    let rows = lines(&sandbox, "t.jsonl");
    let reports = run.lines();
    assert_eq!(rows.len(), 3);
    for (row, report) in rows.iter().zip(&reports) {
        let judged = report["metrics"].is_object();
        assert_eq!(row["psnr_db"], report["metrics"]["psnr_db"]);
        assert_eq!(row["max_abs_diff"], report["metrics"]["max_abs_diff"]);
        assert_eq!(row["verdict"], report["verdict"]);
        assert_eq!(row["error"].is_null(), judged, "{row}");
    }
    assert_eq!(rows[0]["id"], "in/a, \"b\".png");
    assert!(rows[1]["error"].as_str().unwrap().contains("in/broken.png"), "{}", rows[1]);
}

#[test]
fn names_with_commas_and_quotes_are_one_field_of_csv() {
    let sandbox = sandbox();
    sandbox.check(&["in", "--out-dir", "out", "--table", "t.csv"]).exits(2);
    let text = String::from_utf8(sandbox.read("t.csv")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("id,verdict,error,reasons,findings,"), "{text}");
    assert!(lines[1].starts_with("\"in/a, \"\"b\"\".png\",pass,,"), "{text}");
    assert!(lines[2].starts_with("in/broken.png,,"), "{text}");
    assert_eq!(lines.len(), 3);
}

#[test]
fn text_ends_with_a_table_of_all() {
    let ran = sandbox().check(&["in", "photo.png", "--out-dir", "out"]).exits(2);
    let end = ran.stdout.split("\n\n").last().unwrap();
    let rows: Vec<&str> = end.lines().collect();
    assert!(rows[0].starts_with("picture") && rows[0].ends_with("SSIM"), "{end}");
    assert!(rows[1].starts_with("in/a, \"b\".png  pass") && rows[1].contains(" dB "), "{end}");
    assert!(rows[2].starts_with("in/broken.png") && rows[2].ends_with("not judged"), "{end}");
    assert!(rows[4].contains("3 images"), "{end}");
}

/// `vae_fidelity_tools.conformance.evaluation` reads one with pyarrow.
#[test]
fn parquet_begins_and_ends_as_parquet() {
    let sandbox = sandbox();
    sandbox.check(&["in", "--out-dir", "out", "--table", "t.parquet"]).exits(2);
    let bytes = sandbox.read("t.parquet");
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
}

#[test]
fn other_formats_are_refused_before_anything_runs() {
    sandbox().refuses(&["photo.png", "--table", "t.xlsx"], &["--table", ".xlsx"]);
    sandbox().refuses(&["photo.png", "--table", "photo.png"], &["--table", ".png"]);
}
