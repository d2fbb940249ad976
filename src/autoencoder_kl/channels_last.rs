//! Activations that lie pixel by pixel, all channels side by side: what convolutions on GPUs are fastest
//! on. libtorch's group norm would lay them out anew each time on CUDA, so it is written out here.

use tch::{Kind, TchError, Tensor};

use super::engine::Layer;

type Tried<T> = std::result::Result<T, TchError>;

/// The same (N, C, H, W) with the channels of a pixel side by side; anything else as it is.
pub(super) fn laid_out(tensor: Tensor) -> Tried<Tensor> {
    match tensor.dim() {
        4 => tensor.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2]),
        _ => Ok(tensor),
    }
}

/// `torch.nn.functional.group_norm` over (N, C, ...), with sums in f32. Nothing waits for the GPU.
pub(super) fn group_norm(
    xs: &Tensor,
    layer: Layer<Tensor>,
    groups: i64,
    eps: f64,
) -> Tried<Tensor> {
    let (shape, kind) = (xs.size(), xs.kind());
    let (n, c) = (shape[0], shape[1]);
    // (N, L, C)
    let tokens = xs.f_reshape([n, c, -1])?.f_transpose(1, 2)?;
    // (N, L, G, C / G)
    let grouped = tokens.f_reshape([n, -1, groups, c / groups])?;
    // (N, 1, G, 1)
    let (variance, mean) = match kind {
        Kind::Float => grouped.f_var_mean_correction(&[1i64, 3][..], 0, true)?,
        _ => summed_in_f32(&grouped)?,
    };
    let grouped = |weight: &Tensor| weight.f_to_kind(Kind::Float)?.f_reshape([1, 1, groups, -1]);
    // (N, 1, G, C / G)
    let scale = variance.f_add_scalar(eps)?.f_rsqrt()?.f_mul(&grouped(layer.weight)?)?;
    let shift = grouped(layer.bias)?.f_sub(&mean.f_mul(&scale)?)?;
    let of_channels = |values: Tensor| values.f_reshape([n, 1, c]);
    // Computed in f32 and rounded once, as libtorch's is: a mean far from zero leaves halves little.
    let ys = tokens.f_empty_like()?;
    let ys = of_channels(shift)?.f_addcmul_out(&ys, &tokens, &of_channels(scale)?)?;
    ys.f_transpose(1, 2)?.f_reshape(shape)
}

/// Variance and mean of each group. libtorch would hand out halves' own variance in 16 bits, which
/// overflow at a spread of 256.
fn summed_in_f32(grouped: &Tensor) -> Tried<(Tensor, Tensor)> {
    let mean = grouped.f_mean_dim(&[1i64, 3][..], true, Kind::Float)?;
    let norm = grouped.f_norm_scalaropt_dim_dtype(2, [1, 3], true, Kind::Float)?;
    let count = (grouped.numel() / mean.numel().max(1)) as f64;
    let variance = norm.f_square()?.f_div_scalar(count)?.f_sub(&mean.f_square()?)?;
    // A difference of two sums may round to less than nothing.
    Ok((variance.f_clamp_min(0)?, mean))
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    fn lies_pixel_by_pixel(xs: &Tensor) -> bool {
        let (_, c, h, w) = xs.size4().unwrap();
        xs.stride() == [h * w * c, 1, w * c, c]
    }

    #[test]
    fn group_norm_is_libtorchs_and_keeps_the_layout() {
        tch::manual_seed(1);
        for (kind, most) in [(Kind::Float, 2e-5), (Kind::Half, 4e-3), (Kind::BFloat16, 3e-2)] {
            let normal = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
            // A mean far from zero, as decoders have it; squares of 300 are beyond f16.
            let xs = (normal(&[2, 12, 5, 7]) * 30 + 300).to_kind(kind);
            let [weight, bias] = [normal(&[12]), normal(&[12])].map(|one| one.to_kind(kind));
            let layer = || Layer { weight: &weight, bias: &bias };
            let expected = xs.group_norm(4, Some(&weight), Some(&bias), 1e-6, true);
            let image = laid_out(xs.copy()).unwrap();
            assert!(lies_pixel_by_pixel(&image) && !lies_pixel_by_pixel(&xs));
            let found = group_norm(&image, layer(), 4, 1e-6).unwrap();
            assert!(lies_pixel_by_pixel(&found), "{:?}", found.stride());
            assert_eq!((found.kind(), found.size()), (kind, expected.size()));
            let off = |found: &Tensor, expected: &Tensor| {
                f64::try_from((found - expected).to_kind(Kind::Float).abs().max()).unwrap()
            };
            assert!(off(&found, &expected) <= most, "{kind:?}: {}", off(&found, &expected));
            // As attention has it: (N, C, H * W).
            let flat = group_norm(&image.reshape([2, 12, 35]), layer(), 4, 1e-6).unwrap();
            assert!(off(&flat.reshape([2, 12, 5, 7]), &expected) <= most, "{kind:?}");
        }
    }
}
