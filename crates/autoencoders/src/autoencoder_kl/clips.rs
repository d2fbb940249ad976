//! diffusers' operations on clips of one frame, on libtorch: `models/autoencoders/autoencoder_kl_wan.py`,
//! `autoencoder_kl_qwenimage21.py`.
//!
//! A clip is (N, C, 1, H, W) there and an image (N, C, H, W) here; the frame is put in where an operation
//! looks at it. Both lie the same in memory.

use tch::{Kind, TchError, Tensor};

use super::engine::Kernel;
use vae_fidelity_core::graph::{AvgDown3D, DupUp3D};

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
    let sides = [padding, padding, padding, padding, 2 * padding, 0];
    xs.f_unsqueeze(2)?
        .f_pad(sides, "constant", Some(0.0))?
        .f_conv3d(kernel.weight, kernel.bias, [1; 3], [0; 3], [1; 3], 1)?
        .f_squeeze_dim(2)
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
        .f_mul(&gamma.f_view([channels, 1, 1])?)?
        .f_add_scalar(0.0)
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

/// `AvgDown3D`: the frames of zeros before the first one are part of each mean.
pub(super) fn avg_down(xs: &Tensor, shape: AvgDown3D) -> Tried {
    let [ft, fs] = [shape.factor_t, shape.factor_s].map(|factor| factor as i64);
    let clip = xs.f_unsqueeze(2)?.f_pad([0, 0, 0, 0, ft - 1, 0], "constant", Some(0.0))?;
    let size = clip.size();
    let (n, channels, height, width) = (size[0], size[1], size[3] / fs, size[4] / fs);
    clip.f_contiguous()?
        .f_view(&[n, channels, 1, ft, height, fs, width, fs][..])?
        .f_permute([0, 1, 3, 5, 7, 2, 4, 6])?
        .f_contiguous()?
        .f_view([n, shape.out_channels as i64, shape.group_size() as i64, 1, height, width])?
        .f_mean_dim([2i64].as_slice(), false, None)?
        .f_squeeze_dim(2)
}

/// `DupUp3D`, of the first frames of a clip.
pub(super) fn dup_up(xs: &Tensor, shape: DupUp3D) -> Tried {
    let [ft, fs] = [shape.factor_t, shape.factor_s].map(|factor| factor as i64);
    let (n, _, height, width) = xs.size4()?;
    let outputs = shape.out_channels as i64;
    xs.f_repeat_interleave_self_int(shape.repeats() as i64, 1, None)?
        .f_view(&[n, outputs, ft, fs, fs, 1, height, width][..])?
        .f_permute([0, 1, 5, 2, 6, 3, 7, 4])?
        .f_contiguous()?
        .f_view([n, outputs, ft, height * fs, width * fs])?
        .f_select(2, ft - 1)
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
