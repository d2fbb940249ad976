//! What cannot be judged: exit code 2, one message that says what, where and what next, and
//! nothing overwritten.

use std::fs;

use vae_fidelity::Engine;
use vae_fidelity::autoencoder_kl::DeviceChoice;

use super::sandbox::{CONFIG, RECIPE, Sandbox, Tensor, picture};

mod images {
    use super::*;

    #[track_caller]
    fn refused_image(name: &str, bytes: &[u8], parts: &[&str]) {
        let sandbox = Sandbox::new();
        sandbox.write(name, bytes);
        sandbox.refuses(&[name], &[&[name], parts].concat());
    }

    #[test]
    fn no_such_file() {
        Sandbox::new().refuses(&["gone.png"], &["gone.png", "no such file"]);
    }

    #[test]
    fn a_directory_without_pictures() {
        Sandbox::new().refuses(&["model"], &["model", "holds no picture"]);
    }

    /// Opening one for reading would wait for a writer that never comes.
    #[test]
    fn a_pipe() {
        let sandbox = Sandbox::new();
        let made = std::process::Command::new("mkfifo").arg(sandbox.path("pipe")).status();
        assert!(made.unwrap().success());
        // Only with an earlier output are the two compared.
        sandbox.write("decoded.png", "earlier");
        for arguments in [["pipe", "--quiet"], ["photo.png", "--config=pipe"]] {
            let ran = sandbox.check(&arguments).exits(2);
            ran.check(ran.stderr.contains("pipe or device"), "expected what it is");
        }
    }

    /// JSON has no place for the byte 0xff, and the next picture runs all the same.
    #[test]
    fn a_name_that_is_not_utf8() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let sandbox = Sandbox::new();
        let name = OsStr::from_bytes(b"\xff.png");
        fs::copy(sandbox.path("photo.png"), sandbox.path("").join(name)).unwrap();
        let mut arguments = vec![name];
        let others = ["photo.png", "--repo", "model", "--out-dir", "out", "--json"];
        arguments.extend(others.map(OsStr::new));
        arguments.insert(0, OsStr::new("check"));
        let ran = sandbox.run(&arguments).exits(0);
        ran.check(ran.lines().len() == 3, "expected two results and a summary");
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
        sandbox.refuses(&["photo.png", "--width", "12", "--height", "8"], &["--width", "12"]);
        sandbox.refuses(&["photo.png", "--width", "16"], &["--width", "without --height"]);
        sandbox.refuses(&["photo.png", "--height", "16"], &["--height", "without --width"]);
        sandbox.refuses(&["photo.png", "--width", "0", "--height", "0"], &["--width"]);
    }

    #[test]
    fn nothing_to_check() {
        Sandbox::new().refuses(&[], &["no picture"]);
    }

    #[test]
    fn a_device_that_is_not_there() {
        let sandbox = Sandbox::new();
        sandbox.refuses(&["photo.png", "--device", "cuda:99"], &["--device cuda:99"]);
        if Engine::default().execution(DeviceChoice::Cuda(0), None, None).is_err() {
            sandbox.refuses(&["photo.png", "--device", "cuda"], &["--device cuda:0", "CUDA"]);
        }
    }

    #[test]
    fn one_output_for_several_images() {
        let sandbox = Sandbox::new();
        sandbox.write("other.png", picture(16, 16, 9));
        sandbox.refuses(&["photo.png", "other.png"], &["--out-dir", "2"]);
        sandbox.refuses(&["photo.png", "other.png", "--out", "x.png"], &["--out", "2"]);
        let saved =
            ["photo.png", "other.png", "--out-dir", "out", "--save-latents", "l.safetensors"];
        sandbox.refuses(&saved, &["--save-latents"]);
    }

    #[test]
    fn what_needs_the_picture_that_bf16_has_not() {
        let sandbox = Sandbox::new();
        let bf16 =
            |flag, value| [["photo.png", "--dtype", "bf16"].as_slice(), &[flag, value]].concat();
        sandbox.refuses(&bf16("--out", "x.png"), &["--out", "bf16"]);
        sandbox.refuses(&bf16("--min-psnr", "10"), &["--min-psnr", "bf16"]);
        sandbox.refuses(&bf16("--min-ms-ssim", "0.5"), &["--min-ms-ssim", "bf16"]);
    }

    #[test]
    fn an_ssim_that_is_not_defined() {
        let sandbox = Sandbox::new();
        let small = ["photo.png", "--width", "8", "--height", "8", "--min-ssim", "0.5"];
        sandbox.refuses(&small, &["--min-ssim", "8 x 8"]);
        let small = ["photo.png", "--min-ms-ssim", "0"];
        sandbox.refuses(&small, &["--min-ms-ssim", "176 x 176", "encoded at 40 x 24"]);
    }

    #[test]
    fn a_source_that_is_none() {
        let sandbox = Sandbox::new();
        sandbox.refuses(&["photo.png", "--repo", "no/such/folder"], &["--repo no/such/folder"]);
        sandbox.refuses(&["photo.png", "--repo", "nobody/nothing"], &["nobody/nothing: is not in"]);
        let subfolder = ["photo.png", "--repo", "builtin", "--subfolder", "vae"];
        sandbox.refuses(&subfolder, &["--subfolder vae"]);
        sandbox.refuses(&["photo.png", "--subfolder", "unet"], &["unet"]);
    }
}

mod weights {
    use super::*;

    const FILE: &str = "model/vae/diffusion_pytorch_model.safetensors";

    #[track_caller]
    fn refused_weights(bytes: &[u8], parts: &[&str]) {
        let sandbox = Sandbox::new();
        sandbox.write(FILE, bytes);
        sandbox
            .refuses(&["photo.png"], &[&["diffusion_pytorch_model.safetensors"], parts].concat());
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
        sandbox.refuses(&["photo.png"], &["diffusion_pytorch_model.safetensors"]);
    }

    #[test]
    fn a_missing_tensor() {
        let sandbox = Sandbox::new();
        sandbox.store_weights(|tensors| tensors.retain(|t| t.name != "decoder.conv_in.bias"));
        sandbox.refuses(&["photo.png"], &["1 tensor missing", "decoder.conv_in.bias"]);
    }

    #[test]
    fn a_tensor_of_another_shape() {
        let sandbox = Sandbox::new();
        sandbox.store_weights(|tensors| {
            let bias = tensors.iter_mut().find(|t| t.name == "decoder.conv_in.bias").unwrap();
            *bias = Tensor::new(&bias.name, &[7], &[0.0; 7]);
        });
        sandbox.refuses(&["photo.png"], &["decoder.conv_in.bias", "[8]", "[7]"]);
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
            // The weights' own finding comes first.
            let codes: Vec<_> = object["findings"].as_array().unwrap().iter().collect();
            ran.check(codes[0]["code"] == "weights-non-finite", "code");
            let finding = codes.into_iter().find(|it| it["code"] == "non-finite-output").unwrap();
            ran.check(finding["severity"] == "error", "severity");
            let layer = finding["layer"].as_str().unwrap();
            ran.check(layer.starts_with(place) && name.starts_with(layer), "layer");
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
        sandbox.refuses(&["photo.png"], &[&["config.json"], parts].concat());
    }

    #[test]
    fn absent() {
        let sandbox = Sandbox::new();
        fs::remove_file(sandbox.path("model/vae/config.json")).unwrap();
        sandbox.refuses(&["photo.png"], &["config.json", "no such file"]);
        let ours = ["photo.png", "--config", "gone.json"];
        sandbox.refuses(&ours, &["gone.json", "no such file"]);
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
        refused_config("AutoencoderKL\"", "AutoencoderOobleck\"", &["AutoencoderOobleck"]);
    }

    #[test]
    fn a_broken_recipe() {
        let sandbox = Sandbox::new();
        sandbox.write("model/vae/recipe.json", RECIPE.replace("fnv1a64", "md5"));
        sandbox.refuses(&["photo.png"], &["recipe.json", "hash"]);
    }

    #[test]
    fn a_model_that_is_not_three_channels() {
        let sandbox = Sandbox::new();
        let config = CONFIG.replace("\"out_channels\": 3", "\"out_channels\": 1");
        sandbox.write("model/vae/config.json", config);
        sandbox.refuses(&["photo.png"], &["decoded"]);
    }
}
