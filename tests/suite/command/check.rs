//! What `check` prints, writes, and how it exits.

use vae_fidelity::metrics::PixelMetrics;
use vae_fidelity::{Engine, pixels};

use super::check_report::{Report, Summary, SummaryLine};
use super::sandbox::{CONFIG, Ran, Refusal, Sandbox, parsed, picture};

#[test]
fn one_image_as_json() {
    let sandbox = Sandbox::new();
    sandbox.write("odd.png", picture(45, 31, 0));
    let ran = sandbox.check(&["odd.png", "--json"]).exits(0).notes("vae/");
    let report: Report = parsed(&ran, 0);
    assert_eq!(report.schema_version, 1);
    assert_eq!((report.verdict.as_str(), report.verdict_reasons.len()), ("pass", 0));
    let input = &report.input;
    assert_eq!((input.path.as_str(), input.format.as_str()), ("odd.png", "PNG"));
    assert_eq!((input.mode.as_str(), input.width, input.height), ("RGB", 40, 24));
    assert_eq!((input.source_width, input.source_height), (45, 31));
    let model = &report.model;
    assert_eq!((model.source.as_str(), model.family.as_str()), ("model", "unknown"));
    assert_eq!(model.class, "AutoencoderKL");
    assert_eq!((model.device.as_str(), model.dtype.as_str()), ("cpu", "f32"));
    assert_eq!((model.engine.as_str(), &model.revision), (&*Engine::default().to_string(), &None));
    assert_eq!((model.arithmetic.as_str(), report.cross_check), ("f32", None));
    assert_eq!(model.config["latent_channels"], 4);
    assert!(model.parameters > 1000);
    assert_eq!((report.posterior.kind.as_str(), report.posterior.seed), ("mode", None));
    let latents = &report.latents;
    assert_eq!((latents.shape, latents.scaled_by), ([1, 4, 3, 5], Some(0.18215)));
    assert_eq!(latents.scaling, serde_json::json!({"kind": "factor", "scaling_factor": 0.18215}));
    assert_eq!(latents.non_finite, 0);
    assert!(latents.min.unwrap() < latents.mean.unwrap());
    assert!(latents.mean.unwrap() < latents.max.unwrap() && latents.std.unwrap() > 0.0);
    let decoded = &report.decoded;
    assert_eq!((decoded.shape, decoded.non_finite), ([1, 3, 24, 40], 0));
    assert!(decoded.min.unwrap() < decoded.max.unwrap());
    assert!((0.0..=1.0).contains(&decoded.clamped_fraction.unwrap()));
    assert_eq!(decoded.path.as_deref(), Some("decoded.png"));
    let metrics = report.metrics.unwrap();
    assert!(!metrics.identical && metrics.ssimulacra2.unwrap() < 100.0);
    assert!(metrics.butteraugli.unwrap() > 0.0);
    // The picture is too small for five scales, and nothing is published of this VAE.
    assert_eq!((metrics.ms_ssim, report.published.len()), (None, 0));
    let codes: Vec<_> = report.findings.iter().map(|finding| &finding["code"]).collect();
    assert_eq!(codes, ["size-rounded"]);
    assert_eq!(report.forecast, None);
    assert!(report.files.is_empty(), "no file of the user's was given: {:?}", report.files);
    assert_eq!((report.latents_file, input.path_is_lossy, input.exif_applied), (None, None, None));
    assert_eq!(report.saved, None, "nothing beside the decoded picture");
    let needs: Vec<_> = report.not_decided.iter().map(|row| &row["needs"]).collect();
    let files = ["--latents", "--preprocessed", "--decoded-image", "--against"];
    // The reference engine in f32 is what others are compared with.
    let compared = Engine::default() == Engine::Reference;
    assert_eq!(needs, [&files[..], if compared { &[] } else { &["--cross-check"] }].concat());
    assert_eq!(report.thresholds, vae_fidelity::verdict::Thresholds::default());
    let steps: Vec<_> = report.timings_ms.keys().map(String::as_str).collect();
    assert_eq!(steps, ["decode", "encode", "load", "total"]);
    assert!(report.timings_ms.values().all(|&time| time > 0.0));
    assert_eq!(report.peak_rss_bytes.is_some(), cfg!(target_os = "linux"));
    assert!(report.notes.iter().any(|note| note.contains("vae/")));
    let written = pixels::open(&sandbox.path("decoded.png")).unwrap().pixels;
    assert_eq!((written.width(), written.height()), (40, 24));
}

#[test]
fn the_text_says_what_the_gist_says_and_more() {
    let sandbox = Sandbox::new();
    sandbox
        .check(&["--image", "photo.png", "--out", "back.png", "--hf_token_env", "NONE"])
        .exits(0)
        .says("latents  (1, 4, 3, 5) scaled by 0.18215")
        .says("decoded  (1, 3, 24, 40)")
        .says("saved    back.png")
        .says("PSNR")
        .says("verdict  pass");
    assert!(sandbox.exists("back.png") && !sandbox.exists("decoded.png"));
}

#[test]
fn the_built_in_vae_is_named_and_so_is_the_way_to_another() {
    let sandbox = Sandbox::new();
    let ran = sandbox.run(&["check", "photo.png", "--device", "cpu"]).exits(0);
    ran.notes("built-in").says("builtin").notes("--repo");
}

#[test]
fn metrics_are_those_of_the_files_written() {
    let sandbox = Sandbox::new();
    let ran = sandbox.check(&["photo.png", "--save-input", "seen.png", "--json"]).exits(0);
    let report: Report = parsed(&ran, 0);
    let ran = sandbox.run(&["compare", "seen.png", "decoded.png", "--json"]).exits(1);
    let metrics: PixelMetrics = serde_json::from_value(ran.object()["metrics"].clone()).unwrap();
    assert_eq!(report.metrics, Some(metrics));
    assert_eq!(sandbox.read("seen.png"), sandbox.read("photo.png"));
}

#[test]
fn what_is_asked_decides_the_verdict() {
    let sandbox = Sandbox::new();
    let ran = sandbox.check(&["photo.png", "--min-psnr", "99", "--json"]).exits(1);
    let report: Report = parsed(&ran, 0);
    assert_eq!((report.verdict.as_str(), report.thresholds.min_psnr), ("fail", Some(99.0)));
    assert!(report.verdict_reasons[0].starts_with("PSNR is "), "{:?}", report.verdict_reasons);
    sandbox.check(&["photo.png", "--min-ssim", "0.999"]).exits(1).says("verdict  fail");
    sandbox.check(&["photo.png", "--min-psnr", "-99", "--min-ssim", "-1"]).exits(0);
    // The built-in VAE: random weights do not pass at the size that MS-SSIM needs.
    sandbox.write("large.png", std::fs::read("golden/images/astronaut.png").unwrap());
    let large = ["check", "large.png", "--repo", "builtin", "--min-ms-ssim"];
    let ran = sandbox.run(&[&large[..], &["0.999", "--json"]].concat()).exits(1);
    let report: Report = parsed(&ran, 0);
    assert_eq!((report.verdict.as_str(), report.thresholds.min_ms_ssim), ("fail", Some(0.999)));
    assert!(report.verdict_reasons[0].starts_with("MS-SSIM is "), "{:?}", report.verdict_reasons);
    sandbox.run(&[&large[..], &["0.9"]].concat()).exits(0).says("(at least 0.9 asked for)");
}

#[test]
fn a_seed_makes_a_draw_repeatable_and_a_drawn_one_is_recorded() {
    let sandbox = Sandbox::new();
    let draw = |flags: &[&str], saved: &str| {
        let arguments = [&["photo.png", "--json", "--save-latents", saved], flags].concat();
        let ran = sandbox.check(&arguments).exits(0);
        let report: Report = parsed(&ran, 0);
        report.posterior
    };
    let first = draw(&["--sample", "--seed", "5"], "a.safetensors");
    assert_eq!((first.kind.as_str(), first.seed), ("sample", Some(5)));
    draw(&["--sample", "--seed", "5"], "b.safetensors");
    sandbox.run(&["compare", "a.safetensors", "b.safetensors"]).exits(0);
    let drawn = draw(&["--sample"], "c.safetensors").seed.unwrap();
    sandbox.run(&["compare", "a.safetensors", "c.safetensors"]).exits(1).says("noise");
    draw(&["--sample", "--seed", &drawn.to_string()], "d.safetensors");
    // As torch: negative seeds are 2^64 more.
    draw(&["--sample", "--seed", "18446744073709551615"], "f.safetensors");
    draw(&["--sample", "--seed", "-1"], "g.safetensors");
    sandbox.run(&["compare", "f.safetensors", "g.safetensors"]).exits(0);
    sandbox.run(&["compare", "c.safetensors", "d.safetensors"]).exits(0);
    let mode = draw(&["--seed", "5"], "e.safetensors");
    assert_eq!((mode.kind.as_str(), mode.seed), ("mode", None));
    sandbox.check(&["photo.png", "--seed", "5"]).exits(0).notes("no effect without --sample");
    let text = sandbox.check(&["photo.png", "--sample"]).exits(0);
    text.says("drawn with seed ");
}

#[test]
fn saved_tensors_have_their_names() {
    let sandbox = Sandbox::new();
    let saved = ["--save-latents", "l.safetensors", "--save-decoded", "d.safetensors"];
    sandbox.check(&[&["photo.png", "--sample"], &saved[..]].concat()).exits(0);
    let names = |file: &str| -> Vec<(String, Vec<usize>)> {
        let tensors = vae_fidelity::tensor_file::read(&sandbox.path(file)).unwrap();
        tensors.into_iter().map(|t| (t.name.unwrap(), t.values.shape().to_vec())).collect()
    };
    let named = |name: &str, shape: [usize; 4]| (name.to_owned(), shape.to_vec());
    let expected = [
        named("latents", [1, 4, 3, 5]),
        named("moments", [1, 8, 3, 5]),
        named("noise", [1, 4, 3, 5]),
    ];
    assert_eq!(names("l.safetensors"), expected);
    assert_eq!(names("d.safetensors"), [named("decoded", [1, 3, 24, 40])]);
}

#[test]
fn one_bad_image_does_not_stop_the_others() {
    let sandbox = Sandbox::new();
    sandbox.write("bad.png", "no picture").write("more.png", picture(16, 16, 9));
    let images = ["photo.png", "bad.png", "more.png", "--out-dir", "new/out"];
    let ran = sandbox.check(&[&images[..], &["--json"]].concat()).exits(2);
    assert_eq!(ran.lines().len(), 4);
    let first: Report = parsed(&ran, 0);
    assert_eq!(first.decoded.path.as_deref(), Some("new/out/photo.png"));
    let refusal: Refusal = parsed(&ran, 1);
    assert_eq!((refusal.error.code.as_str(), refusal.verdict), ("image", None));
    assert_eq!(refusal.input.unwrap()["path"], "bad.png");
    let _: Report = parsed(&ran, 2);
    let last: SummaryLine = parsed(&ran, 3);
    let expected = Summary { images: 3, passed: 2, failed: 0, not_judged: 1 };
    assert_eq!((last.schema_version, last.summary), (1, expected));
    assert!(sandbox.exists("new/out/more.png") && !sandbox.exists("new/out/bad.png"));
    let text = sandbox.check(&images).exits(2).says("3 images: 2 passed, 0 failed, 1 not judged");
    text.notes("bad.png");
    let worst = ["photo.png", "more.png", "--out-dir", "out", "--min-psnr", "99"];
    sandbox.check(&worst).exits(1);
}

#[test]
fn bf16_is_judged_by_the_decoded_tensor() {
    let sandbox = Sandbox::new();
    let ran = sandbox.check(&["photo.png", "--dtype", "bf16", "--json"]).exits(0).notes("bf16");
    let report: Report = parsed(&ran, 0);
    assert_eq!((report.model.dtype.as_str(), report.metrics), ("bf16", None));
    assert_eq!(report.decoded.path, None);
    assert!(!sandbox.exists("decoded.png"));
}

#[test]
fn a_vae_that_halves_more_often_is_compared_where_both_are() {
    let sandbox = Sandbox::new();
    let deeper = CONFIG
        .replace("[8, 8, 8, 8]", "[8, 8, 8, 8, 8]")
        .replace("[\"Down", "[\"DownEncoderBlock2D\", \"Down")
        .replace("[\"Up", "[\"UpDecoderBlock2D\", \"Up");
    sandbox.write("model/vae/config.json", deeper);
    let ran = sandbox.check(&["photo.png", "--json", "--sample"]).exits(0).notes("32 x 16");
    let report: Report = parsed(&ran, 0);
    assert_eq!((report.latents.shape, report.decoded.shape), ([1, 4, 1, 2], [1, 3, 16, 32]));
    assert_eq!((report.input.width, report.input.height), (40, 24));
    assert!(report.metrics.is_some());
}

#[test]
fn the_last_of_a_repeated_flag_counts_as_in_the_gist() {
    let sandbox = Sandbox::new();
    sandbox.check(&["photo.png", "--out", "a.png", "--out", "b.png"]).exits(0);
    assert!(sandbox.exists("b.png") && !sandbox.exists("a.png"));
}

#[test]
fn tiles_change_the_picture_and_are_told() {
    let sandbox = Sandbox::new();
    let saved = |file: &str| vae_fidelity::tensor_file::read(&sandbox.path(file)).unwrap();
    let base = ["check", "photo.png", "--json", "--save-decoded"];
    let whole = sandbox.run(&[&base[..], &["whole.safetensors"]].concat()).exits(0);
    let report: Report = parsed(&whole, 0);
    assert_eq!((report.model.tiling, report.model.slicing), (None, false));
    let engines = if cfg!(feature = "tch") { &["reference", "fast"][..] } else { &["fast"] };
    for engine in engines {
        let tiled = [&base[..], &["tiled.safetensors", "--engine", engine, "--tiling"]].concat();
        sandbox.run(&tiled).exits(0);
        let (a, b) = (&saved("whole.safetensors")[0].values, &saved("tiled.safetensors")[0].values);
        let gap = |a: &ndarray::ArrayD<f32>, b: &ndarray::ArrayD<f32>| {
            a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        };
        assert!(gap(a, b) < 1e-3, "40 x 24 is smaller than the built-in VAE's tiles of 256");
        let tiled = [&tiled[..], &["--tile-size", "32", "--slicing"]].concat();
        let report: Report = parsed(&sandbox.run(&tiled).exits(0), 0);
        let tiles = serde_json::json!({"tile_sample_min_size": 32, "tile_latent_min_size": 4});
        assert_eq!((report.model.tiling, report.model.slicing), (Some(tiles), true));
        assert!(gap(a, &saved("tiled.safetensors")[0].values) > 1e-2, "norms see a tile");
    }
}

#[test]
fn tiling_refuses_what_does_not_go_with_it() {
    let sandbox = Sandbox::new();
    let tiling = ["check", "photo.png", "--tiling"];
    let refused = |more: &[&str], says: &str| {
        sandbox.run(&[&tiling, more].concat()).exits(2).notes(says);
    };
    refused(&["--tile-size", "40"], "expected a multiple of 32");
    refused(&["--tile-size", "0"], "expected a multiple of 32");
    refused(&["--save-trace", "t.json"], "--save-trace");
    refused(&["--forecast"], "--forecast");
    sandbox.run(&["check", "photo.png", "--tile-size", "64"]).exits(2).notes("--tiling");
}

#[test]
fn a_baseline_fails_what_got_worse_and_nothing_else() {
    let sandbox = Sandbox::new();
    let ran = sandbox.check(&["photo.png", "--json"]).exits(0);
    sandbox.write("run.json", &ran.stdout);
    let against = ["photo.png", "--baseline", "run.json"];
    sandbox.check(&against).exits(0).says("verdict  pass");
    let mut better = ran.object();
    let psnr = better["metrics"]["psnr_db"].as_f64().unwrap();
    better["metrics"]["psnr_db"] = (psnr + 1.0).into();
    sandbox.write("run.json", better.to_string());
    sandbox.check(&against).exits(1).says("PSNR fell from");
    let mut larger = ran.object();
    larger["metrics"]["ms_ssim"] = 0.9.into();
    sandbox.write("run.json", larger.to_string());
    sandbox.check(&against).exits(1).says("MS-SSIM was 0.9000, and cannot be measured now");
    sandbox.write("run.json", better.to_string());
    sandbox.refuses(&[&against[..], &["--width", "32", "--height", "32"]].concat(), &["40 x 24"]);
    sandbox.write("run.json", "{}");
    sandbox.refuses(&against, &["no judged picture"]);
    sandbox.write("run.json", "not JSON");
    sandbox.refuses(&against, &["--baseline", "is not JSON"]);
}

#[test]
fn a_forecast_lists_both_dtypes_and_the_tightest_layers() {
    let sandbox = Sandbox::new();
    let ran = sandbox.check(&["photo.png", "--forecast", "--json"]).exits(0);
    let forecast = &ran.object()["forecast"];
    let dtypes: Vec<_> = forecast["dtypes"].as_array().unwrap().iter().collect();
    assert_eq!((&dtypes[0]["dtype"], &dtypes[1]["dtype"]), (&"f16".into(), &"bf16".into()));
    assert_eq!(dtypes[0]["non_finite"], 0);
    // bf16 has 3 bits less, 18 dB.
    let psnr = |at: usize| dtypes[at]["psnr_from_f32_db"].as_f64().unwrap_or(99.0);
    assert!(psnr(0) > psnr(1) + 6.0, "{forecast}");
    assert!(forecast["tightest"][0]["headroom"].as_f64().unwrap() > 1.0);
    assert!(sandbox.check(&["photo.png", "--json"]).object()["forecast"].is_null());
}

#[test]
fn a_picture_is_not_written_under_the_name_of_another_format() {
    let sandbox = Sandbox::new();
    sandbox.refuses(&["photo.png", "--out", "x.jpg"], &["--out writes PNG", ".jpg"]);
    sandbox.refuses(&["photo.png", "--save-input", "x.WEBP"], &["--save-input writes PNG"]);
    let builtin = ["check", "photo.png", "--repo", "builtin", "--variant", "fp16"];
    sandbox.run(&builtin).exits(2).notes("no variants");
    sandbox
        .run(&["check", "photo.png", "--width", "-8", "--height", "8"])
        .exits(2)
        .notes("multiple of 8");
}

#[test]
fn nan_has_no_psnr_and_the_layer_that_makes_it_is_named() {
    let sandbox = Sandbox::new();
    sandbox.store_weights(|tensors| {
        let conv = tensors.iter_mut().find(|t| t.name == "decoder.mid_block.resnets.0.conv1.bias");
        conv.unwrap().values[0] = f32::NAN;
    });
    let object = sandbox.check(&["photo.png", "--json"]).exits(1).object();
    assert!(object["metrics"].is_null());
    let findings = object["findings"].as_array().unwrap();
    assert_eq!(findings[0]["code"], "weights-non-finite");
    let finding = findings.iter().find(|it| it["code"] == "non-finite-output").unwrap();
    assert_eq!(finding["layer"], "decoder.mid_block.resnets.0.conv1");
}

#[test]
fn a_folder_and_a_list_stand_for_their_pictures() {
    let sandbox = Sandbox::new();
    sandbox.write("in/b.png", picture(16, 16, 1)).write("in/a.PNG", picture(16, 24, 2));
    sandbox.write("in/notes.txt", "none").write("empty/notes.txt", "none");
    let ran = sandbox.check(&["in", "--out-dir", "out", "--json"]).exits(0);
    let first: Report = parsed(&ran, 0);
    assert_eq!((first.input.path.as_str(), ran.lines().len()), ("in/a.PNG", 3));
    assert!(sandbox.exists("out/a.png") && sandbox.exists("out/b.png"));
    sandbox.refuses(&["empty"], &["empty", "holds no picture"]);
    let script = "printf 'in/b.png\\n\\nphoto.png\\n' | \"$0\" \"$@\"";
    let arguments = ["check", "-", "--repo", "model", "--device", "cpu", "--out-dir", "list"];
    Ran::of(sandbox.shell(script, &arguments)).exits(0).says("2 images: 2 passed");
    assert!(sandbox.exists("list/photo.png"));
    let none = Ran::of(sandbox.shell("\"$0\" \"$@\" < /dev/null", &arguments));
    none.exits(2).notes("names no picture");
}
