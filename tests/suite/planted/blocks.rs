//! A block that is run alone on what the reference gave it: broken here, or inherited.

use ndarray::{ArrayD, ArrayView4, ArrayViewD, Axis};
use vae_fidelity::autoencoder_kl::Device;
use vae_fidelity::golden::{Fault as Verdict, Location, Outcome, Step, Suite, TensorFormat};
use vae_fidelity::tensor_file::read;
use vae_fidelity::trace::{Activation, Stage, Trace, TraceFile};
use vae_fidelity::{
    AutoencoderKL, Checkpoint, Dtype, Encoded, FastAutoencoderKL, Result, Source, Vae, VaeConfig,
};

use super::port::{Fault, Planted};
use crate::libtorch::one_thread;

const CASES: [(&str, &str); 4] = [
    ("sd-small", "sd-small-blocks"),
    ("builtin", "builtin-blocks"),
    ("cogview-small", "cogview-small-blocks"),
    ("x4-upscaler-small", "x4-upscaler-small-blocks"),
];

fn suite() -> Suite {
    Suite::open("golden").unwrap()
}

fn checkpoint(model: &str) -> Checkpoint {
    one_thread();
    let source = match model {
        "builtin" => Source::Builtin,
        name => Source::Folder { path: format!("golden/models/{name}").into(), subfolder: None },
    };
    Checkpoint::open(&source, None).unwrap()
}

fn engines(checkpoint: &Checkpoint) -> [(&'static str, Box<dyn Vae>); 2] {
    let reference = AutoencoderKL::load(checkpoint, Device::CPU, Dtype::F32).unwrap();
    let fast = FastAutoencoderKL::load(checkpoint, Some(1)).unwrap();
    [("reference", Box::new(reference)), ("fast", Box::new(fast))]
}

/// The names of the blocks of a case.
fn blocks(case: &str) -> Vec<String> {
    let manifest = std::fs::read("golden/manifest.json").unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let cases = manifest["cases"].as_array().unwrap();
    let case = cases.iter().find(|row| row["name"] == case).unwrap();
    let rows = ["encode", "decode"].map(|stage| case["blocks"][stage].as_array().unwrap());
    let name = |row: &serde_json::Value| row["module"].as_str().unwrap().to_owned();
    rows.into_iter().flatten().map(name).collect()
}

/// The verdict of `golden verify` on the first failure of `sd-small-blocks`.
fn verdict(fault: Fault) -> (Step, String, Verdict) {
    let failures = tempfile::tempdir().unwrap();
    let suite = suite().failures(failures.path()).only("sd-small-blocks");
    let load = |checkpoint: &_| Ok(Box::new(Planted::load(checkpoint, fault)?) as _);
    let report = suite.run(load).unwrap();
    let failed = report.cases[0].checks.iter().find(|check| check.outcome == Outcome::Failed);
    let check = failed.unwrap_or_else(|| panic!("{fault:?} passes"));
    match check.location.clone().unwrap() {
        Location::Module { module, fault, .. } => (check.tensor, module, fault),
        other => panic!("{fault:?}: {other}"),
    }
}

fn broken_here(block: &str, alone: &[&str]) -> impl Fn(&Verdict) -> bool {
    move |verdict| match verdict {
        Verdict::BrokenHere { block: found, broken, .. } => found == block && broken == alone,
        _ => false,
    }
}

#[test]
fn a_planted_fault_is_broken_where_it_was_planted() {
    let attention = "encoder.mid_block.attentions.0";
    for (fault, block, alone) in [
        (Fault::FlippedKernel, "encoder.conv_in", vec!["encoder.conv_in"]),
        (Fault::TransposedQuery, attention, vec![attention]),
        (Fault::NoAttentionScale, attention, vec![attention]),
        (Fault::SoftmaxOverQueries, attention, vec![attention]),
        (Fault::MissingAttentionResidual, attention, vec![attention]),
        (Fault::MissingResidual, "decoder.up_blocks.1", vec!["decoder.up_blocks.1"]),
        (Fault::MissingBias, "decoder.conv_out", vec!["decoder.conv_out"]),
        (
            Fault::SymmetricPadding,
            "encoder.down_blocks.0",
            vec!["encoder.down_blocks.0", "encoder.down_blocks.1", "encoder.down_blocks.2"],
        ),
        (
            Fault::BilinearUpsampling,
            "decoder.up_blocks.0",
            vec!["decoder.up_blocks.0", "decoder.up_blocks.1", "decoder.up_blocks.2"],
        ),
    ] {
        let (_, module, found) = verdict(fault);
        println!("{fault:?} at {module}: {found}");
        assert!(broken_here(block, &alone)(&found), "{fault:?} at {module}: {found}");
    }
}

/// All blocks are right: what is wrong is what they were given.
#[test]
fn what_was_wrong_before_the_first_block_is_inherited() {
    for (fault, step, first) in [
        (Fault::BgrInput, Step::Moments, "encoder.conv_in"),
        (Fault::NotUnscaled, Step::Decoded, "post_quant_conv"),
    ] {
        let (failed, module, found) = verdict(fault);
        assert_eq!((failed, module.as_str()), (step, first));
        let Verdict::Inherited { block, broken } = &found else { panic!("{fault:?}: {found}") };
        assert_eq!(block, first);
        assert!(broken.is_empty(), "{fault:?}: {found}");
        assert!(found.to_string().contains("inherited"), "{found}");
    }
}

/// The first fault is in `conv_in`: a later block, asked about one of its layers, is innocent.
#[test]
fn a_later_block_inherits_what_an_earlier_one_breaks() {
    let vae = Planted::load(&checkpoint("sd-small"), Fault::FlippedKernel).unwrap();
    let module = "encoder.mid_block.attentions.0.to_q";
    let found = suite().fault("sd-small-blocks", module, &vae).unwrap();
    let expected = Verdict::Inherited {
        block: "encoder.mid_block.attentions.0".into(),
        broken: vec!["encoder.conv_in".into()],
    };
    assert_eq!(found, expected);
    let decoder = suite().fault("sd-small-blocks", "decoder.conv_in", &vae).unwrap();
    assert_eq!(
        decoder,
        Verdict::Inherited { block: "decoder.conv_in".into(), broken: vec![] },
        "the decoder has no fault"
    );
}

#[test]
fn every_block_of_both_engines_is_right_alone() {
    for (model, case) in CASES {
        let names = blocks(case);
        let expected =
            if model == "x4-upscaler-small" || model == "cogview-small" { 20 } else { 26 };
        assert!(names.len() >= expected, "{case} has {} blocks", names.len());
        for (engine, vae) in engines(&checkpoint(model)) {
            for name in &names {
                let found = suite().fault(case, name, vae.as_ref()).unwrap();
                let right = Verdict::Inherited { block: name.clone(), broken: vec![] };
                assert_eq!(found, right, "{engine}, {case}");
            }
        }
    }
}

/// Inside attention, layers see tokens: as in the whole model, whose trace has their outputs.
#[test]
fn layers_inside_attention_run_alone() {
    let trace = TraceFile::read("golden/cases/sd-small-blocks/trace.json".as_ref()).unwrap();
    let tensors = read("golden/cases/sd-small-blocks/blocks.safetensors".as_ref()).unwrap();
    let attention = "encoder.mid_block.attentions.0";
    let given = tensors
        .into_iter()
        .find(|tensor| tensor.name.as_deref() == Some("encoder.mid_block.resnets.0"))
        .unwrap()
        .values;
    let (n, channels) = (given.shape()[0], given.shape()[1]);
    let flat = given.to_shape((n, channels, given.len() / n / channels)).unwrap();
    for (engine, vae) in engines(&checkpoint("sd-small")) {
        let run = |name: &str, input: ArrayViewD<f32>| -> ArrayD<f32> {
            let module = format!("{attention}.{name}");
            let output = vae.forward_module(&module, input).unwrap().unwrap();
            close(&trace.encode, &module, &output, engine);
            output
        };
        let normed = run("group_norm", flat.view().into_dyn());
        let tokens = normed.permuted_axes(vec![0, 2, 1]);
        for projection in ["to_q", "to_k", "to_v"] {
            run(projection, tokens.view());
        }
    }
}

#[track_caller]
fn close(trace: &Trace, module: &str, output: &ArrayD<f32>, engine: &str) {
    let expected = trace.iter().find(|entry| entry.module == module).unwrap();
    let values: Vec<f32> = output.iter().copied().collect();
    let found = Activation::new(module, &expected.kind, output.shape(), &values);
    assert_eq!(found.shape, expected.shape, "{module}, {engine}");
    for (found, expected) in found.samples.iter().zip(&expected.samples) {
        let gap = (found.unwrap() - expected.unwrap()).abs();
        assert!(gap <= 1e-4, "{module}, {engine}: {found:?} instead of {expected:?}");
    }
}

/// No engine may fall over what it is given.
#[test]
fn inputs_that_do_not_fit_are_errors_and_unknown_modules_are_none() {
    for (engine, vae) in engines(&checkpoint("sd-small")) {
        let run = |name: &str, shape: &[usize]| {
            vae.forward_module(name, ArrayD::zeros(shape).view()).map(|run| run.map(drop))
        };
        for name in ["", "encoder.", "encoder.down_blocks.9", "encoder.conv_act", "nothing"] {
            assert!(run(name, &[1, 3, 8, 8]).is_none(), "{engine}: {name}");
        }
        for (name, shape, expected) in [
            ("encoder.conv_in", &[1, 4, 8, 8][..], "expected (N, 3, H, W), found [1, 4, 8, 8]"),
            ("encoder.conv_in", &[3, 8, 8], "found [3, 8, 8]"),
            ("encoder.conv_in", &[0, 3, 8, 8], "found [0, 3, 8, 8]"),
            ("encoder", &[1, 3, 7, 8], "sides of at least 8"),
            ("encoder.down_blocks.0", &[1, 32, 1, 4], "sides of at least 2"),
            ("encoder.down_blocks.0.downsamplers.0.conv", &[1, 32, 2, 4], "at least 3"),
            ("encoder.down_blocks.1.resnets.0", &[1, 64, 4, 4], "(N, 32, H, W)"),
            ("encoder.mid_block.attentions.0.group_norm", &[1, 64, 4, 4], "(N, 64, H * W)"),
            ("encoder.mid_block.attentions.0.to_q", &[1, 64, 4], "(N, H * W, 64)"),
            ("quant_conv", &[1, 4, 2, 2], "(N, 8, H, W)"),
        ] {
            let error = run(name, shape).unwrap().unwrap_err();
            assert!(error.to_string().contains(expected), "{engine}, {name}: {error}");
            assert!(error.subject().contains(name), "{engine}: {error}");
        }
        for (name, shape) in [
            ("encoder.down_blocks.0", &[2, 32, 2, 3][..]),
            ("encoder.down_blocks.0.downsamplers.0.conv", &[1, 32, 3, 5]),
            ("decoder.up_blocks.3", &[1, 64, 1, 1]),
        ] {
            assert!(run(name, shape).unwrap().is_ok(), "{engine}, {name}");
        }
    }
}

/// The reference engine, but for what it offers.
struct Without {
    vae: AutoencoderKL,
    spoiled: bool,
}

impl Vae for Without {
    fn config(&self) -> &VaeConfig {
        self.vae.config()
    }

    fn dtype(&self) -> Dtype {
        self.vae.dtype()
    }

    fn encode(&self, sample: ArrayView4<f32>, noise: Option<ArrayView4<f32>>) -> Result<Encoded> {
        self.vae.encode(sample, noise)
    }

    fn decode(&self, latents: ArrayView4<f32>) -> Result<ndarray::Array4<f32>> {
        let decoded = self.vae.decode(latents)?;
        Ok(if self.spoiled { decoded + 0.1 } else { decoded })
    }

    fn trace(&self, stage: Stage, input: ArrayView4<f32>) -> Option<Result<Trace>> {
        let mut trace = self.vae.trace(stage, input)?.ok()?;
        let at = trace.iter().position(|entry| entry.module == "decoder.conv_out");
        if let Some(at) = at {
            trace[at]
                .samples
                .iter_mut()
                .for_each(|sample| *sample = sample.map(|value| value + 0.1));
        }
        Some(Ok(trace))
    }
}

#[test]
fn an_implementation_that_runs_no_block_alone_is_told_that_it_cannot_be_said() {
    one_thread();
    let failures = tempfile::tempdir().unwrap();
    let load = |checkpoint: &Checkpoint| {
        let vae = AutoencoderKL::load(checkpoint, Device::CPU, Dtype::F32)?;
        Ok(Box::new(Without { vae, spoiled: true }) as Box<dyn Vae>)
    };
    for (case, why) in [
        ("sd-small-blocks", "does not run decoder.conv_out alone"),
        ("sd-small-mode", "see sd-small-blocks of the same model"),
        ("act-gelu-mode", "no case of act-gelu keeps whole tensors"),
    ] {
        let report = suite().failures(failures.path()).only(case).run(load).unwrap();
        let text = report.to_string();
        assert!(!report.passed);
        let line = text.lines().find(|line| line.starts_with("  alone:")).unwrap();
        assert!(line.contains("cannot tell whether it is broken here or inherited"), "{line}");
        assert!(line.contains(why), "{line}");
    }
    let vae = AutoencoderKL::load(&checkpoint("act-gelu"), Device::CPU, Dtype::F32).unwrap();
    let found = suite().fault("act-gelu-mode", "encoder.conv_in", &vae).unwrap();
    assert!(matches!(found, Verdict::CannotTell { .. }), "{found}");
    for (case, module) in [("no-such-case", "encoder.conv_in"), ("sd-small-blocks", "conv_in")] {
        let error = suite().fault(case, module, &vae).unwrap_err();
        assert!(error.to_string().contains(case), "{error}");
    }
}

#[test]
fn spoiled_blocks_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    copy("golden", folder.path(), &["sd-small"]);
    let file = folder.path().join("cases/sd-small-blocks/blocks.safetensors");
    let whole = std::fs::read(&file).unwrap();
    let vae = AutoencoderKL::load(&checkpoint("sd-small"), Device::CPU, Dtype::F32).unwrap();
    let ask = || {
        let suite = Suite::open(folder.path()).unwrap();
        suite.fault("sd-small-blocks", "encoder.conv_in", &vae)
    };
    assert!(ask().is_ok());
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for spoiled in [&flipped[..], &whole[..whole.len() - 4], b""] {
        std::fs::write(&file, spoiled).unwrap();
        let error = ask().unwrap_err().to_string();
        assert!(error.contains("blocks.safetensors") && error.contains("hashed"), "{error}");
    }
    std::fs::remove_file(&file).unwrap();
    assert!(ask().is_err());
}

/// What a port in another language needs to run its blocks alone.
#[test]
fn an_export_hands_out_what_is_between_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("inputs");
    let suite = suite().only("x4-upscaler-small-blocks").only("x4-upscaler-small-mode");
    let announced = suite.export_size(TensorFormat::Both).unwrap().bytes;
    suite.export(&out, TensorFormat::Both, |_| ()).unwrap();
    let listing = std::fs::read(out.join("cases.json")).unwrap();
    let listing: serde_json::Value = serde_json::from_slice(&listing).unwrap();
    let row = |name: &str| {
        let mut rows = listing["cases"].as_array().unwrap().iter();
        rows.find(|row| row["name"] == name).unwrap()["blocks"].clone()
    };
    assert!(row("x4-upscaler-small-mode").is_null());
    let listed = row("x4-upscaler-small-blocks");
    let golden = "golden/cases/x4-upscaler-small-blocks/blocks.safetensors";
    let file = out.join(listed["safetensors"].as_str().unwrap());
    assert_eq!(std::fs::read(file).unwrap(), std::fs::read(golden).unwrap());
    let names = ["encode", "decode"].map(|stage| listed[stage].as_array().unwrap().clone());
    let names: Vec<String> = names.concat().iter().map(|b| b["module"].to_string()).collect();
    assert_eq!(names.len(), blocks("x4-upscaler-small-blocks").len());
    let arrays = out.join(listed["npy"].as_str().unwrap());
    for tensor in read(golden.as_ref()).unwrap() {
        let file = arrays.join(format!("{}.npy", tensor.name.as_deref().unwrap()));
        assert_eq!(read(&file).unwrap()[0].values, tensor.values);
    }
    let written = size_of_folder(&out);
    assert!(written.abs_diff(announced) < announced / 10, "{written} written, {announced} said");
}

fn size_of_folder(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let size = |path: std::path::PathBuf| match path.is_dir() {
        true => size_of_folder(&path),
        false => path.metadata().unwrap().len(),
    };
    entries.map(size).sum()
}

/// The suite's lists, and the cases and models whose names begin with one of `names`.
fn copy(from: &str, to: &std::path::Path, names: &[&str]) {
    let from = std::path::Path::new(from);
    for file in ["manifest.json", "tolerances.json"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
    for folder in ["cases", "models"] {
        for entry in std::fs::read_dir(from.join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if !names.iter().any(|wanted| name.starts_with(wanted)) {
                continue;
            }
            let inner = if folder == "models" { format!("{name}/vae") } else { name };
            let (source, target) = (from.join(folder).join(&inner), to.join(folder).join(&inner));
            std::fs::create_dir_all(&target).unwrap();
            for file in std::fs::read_dir(source).unwrap() {
                let file = file.unwrap();
                std::fs::copy(file.path(), target.join(file.file_name())).unwrap();
            }
        }
    }
}

/// Only what is asked for: the axis order of tokens is not guessed.
#[test]
fn one_token_more_is_one_row_more() {
    let vae = FastAutoencoderKL::load(&checkpoint("sd-small"), Some(1)).unwrap();
    let name = "decoder.mid_block.attentions.0.to_v";
    let tokens = ArrayD::from_shape_fn(vec![1, 5, 64], |at| (at[1] * 64 + at[2]) as f32 * 1e-3);
    let five = vae.forward_module(name, tokens.view()).unwrap().unwrap();
    let four = tokens.slice_axis(Axis(1), (..4).into());
    let four = vae.forward_module(name, four).unwrap().unwrap();
    assert_eq!((five.shape(), four.shape()), (&[1, 5, 64][..], &[1, 4, 64][..]));
    let first = five.slice_axis(Axis(1), (..4).into());
    assert!(first.iter().zip(&four).all(|(a, b)| (a - b).abs() <= 1e-5));
}
