//! What a hostile user tries: names, special files, and files that change. Each ends with one
//! message and exit code 2, in time, and nothing is lost.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use super::sandbox::{CONFIG, Ran, Sandbox, picture};

/// What no run of this file may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn mkfifo(sandbox: &Sandbox, name: &str) {
    let made = Command::new("mkfifo").arg(sandbox.path(name)).status();
    assert!(made.unwrap().success());
}

/// Runs with a limit in time; what hangs is ended and fails the test.
#[track_caller]
fn in_time(mut command: Command) -> Ran {
    let mut limited = Command::new("timeout");
    limited.arg(PATIENCE.as_secs().to_string()).arg(command.get_program());
    limited.args(command.get_args()).current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    command = limited;
    let ran = Ran::of(command);
    ran.check(ran.code != Some(124), "expected an end in time");
    ran
}

#[track_caller]
fn refused(sandbox: &Sandbox, arguments: &[&str]) -> Ran {
    let ran = in_time(sandbox.command(arguments)).exits(2);
    ran.check(ran.stderr.matches("error: ").count() == 1, "expected one error");
    ran
}

/// JSON has no place for the byte 0xff, and the other pictures are judged all the same.
#[test]
fn a_broken_picture_whose_name_is_not_utf8() {
    let sandbox = Sandbox::new();
    let name = OsStr::from_bytes(b"\xff.png");
    fs::write(sandbox.path("").join(name), "no picture").unwrap();
    let mut arguments = vec![OsStr::new("check"), name];
    let others = ["photo.png", "--repo", "model", "--out-dir", "out", "--json"];
    arguments.extend(others.map(OsStr::new));
    let ran = in_time(sandbox.command(&arguments)).exits(2);
    let lines = ran.lines();
    assert_eq!(lines[0]["input"]["path"], "\u{fffd}.png");
    assert_eq!(lines[0]["input"]["path_is_lossy"], true);
    assert_eq!(lines[1]["verdict"], "pass");
    assert!(lines[1]["input"].get("path_is_lossy").is_none());
    // The same by a list.
    fs::write(sandbox.path("list"), b"\xff.png\nphoto.png\n").unwrap();
    let arguments = ["check", "-", "--repo", "model", "--out-dir", "out", "--json"];
    let ran = Ran::of(sandbox.shell("\"$0\" \"$@\" < list", &arguments)).exits(2);
    assert_eq!(ran.lines()[0]["error"]["code"], "image");
}

/// Recolors, retitles, clears, and turns the text around it.
const ESCAPES: &str =
    "\u{1b}[31m\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}5m\u{202e}<script>alert(1)</script>";

#[test]
fn no_name_or_config_acts_on_the_terminal_or_the_page() {
    let sandbox = Sandbox::new();
    let name = format!("{}.png", ESCAPES.replace('/', ":"));
    fs::copy(sandbox.path("photo.png"), sandbox.path(&name)).unwrap();
    let safe = |text: &str| !text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}');
    let model = format!("m{}", ESCAPES.replace('/', ":"));
    fs::rename(sandbox.path("model"), sandbox.path(&model)).unwrap();
    let config = CONFIG.replacen('{', &format!("{{\"x\\u001b[2J<b>{}\": 1,", "\u{202e}"), 1);
    sandbox.write(&format!("{model}/vae/config.json"), config);
    let report = ["--report", "page.html"];
    let run = |arguments: &[&str]| {
        let text = in_time(sandbox.command(arguments));
        text.check(safe(&text.stdout), "stdout");
        text.check(safe(&text.stderr), "stderr");
        let json = in_time(sandbox.command(&[arguments, &["--json"]].concat()));
        json.check(safe(&json.stdout), "JSON");
        json.check(text.code == json.code, "expected one exit code");
        text
    };
    run(&[&["check", name.as_str(), "--repo", &model], &report[..]].concat()).exits(0);
    let page = String::from_utf8(sandbox.read("page.html")).unwrap();
    assert!(
        !page.contains("<script>alert") && !page.contains("<b>\u{202e}"),
        "unescaped in the page"
    );
    run(&["trace", &name, "--repo", &model]).exits(0);
    let page = ["--report", "card.html"];
    run(&[&["probe", "--repo", &model, "--size", "128"], &page[..]].concat()).exits(1);
    let page = String::from_utf8(sandbox.read("card.html")).unwrap();
    assert!(!page.contains("<script>alert") && !page.contains("<b>\u{202e}"), "in the card");
    run(&["probe", "--repo", &format!("gone{model}")]).exits(2);
    run(&["decode", &format!("gone{name}"), "--repo", &model]).exits(2);
    run(&["inspect", &model]);
    run(&["inspect", &model, &model]).exits(0);
    run(&["compare", &name, "photo.png"]).exits(0);
    run(&["compare", &name, &model]).exits(2);
    run(&["check", &format!("gone{name}")]).exits(2);
    run(&["check", "photo.png", &format!("--{name}")]).exits(2);
    run(&["check", "photo.png", "--repo", &format!("gone{model}")]).exits(2);
    // A file of another class says so in its own words.
    let other = CONFIG.replace("AutoencoderKL\"", "A\\u001b[31mB\\u202e\"");
    sandbox.write(&format!("{model}/vae/config.json"), other);
    run(&["check", "photo.png", "--repo", &model]).exits(2);
    run(&["inspect", &model]);
}

#[test]
fn outputs_are_ordinary_files() {
    let sandbox = Sandbox::new();
    mkfifo(&sandbox, "pipe");
    symlink("pipe", sandbox.path("link")).unwrap();
    let _listening = UnixListener::bind(sandbox.path("socket")).unwrap();
    let flags = [
        "--out",
        "--save-input",
        "--save-latents",
        "--save-decoded",
        "--save-trace",
        "--heatmap",
        "--montage",
        "--report",
    ];
    for (name, what) in [("pipe", "a pipe"), ("link", "a pipe"), ("socket", "a socket")] {
        for flag in flags {
            let ran = refused(&sandbox, &["check", "photo.png", "--repo", "model", flag, name]);
            ran.check(ran.stderr.contains(what), "expected what it is");
        }
    }
    refused(&sandbox, &["trace", "photo.png", "--repo", "model", "--save-trace", "pipe"]);
    refused(&sandbox, &["compare", "photo.png", "photo.png", "--heatmap", "pipe"]);
    for flag in ["--out", "--report"] {
        refused(&sandbox, &["probe", "--repo", "model", flag, "pipe"]);
    }
    refused(&sandbox, &["merge", "photo.png", "--out", "pipe"]);
    refused(&sandbox, &["evaluate", ".", "--repo", "model", "--out", "pipe"]);
    refused(&sandbox, &["check", "photo.png", "--repo", "model", "--out", "/dev/stdout"]);
    sandbox.check(&["photo.png", "--out", "/dev/null"]).exits(0);
}

#[test]
fn inputs_are_ordinary_files_with_an_end() {
    let sandbox = Sandbox::new();
    mkfifo(&sandbox, "pipe");
    let flags = [
        "--config",
        "--against",
        "--baseline",
        "--latents",
        "--decoded-image",
        "--preprocessed",
        "--repo",
    ];
    for name in ["pipe", "/dev/zero", "/proc/kmsg", "/proc/kcore", "/proc/self/mem"] {
        for flag in flags {
            refused(&sandbox, &["check", "photo.png", "--repo", "model", flag, name]);
        }
        refused(&sandbox, &["check", name, "--repo", "model"]);
        refused(&sandbox, &["compare", name, "photo.png"]);
        refused(&sandbox, &["decode", name, "--repo", "model"]);
        refused(&sandbox, &["probe", "--repo", name]);
        refused(&sandbox, &["trace", "photo.png", "--repo", "model", "--against", name]);
        refused(&sandbox, &["evaluate", name, "--repo", "model", "--out", "new"]);
        refused(&sandbox, &["merge", name, "--out", "new"]);
        refused(&sandbox, &["explain-gap", name, name]);
        // Some of the kernel's have no size: to `inspect` that is a damaged file.
        let ran = in_time(sandbox.command(&["inspect", name]));
        ran.check(matches!(ran.code, Some(1 | 2)), "expected a damage or an error");
    }
}

#[test]
fn a_list_without_end() {
    let sandbox = Sandbox::new();
    for endless in ["cat /dev/zero", "yes"] {
        let script = format!("{endless} | timeout 60 \"$0\" \"$@\"");
        let ran = Ran::of(sandbox.shell(&script, &["check", "-", "--repo", "model"])).exits(2);
        ran.check(ran.stderr.contains("standard input has more than"), "expected the limit");
    }
}

/// Four gigabytes that take no room on the disk, behind 8 x 8 pixels.
#[test]
fn padding_behind_a_picture_is_not_read() {
    let sandbox = Sandbox::new();
    let mut bmp =
        b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x08\0\0\0\x08\0\0\0\x01\0\x18\0".to_vec();
    bmp.resize(54 + 8 * 24, 7);
    bmp[30..54].fill(0);
    let ppm = [&b"P6 8 8 255\n"[..], &[9; 192]].concat();
    let mut tga = vec![0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 8, 0, 24, 0];
    tga.resize(18 + 192, 5);
    for (name, bytes) in [("a.bmp", bmp), ("a.ppm", ppm), ("a.tga", tga)] {
        sandbox.write(name, bytes);
        let file = OpenOptions::new().write(true).open(sandbox.path(name)).unwrap();
        file.set_len(3_900_000_000).unwrap();
        let ran = in_time(sandbox.command(&["check", name, "--repo", "model", "--json"])).exits(0);
        let peak = ran.object()["peak_rss_bytes"].as_u64().unwrap();
        ran.check(peak < 500 << 20, "expected that little is read");
    }
}

#[test]
fn a_jpeg_of_thousands_of_scans() {
    let sandbox = Sandbox::new();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/images/progressive_420.jpg");
    let Ok(whole) = fs::read(golden) else { panic!("{golden} is gone") };
    // The last scan again and again, without its end marker.
    let last = whole.windows(2).rposition(|two| two == b"\xff\xda").unwrap();
    let scan = &whole[last..whole.len() - 2];
    sandbox.write("scans.jpg", [&whole[..last], &scan.repeat(2000), b"\xff\xd9"].concat());
    let ran = refused(&sandbox, &["check", "scans.jpg", "--repo", "model"]);
    ran.check(ran.stderr.contains("more than 100 scans"), "expected the limit");
}

/// What takes longer for each of more pictures shows in the second of two times.
#[test]
fn thousands_of_broken_pictures_take_linear_time() {
    let sandbox = Sandbox::new();
    let run = |folder: &str, count: usize| {
        fs::create_dir(sandbox.path(folder)).unwrap();
        for number in 0..count {
            sandbox.write(&format!("{folder}/{number}.png"), "broken");
        }
        let started = Instant::now();
        let arguments = ["check", folder, "--repo", "model", "--out-dir", "out", "--quiet"];
        in_time(sandbox.command(&arguments)).exits(2);
        started.elapsed().as_secs_f64() / count as f64
    };
    let (few, many) = (run("few", 500), run("many", 4000));
    assert!(many < 3.0 * few, "{few} s each of few, {many} s each of many");
}

#[test]
fn absurd_configs_and_sizes_are_refused_before_they_take_memory() {
    let sandbox = Sandbox::new();
    let widest = CONFIG.replace("[8, 8, 8, 8]", "[16384, 16384, 16384, 16384]");
    sandbox.write("wide/vae/config.json", widest);
    sandbox.write("wide/vae/recipe.json", super::sandbox::RECIPE.as_str());
    let check = &["check", "photo.png", "--repo", "wide"][..];
    for arguments in [check, &["probe", "--repo", "wide"], &["inspect", "wide"]] {
        let ran = refused(&sandbox, arguments);
        ran.check(ran.stderr.contains("more than 1073741824"), "expected the limit");
    }
    let sides = ["--width", "13000", "--height", "13000"];
    let arguments = [&["check", "photo.png", "--engine", "fast"], &sides[..]].concat();
    let ran = refused(&sandbox, &arguments);
    ran.check(ran.stderr.contains("of memory or more"), "expected the need");
}

#[test]
fn what_a_killed_run_left_is_cleared_by_the_next() {
    let sandbox = Sandbox::new();
    let old = SystemTime::now() - Duration::from_secs(3600);
    let left = [".vae-fidelity-unfinished-old.tmp", ".vae-fidelity-unfinished-held.tmp"];
    for name in left {
        sandbox.write(name, "half");
        File::options().write(true).open(sandbox.path(name)).unwrap().set_modified(old).unwrap();
    }
    sandbox.write(".vae-fidelity-unfinished-young.tmp", "half");
    sandbox.write(".vae-fidelity-mine.tmp", "somebody's");
    // Another process that is slow holds its own.
    let mut holding = Command::new("flock")
        .arg(sandbox.path(left[1]))
        .args(["sh", "-c", "echo held; exec sleep 60"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    holding.stdout.take().unwrap().read_exact(&mut [0; 4]).unwrap();
    sandbox.check(&["photo.png"]).exits(0);
    holding.kill().unwrap();
    holding.wait().unwrap();
    assert!(!sandbox.exists(left[0]), "expected that what is nobody's is gone");
    assert!(sandbox.exists(left[1]) && sandbox.exists(".vae-fidelity-unfinished-young.tmp"));
    assert!(sandbox.exists(".vae-fidelity-mine.tmp"));
}

/// As a download or a training run does it: `cp` shortens a file, and fills it again.
#[test]
fn weights_that_are_written_to_while_they_are_read() {
    let sandbox = Sandbox::new();
    sandbox.store_weights(|_| ());
    let path = sandbox.path("model/vae/diffusion_pytorch_model.safetensors");
    let whole = fs::read(&path).unwrap();
    sandbox.write("large.png", picture(640, 640, 0));
    let commands = [
        vec!["check", "large.png", "--repo", "model", "--engine", "fast", "--json"],
        vec!["inspect", "model", "--json"],
    ];
    // Moments all over a run, however slow the machine is.
    let whole_run = commands.each_ref().map(|arguments| {
        let started = Instant::now();
        sandbox.command(arguments).output().unwrap();
        started.elapsed()
    });
    const ROUNDS: u32 = 12;
    let mut met = 0;
    for round in 0..ROUNDS {
        fs::write(&path, &whole).unwrap();
        for (arguments, whole_run) in commands.iter().zip(whole_run) {
            let mut command = sandbox.command(arguments);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            std::thread::sleep(whole_run * (round + 1) / (ROUNDS + 1));
            let file = OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
            std::thread::sleep(Duration::from_millis(50));
            (&file).write_all(&whole).unwrap();
            let mut stdout = String::new();
            child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
            let status = child.wait().unwrap();
            assert!(matches!(status.code(), Some(0..=2)), "{arguments:?} {status}: {stdout}");
            let object: serde_json::Value = serde_json::from_str(stdout.trim()).unwrap();
            if let Some(message) = object["error"]["message"].as_str() {
                met += usize::from(message.contains("by another process"));
            }
        }
    }
    assert!(met > 0, "no run was met while it read: this test saw nothing");
}

/// The picture lies on its side in the file; its pixels are the same either way.
#[test]
fn a_cameras_orientation_is_applied_where_it_is_asked_for() {
    let sandbox = Sandbox::new();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/images/exif_rotated.jpg");
    fs::copy(golden, sandbox.path("phone.jpg")).unwrap();
    let size = |object: &serde_json::Value| {
        ["source_width", "source_height"].map(|side| object["input"][side].as_u64().unwrap())
    };
    let run = |arguments: &[&str]| {
        let all = [arguments, &["phone.jpg", "--repo", "model", "--json"]].concat();
        in_time(sandbox.command(&all)).exits(0).object()
    };
    for command in ["check", "trace"] {
        let stored = run(&[command]);
        let turned = run(&[command, "--exif", "apply"]);
        let [width, height] = size(&stored);
        assert_eq!(size(&turned), [height, width]);
        assert_eq!(turned["input"]["exif_applied"], 6);
        assert!(stored["input"].get("exif_applied").is_none());
        let notes = turned["notes"].to_string();
        assert!(notes.contains("is applied") && !notes.contains("is ignored"), "{notes}");
    }
    let findings = run(&["check"])["findings"].to_string();
    assert!(findings.contains("exif-ignored") && findings.contains("--exif apply"), "{findings}");
    assert!(!run(&["check", "--exif", "apply"])["findings"].to_string().contains("exif-ignored"));
}

#[test]
fn a_folder_that_may_not_be_read() {
    let sandbox = Sandbox::new();
    fs::set_permissions(sandbox.path("model/vae"), fs::Permissions::from_mode(0o000)).unwrap();
    // Who may read everything sees no lack of permission.
    if fs::read_dir(sandbox.path("model/vae")).is_err() {
        let ran = refused(&sandbox, &["check", "photo.png", "--repo", "model"]);
        ran.check(ran.stderr.contains("may not be read"), "expected why");
    }
    fs::set_permissions(sandbox.path("model/vae"), fs::Permissions::from_mode(0o755)).unwrap();
}
