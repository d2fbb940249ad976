//! `--heatmap`, `--montage`, `--report` and `--show`: what they write, and what they refuse. What the
//! page does in a browser is the business of scripts/check_report.sh.

use std::fs::File;
use std::io::Read;
use std::os::fd::FromRawFd;
use std::process::{Command, Stdio};

use serde_json::Value;
use vae_fidelity::{Rgb8, pixels};

use super::sandbox::{EARLIER, Ran, Sandbox, Tensor, picture, safetensors_of};

const ALL: [&str; 6] = ["--heatmap", "heat.png", "--montage", "all.png", "--report", "run.html"];

fn opened(sandbox: &Sandbox, name: &str) -> Rgb8 {
    pixels::open(&sandbox.path(name)).unwrap().pixels
}

fn page(sandbox: &Sandbox) -> String {
    String::from_utf8(sandbox.read("run.html")).unwrap()
}

/// The run that a page holds.
fn run_inside(page: &str) -> Value {
    let (_, rest) = page.split_once(r#"<script type="application/json" id="report">"#).unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

/// Pixels of `part` in `whole`, each `enlarged` times, with their top left at some place.
fn holds(whole: &Rgb8, part: &Rgb8, enlarged: usize) -> bool {
    let fits = |left: usize, top: usize| {
        (0..part.height()).all(|y| {
            (0..part.width())
                .all(|x| whole.pixel(left + x * enlarged, top + y * enlarged) == part.pixel(x, y))
        })
    };
    let (width, height) = (part.width() * enlarged, part.height() * enlarged);
    (0..=whole.height() - height).any(|top| (0..=whole.width() - width).any(|left| fits(left, top)))
}

#[test]
fn all_three_are_written_beside_the_picture() {
    let sandbox = Sandbox::new();
    let ran = sandbox.check(&[&["photo.png", "--json"], &ALL[..]].concat()).exits(0);
    let (input, output) = (opened(&sandbox, "photo.png"), opened(&sandbox, "decoded.png"));
    let all = opened(&sandbox, "all.png");
    assert!(holds(&all, &input, 12) && holds(&all, &output, 12));
    let heat = opened(&sandbox, "heat.png");
    assert!(heat.width() >= 40 * 12 && heat.height() > 24 * 12);
    let page = page(&sandbox);
    let (inside, mut printed) = (run_inside(&page), ran.object());
    // The last time is taken when the page is on the disk.
    printed["timings_ms"]["total"] = inside["timings_ms"]["total"].clone();
    assert_eq!(inside, printed);
    for part in ["<!doctype html>", "f16 max 65504", "Channel 3", "encoder.conv_in", "--montage"] {
        assert!(page.contains(part), "{part}");
    }
    for part in ["http://", "https://", "src=\"/", "@import", "url("] {
        assert!(!page.contains(part), "the page must load nothing: {part}");
    }
}

#[test]
fn the_heat_map_is_dark_where_nothing_changed_and_bright_where_it_did() {
    let sandbox = Sandbox::new();
    let plain = Rgb8::new(64, 64, vec![128; 64 * 64 * 3]).unwrap();
    let mut data = plain.data().to_vec();
    for (at, level) in data.iter_mut().enumerate() {
        let (x, y) = (at / 3 % 64, at / 3 / 64);
        if x >= 40 && y >= 40 {
            *level = if (x + y) % 2 == 0 { 30 } else { 220 };
        }
    }
    let changed = Rgb8::new(64, 64, data).unwrap();
    for (name, picture) in [("a.png", &plain), ("b.png", &changed)] {
        sandbox.write(name, pixels::encode_png(picture).unwrap());
    }
    let drawn = ["--heatmap", "heat.png", "--montage", "all.png"];
    sandbox.run(&[&["compare", "a.png", "b.png"], &drawn[..]].concat()).exits(1).says("visual ");
    let heat = opened(&sandbox, "heat.png");
    let brightness = |x: usize, y: usize| heat.pixel(x, y).map(u32::from).iter().sum::<u32>();
    // 64 pixels are drawn at eight times their size.
    assert_eq!(heat.width(), 512);
    assert!(brightness(8, 8) < 60 && brightness(52 * 8, 52 * 8) > 250);
    assert!(holds(&opened(&sandbox, "all.png"), &changed, 8));
    sandbox.run(&[&["compare", "a.png", "a.png"], &drawn[..]].concat()).exits(0);
    assert_eq!(opened(&sandbox, "heat.png").pixel(52 * 8, 52 * 8), [0, 0, 4]);
}

#[test]
fn a_failed_run_is_drawn_too() {
    let sandbox = Sandbox::new();
    let asked = ["photo.png", "--min-psnr", "99", "--sample", "--seed", "3"];
    sandbox.check(&[&asked[..], &ALL].concat()).exits(1);
    let page = page(&sandbox);
    assert!(page.contains("badge fail") && page.contains("at least 99.0 dB asked for"));
    assert!(page.contains("seed 3"));
}

#[test]
fn nan_is_drawn_as_the_black_that_it_becomes_and_has_no_metrics() {
    let sandbox = Sandbox::new();
    sandbox.store_weights(|tensors| {
        let conv = tensors.iter_mut().find(|t| t.name == "decoder.conv_out.bias");
        conv.unwrap().values.fill(f32::NAN);
    });
    sandbox.check(&[&["photo.png"], &ALL[..]].concat()).exits(1);
    let page = page(&sandbox);
    assert!(run_inside(&page)["metrics"].is_null());
    assert!(page.contains("non-finite-output") && page.contains("NaN or infinite"));
    let black = Rgb8::new(40, 24, vec![0; 40 * 24 * 3]).unwrap();
    assert!(holds(&opened(&sandbox, "all.png"), &black, 12));
}

#[test]
fn a_page_needs_no_picture() {
    let sandbox = Sandbox::new();
    sandbox.check(&["photo.png", "--dtype", "bf16", "--report", "run.html"]).exits(0);
    let page = page(&sandbox);
    assert!(!page.contains(r#"id="stage""#) && page.contains("Channel 0"));
    for flag in ["--heatmap", "--montage"] {
        let asked = ["photo.png", "--dtype", "bf16", flag, "x.png"];
        sandbox.refuses(&asked, &[flag, "needs a picture"]);
    }
    sandbox.refuses(&["photo.png", "--dtype", "bf16", "--show"], &["--show", "needs a picture"]);
}

#[test]
fn names_cannot_break_out_of_the_page() {
    let sandbox = Sandbox::new();
    let name = "<img src=x onerror=alert(1)>&'\".png";
    sandbox.write(name, picture(16, 16, 0));
    sandbox.check(&[name, "--report", "run.html"]).exits(0);
    let page = page(&sandbox);
    assert!(!page.contains("<img src=x") && page.contains("&lt;img src=x"));
    assert_eq!(run_inside(&page)["input"]["path"], name);
}

#[test]
fn an_output_is_no_input_and_no_other_output() {
    let sandbox = Sandbox::new();
    for flag in ["--heatmap", "--montage"] {
        sandbox.refuses(&["photo.png", flag, "photo.png"], &["photo.png", "replace an input"]);
        sandbox.refuses(&["photo.png", flag, "decoded.png"], &["one file"]);
        sandbox.refuses(&["photo.png", flag, "x.jpg"], &["x.jpg", "writes PNG"]);
        sandbox.refuses(&["photo.png", flag, "gone/x.png"], &["gone/x.png", "does not exist"]);
        sandbox.refuses(&["photo.png", flag, "/dev/full"], &["/dev/full", "space"]);
    }
    sandbox.refuses(&["photo.png", "--heatmap", "x.png", "--montage", "./x.png"], &["one file"]);
    sandbox.refuses(&["photo.png", "--report", "run.pdf"], &["run.pdf", "writes HTML"]);
    sandbox.refuses(&["photo.png", "--report", "model"], &["model", "directory"]);
    let config = "model/vae/config.json";
    sandbox.refuses(&["photo.png", "--heatmap", config], &[config, "replace an input"]);
}

#[test]
fn a_page_that_cannot_be_written_leaves_all_files_as_they_were() {
    let sandbox = Sandbox::new();
    sandbox.write("heat.png", EARLIER).write("all.png", EARLIER);
    let full = ["photo.png", "--heatmap", "heat.png", "--montage", "all.png", "--report"];
    sandbox.refuses(&[&full[..], &["/dev/full"]].concat(), &["/dev/full", "space"]);
}

#[test]
fn they_are_for_one_image() {
    let sandbox = Sandbox::new();
    sandbox.write("b.png", picture(16, 16, 0));
    for pair in ALL.chunks(2) {
        let asked = [&["photo.png", "b.png", "--out-dir", "."], pair].concat();
        sandbox.refuses(&asked, &[pair[0], "one image"]);
    }
}

#[test]
fn compare_draws_only_what_can_be_drawn() {
    let sandbox = Sandbox::new();
    sandbox.write("b.png", picture(40, 32, 0)).write("small.png", picture(7, 9, 0));
    let tensor = safetensors_of(&[Tensor::new("x", &[1], &[1.0])]);
    sandbox.write("x.safetensors", tensor);
    let before = sandbox.contents();
    let refuses = |arguments: &[&str], part: &str| {
        let ran = sandbox.run(&[&["compare"], arguments].concat()).exits(2);
        ran.notes(part);
        assert!(sandbox.contents() == before);
    };
    refuses(&["photo.png", "b.png", "--heatmap", "h.png"], "pictures of one size");
    refuses(&["small.png", "small.png", "--montage", "m.png"], "8 x 8 pixels");
    refuses(&["x.safetensors", "x.safetensors", "--heatmap", "h.png"], "hold for pictures");
    refuses(&["photo.png", "photo.png", "--heatmap", "photo.png"], "replace an input");
    refuses(&["photo.png", "photo.png", "--heatmap", "h.gif"], "writes PNG");
    refuses(&["photo.png", "photo.png", "--heatmap", "h.png", "--montage", "h.png"], "one file");
}

#[test]
fn show_draws_on_a_terminal_and_nowhere_else() {
    let sandbox = Sandbox::new();
    let ran = sandbox.check(&["photo.png", "--show"]).exits(0).notes("--show draws nothing");
    ran.check(!ran.stdout.contains('\u{2580}'), "expected text only");
    sandbox.refuses(&["photo.png", "--show", "--quiet"], &["--show", "no place"]);
    let arguments = ["check", "--repo", "model", "--device", "cpu", "photo.png", "--show"];
    let text = on_a_terminal(sandbox.command(&arguments));
    assert!(text.contains('\u{2580}') && text.contains("\x1b[38;2;"), "{text}");
    assert!(text.contains("verdict") && text.contains("1 is just visible"), "{text}");
}

#[test]
fn show_has_no_place_in_json() {
    let sandbox = Sandbox::new();
    let ran: Ran = sandbox.check(&["photo.png", "--show", "--json"]).exits(2);
    assert_eq!(ran.object()["error"]["code"], "option");
    assert!(!sandbox.exists("decoded.png"));
}

#[test]
fn text_is_coloured_on_a_terminal_unless_nobody_wants_it() {
    let sandbox = Sandbox::new();
    let arguments = ["compare", "photo.png", "photo.png"];
    let coloured = on_a_terminal(sandbox.command(&arguments));
    assert!(coloured.contains("\x1b[1m\x1b[32mpass"), "{coloured:?}");
    for (variable, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let mut command = sandbox.command(&arguments);
        command.env(variable, value);
        let plain = on_a_terminal(command);
        assert!(plain.contains("verdict  pass") && !plain.contains('\x1b'), "{plain:?}");
    }
    let ran = sandbox.run(&arguments).exits(0);
    ran.check(!ran.stdout.contains('\x1b'), "expected no colours in a pipe");
}

/// What `command`, which has to exit with 0, writes to a terminal that is its stdout.
fn on_a_terminal(mut command: Command) -> String {
    let (mut terminal, inside) = terminal();
    command.stdout(Stdio::from(inside)).stderr(Stdio::null()).env("COLORTERM", "truecolor");
    if !command.get_envs().any(|(name, _)| name == "TERM") {
        command.env("TERM", "xterm-256color");
    }
    command.env_remove("TERM_PROGRAM").env_remove("KITTY_WINDOW_ID");
    let mut child = command.spawn().unwrap();
    // The command holds the other end of the terminal as well, and reading ends with the last.
    drop(command);
    let mut bytes = Vec::new();
    // Linux answers with an error when the other end is closed.
    let _ = terminal.read_to_end(&mut bytes);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    String::from_utf8(bytes).unwrap()
}

/// Both ends of a new terminal.
fn terminal() -> (File, File) {
    let (mut ours, mut theirs) = (0, 0);
    let none = std::ptr::null_mut();
    // SAFETY: both pointers lead to integers of this function; null asks for no name and for the
    // usual settings.
    let opened = unsafe { libc::openpty(&mut ours, &mut theirs, none, none.cast(), none.cast()) };
    assert_eq!(opened, 0, "no terminal can be made here");
    // SAFETY: openpty has just given these, and nothing else owns them.
    unsafe { (File::from_raw_fd(ours), File::from_raw_fd(theirs)) }
}
