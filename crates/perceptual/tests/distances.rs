//! Distances that the Python packages `lpips` 0.1.4 and `DISTS_pytorch` 0.1 gave (`vae_fidelity_tools.conformance.perceptual` wrote them), of
//! weights by golden/README.md's recipe and pictures by whole numbers.

use ndarray::Array4;
use serde_json::Value;
use vae_fidelity_core::recipe::Recipe;
use vae_fidelity_files::error::Result;
use vae_fidelity_kernels::threads::Threads;
use vae_fidelity_perceptual::{Dists, Lpips, Net, UnitLength};

/// Of a distance; what Python's own kernels move on other processors is as much.
const TOLERANCE: f64 = 2e-5;

/// Published heads are not negative.
fn tensor(name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let recipe = Recipe { hash: Recipe::HASH.to_owned(), ..Recipe::default() };
    let mut values = recipe.values(name, shape);
    if !name.starts_with("features.") {
        values.iter_mut().for_each(|value| *value = value.abs());
    }
    Ok(values)
}

fn rows(net: &str) -> Vec<Value> {
    let golden: Value = serde_json::from_str(include_str!("distances.json")).unwrap();
    let rows = golden["distances"].as_array().unwrap();
    let rows: Vec<Value> = rows.iter().filter(|row| row["net"] == net).cloned().collect();
    assert_eq!(rows.len(), 4, "{net}");
    rows
}

/// That `distance` of two pictures of a row's size is the row's.
fn is_that_of(row: &Value, distance: impl Fn([Array4<f32>; 2]) -> f64) {
    let side = |name: &str| row[name].as_u64().unwrap() as usize;
    let (height, width) = (side("height"), side("width"));
    let found = distance([0, 1].map(|which| picture(height, width, which)));
    let expected = row["distance"].as_f64().unwrap();
    let off = (found / expected - 1.0).abs();
    assert!(off <= TOLERANCE, "{row}: {found}, expected {expected}");
}

fn picture(height: usize, width: usize, which: usize) -> Array4<f32> {
    Array4::from_shape_fn((1, 3, height, width), |(_, c, y, x)| {
        let level = x * x / (5 + which) + y * (3 + 2 * which) + c * 40 + x * y / 16;
        (level % 256) as f32 / 127.5 - 1.0
    })
}

#[test]
fn distances_are_those_of_the_authors_package() {
    for net in Net::ALL {
        let lpips = Lpips::with_weights(net, Threads::new(2), tensor).unwrap();
        for row in rows(net.name()) {
            is_that_of(&row, |pictures| {
                let [a, b] = pictures.map(|picture| lpips.features(picture.view()).unwrap());
                lpips.distance(&a, &b, UnitLength::Lpips)
            });
        }
    }
}

#[test]
fn dists_is_that_of_its_authors_package() {
    let dists = Dists::with_weights(Threads::new(2), tensor).unwrap();
    for row in rows("dists") {
        is_that_of(&row, |pictures| {
            let [a, b] = pictures.map(|picture| dists.features(picture.view()).unwrap());
            assert!(dists.distance(&a, &a).abs() < 1e-12);
            dists.distance(&a, &b)
        });
    }
}
