//! A clip's way: frames, sample, latents, decoded frames, metrics. Its first frame also goes a picture's.

use std::path::{Path, PathBuf};

use ndarray::{Array4, Axis, concatenate};

use super::folder::pictures_in;
use super::loaded::Pipeline;
use super::picture::{Picture, Seen, Taken, picture_of};
use crate::config::{FRAMES_OF_A_LATENT, VaeConfig};
use crate::memory::available_bytes;
use crate::metrics::PixelMetrics;
use crate::pixels::{Alpha8, Exif, OpenedImage, encode_frames_png, open_frames, open_frames_bytes};
use crate::report::{ClipReport, ClipTensor};
use crate::{Error, ErrorKind, Result, Rgb8};

/// What a clip was made from and came back as, for files.
#[derive(Debug, Clone)]
pub struct CheckedClip {
    /// What the VAE saw, frame by frame, with alpha where it is one of RGBA.
    pub seen: Vec<(Rgb8, Option<Alpha8>)>,
    /// What was decoded; empty where the arithmetic has no picture.
    pub pictures: Vec<(Rgb8, Option<Alpha8>)>,
    /// Scaled latents (T', C, h, w).
    pub latents: Array4<f32>,
    /// Mean and log-variance before clamping, (T', 2C, h, w), where the model exposes them.
    pub moments: Option<Array4<f32>>,
    /// What a draw was made with, (T', C, h, w); `None` for the mode.
    pub noise: Option<Array4<f32>>,
    /// The decoded frames before clamping, (T, 3, H, W), with a fourth channel in RGBA.
    pub decoded: Array4<f32>,
}

impl CheckedClip {
    /// What the VAE saw, as an animated PNG.
    ///
    /// # Errors
    ///
    /// When it cannot be encoded.
    pub fn seen_png(&self) -> Result<Vec<u8>> {
        animated_png(&self.seen)
    }

    /// What was decoded, as an animated PNG.
    ///
    /// # Errors
    ///
    /// When it cannot be encoded; in bf16, which has no picture.
    pub fn pictures_png(&self) -> Result<Vec<u8>> {
        animated_png(&self.pictures)
    }

    /// Both for a page, what the VAE saw first; `None` where the arithmetic has no picture.
    ///
    /// # Errors
    ///
    /// When they cannot be encoded.
    pub fn animations(&self) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        match self.pictures.is_empty() {
            true => Ok(None),
            false => Ok(Some((self.seen_png()?, self.pictures_png()?))),
        }
    }
}

fn animated_png(frames: &[(Rgb8, Option<Alpha8>)]) -> Result<Vec<u8>> {
    let frames: Vec<_> = frames.iter().map(|(pixels, alpha)| (pixels, alpha.as_ref())).collect();
    encode_frames_png(&frames)
}

/// The frames behind the first one.
pub(super) struct Later {
    frames: Vec<Taken>,
    /// How many frames the clip has; more than are here where a still picture is repeated.
    count: usize,
}

impl Picture<'_> {
    /// The first of `count` frames, and those behind it: of an animation, of a folder's pictures by name, of what is in
    /// memory, or of a still picture that is repeated.
    pub(super) fn frames(
        self,
        count: usize,
        exif: Exif,
        config: &VaeConfig,
    ) -> Result<(Taken, Later)> {
        check_count(count)?;
        let name = self.name().to_owned();
        let animated = |opened: Vec<OpenedImage>| {
            if opened.len() > 1 {
                enough(&name, opened.len(), count)?;
            }
            let taken = |opened| Taken::of_file(&name, opened, exif, config);
            opened.into_iter().map(taken).collect::<Result<Vec<_>>>()
        };
        let in_memory = |frames: Vec<Self>| {
            if frames.len() > 1 {
                enough(&name, frames.len(), count)?;
            }
            let frames = frames.into_iter().take(count);
            frames.map(|frame| frame.taken(exif, config)).collect::<Result<Vec<_>>>()
        };
        let opened = match self {
            Self::File(path) if path.is_dir() => {
                let files = pictures_in(path)?;
                enough(&name, files.len(), count)?;
                let open = |file: &PathBuf| Picture::File(file).taken(exif, config);
                files[..count].iter().map(open).collect::<Result<Vec<_>>>()?
            }
            Self::File(path) => animated(open_frames(path, count)?)?,
            Self::Bytes { name, bytes } => animated(open_frames_bytes(name, bytes, count)?)?,
            Self::Frames { name, frames, mut notes } => {
                let pixels = |(pixels, alpha)| {
                    // What is said of all of them is said once.
                    let notes = std::mem::take(&mut notes);
                    Picture::Pixels { name, pixels, alpha, notes }
                };
                in_memory(frames.into_iter().map(pixels).collect())?
            }
            Self::Sample { name, sample } => {
                let frames = sample.axis_chunks_iter(Axis(0), 1);
                in_memory(
                    frames
                        .map(|frame| Picture::Sample { name, sample: frame.to_owned() })
                        .collect(),
                )?
            }
            Self::Pixels { .. } => in_memory(vec![self])?,
        };
        let mut frames = opened.into_iter();
        let Some(mut first) = frames.next() else {
            return Err(Error::image(&name, "has no frame", "name another file"));
        };
        first.name = name;
        Ok((first, Later { frames: frames.collect(), count }))
    }
}

/// Errors for a number of frames that diffusers does not encode whole.
fn check_count(count: usize) -> Result<()> {
    match count > 1 && count % FRAMES_OF_A_LATENT == 1 {
        true => Ok(()),
        false => Err(Error::option(
            format!("`frames` {count}"),
            "expected one more than a multiple of 4, as diffusers encodes them",
            "give 5, 9, 13, ...; without it one picture is judged",
        )),
    }
}

fn enough(name: &Path, found: usize, count: usize) -> Result<()> {
    if found >= count {
        return Ok(());
    }
    let fewer = (found - 1) / FRAMES_OF_A_LATENT * FRAMES_OF_A_LATENT + 1;
    let next = match fewer {
        1 => "give a longer clip".to_owned(),
        fewer => format!("give a longer clip, or ask for {fewer}"),
    };
    Err(Error::image(name, format!("expected {count} frames, found {found}"), next))
}

/// Errors where the frames alone, before and after, are more than the system can give.
fn check_fits(frames: usize, (width, height): (usize, usize)) -> Result<()> {
    let least =
        (frames as u64).saturating_mul(6 * size_of::<f32>() as u64 * (width * height) as u64);
    match available_bytes() {
        Some(available) if available < least => Err(Error::new(
            ErrorKind::Memory,
            format!("{frames} frames of {width} x {height} pixels"),
            format!(
                "take {} MiB of memory or more, and the system can give {}",
                least >> 20,
                available >> 20
            ),
            "take fewer frames, or smaller ones",
        )),
        _ => Ok(()),
    }
}

impl Pipeline {
    /// The clip of `first`, whose frame is `seen` already, and of `later` ones; drawn with `seed`.
    pub(super) fn clip(
        &self,
        (first, seen): (&Taken, &Seen),
        later: &Later,
        seed: Option<i128>,
    ) -> Result<(ClipReport, CheckedClip)> {
        let vae = self.clip_vae()?;
        let dtype = vae.dtype();
        let size = (seen.pixels.width(), seen.pixels.height());
        check_fits(later.count, size)?;
        let mut frames = vec![seen.clone()];
        let mut samples = vec![first.sample_of(seen, dtype)?];
        for taken in &later.frames {
            let seen = taken.seen(size)?;
            samples.push(taken.sample_of(&seen, dtype)?);
            frames.push(seen);
        }
        let still = later.frames.is_empty();
        if still {
            frames.resize(later.count, frames[0].clone());
            samples.resize(later.count, samples[0].clone());
        }
        let views: Vec<_> = samples.iter().map(Array4::view).collect();
        let sample = concatenate(Axis(0), &views).map_err(|error| {
            Error::tensor(first.name.display(), error, "give frames of one size")
        })?;
        let noise = |seed| self.execution.noise_of_clip(vae.config(), seed, frames.len(), size);
        let noise = seed.map(noise).transpose()?;
        let encoded = vae.encode(sample.view(), noise.as_ref().map(Array4::view))?;
        let latents = vae.scale(encoded.latents.view())?;
        let decoded = vae.decode(vae.unscale(latents.view())?.view())?;

        let mut pictures = Vec::new();
        for frame in decoded.axis_chunks_iter(Axis(0), 1) {
            let (picture, alpha) = picture_of(frame, dtype)?;
            pictures.extend(picture.map(|picture| (picture, alpha)));
        }
        let sound = decoded.iter().all(|value| value.is_finite());
        let pairs = frames.iter().zip(&pictures).filter(|_| sound);
        let metrics = pairs.map(|(seen, (picture, _))| PixelMetrics::of(&seen.pixels, picture));
        let report = ClipReport {
            frames: frames.len(),
            still,
            latents: ClipTensor::of(&latents),
            decoded: ClipTensor::of(&decoded),
            metrics: metrics.collect::<Result<_>>()?,
        };
        let seen = frames.into_iter().map(|seen| (seen.pixels, seen.alpha)).collect();
        let moments = encoded.moments;
        Ok((report, CheckedClip { seen, pictures, latents, moments, noise, decoded }))
    }
}
