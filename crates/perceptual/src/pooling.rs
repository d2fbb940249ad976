//! `torch.nn.functional.max_pool2d` of stride 2 without padding.

use vae_fidelity_kernels::memory::Memory;
use vae_fidelity_kernels::tensor::NhwcTensor;
use vae_fidelity_kernels::threads::Threads;

/// Between two windows.
const STRIDE: usize = 2;

/// How many windows of `side` values there are along `length`; `None` where not one fits. With `ceil` the last may
/// reach over the edge, if it begins before it.
pub(crate) fn windows(length: usize, side: usize, ceil: bool) -> Option<usize> {
    let steps = length.checked_sub(side)?;
    Some(1 + if ceil { steps.div_ceil(STRIDE) } else { steps / STRIDE })
}

/// The largest value of each channel in each window; `None` where `tensor` is smaller than one.
pub(crate) fn max_pool(
    threads: Threads,
    tensor: &NhwcTensor,
    (side, ceil): (usize, bool),
    memory: &Memory,
) -> Option<NhwcTensor> {
    let (height, width) = (windows(tensor.height, side, ceil)?, windows(tensor.width, side, ceil)?);
    let mut out = NhwcTensor::uninit(memory, height, width, tensor.channels);
    let pitch = out.pitch;
    threads.for_each_part(out.values_mut(), width * pitch, |y, out| {
        let rows = STRIDE * y..(STRIDE * y + side).min(tensor.height);
        for (x, out) in out.chunks_exact_mut(pitch).enumerate() {
            let columns = STRIDE * x..(STRIDE * x + side).min(tensor.width);
            out.fill(f32::NEG_INFINITY);
            for at in rows.clone().flat_map(|y| columns.clone().map(move |x| y * tensor.width + x))
            {
                for (most, &value) in out.iter_mut().zip(&tensor.values()[at * pitch..][..pitch]) {
                    // torch keeps NaN, and so does this.
                    *most = if value > *most || value.is_nan() { value } else { *most };
                }
            }
        }
        memory.keep_within_limit();
    });
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pooled(side: usize, ceil: bool) -> (usize, usize, Vec<f32>) {
        let memory = Memory::default();
        let values: Vec<f32> = (0..16).map(|at| (at * 7 % 16) as f32 - 8.0).collect();
        let tensor = NhwcTensor::from_chw(&memory, 4, 4, 1, &values);
        let pooled = max_pool(Threads::new(2), &tensor, (side, ceil), &memory).unwrap();
        let mut planes = vec![0.0; pooled.pixels()];
        pooled.write_chw(&memory, &mut planes);
        (pooled.height, pooled.width, planes)
    }

    /// By torch 2.13: `max_pool2d((torch.arange(16) * 7 % 16 - 8.).view(1, 1, 4, 4), side, 2, ceil_mode=ceil)`.
    #[test]
    fn windows_are_torchs() {
        assert_eq!(pooled(2, false), (2, 2, vec![4.0, 6.0, 7.0, 5.0]));
        assert_eq!(pooled(3, false), (1, 1, vec![7.0]));
        assert_eq!(pooled(3, true), (2, 2, vec![7.0, 6.0, 7.0, 5.0]));
        assert_eq!(windows(2, 3, true), None);
    }
}
