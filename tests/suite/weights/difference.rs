//! What `inspect A B` says that B is.

use half::{bf16, f16};
use vae_fidelity::report::InspectDifference;

use super::planted::{
    As, Draws, Folder, TRAINED, Tensors, each, exchanged, grouped, kernels, layers, tensors,
};

const MODEL: &str = TRAINED[0];

fn report(stored: As, change: impl FnOnce(&mut Tensors)) -> InspectDifference {
    let before = tensors(MODEL);
    let mut after = before.clone();
    change(&mut after);
    let [a, b] = [Folder::of(MODEL, &before, As::F32), Folder::of(MODEL, &after, stored)];
    InspectDifference::of(&a.contents(), &b.contents())
}

fn says(stored: As, part: &str, change: impl FnOnce(&mut Tensors)) {
    let conclusion = report(stored, change).difference.conclusion;
    assert!(conclusion.contains(part), "expected {part:?}: {conclusion}");
    assert!(!conclusion.contains("fine-tuning"), "{conclusion}");
}

fn tuned(tensors: &mut Tensors, by: f32) {
    let mut draws = Draws(3);
    layers(tensors, "", |_, values| {
        let size = values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32;
        values.iter_mut().for_each(|v| *v += by * size.sqrt() * draws.normal());
    });
}

#[test]
fn what_tools_do_to_weights_is_told_by_its_name() {
    for stored in [As::F32, As::F16] {
        says(stored, "B is 0.800 times A", |t| each(t, |v| v * 0.8));
        says(stored, "B is 0.390 times A", |t| each(t, |v| v * 0.39));
        says(stored, "to_q and to_v exchanged", |t| exchanged(t, "to_q", "to_v"));
        says(stored, "to_k and to_q exchanged", |t| exchanged(t, "to_q", "to_k"));
        says(stored, "norm1 and norm2 exchanged", |t| exchanged(t, "norm1", "norm2"));
        says(stored, "turned by 180 degrees", |t| {
            kernels(t, |row, column, rows, columns| (rows - 1 - row, columns - 1 - column));
        });
        says(stored, "rows and columns of kernels exchanged", |t| {
            kernels(t, |row, column, _, _| (column, row));
        });
        says(stored, "kernels mirrored", |t| {
            kernels(t, |row, column, _, columns| (row, columns - 1 - column));
        });
        says(stored, "transposed", |t| {
            layers(t, "to_", |shape, values| {
                let (rows, before) = (shape[0], values.clone());
                for (at, value) in values.iter_mut().enumerate() {
                    *value = before[at % rows * rows + at / rows];
                }
            });
        });
        says(stored, "output channels in another order", |t| {
            layers(t, "conv1", |shape, values| {
                let row = values.len() / shape[0];
                values.rotate_left(row);
            });
        });
        says(stored, "quantised to 4 bits for each 64 values", |t| {
            layers(t, "", |_, values| grouped(values, 64, 16));
        });
    }
    says(As::F16, "bits of bf16 read as f16", |t| {
        each(t, |v| f16::from_bits(bf16::from_f32(v).to_bits()).to_f32());
    });
}

#[test]
fn fine_tuning_rounding_and_another_training_are_still_told() {
    let conclusion = |stored, change: &dyn Fn(&mut Tensors)| -> String {
        let difference = report(stored, change).difference;
        assert!(difference.relations.is_empty(), "{:?}", difference.relations);
        difference.conclusion
    };
    assert!(conclusion(As::Bf16, &|_| {}).contains("B is A rounded to bf16"));
    for by in [0.01, 0.2] {
        for stored in [As::F32, As::Bf16] {
            let said = conclusion(stored, &|t| tuned(t, by));
            assert!(said.contains("as fine-tuning"), "{said}");
        }
    }
    let said = conclusion(As::F32, &|t| tuned(t, 3.0));
    assert!(said.contains("of another training"), "{said}");
}

#[test]
fn a_merge_of_two_is_told_with_its_shares() {
    let a = tensors(MODEL);
    let mut c = a.clone();
    tuned(&mut c, 0.7);
    let mixed = |share: &dyn Fn(usize) -> f32| -> Tensors {
        let both = a.iter().zip(&c).enumerate();
        both.map(|(at, ((name, shape, a), (.., c)))| {
            let share = share(at);
            let values = a.iter().zip(c).map(|(a, c)| share * a + (1.0 - share) * c).collect();
            (name.clone(), shape.clone(), values)
        })
        .collect()
    };
    let conclusion = |b: &Tensors| {
        let [a, b, c] = [(&a, As::F32), (b, As::F16), (&c, As::F32)]
            .map(|(tensors, stored)| Folder::of(MODEL, tensors, stored).contents());
        InspectDifference::beside(&a, &b, Some(&c)).difference.conclusion
    };
    let said = conclusion(&mixed(&|_| 0.3));
    assert!(said.contains("0.300 of A and 0.700 of C;"), "{said}");
    let said = conclusion(&mixed(&|at| if at / 2 % 2 == 0 { 0.2 } else { 0.6 }));
    assert!(said.contains("from 0.20 to 0.60 of A"), "{said}");
    // A third training is no mixture of two.
    let mut other = a.clone();
    layers(&mut other, "", |_, values| values.reverse());
    let said = conclusion(&other);
    assert!(!said.contains("mixture"), "{said}");
}
