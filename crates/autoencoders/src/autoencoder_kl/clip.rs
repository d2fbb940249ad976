//! A clip: frames run a few at a time, and every convolution over frames looks back at those before.
//!
//! `_encode` and `_decode` of `AutoencoderKLWan` and `AutoencoderKLQwenImage`
//! (`models/autoencoders/autoencoder_kl_wan.py`, `autoencoder_kl_qwenimage.py`): the first frame by itself, then four
//! at a time to latents, and one frame of latents at a time back.

use vae_fidelity_core::config::FRAMES_OF_A_LATENT;
use vae_fidelity_core::graph::Module;
use vae_fidelity_core::tiling::Part;
use vae_fidelity_files::error::Result;

use super::engine::Engine;
use super::feat_cache::FeatCache;
use super::forward::{ForwardHook, Input, Pass, forward};
use super::model::Model;

impl<E: Engine> Model<E> {
    /// [`Self::moments`], or [`Self::moments_of_clip`] of so many frames.
    pub fn moments_as(
        &self,
        clip: Option<usize>,
        sample: &E::Tensor,
        hook: ForwardHook<E::Tensor>,
    ) -> Result<E::Tensor> {
        match clip {
            None => self.moments(sample, hook),
            Some(frames) => self.moments_of_clip(sample, frames, hook),
        }
    }

    /// [`Self::decoded`], or [`Self::decoded_of_clip`] of so many frames of latents.
    pub fn decoded_as(
        &self,
        clip: Option<usize>,
        latents: &E::Tensor,
        part: Part,
        hook: ForwardHook<E::Tensor>,
    ) -> Result<E::Tensor> {
        match clip {
            None => self.decoded(latents, part, hook),
            Some(frames) => self.decoded_of_clip(latents, frames, part, hook),
        }
    }

    /// [`Model::moments`] of one clip (T, 3, H, W), T one more than a multiple of four: (T', 2C, H / f, W / f).
    fn moments_of_clip(
        &self,
        sample: &E::Tensor,
        frames: usize,
        hook: ForwardHook<E::Tensor>,
    ) -> Result<E::Tensor> {
        let sample = self.before_encoder(sample)?.owned(&self.engine, "the sample")?;
        let sample = self.engine.to_clip(sample)?;
        let later = (1..frames).step_by(FRAMES_OF_A_LATENT);
        let chunks = [(0, 1)].into_iter().chain(later.map(|first| (first, FRAMES_OF_A_LATENT)));
        let moments = self.in_chunks(&self.graph.encoder, &sample, chunks, hook)?;
        let quant_conv = self.graph.quant_conv.as_ref();
        let moments = self.through(quant_conv, Input::Owned(moments), &mut Pass::new(hook))?;
        self.engine.to_images(moments.owned(&self.engine, "the moments")?)
    }

    /// [`Model::decoded`] of one clip's unscaled latents (T', C, h, w): (T, 3, h * f, w * f).
    fn decoded_of_clip(
        &self,
        latents: &E::Tensor,
        frames: usize,
        part: Part,
        hook: ForwardHook<E::Tensor>,
    ) -> Result<E::Tensor> {
        let latents = self.engine.to_clip(self.engine.copied(latents, "the latents")?)?;
        let post_quant_conv = self.graph.post_quant_conv.as_ref();
        let latents = self.through(post_quant_conv, Input::Owned(latents), &mut Pass::new(hook))?;
        let latents = latents.owned(&self.engine, "the latents")?;
        let chunks = (0..frames).map(|first| (first, 1));
        let decoded = self.in_chunks(&self.graph.decoder, &latents, chunks, hook)?;
        self.ended(self.engine.to_images(decoded)?, part)
    }

    /// What `half` makes of the frames of `clip`, so many from so many on at a time.
    fn in_chunks(
        &self,
        half: &Module<E::Weight>,
        clip: &E::Tensor,
        chunks: impl Iterator<Item = (usize, usize)>,
        hook: ForwardHook<E::Tensor>,
    ) -> Result<E::Tensor> {
        let mut feat_cache = FeatCache::new();
        let mut made = Vec::new();
        for (first, count) in chunks {
            let frames = self.engine.frames(clip, first, count)?;
            let mut pass = Pass { hook: &mut *hook, feat_cache: Some(&mut feat_cache) };
            made.push(forward(&self.engine, half, Input::Owned(frames), &mut pass)?);
            feat_cache.first_chunk = false;
        }
        self.engine.joined(made)
    }
}
