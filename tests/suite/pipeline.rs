//! The library's way to a report is the command's.

use std::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{Array4, ArrayView4};
use vae_fidelity::image_processor::normalize;
use vae_fidelity::pipeline::{CheckOptions, Picture, ProbeOptions, Step, TraceOptions};
use vae_fidelity::pixels::{self, resize_bicubic};
use vae_fidelity::probe::{Chart, Sent};
use vae_fidelity::verdict::Verdict;
use vae_fidelity::{Cancellation, Dtype, Engine, ErrorKind, Pipeline};

const PHOTO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/images/astronaut.png");

fn small() -> vae_fidelity::pipeline::PipelineBuilder {
    Pipeline::builder().engine(Engine::Fast).device("cpu".parse().unwrap())
}

fn at_64() -> CheckOptions {
    let mut options = CheckOptions::default();
    options.size = Some((64, 64));
    options
}

#[test]
fn a_report_has_what_was_asked_for_and_each_step_is_told() {
    let pipeline = small().repo("builtin").build().unwrap();
    let mut options = at_64();
    options.seed = Some(7);
    options.trace = true;
    let steps = std::cell::RefCell::new(Vec::new());
    let checked =
        pipeline.check_with(PHOTO, &options, |step| steps.borrow_mut().push(step)).unwrap();
    assert_eq!(checked.report.verdict, Verdict::Pass);
    assert_eq!(checked.report.posterior.seed, Some(7));
    assert_eq!(checked.latents.dim(), (1, 16, 8, 8));
    assert_eq!(checked.noise.map(|noise| noise.dim()), Some((1, 16, 8, 8)));
    assert_eq!(checked.decoded.dim(), (1, 3, 64, 64));
    assert!(checked.trace.is_some() && checked.visibility.is_some());
    let steps = steps.into_inner();
    assert_eq!(steps.first(), Some(&Step::Opening));
    assert!(steps.contains(&Step::Tracing) && !steps.contains(&Step::Forecasting), "{steps:?}");
    let traced = pipeline.trace(PHOTO, &TraceOptions::default(), |_| ()).unwrap();
    assert!(traced.trace.encode.iter().any(|layer| layer.module == "encoder.conv_in"));
}

/// The same picture as bytes, as pixels and as the encoder's sample.
#[test]
fn what_is_in_memory_is_judged_as_its_file() {
    let pipeline = small().build().unwrap();
    let of_file = pipeline.check_with(PHOTO, &at_64(), |_| ()).unwrap();
    let name = std::path::Path::new("a picture");
    let pixels = pixels::open(PHOTO.as_ref()).unwrap().pixels;
    let sample = normalize(&resize_bicubic(&pixels, 64, 64).unwrap(), Dtype::F32);
    let traced = {
        let mut options = TraceOptions::default();
        options.size = Some((64, 64));
        pipeline.trace(PHOTO, &options, |_| ()).unwrap().trace
    };
    let pictures = [
        Picture::Bytes { name, bytes: std::fs::read(PHOTO).unwrap() },
        Picture::Pixels { name, pixels, alpha: None, notes: vec!["from a camera".to_owned()] },
        Picture::Sample { name, sample: sample.clone() },
    ];
    for picture in pictures {
        let checked = pipeline.check_with(picture.clone(), &at_64(), |_| ()).unwrap();
        assert_eq!(checked.seen, of_file.seen);
        assert_eq!(checked.decoded, of_file.decoded);
        assert_eq!(checked.report.metrics, of_file.report.metrics);
        assert_eq!(checked.report.findings, of_file.report.findings);
        let input = &checked.report.input;
        assert_eq!(input.path, name);
        let is_file = matches!(picture, Picture::Bytes { .. });
        assert_eq!(
            (input.format.as_str(), input.mode.as_str()),
            (if is_file { "PNG" } else { "memory" }, "RGB")
        );
        let says = checked.report.notes.iter().any(|note| note == "from a camera");
        assert_eq!(says, matches!(picture, Picture::Pixels { .. }));
    }
    let sent = Picture::Sample { name, sample: sample.clone() };
    let of_sample = pipeline.trace(sent, &TraceOptions::default(), |_| ()).unwrap().trace;
    assert_eq!(of_sample.decode, traced.decode);

    let refused = |sample: Array4<f32>, size| {
        let mut options = CheckOptions::default();
        options.size = size;
        let picture = Picture::Sample { name, sample };
        let error = pipeline.check_with(picture, &options, |_| ()).unwrap_err();
        assert_eq!(error.subject(), "a picture");
        error.problem().to_owned()
    };
    assert!(refused(Array4::zeros((1, 3, 60, 64)), None).contains("64 x 60 pixels is not resized"));
    assert!(refused(sample.clone(), Some((32, 32))).contains("not resized to 32 x 32"));
    assert!(refused(Array4::zeros((2, 3, 64, 64)), None).contains("(2, 3, 64, 64)"));
    for value in [f32::NAN, 1.5] {
        let mut spoilt = sample.clone();
        spoilt[[0, 1, 2, 3]] = value;
        assert!(refused(spoilt, None).contains("[-1, 1]"));
    }
}

#[test]
fn frames_in_memory_are_a_clip() {
    const WAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/wan/models/wan-small");
    let pipeline = small().repo(WAN).build().unwrap();
    let name = std::path::Path::new("a clip");
    let photo = pixels::open(PHOTO.as_ref()).unwrap().pixels;
    let of_side = |number: usize| resize_bicubic(&photo, 64 + number, 64).unwrap();
    let frames: Vec<_> =
        (0..6).map(|number| resize_bicubic(&of_side(8 * number), 40, 32).unwrap()).collect();
    let samples: Vec<_> = frames.iter().map(|frame| normalize(frame, Dtype::F32)).collect();
    let samples: Vec<_> = samples.iter().map(Array4::view).collect();
    let sample = ndarray::concatenate(ndarray::Axis(0), &samples).unwrap();
    let pixels = |count: usize| Picture::Frames {
        name,
        frames: frames[..count].iter().map(|frame| (frame.clone(), None)).collect(),
        notes: vec!["from a camera".to_owned()],
    };
    let mut options = CheckOptions::default();
    options.frames = Some(5);
    let of_pixels = pipeline.check_with(pixels(6), &options, |_| ()).unwrap();
    let sample = Picture::Sample { name, sample };
    let of_sample = pipeline.check_with(sample, &options, |_| ()).unwrap();
    assert!(of_pixels.report.notes.iter().any(|note| note == "from a camera"));
    let [clip, other] = [&of_pixels, &of_sample].map(|checked| checked.clip.as_ref().unwrap());
    assert_eq!((clip.decoded.dim(), clip.seen.len()), ((5, 3, 32, 40), 5));
    assert_eq!((&clip.decoded, &clip.latents), (&other.decoded, &other.latents));
    assert_ne!(clip.seen[0], clip.seen[4]);
    let problem = |picture, options| {
        pipeline.check_with(picture, &options, |_| ()).unwrap_err().problem().to_owned()
    };
    assert_eq!(problem(pixels(3), options), "expected 5 frames, found 3");
    assert_eq!(problem(pixels(5), CheckOptions::default()), "expected one picture, found 5 frames");
}

#[test]
fn errors_name_parameters_and_no_flag() {
    let mut options = at_64();
    options.size = Some((8, 8));
    options.thresholds.min_ssim = Some(0.5);
    let pipeline = small().build().unwrap();
    let error = pipeline.check_with(PHOTO, &options, |_| ()).unwrap_err();
    assert!(error.subject().starts_with("`min_ssim`"), "{error}");
    let error = small().max_memory_bytes(1).build().unwrap().check(PHOTO).unwrap_err();
    assert!(error.subject().starts_with("`max_memory`"), "{error}");
    for text in [error.to_string(), error.next().to_owned()] {
        assert!(!text.contains("--"), "{text}");
    }
}

/// Cancelled from another thread while it encodes, a run ends; and the next one is not affected.
#[test]
fn a_long_call_can_be_cancelled() {
    let cancellation = Cancellation::default();
    let pipeline = small().cancellation(cancellation.clone()).build().unwrap();
    let seen = AtomicUsize::new(0);
    let cancelled = pipeline.check_with(PHOTO, &CheckOptions::default(), |step| {
        seen.fetch_add(1, Ordering::Relaxed);
        if step == Step::Encoding {
            cancellation.cancel();
        }
    });
    assert_eq!(cancelled.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(seen.into_inner(), 2, "nothing after encoding");
    let sample = ndarray::Array4::zeros((1, 3, 16, 16));
    let cancelled = pipeline.vae().encode(sample.view(), None).unwrap_err();
    assert_eq!(cancelled.kind(), ErrorKind::Cancelled);
    let traced = |view: ArrayView4<f32>| {
        pipeline.vae().trace(vae_fidelity::trace::Stage::Encode, view).unwrap()
    };
    assert_eq!(traced(sample.view()).unwrap_err().kind(), ErrorKind::Cancelled);
    cancellation.reset();
    pipeline.check_with(PHOTO, &at_64(), |_| ()).unwrap();
}

/// A probe tells each chart, can be cancelled between two of them, and takes no size that it has no charts of.
#[test]
fn a_probe_is_told_chart_by_chart_and_can_be_cancelled() {
    let cancellation = Cancellation::default();
    let pipeline = small().cancellation(cancellation.clone()).build().unwrap();
    let mut options = ProbeOptions::default();
    options.size = Some(128);
    let steps = std::cell::RefCell::new(Vec::new());
    let cancelled = pipeline.probe_with(&options, |step| {
        steps.borrow_mut().push(step);
        if step == Step::Probing(Sent::Chart(Chart::Ramps)) {
            cancellation.cancel();
        }
    });
    assert_eq!(cancelled.unwrap_err().kind(), ErrorKind::Cancelled);
    let steps = steps.into_inner();
    assert_eq!(steps[0], Step::Probing(Sent::Chart(Chart::DarkGrey)));
    assert_eq!(steps.len(), 4, "{steps:?}");
    assert_eq!(steps[3].to_string(), "chart 4 of 11: ramps");
    options.size = Some(100);
    let error = pipeline.probe_with(&options, |_| ()).unwrap_err();
    assert!(error.subject().starts_with("`size`") && !error.to_string().contains("--"), "{error}");
}

#[test]
fn half_precision_has_no_picture_in_bf16_and_says_so() {
    let pipeline = small().dtype(Dtype::Bf16).build().unwrap();
    let checked = pipeline.check_with(PHOTO, &at_64(), |_| ()).unwrap();
    assert!(checked.picture.is_none() && checked.report.metrics.is_none());
    assert!(checked.report.notes.iter().any(|note| note.contains("bf16 has no picture")));
}

#[test]
fn more_threads_than_any_machine_has_are_refused() {
    for threads in [0, 4097, usize::MAX] {
        let error = small().threads(threads).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Option, "{error}");
        let told = error.to_string();
        assert!(told.contains(&threads.to_string()) && told.contains("1 to 4096"), "{told}");
    }
}
