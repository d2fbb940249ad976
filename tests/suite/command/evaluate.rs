//! What `evaluate` and `merge` write, that they go on after a stop, and that nothing of how they run changes a
//! number.

use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, thread};

use ndarray::ArrayD;
use serde_json::{Value, json};
use vae_fidelity::evaluation::Protocol;
use vae_fidelity::tensor_file::to_npy;

use super::sandbox::{Ran, Sandbox, picture};

/// `count` pictures in two folders, of three sizes.
pub(super) fn data(sandbox: &Sandbox, count: usize) {
    for index in 0..count {
        let folder = ["b", "a/deep"][index % 2];
        let side = 16 + 8 * (index % 3);
        let name = format!("data/{folder}/{index:03}.png");
        sandbox.write(&name, picture(side, 32, (index * 3) as u8));
    }
}

pub(super) fn evaluate(sandbox: &Sandbox, out: &str, more: &[&str]) -> Ran {
    let run = ["evaluate", "data", "--repo", "model", "--device", "cpu", "--engine", "fast"];
    sandbox.run(&[&run[..], &["--out", out], more].concat())
}

/// `result.json` without what may differ.
fn result(sandbox: &Sandbox, folder: &str) -> Value {
    let text = sandbox.read(&format!("{folder}/result.json"));
    let mut value: Value = serde_json::from_slice(&text).unwrap();
    assert!(value.as_object_mut().unwrap().remove("run").is_some());
    value
}

pub(super) fn same(sandbox: &Sandbox, a: &str, b: &str) {
    for name in ["rows.parquet", "latents.parquet", "maps.json", "protocol.toml"] {
        let [a, b] = [a, b].map(|folder| sandbox.read(&format!("{folder}/{name}")));
        assert!(a == b, "{name} differs");
    }
    assert_eq!(result(sandbox, a), result(sandbox, b));
    let pictures = |folder: &str| {
        let mut names: Vec<_> = fs::read_dir(sandbox.path(&format!("{folder}/worst")))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(pictures(a), pictures(b));
}

/// Changes a byte of the file at `path`, and gives back what it was.
fn painted_over(sandbox: &Sandbox, path: &str) -> Vec<u8> {
    let was = sandbox.read(path);
    let mut now = was.clone();
    *now.last_mut().unwrap() ^= 1;
    sandbox.write(path, now);
    was
}

/// More threads than are of use are neither started nor passed over in silence, as for check.
#[test]
fn more_threads_than_are_of_use_are_said() {
    let sandbox = Sandbox::new();
    data(&sandbox, 2);
    let ran = evaluate(&sandbox, "out", &["--threads", "4096"]).exits(0);
    ran.check(ran.stderr.contains("--threads 4096 is more than"), "expected a note");
}

#[test]
fn every_picture_of_nested_folders_has_a_row_and_means_are_summed_up() {
    let sandbox = Sandbox::new();
    data(&sandbox, 5);
    sandbox.write("data/notes.txt", "no picture");
    sandbox.write("data/again.png", picture(16, 32, 0));
    let ran = evaluate(&sandbox, "out", &["--repo", "builtin", "--json"]);
    let report = ran.exits(0).object();
    assert_eq!(report["pictures"], 6);
    assert_eq!(report["errors"], 0);
    // `again` is the first picture once more.
    assert_eq!(report["duplicates"]["pictures"], 1);
    assert_eq!(report["duplicates"]["groups"][0], serde_json::json!(["again.png", "b/000.png"]));
    let models = report["models"].as_array().unwrap();
    assert_eq!(models.len(), 2);
    let psnr = |model: usize| models[model]["metrics"]["psnr_db"]["mean"].as_f64().unwrap();
    let difference = report["comparisons"][0]["mean_difference"].as_f64().unwrap();
    assert!((psnr(1) - psnr(0) - difference).abs() < 1e-9);
    assert!(difference > 0.0, "the built-in VAE is trained, the other is not");
    assert_eq!(models[1]["latents"]["channels"].as_array().unwrap().len(), 16);
    assert_eq!(models[1]["latents"]["scaling_factor"]["config"], 0.42893);
    let page = String::from_utf8(sandbox.read("out/report.html")).unwrap();
    assert!(page.contains("Worst pictures") && page.contains("data:image/png;base64,"));
    assert_eq!(page.matches("<circle").count(), 6, "a point a picture");
    let on_disk: Value = serde_json::from_slice(&sandbox.read("out/result.json")).unwrap();
    assert_eq!(on_disk, report);
    assert!(!sandbox.exists("out/parts"));
}

#[test]
fn one_picture_has_the_numbers_that_check_gives() {
    let sandbox = Sandbox::new();
    sandbox.write("data/one.png", picture(200, 184, 9));
    let report = evaluate(&sandbox, "out", &["--json"]).exits(0).object();
    let check =
        sandbox.run(&["check", "data/one.png", "--repo", "model", "--engine", "fast", "--json"]);
    let metrics = &check.object()["metrics"];
    for name in ["psnr_db", "ssim", "ms_ssim", "mae", "max_abs_diff", "ssimulacra2", "butteraugli"]
    {
        let found = report["models"][0]["metrics"][name]["mean"].as_f64().unwrap();
        let expected = metrics[name].as_f64().unwrap();
        assert!(
            (found - expected).abs() < 1e-12 * expected.abs().max(1.0),
            "{name}: {found} {expected}"
        );
    }
}

#[test]
fn shards_threads_and_order_change_nothing() {
    let sandbox = Sandbox::new();
    data(&sandbox, 41);
    // Draws from the posterior, as that protocol has it, and at its size it would take long.
    let mut protocol = Protocol::named("lavinal712").unwrap();
    protocol.input.size = 16;
    sandbox.write("small.toml", protocol.to_toml().unwrap());
    let small = ["--protocol", "small.toml"];
    evaluate(&sandbox, "whole", &[&small[..], &["--threads", "1"]].concat()).exits(0);
    for of in [2usize, 7] {
        let mut folders: Vec<String> = Vec::new();
        for index in (0..of).rev() {
            let (shard, folder) = (format!("{index}/{of}"), format!("{of}-{index}"));
            let threads = ["1", "2"][index % 2];
            let more = [&small[..], &["--threads", threads, "--shard", &shard]].concat();
            evaluate(&sandbox, &folder, &more).exits(0);
            folders.push(folder);
        }
        let merged = format!("merged-{of}");
        let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
        sandbox.run(&[&["merge"], &folders[..], &["--out", &merged]].concat()).exits(0);
        same(&sandbox, "whole", &merged);
    }
    let all = |of: usize| (0..of).map(|index| format!("{of}-{index}")).collect::<Vec<_>>();
    let merge = |folders: &[String]| {
        let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
        sandbox.run(&[&["merge"], &folders[..], &["--out", "refused"]].concat()).exits(2)
    };
    merge(&all(7)[..6]).notes("pictures are missing: those of shard 6/7");
    merge(&[all(7), all(2)].concat()).notes("too, such as");
    merge(&[all(2), vec!["2-0".to_owned()]].concat()).notes("too, such as");
    evaluate(&sandbox, "other", &["--shard", "1/2"]).exits(0);
    merge(&["2-0".to_owned(), "other".to_owned()]).notes("is of another run: its protocol is");
    merge(&["data".to_owned()]).notes("expected a folder of an evaluation");
    assert!(!sandbox.exists("refused"));
}

/// Features (pictures, 2048) that differ in their first places.
fn features(sandbox: &Sandbox, name: &str, pictures: usize, step: usize) {
    let value = |at: &[usize]| if at[1] < 4 { (at[0] * (at[1] + step)) as f32 } else { 0.5 };
    let values = ArrayD::from_shape_fn(vec![pictures, 2048], |at| value(&[at[0], at[1]]));
    sandbox.write(name, to_npy(values.view()));
}

#[test]
fn rfid_is_held_against_a_reference_wherever_the_shards_are_summed_up() {
    let sandbox = Sandbox::new();
    data(&sandbox, 4);
    features(&sandbox, "reference.npy", 5, 3);
    features(&sandbox, "other.npy", 3, 9);
    let reference = ["--reference", "reference.npy"];
    evaluate(&sandbox, "refused", &reference).exits(2).notes("no weights of InceptionV3");
    let without = Protocol::named("vae-fidelity").unwrap().to_toml().unwrap();
    sandbox.write("no-rfid.toml", without.replace("rfid = \"pytorch-fid\"", "rfid = \"none\""));
    let protocol = ["--protocol", "no-rfid.toml"];
    let refused = evaluate(&sandbox, "refused", &[reference, protocol].concat()).exits(2);
    refused.notes("which the protocol vae-fidelity has not");
    for (shard, folder) in [("0/2", "a"), ("1/2", "b")] {
        evaluate(&sandbox, folder, &["--shard", shard]).exits(0);
    }
    let merge = |out: &str, more: &[&str]| {
        sandbox.run(&[&["merge", "a", "b", "--out", out], more].concat())
    };
    merge("refused", &reference).exits(2).notes("is for rFID, which the shards have not");
    // As after evaluations with the network's weights.
    for folder in ["a", "b"] {
        let file = format!("{folder}/evaluation.json");
        let mut state: Value = serde_json::from_slice(&sandbox.read(&file)).unwrap();
        let weights = state["identity"]["metric_weights"].as_array_mut().unwrap();
        weights.push(json!({ "metric": "rfid", "sha256": ["0123456789abcdef"] }));
        sandbox.write(&file, state.to_string());
        features(&sandbox, &format!("{folder}/features/input.npy"), 2, 1);
        features(&sandbox, &format!("{folder}/features/model-0.npy"), 2, 2);
    }
    merge("refused", &["--reference", "a/rows.parquet"]).exits(2).notes("is no .npz");
    let rfid = |out: &str, more: &[&str]| {
        let report = merge(out, &[&["--json"], more].concat()).exits(0).object();
        let of = report["models"][0]["metrics"]["rfid"].clone();
        assert_eq!(of["pictures"], 4);
        (of["value"].as_f64().unwrap(), of["reference_sha256"].clone(), report["protocol"].clone())
    };
    let (against_input, none, plain) = rfid("plain", &[]);
    let (against_file, sha256, with_file) = rfid("with", &reference);
    assert!(none.is_null() && sha256.as_str().is_some_and(|sha256| sha256.len() == 64));
    assert!((against_input - against_file).abs() > 1.0, "{against_input} {against_file}");
    assert_ne!(plain["hash"], with_file["hash"]);
    // Shards that were held against a file are not held against another, or none.
    let mut result: Value = serde_json::from_slice(&sandbox.read("b/result.json")).unwrap();
    result["models"][0]["metrics"]["rfid"] =
        json!({ "pictures": 2, "value": 1.0, "reference_sha256": sha256 });
    sandbox.write("b/result.json", result.to_string());
    assert_eq!(rfid("again", &reference).0, against_file);
    merge("refused", &[]).exits(2).notes("found none");
    merge("refused", &["--reference", "other.npy"]).exits(2).notes("b has its rFID against");
    assert!(!sandbox.exists("refused"));
}

#[test]
#[cfg(unix)]
fn after_kill_9_it_goes_on_and_the_result_is_the_same() {
    let sandbox = Sandbox::new();
    data(&sandbox, 200);
    evaluate(&sandbox, "whole", &[]).exits(0);
    let parts = |sandbox: &Sandbox| {
        let files = fs::read_dir(sandbox.path("out/parts")).into_iter().flatten().flatten();
        files.filter(|file| file.file_name().to_string_lossy().ends_with("rows.parquet")).count()
    };
    let (mut killed, mut most) = (0, 0);
    for wanted in 1..6 {
        let run = ["evaluate", "data", "--repo", "model", "--device", "cpu", "--engine", "fast"];
        let mut child = sandbox.command(&[&run[..], &["--out", "out"]].concat()).spawn().unwrap();
        let started = Instant::now();
        while parts(&sandbox) < wanted
            && child.try_wait().unwrap().is_none()
            && started.elapsed() < Duration::from_secs(120)
        {
            thread::sleep(Duration::from_millis(1));
        }
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        let done = parts(&sandbox);
        assert!(done >= most || sandbox.exists("out/rows.parquet"), "{done} parts after {most}");
        most = done;
    }
    assert!(killed > 0, "never stopped in the middle");
    let was = painted_over(&sandbox, "data/a/deep/001.png");
    evaluate(&sandbox, "out", &[])
        .exits(2)
        .notes("a/deep/001.png, which it has judged, has other bytes");
    sandbox.write("data/a/deep/001.png", was);
    evaluate(&sandbox, "out", &[]).exits(0);
    same(&sandbox, "whole", "out");
    // Once more, of what is done: the same, and no picture is read.
    fs::rename(sandbox.path("data"), sandbox.path("away")).unwrap();
    sandbox.write("data/another.png", picture(16, 16, 1));
    evaluate(&sandbox, "out", &[]).exits(2).notes("it was begun with another data set");
}

#[test]
fn what_changed_since_the_stop_is_refused_and_named() {
    let sandbox = Sandbox::new();
    data(&sandbox, 3);
    evaluate(&sandbox, "out", &[]).exits(0);
    evaluate(&sandbox, "out", &["--protocol", "vae-fidelity-256"])
        .exits(2)
        .notes("begun with another protocol: vae-fidelity (");
    evaluate(&sandbox, "out", &["--shard", "0/2"]).exits(2).notes("another shard: 0/1");
    let before = sandbox.read("out/rows.parquet");
    let run = ["evaluate", "data", "--repo", "builtin", "--engine", "fast", "--out", "out"];
    sandbox.run(&run).exits(2).notes("begun with another models: model (");
    sandbox.write("data/new.png", picture(16, 16, 1));
    evaluate(&sandbox, "out", &[]).exits(2).notes("another data set: 3 pictures");
    assert_eq!(sandbox.read("out/rows.parquet"), before);
    sandbox.write("occupied/file", "x");
    evaluate(&sandbox, "occupied", &[]).exits(2).notes("found file in it");
}

#[test]
fn a_picture_that_was_painted_over_is_refused_by_its_name() {
    let sandbox = Sandbox::new();
    data(&sandbox, 4);
    for index in ["0", "1"] {
        let shard = format!("{index}/2");
        evaluate(&sandbox, index, &["--shard", &shard]).exits(0);
    }
    let was = painted_over(&sandbox, "data/b/000.png");
    evaluate(&sandbox, "1", &["--shard", "1/2"])
        .exits(2)
        .notes("the data set changed since: b/000.png, which it has judged, has other bytes now");
    // The other half is as it was.
    evaluate(&sandbox, "0", &["--shard", "0/2"]).exits(0);
    evaluate(&sandbox, "again", &["--shard", "1/2"]);
    sandbox
        .run(&["merge", "0", "1", "again", "--out", "out"])
        .exits(2)
        .notes("has too, such as b/000.png, with other bytes");
    let bytes = |folder: &str| result(&sandbox, folder)["pictures_sha256"].clone();
    assert_ne!(bytes("1"), bytes("again"));
    sandbox.write("data/b/000.png", was);
    evaluate(&sandbox, "1", &["--shard", "1/2"]).exits(0);
}

#[test]
fn a_picture_that_cannot_be_judged_is_a_row_and_exit_code_2() {
    let sandbox = Sandbox::new();
    data(&sandbox, 3);
    sandbox.write("data/broken.png", &picture(64, 64, 0)[..100]);
    sandbox.write("data/empty.jpg", "");
    sandbox.write("data/small.png", picture(4, 40, 0));
    let report = evaluate(&sandbox, "out", &["--json"]).exits(2).object();
    assert_eq!((report["pictures"].clone(), report["errors"].clone()), (6.into(), 3.into()));
    assert_eq!(report["models"][0]["judged"], 3);
    let failures: Vec<&str> = report["failures"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|of| of["error"].as_str())
        .collect();
    for (failure, said) in failures.iter().zip(["broken.png: truncated", "empty.jpg", "small.png"])
    {
        assert!(failure.contains(said), "{failure}");
    }
    // Of two models each picture is said once, with no unit left out.
    let ran = evaluate(&sandbox, "two", &["--repo", "builtin"]).exits(2);
    assert_eq!(ran.stdout.matches("unjudged small.png").count(), 1, "{}", ran.stdout);
    ran.says("against  model: PSNR +");
}

#[test]
fn what_was_asked_for_decides_between_0_and_1() {
    let sandbox = Sandbox::new();
    data(&sandbox, 3);
    evaluate(&sandbox, "out", &["--min-psnr", "1"]).exits(0);
    let report = evaluate(&sandbox, "out", &["--min-psnr", "99", "--json"]).exits(1).object();
    assert_eq!(report["verdict"], "fail");
    assert!(report["verdict_reasons"][0].as_str().unwrap().contains("below the least asked for"));
    evaluate(&sandbox, "out", &["--min-ms-ssim", "0.1"]).exits(1).says("no picture has MS-SSIM");
}

#[test]
fn wrong_protocols_shards_and_data_are_refused() {
    let sandbox = Sandbox::new();
    data(&sandbox, 1);
    evaluate(&sandbox, "out", &["--protocol", "imagenet"])
        .exits(2)
        .notes("expected one of vae-fidelity");
    sandbox.write("half.toml", "name = \"x\"");
    evaluate(&sandbox, "out", &["--protocol", "half.toml"]).exits(2).notes("missing field");
    evaluate(&sandbox, "out", &["--shard", "2/2"]).exits(2).notes("expected INDEX/COUNT");
    let run = |data: &str| {
        sandbox
            .run(&["evaluate", data, "--repo", "model", "--engine", "fast", "--out", "out"])
            .exits(2)
    };
    run("model").notes("holds no picture");
    run("nothing").notes("no such file or folder");
    sandbox.write("data.tgz", "x");
    run("data.tgz").notes("need not be unpacked");
    sandbox.write("list.txt", "data/b/000.png\ndata/b/000.png\n");
    run("list.txt").notes("have the name data/b/000.png");
    evaluate(&sandbox, "data/out", &[]).exits(2).notes("lies in the data set");
    assert!(!Path::new(&sandbox.path("out")).exists());
}

#[test]
fn a_list_names_pictures_from_where_it_lies() {
    let sandbox = Sandbox::new();
    data(&sandbox, 4);
    sandbox.write("data/list.txt", "# the second first\na/deep/001.png\n\nb/000.png\ngone.png\n");
    let run = ["evaluate", "data/list.txt", "--repo", "model", "--engine", "fast", "--out", "out"];
    let report = sandbox.run(&[&run[..], &["--json"]].concat()).exits(2).object();
    assert_eq!((report["pictures"].clone(), report["errors"].clone()), (3.into(), 1.into()));
    assert_eq!(report["failures"][0]["id"], "gone.png");
}

#[test]
fn a_picture_for_each_thread_changes_no_bit() {
    let sandbox = Sandbox::new();
    data(&sandbox, 41);
    sandbox.write("data/b/none.png", "none");
    let mut protocol = Protocol::named("vae-fidelity-256").unwrap();
    protocol.input.size = 16;
    protocol.metrics.equivariance = true;
    sandbox.write("small.toml", protocol.to_toml().unwrap());
    for threads in ["1", "2", "5"] {
        let small = ["--protocol", "small.toml", "--threads", threads];
        let ran = evaluate(&sandbox, threads, &small).exits(2);
        ran.check(ran.stdout.contains("unjudged b/none.png"), "expected the broken picture");
    }
    same(&sandbox, "1", "2");
    same(&sandbox, "1", "5");
}
