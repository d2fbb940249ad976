//! What arithmetic makes one tensor out of another, value by value.

use half::{bf16, f16};

use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::metrics::Grid;
use vae_fidelity_core::stored_tensor::StoredTensor;

use super::relation::Relation;

/// What is left of a difference where something explains it, as a share of it.
const LEFT: f64 = 0.1;
/// A factor this near to 1 is none.
const FACTOR: f64 = 0.005;
/// More than this apart, as a share of A, is no quantisation.
const COARSE: f64 = 0.5;

/// B is one value throughout, and A is not.
pub(super) fn constant(a: &[f32], b: &[f32]) -> Option<Relation> {
    let is_throughout =
        |of: &[f32]| of.first().filter(|first| of.iter().all(|value| value == *first)).copied();
    let value = is_throughout(b).filter(|_| is_throughout(a).is_none())?;
    Some(Relation::Constant { value })
}

/// Each value's bits, of one 16-bit type, as the other's.
pub(super) fn other_bits(a: &[f32], b: &[f32]) -> Option<Relation> {
    let is = |misread: fn(f32) -> f32| {
        let same = |(&a, &b): (&f32, &f32)| {
            let misread = misread(a);
            misread == b || (misread.is_nan() && b.is_nan())
        };
        a.iter().zip(b).all(same)
    };
    if is(|value| f16::from_bits(bf16::from_f32(value).to_bits()).to_f32()) {
        return Some(Relation::OtherBits { bits_of: Dtype::Bf16, read_as: Dtype::F16 });
    }
    is(|value| bf16::from_bits(f16::from_f32(value).to_bits()).to_f32())
        .then_some(Relation::OtherBits { bits_of: Dtype::F16, read_as: Dtype::Bf16 })
}

/// Sums of squares of A, of B - A, and of A times B.
fn sums(a: &[f32], b: &[f32]) -> (f64, f64, f64) {
    a.iter().zip(b).fold((0.0, 0.0, 0.0), |(square, apart, product), (&a, &b)| {
        let (a, b) = (f64::from(a), f64::from(b));
        (square + a * a, apart + (b - a) * (b - a), product + a * b)
    })
}

/// B is A times a number, or A and a number: what leaves less.
pub(super) fn line(a: &[f32], b: &[f32]) -> Option<Relation> {
    let (square, apart, product) = sums(a, b);
    let factor = product / square;
    let by =
        a.iter().zip(b).map(|(&a, &b)| f64::from(b) - f64::from(a)).sum::<f64>() / a.len() as f64;
    let left = |made: &dyn Fn(f64) -> f64| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| (f64::from(b) - made(f64::from(a))).powi(2)).sum()
    };
    let (scaled, moved) = (left(&|a| factor * a), left(&|a| a + by));
    // A factor that leaves nothing of A explains nothing of B. Written so that NaN explains nothing.
    let own: f64 = b.iter().map(|&b| f64::from(b).powi(2)).sum();
    let explains =
        |left: f64| a.len() > 1 && left <= LEFT * LEFT * apart && left <= LEFT * LEFT * own;
    if explains(scaled) && scaled <= moved && (factor - 1.0).abs() >= FACTOR && factor != 0.0 {
        return Some(Relation::Factor { factor });
    }
    (explains(moved) && moved < scaled).then_some(Relation::Moved { by })
}

/// B is A with few values in each group.
pub(super) fn quantised(b: &StoredTensor, a_values: &[f32], b_values: &[f32]) -> Option<Relation> {
    let (square, apart, _) = sums(a_values, b_values);
    let near = apart <= COARSE * COARSE * square;
    let grid = if near { Grid::of(b) } else { None };
    grid.map(|Grid { group, levels }| Relation::Quantised { group, levels })
}
