//! Latents some of whose channels are not the expected ones, while the others are.

use ndarray::{Array4, ArrayView3, Axis};

use super::super::affine::Affine;
use super::super::finding::Finding;
use super::super::fit::{Line, mean_square, rms_difference, spread};
use super::super::latents_differ::LATENTS_DIFFER;

/// What another run leaves of a channel, as a share of its spread, and a draw in deviations of the posterior.
const SAME: [f64; 2] = [0.02, 3.0];
/// A channel that is off is so by this many times as much at least.
const CLEARLY: f64 = 5.0;
/// How much of a channel's spread may be lost in that.
const HIDDEN: f64 = 0.5;
/// What a line may leave of a channel that is one, as a share of its spread.
const STRAIGHT: f64 = 0.02;
/// A factor and an offset (as a share of the spread) this far off are others.
const OTHER: f64 = 0.02;
/// How many channels a message describes.
const NAMED: usize = 4;

/// What is wrong with single channels of `found`, where at least half are as expected, or all of them are
/// another's; `None` otherwise. `raw` are the expected latents as the model makes them, `std` their posterior's.
pub(super) fn odd_channels(
    affine: &Affine,
    raw: &Array4<f32>,
    found: &Array4<f32>,
    std: Option<&Array4<f32>>,
) -> Option<Finding> {
    let expected = affine.apply(raw);
    let channels = expected.dim().1;
    let whole = spread(&expected);
    let noise = |channel: usize| {
        let factor = spread(of(&expected, channel)) / spread(of(raw, channel)).max(1e-12);
        let squares = std.map_or(0.0, |std| mean_square(of(std, channel).iter()));
        factor * squares.sqrt()
    };
    let rooms: Vec<f64> = (0..channels)
        .map(|channel| {
            SAME[0] * spread(of(&expected, channel)).max(0.1 * whole) + SAME[1] * noise(channel)
        })
        .collect();
    let off =
        |channel: usize, other: usize| rms_difference(of(&expected, other), of(found, channel));
    let is = |channel: usize, other: usize| off(channel, other) <= rooms[other];
    // A draw that is wider than a channel hides whatever is there.
    if (0..channels).any(|channel| rooms[channel] > HIDDEN * spread(of(&expected, channel))) {
        return None;
    }
    let odd: Vec<usize> = (0..channels).filter(|&channel| !is(channel, channel)).collect();
    let clearly = |&channel: &usize| off(channel, channel) > CLEARLY * rooms[channel];
    if odd.is_empty() || channels < 2 || !odd.iter().all(clearly) {
        return None;
    }
    let source =
        |channel: usize| (0..channels).find(|&other| other != channel && is(channel, other));
    let sources: Vec<Option<usize>> = odd.iter().map(|&channel| source(channel)).collect();
    let exchanged = sources.iter().all(Option::is_some);
    if 2 * odd.len() > channels && !exchanged {
        return None;
    }
    let told = |(&channel, other): (&usize, &Option<usize>)| match other {
        Some(other) => format!("channel {channel} has what channel {other} should"),
        None => {
            let line = Line::through(of(&expected, channel), of(found, channel));
            format!("channel {channel} {}", line.map_or("is another".to_owned(), in_words))
        }
    };
    let mut told: Vec<String> = odd.iter().zip(&sources).map(told).collect();
    if told.len() > NAMED {
        told.truncate(NAMED);
        told.push(format!("and so on, {} in all", odd.len()));
    }
    let as_expected = channels - odd.len();
    let title = format!(
        "your latents are the expected ones in {as_expected} of {channels} channels: {}",
        told.join(", ")
    );
    let remedy = match exchanged {
        true => "write each channel where the model has it",
        false => "look for what touches these channels alone",
    };
    Some(
        Finding::new(&LATENTS_DIFFER, title)
            .remedy(remedy)
            .evidence("channels", &odd)
            .evidence("channels_found_there", &sources),
    )
}

fn of(tensor: &Array4<f32>, channel: usize) -> ArrayView3<'_, f32> {
    tensor.index_axis(Axis(1), channel)
}

/// What was done to a channel, whose line from what is expected this is.
fn in_words(line: Line) -> String {
    let [expected, found] = line.spread;
    if found <= 1e-6 * expected.max(1e-12) {
        return match line.mean[1].abs() <= 1e-6 * expected.max(1e-12) {
            true => "is zero".to_owned(),
            false => format!("is {:.4} throughout", line.mean[1]),
        };
    }
    if line.residual > STRAIGHT * found {
        return "has other values".to_owned();
    }
    let scaled = (line.slope - 1.0).abs() > OTHER;
    let moved = line.offset.abs() > OTHER * expected;
    match (scaled, moved) {
        (true, false) if (line.slope + 1.0).abs() <= OTHER => "has the opposite sign".to_owned(),
        (true, false) => format!("is multiplied by {:.4}", line.slope),
        (false, _) => format!("is moved by {:+.4}", line.offset),
        (true, true) => {
            format!("is multiplied by {:.4} and moved by {:+.4}", line.slope, line.offset)
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::s;

    use super::*;

    const PLAIN: Affine = Affine {
        scale: crate::LatentsScale::Scaled,
        factor: 0.5,
        scaling_factor: 0.5,
        shift: 0.0,
        statistics: None,
    };

    fn raw() -> Array4<f32> {
        Array4::from_shape_fn((1, 6, 8, 8), |(_, c, y, x)| {
            ((c * 131 + y * 17 + x * (c + 3) * 7) % 29) as f32 / 7.0 - 2.0
        })
    }

    fn titled(change: impl Fn(&mut Array4<f32>)) -> Option<String> {
        let mut found = PLAIN.apply(&raw());
        change(&mut found);
        odd_channels(&PLAIN, &raw(), &found, None).map(|finding| finding.title)
    }

    #[test]
    fn what_happened_to_a_channel_is_said() {
        let channel = |found: &mut Array4<f32>, change: fn(f32) -> f32| {
            found.slice_mut(s![.., 3, .., ..]).mapv_inplace(change);
        };
        for (change, said) in [
            ((|_| 0.0) as fn(f32) -> f32, "channel 3 is zero"),
            (|_| 0.5, "channel 3 is 0.5000 throughout"),
            (|z| -z, "channel 3 has the opposite sign"),
            (|z| 0.5 * z, "channel 3 is multiplied by 0.5000"),
            (|z| z + 0.5, "channel 3 is moved by +0.5000"),
            (|z| 2.0 * z - 1.0, "channel 3 is multiplied by 2.0000 and moved by -1.0000"),
            (|z| (z * 977.0).sin(), "channel 3 has other values"),
        ] {
            let title = titled(|found| channel(found, change)).unwrap();
            assert!(title.starts_with("your latents are the expected ones in 5 of 6"), "{title}");
            assert!(title.ends_with(said), "{title}");
        }
    }

    #[test]
    fn channels_in_another_order_are_told_even_where_all_are() {
        let title = titled(|found| {
            *found = found.select(Axis(1), &[1, 2, 3, 4, 5, 0]);
        });
        let title = title.unwrap();
        assert!(
            title.contains("in 0 of 6 channels: channel 0 has what channel 1 should"),
            "{title}"
        );
        assert!(title.ends_with("and so on, 6 in all"), "{title}");
    }

    #[test]
    fn what_is_as_expected_or_wrong_throughout_is_for_other_rules() {
        assert_eq!(titled(|_| ()), None);
        assert_eq!(titled(|found| found.mapv_inplace(|z| 1.3 * z)), None);
        assert_eq!(titled(|found| found.mapv_inplace(|z| (z * 977.0).sin())), None);
    }
}
