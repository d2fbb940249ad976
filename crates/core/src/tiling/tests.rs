use super::*;
use ndarray::s;

fn config(sample_size: &str) -> VaeConfig {
    let four = |name| format!("[\"{name}\", \"{name}\"]");
    let json = format!(
        r#"{{"down_block_types": {}, "up_block_types": {}, "block_out_channels": [32, 32],
            "sample_size": {sample_size}}}"#,
        four("DownEncoderBlock2D"),
        four("UpDecoderBlock2D"),
    );
    VaeConfig::from_json(&json, "a test").unwrap()
}

fn counting(shape: (usize, usize, usize, usize)) -> Array4<f32> {
    let count = shape.0 * shape.1 * shape.2 * shape.3;
    Array4::from_shape_vec(shape, (0..count).map(|i| i as f32).collect()).unwrap()
}

/// Half a picture a side, like a model without weights.
fn halved(part: ArrayView4<f32>) -> Result<Array4<f32>> {
    Ok(part.slice(s![.., .., ..;2, ..;2]).to_owned())
}

#[test]
fn tiles_of_what_looks_at_single_pixels_give_the_whole() {
    let tiling = Some(Tiling::new(&config("16"), None).unwrap());
    let splitting = Splitting { tiling, slicing: false, clip: false };
    for (height, width) in [(16, 16), (18, 16), (24, 40), (26, 50), (14, 34)] {
        let sample = counting((1, 2, height, width));
        let mut parts = 0;
        let moments = splitting.moments(sample.view(), Dtype::F32, |part| {
            parts += 1;
            halved(part)
        });
        assert_eq!(moments.unwrap(), halved(sample.view()).unwrap(), "{height} x {width}");
        let tiled = height.max(width) > 16;
        assert_eq!(splitting.splits_sample(&sample.view()), tiled);
        assert_eq!(parts, if tiled { height.div_ceil(12) * width.div_ceil(12) } else { 1 });
    }
}

#[test]
fn seams_fade_from_one_tile_into_the_next() {
    let tiling = Some(Tiling::new(&config("16"), None).unwrap());
    let splitting = Splitting { tiling, slicing: false, clip: false };
    let mut number = 0.0;
    let latents = Array4::zeros((1, 1, 8, 12));
    let decoded = splitting.decoded(latents.view(), Dtype::F32, |tile, _| {
        number += 1.0;
        Ok(Array4::from_elem((1, 1, 2 * tile.dim().2, 2 * tile.dim().3), number))
    });
    // Tiles 1 and 2 above, 3 and 4 below; all are 16 wide, and 12 of them are kept.
    let decoded = decoded.unwrap();
    assert_eq!(decoded.dim(), (1, 1, 16, 24));
    let row: Vec<f32> = decoded.slice(s![0, 0, 0, 10..18]).to_vec();
    assert_eq!(row, [1.0, 1.0, 1.0, 1.25, 1.5, 1.75, 2.0, 2.0]);
    let column: Vec<f32> = decoded.slice(s![0, 0, 10..16, 0]).to_vec();
    assert_eq!(column, [1.0, 1.0, 1.0, 1.5, 2.0, 2.5]);
}

#[test]
fn slices_are_single_pictures_and_come_back_in_order() {
    let sample = counting((3, 1, 4, 4));
    let run = |splitting: Splitting| {
        let mut sizes = Vec::new();
        let joined = splitting.decoded(sample.view(), Dtype::F32, |part, _| {
            sizes.push(part.dim().0);
            Ok(part.to_owned())
        });
        assert_eq!(joined.unwrap(), sample);
        sizes
    };
    assert_eq!(run(Splitting { tiling: None, slicing: true, clip: false }), [1, 1, 1]);
    assert_eq!(run(Splitting::default()), [3]);
}

#[test]
fn sizes_that_do_not_meet_are_refused() {
    assert!(Tiling::new(&config("16"), Some(8)).is_ok());
    for (config, size) in [("16", Some(12)), ("16", Some(0)), ("12", None), ("[16, 16]", None)] {
        let error = Tiling::new(&self::config(config), size).unwrap_err();
        assert!(error.next().contains("`tile_size`"), "{error:?}");
    }
    assert!(Tiling::new(&config("[16, 16]"), Some(16)).is_ok());
}

#[test]
fn a_class_that_diffusers_does_not_split_is_refused() {
    let text = r#"{"_class_name": "AsymmetricAutoencoderKL"}"#;
    let config = VaeConfig::from_json(text, "a test").unwrap();
    let refused = [
        Splitting::new(&config, Some(Some(64)), false),
        Splitting::new(&config, Some(None), true),
        Splitting::new(&config, None, true),
    ];
    for error in refused.map(|splitting| splitting.unwrap_err()) {
        assert!(error.to_string().contains("for AsymmetricAutoencoderKL"), "{error}");
    }
    assert_eq!(Splitting::new(&config, None, false).unwrap(), Splitting::default());
}

#[test]
fn hunyuan_image_is_encoded_whole_and_decoded_in_tiles() {
    let text = r#"{"_class_name": "AutoencoderKLHunyuanImage", "in_channels": 3, "out_channels": 3,
        "latent_channels": 4, "block_out_channels": [32, 32], "layers_per_block": 1,
        "spatial_compression_ratio": 2, "sample_size": 16}"#;
    let config = VaeConfig::from_json(text, "a test").unwrap();
    let splitting = Splitting::new(&config, Some(None), false).unwrap();
    let sample = counting((1, 3, 32, 24));
    assert!(!splitting.splits_sample(&sample.view()));
    let moments = splitting.moments(sample.view(), Dtype::F32, |part| {
        assert_eq!(part.dim(), sample.dim());
        halved(part)
    });
    let latents = moments.unwrap();
    assert!(splitting.splits_latents(&latents.view()));
    let mut parts = 0;
    let decoded = splitting.decoded(latents.view(), Dtype::F32, |tile, _| {
        parts += 1;
        let (n, c, h, w) = tile.dim();
        Ok(Array4::from_elem((n, c, 2 * h, 2 * w), 1.0))
    });
    assert_eq!((decoded.unwrap().dim(), parts), (sample.dim(), 6));
}
