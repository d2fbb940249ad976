//! One checkpoint as a mixture of two others.

use serde::Serialize;

use super::contents::Contents;

/// B as `share` of A and the rest of C.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Mixture {
    /// A's share: 1 is A, 0 is C.
    pub share: f64,
    /// The smallest and largest share of a tensor by itself.
    pub shares: [f64; 2],
    /// Tensors that were looked at: all that are in the three files, and differ in A and C.
    pub tensors: usize,
    /// What the mixture leaves, as a share of the distance from A to C.
    pub left: f64,
}

/// A mixture that leaves more than this of the distance is none.
const LEFT: f64 = 0.05;

impl Mixture {
    /// How `b` is mixed of `a` and `c`, tensor by tensor; `None` where it is not, or A and C do not
    /// differ.
    pub fn of(a: &Contents, b: &Contents, c: &Contents) -> Option<Self> {
        let mut tensors = 0;
        let mut shares = [f64::INFINITY, f64::NEG_INFINITY];
        let (mut products, mut distances, mut left) = (0.0, 0.0, 0.0);
        for info in a.tensors() {
            let all = [a, b, c].map(|contents| contents.read(&info.name));
            let [Some(in_a), Some(in_b), Some(in_c)] = all else { continue };
            if in_a.shape != in_b.shape || in_a.shape != in_c.shape {
                continue;
            }
            let [in_a, in_b, in_c] = [in_a, in_b, in_c].map(|tensor| tensor.to_f32());
            let (mut product, mut distance, mut apart) = (0.0, 0.0, 0.0);
            for ((&a, &b), &c) in in_a.iter().zip(&in_b).zip(&in_c) {
                let [a, b, c] = [a, b, c].map(f64::from);
                product += (b - c) * (a - c);
                distance += (a - c) * (a - c);
                apart += (b - c) * (b - c);
            }
            if distance == 0.0 {
                continue;
            }
            let share = product / distance;
            tensors += 1;
            shares = [shares[0].min(share), shares[1].max(share)];
            products += product;
            distances += distance;
            left += (apart - share * product).max(0.0);
        }
        let mixture =
            Self { share: products / distances, shares, tensors, left: (left / distances).sqrt() };
        let explains = tensors > 0 && mixture.left <= LEFT;
        // A itself, and C itself, are no mixtures.
        let mixed = [0.0, 1.0]
            .iter()
            .all(|end| (shares[0] - end).abs() > 0.005 || (shares[1] - end).abs() > 0.005);
        (explains && mixed).then_some(mixture)
    }

    /// In a sentence.
    pub(super) fn conclusion(&self) -> String {
        let [least, most] = self.shares;
        let shares = match most - least < 0.02 {
            true => String::new(),
            false => format!(" (tensor by tensor from {least:.2} to {most:.2} of A)"),
        };
        format!(
            "B is a mixture: {:.3} of A and {:.3} of C{shares}; {:.2} % of the distance is left",
            self.share,
            1.0 - self.share,
            self.left * 100.0
        )
    }
}
