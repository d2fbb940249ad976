//! The values of one tensor beside those of another.

use serde::Serialize;

use crate::dtype::Dtype;
use crate::stored_tensor::StoredTensor;

/// How the values of two tensors of one shape compare.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ValueDifference {
    /// Same dtype, same bits.
    pub bit_equal: bool,
    /// Same values, in whatever dtypes (NaN and infinity equal nothing, 0 equals -0).
    pub equal: bool,
    /// B's values are A's, rounded to B's dtype.
    pub b_rounds_a: bool,
    /// A's values are B's, rounded to A's dtype.
    pub a_rounds_b: bool,
    /// Values that differ.
    pub differing: usize,
    /// Largest difference; `None` where a value is not finite.
    pub max_abs_diff: Option<f64>,
    /// Sum of squared differences of finite values.
    #[serde(skip)]
    pub squared_error: f64,
    /// Sum of A's squared values, where both are finite.
    #[serde(skip)]
    pub squared_values: f64,
}

impl ValueDifference {
    /// Whether the values are the same but for rounding.
    pub fn is_plain(&self) -> bool {
        self.equal || self.b_rounds_a || self.a_rounds_b
    }

    /// Compares two tensors of one shape.
    pub fn of(a: &StoredTensor, b: &StoredTensor) -> Self {
        let bit_equal = a.dtype == b.dtype && a.data == b.data;
        let mut difference = Self {
            bit_equal,
            equal: true,
            b_rounds_a: true,
            a_rounds_b: true,
            differing: 0,
            max_abs_diff: Some(0.0),
            squared_error: 0.0,
            squared_values: 0.0,
        };
        let [a_values, b_values] = [a.to_f32(), b.to_f32()];
        for (a_value, b_value) in a_values.into_iter().zip(b_values) {
            difference.add(a_value, b_value, a.dtype, b.dtype);
        }
        difference
    }

    fn add(&mut self, a: f32, b: f32, a_dtype: Dtype, b_dtype: Dtype) {
        if a != b {
            self.equal = false;
            self.differing += 1;
            self.b_rounds_a &= b_dtype.round(a) == b;
            self.a_rounds_b &= a_dtype.round(b) == a;
        }
        if !a.is_finite() || !b.is_finite() {
            self.max_abs_diff = None;
            return;
        }
        let (a, b) = (f64::from(a), f64::from(b));
        let error = (a - b).abs();
        self.max_abs_diff = self.max_abs_diff.map(|max| max.max(error));
        self.squared_error += error * error;
        self.squared_values += a * a;
    }
}
