//! Where `evaluate` and `merge` write: never through a link, nor over what is not theirs.

use std::fs;
use std::os::unix::fs::symlink;

use super::evaluate::{data, evaluate};
use super::sandbox::{Ran, Sandbox, picture};

#[test]
fn a_link_in_the_folder_is_refused_and_what_it_leads_to_stays() {
    let sandbox = Sandbox::new();
    data(&sandbox, 4);
    evaluate(&sandbox, "out", &[]).exits(0);
    let worst = sandbox.path("out/worst");
    fs::rename(&worst, sandbox.path("moved")).unwrap();
    symlink("../data/b", &worst).unwrap();
    let before = sandbox.contents();
    evaluate(&sandbox, "out", &[]).exits(2).notes("out/worst: expected a file or folder of an");
    fs::remove_file(&worst).unwrap();
    fs::rename(sandbox.path("moved"), &worst).unwrap();
    for name in ["report.html", "result.json", "rows.parquet", "worst/0-000000001.png"] {
        let path = sandbox.path("out").join(name);
        fs::remove_file(&path).unwrap();
        symlink(sandbox.path("data/b/000.png"), &path).unwrap();
        evaluate(&sandbox, "out", &[]).exits(2).notes("found a symbolic link");
        fs::remove_file(&path).unwrap();
    }
    let pictures = |all: Vec<(std::path::PathBuf, Vec<u8>)>| -> Vec<_> {
        all.into_iter().filter(|(path, _)| path.to_string_lossy().contains("data/")).collect()
    };
    assert_eq!(pictures(sandbox.contents()), pictures(before));
}

#[test]
fn pictures_of_others_beside_the_worst_stay() {
    let sandbox = Sandbox::new();
    data(&sandbox, 2);
    evaluate(&sandbox, "out", &[]).exits(0);
    sandbox.write("out/worst/mine.png", "mine").write("out/worst/0-000000099.png", "left over");
    evaluate(&sandbox, "out", &[]).exits(0);
    assert_eq!(sandbox.read("out/worst/mine.png"), b"mine");
    assert!(!sandbox.exists("out/worst/0-000000099.png"), "a picture that is not among the worst");
}

#[test]
fn neither_the_hubs_cache_nor_a_shard_takes_a_result() {
    let sandbox = Sandbox::new();
    data(&sandbox, 2);
    evaluate(&sandbox, "0", &["--shard", "0/2"]).exits(0);
    evaluate(&sandbox, "1", &["--shard", "1/2"]).exits(0);
    sandbox.run(&["merge", "0", "1", "--out", "0/new"]).exits(2).notes("or lies in it");
    let inside = "cache/hub/models--a--b/out";
    for arguments in [
        &["evaluate", "data", "--repo", "model", "--out", inside][..],
        &["merge", "0", "1", "--out", inside],
        &["golden", "export", inside],
    ] {
        let mut command = sandbox.command(arguments);
        command.env("HF_HOME", sandbox.path("cache"));
        Ran::of(command).exits(2).notes("lies in the hub's cache");
    }
    assert!(!sandbox.exists("cache"), "nothing was made there");
}

/// What a machine lacks is no result: the next run goes on.
#[test]
fn too_little_memory_ends_the_run_and_becomes_no_row() {
    let sandbox = Sandbox::new();
    sandbox.write("data/large.png", picture(256, 256, 7));
    let arguments = ["evaluate", "data", "--repo", "model", "--engine", "fast", "--out", "out"];
    let mut ended = 0;
    // Without libtorch a process starts with 42, with it with some 430.
    let limits = (44..100).step_by(4).chain([120, 150, 200, 300]).chain((430..=520).step_by(10));
    for mebibytes in limits {
        let script = format!("ulimit -v {}; exec timeout 300 \"$0\" \"$@\"", mebibytes << 10);
        let ran = Ran::of(sandbox.shell(&script, &arguments));
        ended += usize::from(ran.code == Some(2) && ran.stderr.contains("memory"));
        ran.check(!ran.stdout.contains("unjudged"), "expected no row of it");
    }
    assert!(ended > 0, "no limit was met: this test saw nothing");
    evaluate(&sandbox, "out", &[]).exits(0);
}
