//! diffusers' operations of `AutoencoderDC` and `AutoencoderKLHunyuanImage` on libtorch:
//! `models/autoencoders/autoencoder_dc.py`, `autoencoder_kl_hunyuanimage.py`, `models/attention_processor.py`,
//! `models/normalization.py`.

use tch::{Kind, TchError, Tensor};

use super::engine::{Layer, Shuffle};

type Tried = Result<Tensor, TchError>;

/// What linear and quadratic attention add to what they divide by.
const EPS: f64 = 1e-15;

/// `RMSNorm`: 16-bit values are squared and scaled in f32.
pub(super) fn rms_norm_of_pixels(xs: &Tensor, layer: Layer<Tensor>, eps: f64) -> Tried {
    let variance = xs
        .f_to_kind(Kind::Float)?
        .f_pow_tensor_scalar(2)?
        .f_mean_dim([-1i64].as_slice(), true, None)?
        .f_add_scalar(eps)?
        .f_rsqrt()?;
    xs.f_mul(&variance)?.f_to_kind(layer.weight.kind())?.f_mul(layer.weight)?.f_add(layer.bias)
}

/// Functions without tensors.
pub(super) fn shuffled(xs: &Tensor, shuffle: Shuffle) -> Tried {
    match shuffle {
        Shuffle::SpaceToChannels => xs.f_pixel_unshuffle(2),
        Shuffle::ChannelsToSpace => xs.f_pixel_shuffle(2),
        Shuffle::GroupMeans(count) => {
            xs.f_unflatten(1, [-1, count as i64])?.f_mean_dim([2i64].as_slice(), false, None)
        }
        Shuffle::Repeat(times) => xs.f_repeat_interleave_self_int(times as i64, 1, None),
        Shuffle::Gate => {
            let halves = xs.f_chunk(2, 1)?;
            halves[0].f_mul(&halves[1].f_silu()?)
        }
        Shuffle::ChannelsLast => xs.f_movedim_int(1, -1),
        Shuffle::ChannelsFirst => xs.f_movedim_int(-1, 1),
        Shuffle::SquaresToChannels => {
            let (n, channels, height, width) = xs.size4()?;
            let (height, width) = (height / 2, width / 2);
            xs.f_reshape([n, channels, height, 2, width, 2])?
                .f_permute([0, 3, 5, 1, 2, 4])?
                .f_reshape([n, 4 * channels, height, width])
        }
        Shuffle::ChannelsToSquares => {
            let (n, channels, height, width) = xs.size4()?;
            xs.f_reshape([n, 2, 2, channels / 4, height, width])?
                .f_permute([0, 3, 4, 1, 5, 2])?
                .f_reshape([n, channels / 4, 2 * height, 2 * width])
        }
    }
}

/// The middle of `HunyuanImageAttentionBlock`: tokens of three dimensions, by which `at::` chooses another kernel
/// than for four, and an image whose channels lie last.
pub(super) fn attention_of_images(qkv: &[Tensor; 3]) -> Tried {
    let (n, channels, height, width) = qkv[0].size4()?;
    let tokens = |xs: &Tensor| {
        xs.f_permute([0, 2, 3, 1])?.f_reshape([n, height * width, channels])?.f_contiguous()
    };
    Tensor::f_scaled_dot_product_attention(
        &tokens(&qkv[0])?,
        &tokens(&qkv[1])?,
        &tokens(&qkv[2])?,
        None::<Tensor>,
        0.0,
        false,
        None,
        false,
    )?
    .f_reshape([n, height, width, channels])?
    .f_permute([0, 3, 1, 2])
}

/// `SanaMultiscaleAttnProcessor2_0` between its projections. Of no more pixels than a head has channels all
/// pairs are weighed, and of more the sum over pixels is taken first, in f32.
pub(super) fn multiscale_attention(scales: &[Tensor], head_dim: i64) -> Tried {
    let hidden = Tensor::f_cat(scales, 1)?;
    let kind = hidden.kind();
    let (n, _, height, width) = hidden.size4()?;
    let is_linear = height * width > head_dim;
    let hidden = if is_linear { hidden.f_to_kind(Kind::Float)? } else { hidden };
    let parts = hidden.f_reshape([n, -1, 3 * head_dim, height * width])?.f_chunk(3, 2)?;
    let (query, key, value) = (parts[0].f_relu()?, parts[1].f_relu()?, &parts[2]);
    let attended = match is_linear {
        true => {
            let value = value.f_pad([0, 0, 0, 1], "constant", Some(1.0))?;
            let sums = value.f_matmul(&key.f_transpose(-1, -2)?)?.f_matmul(&query)?;
            let weights = sums.f_narrow(2, head_dim, 1)?.f_add_scalar(EPS)?;
            sums.f_narrow(2, 0, head_dim)?.f_div(&weights)?.f_to_kind(kind)?
        }
        false => {
            let scores = key.f_transpose(-1, -2)?.f_matmul(&query)?.f_to_kind(Kind::Float)?;
            let sums = scores.f_sum_dim_intlist([2i64].as_slice(), true, None)?;
            let scores = scores.f_div(&sums.f_add_scalar(EPS)?)?;
            value.f_matmul(&scores.f_to_kind(kind)?)?
        }
    };
    attended.f_reshape([n, -1, height, width])
}
