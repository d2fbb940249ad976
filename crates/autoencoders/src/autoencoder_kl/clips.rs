//! diffusers' operations on clips, on libtorch: `models/autoencoders/autoencoder_kl_wan.py`,
//! `autoencoder_kl_qwenimage21.py`.
//!
//! A clip is (1, C, T, H, W). A picture is (N, C, 1, H, W) there and an image (N, C, H, W) here; the frame is put
//! in where an operation looks at it. Both lie the same in memory.

use tch::{Kind, TchError, Tensor};

use super::engine::Kernel;
use vae_fidelity_core::graph::{AvgDown3D, DupUp3D, Sampling};

type Tried = Result<Tensor, TchError>;

/// What `torch.nn.functional.normalize` divides by at least.
const EPS: f64 = 1e-12;

/// `WanCausalConv3d`: zeros on each side, and before the frame those of twice as many frames. A kernel without
/// a dimension of time is `QwenImage21CausalConv3d`'s, which pads by itself too.
pub(super) fn causal_conv3d(xs: &Tensor, kernel: Kernel<Tensor>, padding: i64) -> Tried {
    if kernel.weight.dim() == 4 {
        let padded = xs.f_pad([padding; 4], "constant", Some(0.0))?;
        return padded.f_conv2d(kernel.weight, kernel.bias, [1; 2], [0; 2], [1; 2], 1);
    }
    if is_clip(xs) {
        return conv_over_frames(xs, None, kernel, padding);
    }
    conv_over_frames(&xs.f_unsqueeze(2)?, None, kernel, padding)?.f_squeeze_dim(2)
}

fn is_clip(xs: &Tensor) -> bool {
    xs.dim() == 5
}

/// `WanCausalConv3d` with a `cache_x`: the frames `before` stand where there are zeros without them.
pub(super) fn conv_over_frames(
    xs: &Tensor,
    before: Option<&Tensor>,
    kernel: Kernel<Tensor>,
    padding: i64,
) -> Tried {
    // A kernel of one frame looks back at none.
    let over_time = kernel.weight.size()[2] / 2;
    let (xs, back) = after(before, xs, 2 * over_time)?;
    let sides = [padding, padding, padding, padding, back, 0];
    xs.f_pad(sides, "constant", Some(0.0))?.f_conv3d(
        kernel.weight,
        kernel.bias,
        [1; 3],
        [0; 3],
        [1; 3],
        1,
    )
}

/// `xs` with the frames `before` it, and how many of `back` frames are still missing.
fn after(before: Option<&Tensor>, xs: &Tensor, back: i64) -> Result<(Tensor, i64), TchError> {
    match before {
        Some(before) => Ok((Tensor::f_cat(&[before, xs], 2)?, back - before.size()[2])),
        None => Ok((xs.shallow_clone(), back)),
    }
}

/// `feat_cache`: clones, since what they are a view of may be written over.
pub(super) fn last_frames(before: Option<&Tensor>, xs: &Tensor) -> Tried {
    let count = xs.size()[2];
    let last = |tensor: &Tensor, count: i64| tensor.f_narrow(2, tensor.size()[2] - count, count);
    let kept = last(xs, count.min(2))?.f_contiguous()?;
    match before {
        Some(before) if count < 2 => Tensor::f_cat(&[last(before, 1)?, kept], 2),
        _ => Ok(kept.copy()),
    }
}

/// `time_conv` of `WanResample`, on the way up with the frames that it makes of channels.
pub(super) fn time_conv(
    xs: &Tensor,
    before: Option<&Tensor>,
    kernel: Kernel<Tensor>,
    sampling: Sampling,
) -> Tried {
    match (sampling, before) {
        (Sampling::Down, None) => Err(TchError::Torch("nothing to look back at".to_owned())),
        (Sampling::Down, Some(before)) => {
            let last = before.f_narrow(2, before.size()[2] - 1, 1)?;
            let stride = [2, 1, 1];
            Tensor::f_cat(&[&last, xs], 2)?.f_conv3d(
                kernel.weight,
                kernel.bias,
                stride,
                [0; 3],
                [1; 3],
                1,
            )
        }
        (Sampling::Up, before) => {
            let (n, channels, frames, height, width) = xs.size5()?;
            let made = conv_over_frames(xs, before, kernel, 0)?
                .f_reshape([n, 2, channels, frames, height, width])?;
            Tensor::f_stack(&[made.f_select(1, 0)?, made.f_select(1, 1)?], 3)?.f_reshape([
                n,
                channels,
                2 * frames,
                height,
                width,
            ])
        }
    }
}

/// Images (T, C, H, W) as one clip (1, C, T, H, W).
pub(super) fn to_clip(images: &Tensor) -> Tried {
    images.f_permute([1, 0, 2, 3])?.f_contiguous()?.f_unsqueeze(0)
}

/// Back.
pub(super) fn to_images(clip: &Tensor) -> Tried {
    clip.f_squeeze_dim(0)?.f_permute([1, 0, 2, 3])?.f_contiguous()
}

/// What `of` makes of an image, or of each frame of a clip.
pub(super) fn of_images(xs: &Tensor, of: impl FnOnce(&Tensor) -> Tried) -> Tried {
    if !is_clip(xs) {
        return of(xs);
    }
    let (n, channels, frames, height, width) = xs.size5()?;
    let images = xs.f_permute([0, 2, 1, 3, 4])?.f_reshape([n * frames, channels, height, width])?;
    let made = of(&images)?;
    let (_, channels, height, width) = made.size4()?;
    made.f_view([n, frames, channels, height, width])?.f_permute([0, 2, 1, 3, 4])
}

/// `WanRMS_norm`: 16-bit values are divided by their length in f32.
pub(super) fn rms_norm(xs: &Tensor, gamma: &Tensor) -> Tried {
    let kind = xs.kind();
    let wide = match kind {
        Kind::Half | Kind::BFloat16 => xs.f_to_kind(Kind::Float)?,
        _ => xs.shallow_clone(),
    };
    let channels = gamma.size()[0];
    let length = wide.f_norm_scalaropt_dim(2, [1i64], true)?.f_clamp_min(EPS)?;
    wide.f_div(&length.f_expand_as(&wide)?)?
        .f_to_kind(kind)?
        .f_mul_scalar((channels as f64).sqrt())?
        .f_mul(&gamma.f_view(&ones_behind(channels, xs.dim() - 1)[..])?)?
        .f_add_scalar(0.0)
}

/// Shape of `dimensions`, all but the first of size 1.
fn ones_behind(channels: i64, dimensions: usize) -> Vec<i64> {
    let mut shape = vec![1; dimensions];
    shape[0] = channels;
    shape
}

/// The middle of `WanAttentionBlock`.
pub(super) fn qkv_attention(qkv: &Tensor) -> Tried {
    let (n, channels, height, width) = qkv.size4()?;
    // (N, 1, H * W, 3C)
    let tokens = qkv.f_reshape([n, 1, channels, -1])?.f_permute([0, 1, 3, 2])?.f_contiguous()?;
    let parts = tokens.f_chunk(3, -1)?;
    Tensor::f_scaled_dot_product_attention(
        &parts[0],
        &parts[1],
        &parts[2],
        None::<Tensor>,
        0.0,
        false,
        None,
        false,
    )?
    .f_squeeze_dim(1)?
    .f_permute([0, 2, 1])?
    .f_reshape([n, channels / 3, height, width])
}

/// `AvgDown3D`: frames of zeros before the first one make blocks whole, and are part of each mean.
pub(super) fn avg_down(xs: &Tensor, shape: AvgDown3D) -> Tried {
    if !is_clip(xs) {
        return avg_down(&xs.f_unsqueeze(2)?, shape)?.f_squeeze_dim(2);
    }
    let [ft, fs] = [shape.factor_t, shape.factor_s].map(|factor| factor as i64);
    let missing = (ft - xs.size()[2] % ft) % ft;
    let clip = xs.f_pad([0, 0, 0, 0, missing, 0], "constant", Some(0.0))?;
    let (n, channels, frames, height, width) = clip.size5()?;
    let (frames, height, width) = (frames / ft, height / fs, width / fs);
    let (outputs, group) = (shape.out_channels as i64, shape.group_size() as i64);
    clip.f_contiguous()?
        .f_view(&[n, channels, frames, ft, height, fs, width, fs][..])?
        .f_permute([0, 1, 3, 5, 7, 2, 4, 6])?
        .f_contiguous()?
        .f_view([n, outputs, group, frames, height, width])?
        .f_mean_dim([2i64].as_slice(), false, None)
}

/// `DupUp3D`, with `first` of the first frame of a clip.
pub(super) fn dup_up(xs: &Tensor, shape: DupUp3D, first: bool) -> Tried {
    if !is_clip(xs) {
        return dup_up(&xs.f_unsqueeze(2)?, shape, first)?.f_select(2, 0);
    }
    let [ft, fs] = [shape.factor_t, shape.factor_s].map(|factor| factor as i64);
    let (n, _, frames, height, width) = xs.size5()?;
    let outputs = shape.out_channels as i64;
    let made = xs
        .f_repeat_interleave_self_int(shape.repeats() as i64, 1, None)?
        .f_view(&[n, outputs, ft, fs, fs, frames, height, width][..])?
        .f_permute([0, 1, 5, 2, 6, 3, 7, 4])?
        .f_contiguous()?
        .f_view([n, outputs, frames * ft, height * fs, width * fs])?;
    match first {
        true => made.f_narrow(2, ft - 1, frames * ft - (ft - 1)),
        false => Ok(made),
    }
}

/// `patchify`: (N, C, H, W) to (N, C * p * p, H / p, W / p), channels in the order (c, pw, ph).
pub(super) fn patchify(xs: &Tensor, patch: i64) -> Tried {
    let (n, channels, height, width) = xs.size4()?;
    let (height, width) = (height / patch, width / patch);
    xs.f_contiguous()?
        .f_view([n, channels, height, patch, width, patch])?
        .f_permute([0, 1, 5, 3, 2, 4])?
        .f_contiguous()?
        .f_view([n, channels * patch * patch, height, width])
}

/// `unpatchify`: its inverse.
pub(super) fn unpatchify(xs: &Tensor, patch: i64) -> Tried {
    let (n, channels, height, width) = xs.size4()?;
    let channels = channels / (patch * patch);
    xs.f_contiguous()?
        .f_view([n, channels, patch, patch, height, width])?
        .f_permute([0, 1, 4, 3, 5, 2])?
        .f_contiguous()?
        .f_view([n, channels, height * patch, width * patch])
}
