//! Tensors by their values, in whatever order those are.

use std::collections::HashMap;

use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::stored_tensor::StoredTensor;

/// Tensors of A by shape and values, to be found under other names.
#[derive(Debug, Default)]
pub(super) struct ByValues(HashMap<(Vec<usize>, Dtype, u64), Vec<String>>);

impl ByValues {
    /// Adds the tensor `name` as it is when it is rounded to `dtype`.
    pub fn add(&mut self, name: &str, tensor: &StoredTensor, dtype: Dtype) {
        // Of all zeros, or all ones, nothing is told.
        if let Some(sum) = in_any_order(tensor, dtype) {
            let key = (tensor.shape.clone(), dtype, sum);
            self.0.entry(key).or_default().push(name.to_owned());
        }
    }

    /// The one tensor that has the values of `tensor`, if it is not `name` itself.
    pub fn find(&self, name: &str, tensor: &StoredTensor, dtype: Dtype) -> Option<String> {
        let sum = in_any_order(tensor, dtype)?;
        let found = self.0.get(&(tensor.shape.clone(), dtype, sum))?;
        match found.as_slice() {
            [one] if one != name => Some(one.clone()),
            _ => None,
        }
    }
}

/// A number that the values have in any order, rounded to `dtype`; `None` where they are all one, or
/// one is not finite.
pub(super) fn in_any_order(tensor: &StoredTensor, dtype: Dtype) -> Option<u64> {
    let (mut sum, mut first, mut varies, mut finite) = (0u64, None, false, true);
    tensor.for_each_run(&mut |run| {
        for &value in run {
            let bits = dtype.round(value + 0.0).to_bits();
            varies |= *first.get_or_insert(bits) != bits;
            finite &= value.is_finite();
            sum = sum.wrapping_add(mixed(u64::from(bits)));
        }
    });
    (varies && finite).then_some(sum)
}

/// splitmix64's finisher.
pub(super) fn mixed(bits: u64) -> u64 {
    let mut z = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
