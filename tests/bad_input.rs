//! What cannot be judged: exit code 2, one message that says what, where and what next, and
//! nothing overwritten.
#![cfg(feature = "tch")]

mod command;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use command::{CONFIG, EARLIER, RECIPE, Ran, Sandbox, Tensor, picture};
use vae_fidelity::autoencoder_kl::{DeviceChoice, pick_device_and_dtype};
use vae_fidelity::pixels;

/// Runs `check` as text and as JSON. Both must refuse with a message that has `parts`, and leave
/// every file as it was, `decoded.png` from an earlier run included.
#[track_caller]
fn refused(sandbox: &Sandbox, arguments: &[&str], parts: &[&str]) {
    if !sandbox.exists("decoded.png") {
        sandbox.write("decoded.png", EARLIER);
    }
    let before = sandbox.contents();
    let text = sandbox.check(arguments).exits(2);
    text.check(text.stdout.is_empty(), "expected nothing on stdout");
    let errors = text.stderr.lines().filter(|line| line.starts_with("error: ")).count();
    text.check(errors == 1, "expected one error");
    text.check(text.stderr.contains("\n next: "), "expected what to do next");
    let json = sandbox.check(&[arguments, &["--json"]].concat()).exits(2);
    let object = json.object();
    json.check(object["verdict"].is_null() && object["schema_version"] == 1, "expected no verdict");
    let message = object["error"]["message"].as_str().unwrap_or_default();
    json.check(object["error"]["next"].as_str().is_some_and(|next| !next.is_empty()), "next");
    json.check(object["error"]["code"].as_str().is_some_and(|code| !code.is_empty()), "code");
    for part in parts {
        text.check(text.stderr.contains(part), &format!("expected in the message: {part}"));
        json.check(message.contains(part), &format!("expected in the JSON message: {part}"));
    }
    text.check(sandbox.contents() == before, "expected all files as they were");
}

mod images {
    use super::*;

    #[track_caller]
    fn refused_image(name: &str, bytes: &[u8], parts: &[&str]) {
        let sandbox = Sandbox::new();
        sandbox.write(name, bytes);
        refused(&sandbox, &[name], &[&[name], parts].concat());
    }

    #[test]
    fn no_such_file() {
        refused(&Sandbox::new(), &["gone.png"], &["gone.png", "no such file"]);
    }

    #[test]
    fn a_directory() {
        refused(&Sandbox::new(), &["model"], &["model", "directory"]);
    }

    #[test]
    fn an_empty_file() {
        refused_image("empty.png", b"", &["empty"]);
    }

    #[test]
    fn text_named_png() {
        refused_image("text.png", b"this is no picture, whatever its name says", &["text"]);
    }

    #[test]
    fn a_truncated_png() {
        let whole = picture(64, 64, 0);
        refused_image("cut.png", &whole[..whole.len() / 2], &["PNG"]);
    }

    #[test]
    fn a_truncated_jpeg() {
        let whole =
            fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/images/baseline_444.jpg"));
        let whole = whole.unwrap();
        refused_image("cut.jpg", &whole[..whole.len() / 2], &["JPEG"]);
    }

    #[test]
    fn ten_thousand_million_pixels() {
        let mut bytes = picture(8, 8, 0);
        bytes[16..20].copy_from_slice(&100_000u32.to_be_bytes());
        bytes[20..24].copy_from_slice(&100_000u32.to_be_bytes());
        let crc = crc32(&bytes[12..29]);
        bytes[29..33].copy_from_slice(&crc.to_be_bytes());
        refused_image("huge.png", &bytes, &["100000", "pixels"]);
    }

    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| {
                (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 }
            })
        })
    }
}

mod options {
    use super::*;

    #[test]
    fn sizes_that_no_vae_of_this_kind_takes() {
        let sandbox = Sandbox::new();
        refused(&sandbox, &["photo.png", "--width", "12", "--height", "8"], &["--width", "12"]);
        refused(&sandbox, &["photo.png", "--width", "16"], &["--width", "without --height"]);
        refused(&sandbox, &["photo.png", "--height", "16"], &["--height", "without --width"]);
        refused(&sandbox, &["photo.png", "--width", "0", "--height", "0"], &["--width"]);
    }

    #[test]
    fn nothing_to_check() {
        refused(&Sandbox::new(), &[], &["no picture"]);
    }

    #[test]
    fn a_device_that_is_not_there() {
        let sandbox = Sandbox::new();
        refused(&sandbox, &["photo.png", "--device", "cuda:99"], &["--device cuda:99"]);
        if pick_device_and_dtype(DeviceChoice::Cuda(0), None).is_err() {
            refused(&sandbox, &["photo.png", "--device", "cuda"], &["--device cuda:0", "CUDA"]);
        }
    }

    #[test]
    fn one_output_for_several_images() {
        let sandbox = Sandbox::new();
        sandbox.write("other.png", picture(16, 16, 9));
        refused(&sandbox, &["photo.png", "other.png"], &["--out-dir", "2"]);
        refused(&sandbox, &["photo.png", "other.png", "--out", "x.png"], &["--out", "2"]);
        let saved =
            ["photo.png", "other.png", "--out-dir", "out", "--save-latents", "l.safetensors"];
        refused(&sandbox, &saved, &["--save-latents"]);
    }

    #[test]
    fn what_needs_the_picture_that_bf16_has_not() {
        let sandbox = Sandbox::new();
        let bf16 =
            |flag, value| [["photo.png", "--dtype", "bf16"].as_slice(), &[flag, value]].concat();
        refused(&sandbox, &bf16("--out", "x.png"), &["--out", "bf16"]);
        refused(&sandbox, &bf16("--min-psnr", "10"), &["--min-psnr", "bf16"]);
    }

    #[test]
    fn an_ssim_that_is_not_defined() {
        let sandbox = Sandbox::new();
        let small = ["photo.png", "--width", "8", "--height", "8", "--min-ssim", "0.5"];
        refused(&sandbox, &small, &["--min-ssim", "8 x 8"]);
    }

    #[test]
    fn a_source_that_is_none() {
        let sandbox = Sandbox::new();
        refused(&sandbox, &["photo.png", "--repo", "nobody/nothing"], &["--repo nobody/nothing"]);
        let subfolder = ["photo.png", "--repo", "builtin", "--subfolder", "vae"];
        refused(&sandbox, &subfolder, &["--subfolder vae"]);
        refused(&sandbox, &["photo.png", "--subfolder", "unet"], &["unet"]);
    }
}

mod weights {
    use super::*;

    const FILE: &str = "model/vae/diffusion_pytorch_model.safetensors";

    #[track_caller]
    fn refused_weights(bytes: &[u8], parts: &[&str]) {
        let sandbox = Sandbox::new();
        sandbox.write(FILE, bytes);
        refused(
            &sandbox,
            &["photo.png"],
            &[&["diffusion_pytorch_model.safetensors"], parts].concat(),
        );
    }

    #[test]
    fn an_empty_file() {
        refused_weights(b"", &[]);
    }

    #[test]
    fn a_header_that_lies() {
        refused_weights(&[&u64::MAX.to_le_bytes()[..], b"{}"].concat(), &[]);
        let header = br#"{"encoder.conv_in.weight":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,4]}}"#;
        let length = (header.len() as u64).to_le_bytes();
        refused_weights(&[&length[..], header, &[0; 4]].concat(), &[]);
    }

    #[test]
    fn a_git_lfs_pointer() {
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 334643276\n";
        refused_weights(pointer.as_bytes(), &["LFS"]);
    }

    #[test]
    fn a_file_cut_short() {
        let sandbox = Sandbox::new();
        sandbox.store_weights(|_| ());
        let whole = sandbox.read(FILE);
        sandbox.write(FILE, &whole[..whole.len() - 1]);
        refused(&sandbox, &["photo.png"], &["diffusion_pytorch_model.safetensors"]);
    }

    #[test]
    fn a_missing_tensor() {
        let sandbox = Sandbox::new();
        sandbox.store_weights(|tensors| tensors.retain(|t| t.name != "decoder.conv_in.bias"));
        refused(&sandbox, &["photo.png"], &["1 tensor missing", "decoder.conv_in.bias"]);
    }

    #[test]
    fn a_tensor_of_another_shape() {
        let sandbox = Sandbox::new();
        sandbox.store_weights(|tensors| {
            let bias = tensors.iter_mut().find(|t| t.name == "decoder.conv_in.bias").unwrap();
            *bias = Tensor::new(&bias.name, &[7], &[0.0; 7]);
        });
        refused(&sandbox, &["photo.png"], &["decoder.conv_in.bias", "[8]", "[7]"]);
    }

    #[test]
    fn an_extra_tensor_is_only_a_note() {
        let sandbox = Sandbox::new();
        sandbox.store_weights(|tensors| tensors.push(Tensor::new("stray", &[1], &[0.0])));
        let ran = sandbox.check(&["photo.png", "--json"]).exits(0).notes("stray");
        ran.check(ran.object()["notes"].to_string().contains("stray"), "expected a note in JSON");
    }

    #[test]
    fn nan_is_run_judged_and_failed() {
        for (name, place) in
            [("decoder.conv_out.bias", "decoder"), ("encoder.conv_in.bias", "encoder")]
        {
            let sandbox = Sandbox::new();
            sandbox.store_weights(|tensors| {
                tensors.iter_mut().find(|t| t.name == name).unwrap().values[0] = f32::NAN;
            });
            let ran = sandbox.check(&["photo.png", "--json"]).exits(1);
            let object = ran.object();
            ran.check(object["verdict"] == "fail", "expected fail");
            ran.check(object["decoded"]["non_finite"].as_u64().unwrap() > 0, "non_finite");
            let finding = &object["findings"][0];
            ran.check(finding["code"] == "non-finite-output", "code");
            ran.check(finding["severity"] == "error" && finding["layer"] == place, "layer");
            let latents = object["latents"]["non_finite"].as_u64().unwrap();
            ran.check((latents > 0) == (place == "encoder"), "latents");
            sandbox.check(&["photo.png"]).exits(1).says("fail").says("non-finite-output");
        }
    }
}

mod configs {
    use super::*;

    #[track_caller]
    fn refused_config(from: &str, to: &str, parts: &[&str]) {
        let sandbox = Sandbox::new();
        assert!(CONFIG.contains(from), "{from}");
        sandbox.write("model/vae/config.json", CONFIG.replace(from, to));
        refused(&sandbox, &["photo.png"], &[&["config.json"], parts].concat());
    }

    #[test]
    fn absent() {
        let sandbox = Sandbox::new();
        fs::remove_file(sandbox.path("model/vae/config.json")).unwrap();
        refused(&sandbox, &["photo.png"], &["config.json", "no such file"]);
        let ours = ["photo.png", "--config", "gone.json"];
        refused(&sandbox, &ours, &["gone.json", "no such file"]);
    }

    #[test]
    fn broken() {
        refused_config("{", "", &["not valid JSON"]);
        refused_config(CONFIG, "[]", &["list"]);
    }

    #[test]
    fn absurd() {
        refused_config("[8, 8, 8, 8]", "[8, 8, 8, 1000000]", &["block_out_channels"]);
        refused_config("[8, 8, 8, 8]", "[]", &["block_out_channels"]);
        refused_config("\"latent_channels\": 4", "\"latent_channels\": 0", &["latent_channels"]);
        refused_config("0.18215", "0", &["scaling_factor"]);
        refused_config("AutoencoderKL\"", "AutoencoderKLWan\"", &["AutoencoderKLWan"]);
    }

    #[test]
    fn a_broken_recipe() {
        let sandbox = Sandbox::new();
        sandbox.write("model/vae/recipe.json", RECIPE.replace("fnv1a64", "md5"));
        refused(&sandbox, &["photo.png"], &["recipe.json", "hash"]);
    }

    #[test]
    fn a_model_that_is_not_three_channels() {
        let sandbox = Sandbox::new();
        let config = CONFIG.replace("\"out_channels\": 3", "\"out_channels\": 1");
        sandbox.write("model/vae/config.json", config);
        refused(&sandbox, &["photo.png"], &["decoded"]);
    }
}

mod outputs {
    use super::*;

    #[test]
    fn a_place_where_nobody_may_write() {
        let sandbox = Sandbox::new();
        refused(&sandbox, &["photo.png", "--out", "photo.png/x.png"], &["photo.png/x.png"]);
        refused(&sandbox, &["photo.png", "--out", "/proc/x.png"], &["/proc/x.png"]);
        refused(&sandbox, &["photo.png", "--out", "gone/x.png"], &["gone/x.png", "does not exist"]);
        refused(&sandbox, &["photo.png", "--out-dir", "photo.png/x"], &["photo.png/x"]);
    }

    #[test]
    fn a_directory() {
        refused(&Sandbox::new(), &["photo.png", "--out", "model"], &["model", "directory"]);
    }

    #[test]
    fn the_input_under_any_name() {
        let sandbox = Sandbox::new();
        symlink("photo.png", sandbox.path("link.png")).unwrap();
        fs::hard_link(sandbox.path("photo.png"), sandbox.path("twin.png")).unwrap();
        for name in ["photo.png", "./photo.png", "model/../photo.png", "link.png", "twin.png"] {
            refused(&sandbox, &["photo.png", "--out", name], &[name, "replace an input"]);
            refused(&sandbox, &["photo.png", "--save-latents", name], &[name, "replace an input"]);
        }
        refused(&sandbox, &["photo.png", "--out-dir", "."], &["photo.png", "replace an input"]);
        let config = "model/vae/config.json";
        refused(&sandbox, &["photo.png", "--save-input", config], &[config, "replace an input"]);
    }

    #[test]
    fn another_output_under_any_name() {
        let sandbox = Sandbox::new();
        symlink("later.png", sandbox.path("link.png")).unwrap();
        for name in ["later.png", "./later.png", "link.png"] {
            let both = ["photo.png", "--out", "later.png", "--save-input", name];
            refused(&sandbox, &both, &[name, "one file"]);
        }
        sandbox.write("a/photo.png", picture(8, 8, 1));
        let twins = ["photo.png", "a/photo.png", "--out-dir", "out"];
        fs::create_dir(sandbox.path("out")).unwrap();
        refused(&sandbox, &twins, &["one file"]);
    }

    #[test]
    fn a_full_device() {
        refused(&Sandbox::new(), &["photo.png", "--out", "/dev/full"], &["/dev/full", "space"]);
    }

    /// The limit on file sizes stops a write half-way on any machine, as a full disk does.
    #[test]
    fn a_write_that_stops_half_way() {
        let sandbox = Sandbox::new();
        sandbox.write("saved.safetensors", EARLIER);
        let before = sandbox.contents();
        let arguments =
            ["check", "--repo", "model", "photo.png", "--dtype", "bf16", "--device", "cpu"];
        let saved = ["--save-decoded", "saved.safetensors"];
        let script = "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"";
        let ran = Ran::of(sandbox.shell(script, &[&arguments[..], &saved].concat())).exits(2);
        ran.check(ran.stderr.contains("saved.safetensors: cannot be written"), "expected why");
        ran.check(sandbox.contents() == before, "expected the earlier file, and no other");
    }

    /// A disk of 16 KiB, where this machine lets us mount one.
    #[test]
    fn a_full_disk() {
        let sandbox = Sandbox::new();
        fs::create_dir(sandbox.path("disk")).unwrap();
        let arguments =
            ["check", "--repo", "model", "photo.png", "--dtype", "bf16", "--device", "cpu"];
        let size = ["--width", "64", "--height", "64"];
        let saved = ["--save-decoded", "disk/saved.safetensors"];
        let mounts = ["unshare --mount", "unshare --user --map-root-user --mount"];
        let mount = "mount -t tmpfs -o size=16k tmpfs disk";
        let usable = mounts.into_iter().find(|unshare| {
            let script = format!("{unshare} sh -c '{mount}'");
            sandbox.shell::<&str>(&script, &[]).output().is_ok_and(|output| output.status.success())
        });
        let Some(unshare) = usable else {
            eprintln!("NOT RUN: no right to mount a small disk; the two tests above stand for it");
            return;
        };
        let script = format!(
            "exec {unshare} sh -c '{mount} && echo earlier > disk/saved.safetensors; \"$0\" \"$@\"; \
             code=$?; ls -A disk; cat disk/saved.safetensors; exit $code' \"$0\" \"$@\""
        );
        let ran =
            Ran::of(sandbox.shell(&script, &[&arguments[..], &size, &saved].concat())).exits(2);
        ran.check(ran.stderr.contains("disk/saved.safetensors: cannot be written"), "expected why");
        ran.check(ran.stderr.contains("free some disk space"), "expected what next");
        ran.check(ran.stdout == "saved.safetensors\nearlier\n", "expected the earlier file only");
    }

    #[test]
    fn a_full_standard_output() {
        let sandbox = Sandbox::new();
        for json in [&[][..], &["--json"]] {
            let arguments = [&["compare", "photo.png", "photo.png"], json].concat();
            let ran = Ran::of(sandbox.shell("exec \"$0\" \"$@\" > /dev/full", &arguments)).exits(2);
            ran.check(ran.stderr.contains("standard output: cannot be written"), "expected why");
        }
    }

    /// Killed at any moment, a run leaves the old file or the whole new one under the final name.
    #[test]
    fn killed_while_writing() {
        let sandbox = Sandbox::new();
        let mut interrupted = 0;
        for round in 0..8 {
            sandbox.write("decoded.png", EARLIER);
            let arguments = ["check", "--repo", "model", "photo.png", "--device", "cpu"];
            let size = ["--width", "256", "--height", "256"];
            let mut command = sandbox.command(&[&arguments[..], &size].concat());
            let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            kill_at_the_first_write(child, &sandbox, Duration::from_micros(round * 300));
            for half in half_written(&sandbox) {
                interrupted += 1;
                fs::remove_file(half).unwrap();
            }
            if sandbox.read("decoded.png") != EARLIER {
                let opened = pixels::open(&sandbox.path("decoded.png"));
                let pixels =
                    opened.unwrap_or_else(|error| panic!("half a picture: {error}")).pixels;
                assert_eq!((pixels.width(), pixels.height()), (256, 256));
            }
        }
        assert!(interrupted > 0, "no run was killed while it wrote: this test saw nothing");
        println!("{interrupted} of 8 runs were killed while they wrote");
    }

    /// Waits for a temporary file that grows, a little longer, and kills the process.
    fn kill_at_the_first_write(mut child: Child, sandbox: &Sandbox, longer: Duration) {
        let started = Instant::now();
        while child.try_wait().unwrap().is_none() && started.elapsed() < Duration::from_secs(120) {
            if !half_written(sandbox).is_empty() {
                std::thread::sleep(longer);
                break;
            }
        }
        let _ = child.kill();
        child.wait().unwrap();
    }

    fn half_written(sandbox: &Sandbox) -> Vec<PathBuf> {
        let entries = fs::read_dir(sandbox.path(".")).unwrap().flatten();
        let temporary = entries.filter(|entry| {
            entry.file_name().to_string_lossy().starts_with(".vae-fidelity-")
                && entry.metadata().is_ok_and(|metadata| metadata.len() > 0)
        });
        temporary.map(|entry| entry.path()).collect()
    }
}
