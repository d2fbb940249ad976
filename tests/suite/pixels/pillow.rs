//! Pictures are opened and resized as Pillow 13.0.0 does it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use vae_fidelity::pixels::{
    Reading, Rgb8, encode_png, open, open_bytes, requested_size, resize_bicubic, target_size,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    pillow: String,
    images: BTreeMap<String, Image>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    format: String,
    mode: String,
    width: usize,
    height: usize,
    /// SHA-256 of the RGB bytes as opened.
    rgb: String,
    /// Width, height and SHA-256 of the RGB bytes at that size.
    resized: Vec<(usize, usize, String)>,
}

fn images() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/images")
}

fn expected() -> Expected {
    let text = fs::read_to_string(images().join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn digest(pixels: &Rgb8) -> String {
    Sha256::digest(pixels.data()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn golden_images_are_what_pillow_makes_of_them() {
    let expected = expected();
    assert_eq!(expected.pillow, "13.0.0");
    let mut differences = Vec::new();
    let mut compared = 0;
    for (name, image) in &expected.images {
        let opened = open(&images().join(name)).unwrap();
        assert_eq!((opened.format.name(), opened.mode), (&*image.format, &*image.mode), "{name}");
        let pixels = &opened.pixels;
        let of_bytes = open_bytes(name.as_ref(), fs::read(images().join(name)).unwrap()).unwrap();
        assert_eq!((&of_bytes.pixels, of_bytes.notes), (pixels, opened.notes), "{name}");
        assert_eq!((pixels.width(), pixels.height()), (image.width, image.height), "{name}");
        if digest(pixels) != image.rgb {
            differences.push(format!("{name}: as opened"));
        }
        for (width, height, wanted) in &image.resized {
            compared += 1;
            if digest(&resize_bicubic(pixels, *width, *height).unwrap()) != *wanted {
                differences.push(format!("{name}: at {width} x {height}"));
            }
        }
    }
    assert!(differences.is_empty(), "not Pillow's pixels:\n{}", differences.join("\n"));
    assert!(compared > 400, "only {compared} comparisons");
}

#[test]
fn every_golden_image_has_an_expectation() {
    let mut found: Vec<_> = fs::read_dir(images())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".json") && !name.ends_with(".md"))
        .collect();
    found.sort();
    assert_eq!(found, expected().images.into_keys().collect::<Vec<_>>());
}

/// The order of the passes is visible in the bytes, both where the width and where the height has
/// to come first; so a wrong order cannot pass the golden test.
#[test]
fn the_other_order_of_the_passes_gives_other_pixels() {
    let expected = expected();
    let image = &expected.images["rgb_interlaced.png"];
    let pixels = open(&images().join("rgb_interlaced.png")).unwrap().pixels;
    let (mut width_first, mut height_first) = (0, 0);
    for (width, height, wanted) in &image.resized {
        // A resize along one axis has one pass, so two of them are two passes in a known order.
        let resized = |from: &Rgb8, w, h| resize_bicubic(from, w, h).unwrap();
        let narrow = resized(&pixels, *width, image.height);
        let short = resized(&pixels, image.width, *height);
        let by_width = digest(&resized(&narrow, *width, *height));
        let by_height = digest(&resized(&short, *width, *height));
        if by_width != by_height {
            width_first += usize::from(by_width == *wanted);
            height_first += usize::from(by_height == *wanted);
        }
    }
    assert!(width_first > 0 && height_first > 0, "{width_first} and {height_first}");
}

#[test]
fn what_is_lost_is_said() {
    let notes = |name: &str| open(&images().join(name)).unwrap().notes.join("\n");
    assert_eq!(notes("astronaut.png"), "");
    assert!(notes("exif_rotated.jpg").contains("EXIF orientation 6 is ignored"));
    assert!(notes("rgba.png").contains("alpha is dropped"));
    assert!(notes("palette_transparent.png").contains("alpha is dropped"));
    assert!(notes("rgb_transparent.png").contains("tRNS"));
    let clipped = notes("grey16.png");
    assert!(clipped.contains("% of the pixels became white"), "{clipped}");
}

/// What other programs make of the files: there is something to make where something was dropped, and only there.
#[test]
fn what_is_lost_can_be_read_otherwise() {
    let readings = |name: &str| -> Vec<Reading> {
        let opened = open(&images().join(name)).unwrap();
        let has =
            |reading: &Reading| reading.apply(&opened.pixels, &opened.dropped).unwrap().is_some();
        Reading::ALL.into_iter().filter(has).collect()
    };
    let on_any = [Reading::OnWhite, Reading::OnBlack, Reading::OnGrey];
    assert_eq!(readings("astronaut.png"), []);
    for name in ["rgba.png", "palette_transparent.png", "grey_alpha.png", "rgba16.png"] {
        assert_eq!(readings(name), on_any, "{name}");
    }
    assert_eq!(readings("grey16.png"), [Reading::SixteenBitsScaled]);
    assert_eq!(readings("exif_rotated.jpg"), []);
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let problem = |width, height| requested_size(width, height).unwrap_err().to_string();
    assert_eq!(requested_size(None, None).unwrap(), None);
    assert_eq!(requested_size(Some(64), Some(8)).unwrap(), Some((64, 8)));
    assert_eq!(problem(Some(64), None), "`width`: 64 was given without `height`");
    assert_eq!(problem(None, Some(64)), "`height`: 64 was given without `width`");
    assert_eq!(
        problem(Some(64), Some(63)),
        "`height`: expected a multiple of 8, at least 8, found 63"
    );
    assert!(problem(Some(0), Some(8)).contains("found 0"));
    assert!(problem(Some(1 << 40), Some(1 << 40)).contains("more than"));
    assert!(target_size(8, 8, Some((7, 8)), 8).is_err());
}

#[test]
fn resizing_to_nothing_or_to_too_much_is_an_error() {
    let pixels = Rgb8::new(2, 2, vec![7; 12]).unwrap();
    assert!(resize_bicubic(&pixels, 0, 2).is_err());
    assert!(resize_bicubic(&pixels, usize::MAX, usize::MAX).is_err());
    assert!(resize_bicubic(&pixels, 1 << 30, 1 << 30).is_err());
}

fn cases() -> ProptestConfig {
    let seeds =
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/pixels/pillow.proptest-regressions");
    ProptestConfig {
        cases: 64,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(seeds))),
        ..ProptestConfig::default()
    }
}

/// Any picture of up to 24 x 24 pixels.
fn pictures() -> impl Strategy<Value = Rgb8> {
    (1..=24_usize, 1..=24_usize).prop_flat_map(|(width, height)| {
        prop::collection::vec(any::<u8>(), width * height * 3)
            .prop_map(move |data| Rgb8::new(width, height, data).unwrap())
    })
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn sizing_goes_down_to_a_multiple_of_eight(
        width in 1..100_000_usize,
        height in 1..100_000_usize,
    ) {
        let (w, h) = target_size(width, height, None, 8).unwrap();
        for (side, sized) in [(width, w), (height, h)] {
            prop_assert!(sized % 8 == 0 && sized >= 8);
            prop_assert!(sized <= side || sized == 8);
            prop_assert!(side < sized + 8);
        }
        prop_assert_eq!(target_size(w, h, None, 8).unwrap(), (w, h));
    }

    #[test]
    fn resizing_to_the_same_size_changes_nothing(pixels in pictures()) {
        let same = resize_bicubic(&pixels, pixels.width(), pixels.height()).unwrap();
        prop_assert_eq!(same, pixels);
    }

    #[test]
    fn one_colour_stays_one_colour(
        colour in any::<[u8; 3]>(),
        from in (1..40_usize, 1..40_usize),
        to in (1..40_usize, 1..40_usize),
    ) {
        let pixels = Rgb8::new(from.0, from.1, colour.repeat(from.0 * from.1)).unwrap();
        let resized = resize_bicubic(&pixels, to.0, to.1).unwrap();
        prop_assert_eq!((resized.width(), resized.height()), to);
        prop_assert!(resized.data().chunks_exact(3).all(|pixel| pixel == colour));
    }

    #[test]
    fn png_gives_the_pixels_back(pixels in pictures()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture.png");
        fs::write(&path, encode_png(&pixels).unwrap()).unwrap();
        prop_assert_eq!(open(&path).unwrap().pixels, pixels);
    }
}
