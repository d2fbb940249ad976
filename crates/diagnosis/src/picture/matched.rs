//! Colours of the decoded picture matched to the input's, as pipelines do against drift.

use super::super::codes::{Cause, Code};
use super::super::decided_by::DecidedBy;
use super::super::recolouring::{Recolouring, Rgb};
use super::super::severity::Severity;
use super::search::{Search, level, pixels};
use vae_fidelity_core::metrics::lab;
use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::Rgb8;

pub(in super::super) const COLOUR_MATCHED: Cause = Cause {
    code: Code::ColourMatched,
    severity: Severity::Error,
    title: "colours were matched to the input after decoding",
    meaning: "A step after the decoder gives the picture the input's mean and spread, or its \
              histogram, so that colours do not drift in img2img. It hides what the VAE does to \
              colours, and makes the two pictures incomparable.",
    rule: "The reference's picture with the input's mean and spread, or histogram, in RGB or in \
           L*a*b*, explains the difference better than every other cause.",
    remedy: "compare pictures from before the correction, or turn it off",
    diffusers: "it matches nothing: look at what follows postprocess",
    comfyui: "look for colour match or colour transfer nodes",
    ports: "save the picture right after the decoder as well",
    sources: &["AUTOMATIC1111/stable-diffusion-webui#410"],
    decided_by: &[DecidedBy::DecodedImage],
};

/// Offers `search` the reference's picture with the colours of `seen`.
pub(super) fn offer(seen: &Rgb8, search: &mut Search) -> Result<()> {
    let (from, to) = (pixels(search.ours), pixels(seen));
    let lab = |pixels: &[Rgb]| pixels.iter().map(|&pixel| to_lab(pixel)).collect::<Vec<_>>();
    let (from_lab, to_lab) = (lab(&from), lab(&to));
    let back = |pixels: Vec<Rgb>| pixels.into_iter().map(to_rgb).collect();
    let candidates: [(&str, Vec<Rgb>); 4] = [
        ("mean and spread in RGB", spread_of(&from, &to)),
        ("histogram in RGB", histogram_of(&from, &to)),
        ("mean and spread in L*a*b*", back(spread_of(&from_lab, &to_lab))),
        ("histogram in L*a*b*", back(histogram_of(&from_lab, &to_lab))),
    ];
    for (of, candidate) in candidates {
        let data = candidate.into_iter().flatten().map(level).collect();
        let candidate = Rgb8::new(search.ours.width(), search.ours.height(), data)?;
        search.offer(&COLOUR_MATCHED, &format!("matched to the input's {of}"), &candidate)?;
    }
    Ok(())
}

/// Each channel of `from` with the mean and standard deviation of `to`.
fn spread_of(from: &[Rgb], to: &[Rgb]) -> Vec<Rgb> {
    let statistics = |pixels: &[Rgb], c: usize| {
        let count = pixels.len() as f64;
        let mean = pixels.iter().map(|pixel| pixel[c]).sum::<f64>() / count;
        let square = pixels.iter().map(|pixel| (pixel[c] - mean).powi(2)).sum::<f64>() / count;
        (mean, square.sqrt())
    };
    let of = [0, 1, 2].map(|c| (statistics(from, c), statistics(to, c)));
    let map = |pixel: &Rgb| -> Rgb {
        std::array::from_fn(|c| {
            let ((mean, std), (to_mean, to_std)) = of[c];
            (pixel[c] - mean) * to_std / std.max(1e-9) + to_mean
        })
    };
    from.iter().map(map).collect()
}

/// Each channel of `from` with the values of `to` at the same rank. Equal values get the middle rank.
fn histogram_of(from: &[Rgb], to: &[Rgb]) -> Vec<Rgb> {
    let mut matched = vec![[0.0; 3]; from.len()];
    for c in 0..3 {
        let mut wanted: Vec<f64> = to.iter().map(|pixel| pixel[c]).collect();
        wanted.sort_by(f64::total_cmp);
        let mut order: Vec<usize> = (0..from.len()).collect();
        order.sort_by(|&a, &b| from[a][c].total_cmp(&from[b][c]));
        let mut start = 0;
        while start < order.len() {
            let equal = order[start..].iter().take_while(|&&i| from[i][c] == from[order[start]][c]);
            let end = start + equal.count().max(1);
            let middle = (start + end) / 2 * wanted.len() / order.len();
            for &i in &order[start..end] {
                matched[i][c] = wanted[middle.min(wanted.len() - 1)];
            }
            start = end;
        }
    }
    matched
}

fn to_lab(pixel: Rgb) -> Rgb {
    lab(pixel.map(|share| share * 255.0))
}

/// The colour whose [`lab`] this is, from 0 to 1.
fn to_rgb([l, a, b]: Rgb) -> Rgb {
    let y = (l + 16.0) / 116.0;
    let cubes = [y + a / 500.0, y, y - b / 200.0];
    let [x, y, z] =
        cubes.map(|t| if t > 0.206_893 { t.powi(3) } else { (t - 16.0 / 116.0) / 7.787 });
    let (x, y, z) = (x * WHITE[0], y * WHITE[1], z * WHITE[2]);
    Recolouring::ToSrgb.of([
        3.240_454 * x - 1.537_139 * y - 0.498_531 * z,
        -0.969_266 * x + 1.876_011 * y + 0.041_556 * z,
        0.055_643 * x - 0.204_026 * y + 1.057_225 * z,
    ])
}

const WHITE: Rgb = [0.950_47, 1.0, 1.088_83];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lab_is_undone_and_matching_takes_the_other_ones_values() {
        let near = |a: Rgb, b: Rgb| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 2e-3);
        for pixel in [[0.0; 3], [1.0; 3], [0.2, 0.5, 0.9], [0.02, 0.6, 0.01]] {
            assert!(near(to_rgb(to_lab(pixel)), pixel), "{pixel:?}");
        }
        // White, and pure red, by the standard's own numbers.
        assert!((to_lab([1.0; 3])[0] - 100.0).abs() < 0.1);
        let red = to_lab([1.0, 0.0, 0.0]);
        assert!(red.iter().zip([53.24, 80.09, 67.20]).all(|(a, b)| (a - b).abs() < 0.1), "{red:?}");
        let from: Vec<Rgb> = (0..100).map(|i| [f64::from(i) / 100.0; 3]).collect();
        let to: Vec<Rgb> = from.iter().map(|pixel| pixel.map(|x| 0.5 + x * x / 4.0)).collect();
        for (a, b) in histogram_of(&from, &to).into_iter().zip(to.iter().copied()) {
            assert!(near(a, b), "{a:?} {b:?}");
        }
        let mean = |pixels: &[Rgb]| pixels.iter().map(|pixel| pixel[1]).sum::<f64>() / 100.0;
        assert!((mean(&spread_of(&from, &to)) - mean(&to)).abs() < 1e-9);
    }
}
