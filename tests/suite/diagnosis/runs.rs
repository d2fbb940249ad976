//! A VAE, a picture, and one trip: what faults are planted into.

#[cfg(feature = "tch")]
use std::cell::RefCell;
use std::path::Path;
#[cfg(feature = "tch")]
use std::rc::Rc;

use ndarray::Array4;
use vae_fidelity::FastAutoencoderKL;
use vae_fidelity::config::Family;
use vae_fidelity::diagnosis::{Code, Diagnosis, Evidence, Finding, Reference, UserFiles, diagnose};
use vae_fidelity::image_processor::sample_of;
use vae_fidelity::pixels::{Dropped, resize_bicubic, target_size};
use vae_fidelity::{Checkpoint, Encoded, Result, Rgb8, Source, Vae};

#[cfg(feature = "tch")]
use crate::libtorch::one_thread;
#[cfg(feature = "tch")]
use crate::planted::port::{Fault, Planted};

/// A trained VAE with other latents, which no rule was tuned on.
pub const UNTOUCHED: &str = "eight-channel";

/// A loaded VAE and where it came from.
pub struct Model {
    #[cfg(feature = "tch")]
    pub checkpoint: Checkpoint,
    pub vae: FastAutoencoderKL,
    #[cfg(feature = "tch")]
    ports: RefCell<Vec<(Fault, Rc<Planted>)>>,
}

impl Model {
    /// The built-in VAE, the trained one that no rule was tuned on, or the golden model of this name.
    pub fn load(name: &str) -> Self {
        Self::of(checkpoint(name))
    }

    /// A model in a folder.
    #[cfg(feature = "tch")]
    pub fn open(folder: &Path) -> Self {
        let source = Source::parse(folder.to_str().unwrap(), None).unwrap();
        Self::of(Checkpoint::open(&source, None).unwrap())
    }

    fn of(checkpoint: Checkpoint) -> Self {
        #[cfg(feature = "tch")]
        one_thread();
        let vae = FastAutoencoderKL::load(&checkpoint, Some(1)).unwrap();
        Self {
            vae,
            #[cfg(feature = "tch")]
            checkpoint,
            #[cfg(feature = "tch")]
            ports: RefCell::default(),
        }
    }

    /// The other implementation of this model, with `fault` in it; loaded once.
    #[cfg(feature = "tch")]
    pub fn port(&self, fault: Fault) -> Result<Rc<Planted>> {
        let mut ports = self.ports.borrow_mut();
        if let Some((_, port)) = ports.iter().find(|(known, _)| *known == fault) {
            return Ok(Rc::clone(port));
        }
        let port = Rc::new(Planted::load(&self.checkpoint, fault)?);
        ports.push((fault, Rc::clone(&port)));
        Ok(port)
    }
}

/// What [`Model::load`] loads.
pub fn checkpoint(name: &str) -> Checkpoint {
    let folder = |path: String| Source::parse(&path, None).unwrap();
    let source = match name {
        "builtin" => Source::Builtin,
        UNTOUCHED => folder(format!("tests/fixtures/models/{name}")),
        name => {
            let mut models = [
                "golden/models",
                "golden/tiny/models",
                "golden/asymmetric/models",
                "golden/wan/models",
                "golden/dc/models",
                "golden/hunyuan/models",
            ]
            .into_iter();
            let holds = |models: &&str| Path::new(models).join(name).is_dir();
            folder(format!("{}/{name}", models.find(holds).unwrap()))
        }
    };
    Checkpoint::open(&source, None).unwrap()
}

/// One picture's way through one VAE.
pub struct Run {
    pub source: Rgb8,
    pub dropped: Dropped,
    pub seen: Rgb8,
    pub sample: Array4<f32>,
    pub encoded: Encoded,
    pub latents: Array4<f32>,
    pub decoded: Array4<f32>,
}

impl Run {
    pub fn of(vae: &dyn Vae, source: &Rgb8) -> Result<Self> {
        let (width, height) =
            target_size(source.width(), source.height(), None, vae.config().multiple_of())?;
        let seen = resize_bicubic(source, width, height)?;
        let sample = sample_of(vae.config(), &seen, None, vae.dtype())?;
        let encoded = vae.encode(sample.view(), None)?;
        let latents = vae.scale(encoded.latents.view())?;
        let decoded = vae.decode(vae.unscale(latents.view())?.view())?;
        Ok(Self {
            source: source.clone(),
            dropped: Dropped::default(),
            seen,
            sample,
            encoded,
            latents,
            decoded,
        })
    }

    /// The same, of a file that `dropped` was left out of.
    pub fn without(self, dropped: Dropped) -> Self {
        Self { dropped, ..self }
    }

    /// What the rules say of this run, beside `files`.
    pub fn diagnosis(
        &self,
        vae: &dyn Vae,
        files: &UserFiles,
        reference: Option<Reference>,
    ) -> Result<Diagnosis> {
        self.diagnosis_beside(vae, &[], files, reference)
    }

    /// The same, by rules that do not know `code`.
    pub fn diagnosis_without(
        &self,
        code: Code,
        vae: &dyn Vae,
        files: &UserFiles,
        reference: Option<Reference>,
    ) -> Result<Diagnosis> {
        self.diagnosed(&[code], vae, &[], files, reference)
    }

    /// The same, beside what the checkpoint says without running it.
    pub fn diagnosis_beside(
        &self,
        vae: &dyn Vae,
        weights: &[Finding],
        files: &UserFiles,
        reference: Option<Reference>,
    ) -> Result<Diagnosis> {
        self.diagnosed(&[], vae, weights, files, reference)
    }

    /// The same, by rules that do not know some codes.
    pub fn diagnosed(
        &self,
        unknown: &[Code],
        vae: &dyn Vae,
        weights: &[Finding],
        files: &UserFiles,
        reference: Option<Reference>,
    ) -> Result<Diagnosis> {
        let evidence = Evidence {
            vae,
            family: Family::Unknown,
            source: &self.source,
            dropped: Some(&self.dropped),
            orientation: None,
            size_requested: false,
            latents_are_given: false,
            seen: &self.seen,
            sample: &self.sample,
            encoded: &self.encoded,
            drawn: false,
            latents: &self.latents,
            decoded: &self.decoded,
            reference,
            regrouped: None,
            weights,
            files,
            unknown,
        };
        diagnose(&evidence, reference.is_some())
    }
}

/// Numbers from a seed, the same on every machine.
pub struct Numbers(pub u64);

impl Numbers {
    /// In [0, 1).
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Standard normal.
    pub fn normal(&mut self) -> f32 {
        let (u, v) = (1.0 - self.unit(), self.unit());
        ((-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()) as f32
    }
}
