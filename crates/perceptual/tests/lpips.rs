//! Distances that the Python package `lpips` 0.1.4 gave (`vae_fidelity_tools.conformance.perceptual` wrote them), of
//! weights by golden/README.md's recipe and pictures by whole numbers.

use ndarray::Array4;
use serde_json::Value;
use vae_fidelity_core::recipe::Recipe;
use vae_fidelity_kernels::threads::Threads;
use vae_fidelity_perceptual::{Lpips, Net, UnitLength};

/// Of a distance; what Python's own kernels move on other processors is as much.
const TOLERANCE: f64 = 2e-5;

fn by_recipe(net: Net) -> Lpips {
    let recipe = Recipe { hash: Recipe::HASH.to_owned(), ..Recipe::default() };
    Lpips::with_weights(net, Threads::new(2), |name, shape| {
        let mut values = recipe.values(name, shape);
        // Published heads are not negative.
        if name.starts_with("lin") {
            values.iter_mut().for_each(|value| *value = value.abs());
        }
        Ok(values)
    })
    .unwrap()
}

fn picture(height: usize, width: usize, which: usize) -> Array4<f32> {
    Array4::from_shape_fn((1, 3, height, width), |(_, c, y, x)| {
        let level = x * x / (5 + which) + y * (3 + 2 * which) + c * 40 + x * y / 16;
        (level % 256) as f32 / 127.5 - 1.0
    })
}

#[test]
fn distances_are_those_of_the_authors_package() {
    let text = include_str!("distances.json");
    let golden: Value = serde_json::from_str(text).unwrap();
    let rows = golden["distances"].as_array().unwrap();
    assert_eq!(rows.len(), 12);
    for net in Net::ALL {
        let lpips = by_recipe(net);
        for row in rows.iter().filter(|row| row["net"] == net.name()) {
            let side = |name: &str| row[name].as_u64().unwrap() as usize;
            let (height, width) = (side("height"), side("width"));
            let [a, b] = [0, 1].map(|which| {
                let picture = picture(height, width, which);
                lpips.features(picture.view()).unwrap()
            });
            let found = lpips.distance(&a, &b, UnitLength::Lpips);
            let expected = row["distance"].as_f64().unwrap();
            let off = (found / expected - 1.0).abs();
            assert!(off <= TOLERANCE, "{net} {width} x {height}: {found}, expected {expected}");
        }
    }
}
