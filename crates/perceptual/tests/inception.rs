//! Features and Fréchet distances that pytorch-fid 0.3.0 and torch-fidelity 0.4.0 gave
//! (`vae_fidelity_tools.conformance.inception` wrote them), of weights by golden/README.md's recipe.

use serde_json::Value;
use vae_fidelity_core::recipe::Recipe;
use vae_fidelity_files::error::Result;
use vae_fidelity_kernels::threads::Threads;
use vae_fidelity_perceptual::{
    FEATURES, FeatureStatistics, Inception, InceptionInput, KernelDistance, PrecisionRecall,
};

/// Of the largest feature, and of a distance; what Python's own kernels move on other processors is as much.
const TOLERANCE: f64 = 1e-4;

fn golden() -> Value {
    serde_json::from_str(include_str!("inception.json")).unwrap()
}

fn tensor(name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let recipe = Recipe { hash: Recipe::HASH.to_owned(), ..Recipe::default() };
    let mut values = recipe.values(name, shape);
    if name.ends_with("bn.weight") {
        values.iter_mut().for_each(|value| *value += 0.5);
    }
    Ok(values)
}

fn picture(height: usize, width: usize) -> Vec<u8> {
    let level = |y: usize, x: usize, c: usize| (x * x / 5 + y * 3 + c * 40 + x * y / 16) % 256;
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
    pixels.flat_map(|(y, x)| [0, 1, 2].map(|c| level(y, x, c) as u8)).collect()
}

#[test]
fn features_are_those_of_both_packages() {
    let inception = Inception::with_weights(Threads::new(2), tensor).unwrap();
    let golden = golden();
    let rows = golden["features"].as_array().unwrap();
    assert_eq!(rows.len(), 8);
    for row in rows {
        let side = |name: &str| row[name].as_u64().unwrap() as usize;
        let (height, width) = (side("height"), side("width"));
        let how = match row["of"].as_str().unwrap() {
            "pytorch-fid" => InceptionInput::PytorchFid,
            _ => InceptionInput::TorchFidelity,
        };
        let found = inception.features((width, height), &picture(height, width), how);
        assert_eq!(found.len(), FEATURES);
        let kept = row["kept"].as_array().unwrap();
        let kept: Vec<f64> = kept.iter().map(|value| value.as_f64().unwrap()).collect();
        let most = kept.iter().copied().fold(0.0, f64::max);
        for (at, expected) in kept.iter().enumerate() {
            let found = f64::from(found[at * (FEATURES / kept.len())]);
            let off = (found - expected).abs() / most;
            assert!(off <= TOLERANCE, "{how:?} {width} x {height}, {at}: {found}, not {expected}");
        }
        let mean = found.iter().map(|&value| f64::from(value)).sum::<f64>() / FEATURES as f64;
        let expected = row["mean"].as_f64().unwrap();
        assert!((mean / expected - 1.0).abs() <= TOLERANCE, "{how:?}: {mean}, not {expected}");
    }
}

/// Features (count, 48) that depend on each other.
fn rows(count: usize, phase: usize) -> Vec<f32> {
    let value = |row: usize, column: usize| {
        let level = (row * 37 + column * column * 11 + row * column * 5 + phase * 61) % 97;
        (level as f32 + column as f32 * phase as f32) / 64.0
    };
    (0..count).flat_map(|row| (0..48).map(move |column| value(row, column))).collect()
}

#[test]
fn distances_are_those_of_both_packages() {
    let golden = golden();
    let distances = golden["distances"].as_array().unwrap();
    assert_eq!(distances.len(), 2);
    for row in distances {
        let threads = Threads::new(2);
        let count = |name: &str| row[name].as_u64().unwrap() as usize;
        let of =
            |count: usize, phase| FeatureStatistics::of(&rows(count, phase), 48, threads).unwrap();
        let (a, b) = (of(count("rows"), 0), of(count("others"), 1));
        for (found, name) in
            [(a.distance(&b, threads), "pytorch-fid"), (b.distance(&a, threads), "torch-fidelity")]
        {
            let expected = row[name].as_f64().unwrap();
            assert!((found / expected - 1.0).abs() <= TOLERANCE, "{name}: {found}, not {expected}");
        }
    }
}

/// The same, of which no two of the first 9,973 are alike.
fn scattered(count: usize, phase: usize) -> Vec<f32> {
    let value = |row: usize, column: usize| {
        let level =
            (row * 37 + column * column * 11 + row * row * (3 + column) + phase * 61) % 9973;
        (level as f32 + (2500 * phase) as f32) / 4096.0
    };
    (0..count).flat_map(|row| (0..48).map(move |column| value(row, column))).collect()
}

#[test]
fn what_is_of_sets_is_torch_fidelitys() {
    let golden = golden();
    let sets = golden["sets"].as_array().unwrap();
    assert_eq!(sets.len(), 2);
    let threads = Threads::new(2);
    for row in sets {
        let count = |name: &str| row[name].as_u64().unwrap() as usize;
        let (one, other) = (scattered(count("rows"), 0), scattered(count("others"), 1));
        let found = PrecisionRecall::of(&one, &other, 48, threads).unwrap();
        let number = |name: &str| row[name].as_f64();
        assert!((found.precision - number("precision").unwrap()).abs() < 1e-6, "{found:?}");
        assert!((found.recall - number("recall").unwrap()).abs() < 1e-6, "{found:?}");
        let kernel = KernelDistance::between(&one, &other, 48, threads);
        assert_eq!(kernel.is_some(), number("kid").is_some());
        let Some(kernel) = kernel else { continue };
        for (found, name) in [(kernel.mean, "kid"), (kernel.std, "kid_std")] {
            let expected = number(name).unwrap();
            assert!((found / expected - 1.0).abs() < TOLERANCE, "{name}: {found}, not {expected}");
        }
    }
}
