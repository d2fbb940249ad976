//! Clips through the public API: goldens fail an implementation that runs their frames wrongly, a clip of one
//! frame is a picture, and what no clip goes through is refused.

use ndarray::{Array4, ArrayView4, Axis, concatenate, s};
use vae_fidelity::autoencoder_kl::DeviceChoice;
use vae_fidelity::golden::{Step, Suite};
use vae_fidelity::tiling::Splitting;
use vae_fidelity::{
    Checkpoint, Dtype, Encoded, Engine, ErrorKind, FastAutoencoderKL, Result, Source, Vae,
    VaeConfig,
};

/// Five frames are two of latents, nine are three.
const CASES: [&str; 3] = ["wan-small-clip", "wan2.2-small-clip-sample", "wan-clip-tiles"];

fn load(checkpoint: &Checkpoint) -> Result<Box<dyn Vae>> {
    #[cfg(feature = "tch")]
    crate::libtorch::one_thread();
    Engine::default().execution(DeviceChoice::Cpu, Some(Dtype::F32), None)?.load(checkpoint)
}

/// A mistake in how the frames of a clip are run.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// The frames are a batch of pictures.
    Batch,
    /// The last frame comes first.
    Reversed,
    /// Later chunks of frames look back at nothing: each is a clip behind its own first frame.
    NothingBefore,
    /// The two frames that one becomes change places.
    PairsSwapped,
    /// The frames of latents change places.
    LatentsReversed,
}

/// This crate's model with a fault.
struct Faulty {
    vae: Box<dyn Vae>,
    fault: Fault,
}

impl Vae for Faulty {
    fn config(&self) -> &VaeConfig {
        self.vae.config()
    }

    fn dtype(&self) -> Dtype {
        self.vae.dtype()
    }

    fn encode(&self, sample: ArrayView4<f32>, noise: Option<ArrayView4<f32>>) -> Result<Encoded> {
        match self.fault {
            Fault::Reversed => self.vae.encode(sample.slice(s![..;-1, .., .., ..]), noise),
            Fault::NothingBefore if noise.is_none() => {
                let first = self.vae.encode(sample.slice(s![..1, .., .., ..]), None)?;
                let later = self.vae.encode(
                    concatenate![
                        Axis(0),
                        sample.slice(s![1..2, .., .., ..]),
                        sample.slice(s![1.., .., .., ..])
                    ]
                    .view(),
                    None,
                )?;
                let joined = |first: Array4<f32>, later: Array4<f32>| {
                    concatenate![Axis(0), first, later.slice(s![1.., .., .., ..])]
                };
                let both = |first: Option<_>, later: Option<_>| {
                    first.zip(later).map(|(first, later)| joined(first, later))
                };
                Ok(Encoded {
                    moments: both(first.moments, later.moments),
                    std: both(first.std, later.std),
                    latents: joined(first.latents, later.latents),
                })
            }
            _ => self.vae.encode(sample, noise),
        }
    }

    fn decode(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        match self.fault {
            Fault::LatentsReversed => self.vae.decode(latents.slice(s![..;-1, .., .., ..])),
            Fault::PairsSwapped => {
                let mut decoded = self.vae.decode(latents)?;
                for first in (1..decoded.dim().0 - 1).step_by(2) {
                    let (mut one, mut other) =
                        decoded.multi_slice_mut((s![first, .., .., ..], s![first + 1, .., .., ..]));
                    ndarray::Zip::from(&mut one).and(&mut other).for_each(std::mem::swap);
                }
                Ok(decoded)
            }
            _ => self.vae.decode(latents),
        }
    }

    fn set_splitting(&mut self, splitting: Splitting) -> Result<()> {
        let clip = splitting.clip && self.fault != Fault::Batch;
        self.vae.set_splitting(Splitting { clip, ..splitting })
    }
}

fn failed(case: &str, fault: Fault) -> Vec<Step> {
    let failures = tempfile::tempdir().unwrap();
    let suite = Suite::open("golden").unwrap().only(case).failures(failures.path());
    let report = suite
        .run(|checkpoint| Ok(Box::new(Faulty { vae: load(checkpoint)?, fault }) as Box<dyn Vae>))
        .unwrap();
    assert_eq!(report.cases.len(), 1, "{report}");
    report.failures().map(|(_, check)| check.tensor).collect()
}

#[test]
fn goldens_tell_how_the_frames_were_run() {
    for case in CASES {
        assert_eq!(failed(case, Fault::None), [], "{case}");
        for fault in [Fault::Batch, Fault::Reversed] {
            let failed = failed(case, fault);
            assert_eq!(failed.first(), Some(&Step::Moments), "{fault:?} in {case}: {failed:?}");
        }
        for fault in [Fault::PairsSwapped, Fault::LatentsReversed] {
            let failed = failed(case, fault);
            assert_eq!(failed.first(), Some(&Step::Decoded), "{fault:?} in {case}: {failed:?}");
        }
    }
    let failed = failed("wan-small-clip", Fault::NothingBefore);
    assert_eq!(failed.first(), Some(&Step::Moments), "{failed:?}");
}

fn small(model: &str) -> Checkpoint {
    let source =
        Source::Folder { path: format!("golden/wan/models/{model}").into(), subfolder: None };
    Checkpoint::open(&source, None).unwrap()
}

fn sample(frames: usize) -> Array4<f32> {
    Array4::from_shape_fn((frames, 3, 32, 48), |(t, c, y, x)| {
        ((7 * t + 3 * c + 2 * y + x) % 19) as f32 / 9.5 - 1.0
    })
}

#[test]
fn a_clip_of_one_frame_is_a_picture_to_the_bit() {
    for model in ["wan-small", "wan2.2-small", "qwen-image-small"] {
        let mut vae = load(&small(model)).unwrap();
        let (sample, clip) = (sample(1), Splitting::default().of_clip(vae.config()).unwrap());
        let picture = vae.encode(sample.view(), None).unwrap();
        let decoded = vae.decode(picture.latents.view()).unwrap();
        vae.set_splitting(clip).unwrap();
        assert_eq!(vae.encode(sample.view(), None).unwrap(), picture, "{model}");
        assert_eq!(vae.decode(picture.latents.view()).unwrap(), decoded, "{model}");
    }
}

/// What came before a frame is looked back at, and what comes after it is not.
#[test]
fn frames_do_not_see_those_after_them() {
    let mut vae = load(&small("wan2.2-small")).unwrap();
    vae.set_splitting(Splitting::default().of_clip(vae.config()).unwrap()).unwrap();
    let nine = sample(9);
    let five = nine.slice(s![..5, .., .., ..]);
    let (long, short) = (vae.encode(nine.view(), None), vae.encode(five, None));
    let (long, short) = (long.unwrap().latents, short.unwrap().latents);
    assert_eq!((long.dim().0, short.dim().0), (3, 2));
    assert_eq!(long.slice(s![..2, .., .., ..]), short);
    let (long, short) = (vae.decode(long.view()).unwrap(), vae.decode(short.view()).unwrap());
    assert_eq!((long.dim(), short.dim().0), ((9, 3, 32, 48), 5));
    assert_eq!(long.slice(s![..5, .., .., ..]), short);
}

#[test]
fn frames_that_diffusers_would_leave_out_are_refused() {
    let mut vae = load(&small("wan-small")).unwrap();
    vae.set_splitting(Splitting::default().of_clip(vae.config()).unwrap()).unwrap();
    for (frames, left_out) in [(2, 1), (4, 3), (7, 2)] {
        let error = vae.encode(sample(frames).view(), None).unwrap_err().to_string();
        let words = format!("found {frames}; diffusers leaves the last {left_out} out");
        assert!(error.contains(&words), "{error}");
    }
}

#[test]
fn what_runs_no_clips_says_so() {
    let config = VaeConfig::from_json(r#"{"_class_name": "AutoencoderTiny"}"#, "a test").unwrap();
    let error = Splitting::default().of_clip(&config).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let limited = FastAutoencoderKL::load(&small("wan-small"), Some(1)).unwrap();
    let mut limited = limited.with_max_memory(1 << 30);
    let clip = Splitting::default().of_clip(limited.config()).unwrap();
    let error = limited.set_splitting(clip).unwrap_err().to_string();
    assert!(error.contains("single pictures"), "{error}");
}
