//! A tensor of weights in the type that its file has it in.

use std::borrow::Cow;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::dtype::Dtype;
use crate::element_type::ElementType;

/// One tensor as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTensor<'a> {
    /// How its values are encoded: f32, f16 or bf16. (f64 has been rounded to f32; 8-bit floats
    /// have become f16, which holds each of them exactly, or f32 where the file scales them.)
    pub dtype: Dtype,
    /// Sizes of its dimensions.
    pub shape: Vec<usize>,
    /// Little-endian values in C order.
    pub data: Cow<'a, [u8]>,
}

impl StoredTensor<'_> {
    /// Calls `visit` with all values as f32, in C order, some thousand at a time.
    pub fn for_each_run(&self, visit: &mut dyn FnMut(&[f32])) {
        const RUN: usize = 4096;
        let mut run = [0f32; RUN];
        let mut halves = [f16::ZERO; RUN];
        let width = ElementType::from(self.dtype).size_bytes();
        for bytes in self.data.chunks(RUN * width) {
            let run = &mut run[..bytes.len() / width];
            match self.dtype {
                Dtype::F32 => {
                    let values = run.iter_mut().zip(bytes.as_chunks().0);
                    values.for_each(|(value, &bytes)| *value = f32::from_le_bytes(bytes));
                }
                Dtype::F16 => {
                    let halves = &mut halves[..run.len()];
                    let values = halves.iter_mut().zip(bytes.as_chunks().0);
                    values.for_each(|(value, &bytes)| *value = f16::from_le_bytes(bytes));
                    halves.convert_to_f32_slice(run);
                }
                // Its bits are the upper half of an f32's.
                Dtype::Bf16 => {
                    let values = run.iter_mut().zip(bytes.as_chunks().0);
                    values.for_each(|(value, &bytes)| {
                        *value = f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16);
                    });
                }
            }
            visit(run);
        }
    }

    /// The value at `index` in C order, without reading the others; `None` beyond the last.
    pub fn value(&self, index: usize) -> Option<f32> {
        let width = ElementType::from(self.dtype).size_bytes();
        let bytes = self.data.get(index.checked_mul(width)?..)?;
        match self.dtype {
            Dtype::F32 => bytes.first_chunk().map(|&b| f32::from_le_bytes(b)),
            Dtype::F16 => bytes.first_chunk().map(|&b| f16::from_le_bytes(b).to_f32()),
            Dtype::Bf16 => bytes.first_chunk().map(|&b| bf16::from_le_bytes(b).to_f32()),
        }
    }

    /// The values as f32: exact from every dtype that is read.
    pub fn to_f32(&self) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.shape.iter().product());
        self.for_each_run(&mut |run| values.extend_from_slice(run));
        values
    }

    /// The same in f32, each value rounded to `dtype`.
    pub fn rounded(&self, dtype: Dtype) -> StoredTensor<'static> {
        let mut data = Vec::with_capacity(4 * self.shape.iter().product::<usize>());
        self.for_each_run(&mut |run| {
            for &value in run {
                data.extend_from_slice(&dtype.round(value).to_le_bytes());
            }
        });
        StoredTensor { dtype: Dtype::F32, shape: self.shape.clone(), data: Cow::Owned(data) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounded_values_stay_in_f32() {
        let values = [0.1f32, -65504.0, 1e-8, 3.0];
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let stored = StoredTensor { dtype: Dtype::F32, shape: vec![2, 2], data: Cow::Owned(data) };
        for dtype in [Dtype::F16, Dtype::Bf16] {
            let rounded = stored.rounded(dtype);
            assert_eq!((rounded.dtype, &rounded.shape), (Dtype::F32, &stored.shape));
            assert_eq!(rounded.to_f32(), values.map(|value| dtype.round(value)));
            assert_ne!(rounded.to_f32(), values);
        }
    }
}
