//! Channels of the user's latents that are the same values, although the VAE's own differ.

use ndarray::{Array4, ArrayView3, Axis};

use super::super::codes::{Cause, Code};
use super::super::decided_by::DecidedBy;
use super::super::finding::Finding;
use super::super::fit::{rms_difference, spread};
use super::super::severity::Severity;

pub(in super::super) const LATENT_CHANNELS_REPEATED: Cause = Cause {
    code: Code::LatentChannelsRepeated,
    severity: Severity::Error,
    title: "channels of your latents are copies of each other",
    meaning: "A tensor was expanded along its channels, or channels were repeated or filled up to \
              fit another width: the shape is right, and what the other channels should hold is \
              lost. Colours and structure go with it.",
    rule: "Two or more channels of your latents, of 4 values or more, are the same bit for bit, and \
           this VAE's own of the picture differ there by more than 2 % of the latents' spread.",
    remedy: "hand on every channel as the encoder made it; for another number of channels, encode \
             the picture with that model's VAE",
    diffusers: "take all of vae.encode(x).latent_dist; look for expand, repeat and repeat_interleave \
                on dim 1",
    comfyui: "look for a custom node that changes the number of channels; empty latents alone may be \
              widened, since they hold nothing",
    ports: "a stride of 0 along the channels, or one offset for all of them, reads one channel many \
            times",
    sources: &[],
    decided_by: &[DecidedBy::Latents],
};

/// Values that a channel has to have: in bf16 two single values are equal by chance once in some
/// hundred pairs, four in a row never.
const LEAST_VALUES: usize = 4;

/// By what share of the latents' spread two channels have to differ that rounding to half precision
/// never makes the same.
const APART: f64 = 0.02;

/// `latent-channels-repeated` in `found`, (N, C, h, w) and finite, where channels of `expected`, of
/// the same shape and scale, differ.
pub(super) fn repeated(expected: &Array4<f32>, found: &Array4<f32>) -> Option<Finding> {
    let groups = groups(expected, found);
    let first = groups.first()?;
    let channels = found.dim().1;
    let copies: usize = groups.iter().map(Vec::len).sum();
    let title = match groups.len() {
        1 if copies == channels => format!("all {channels} channels of your latents are the same"),
        1 => format!("channels {} of your latents are the same", numbered(first)),
        more => format!(
            "{copies} of {channels} channels of your latents are {more} channels repeated; {} are \
             the same",
            numbered(first)
        ),
    };
    let finding = Finding::new(&LATENT_CHANNELS_REPEATED, title).evidence("channels", channels);
    Some(finding.evidence("distinct", channels - copies + groups.len()).evidence("same", groups))
}

/// The numbers of channels that are the same in `found` and should not be, each group ascending.
fn groups(expected: &Array4<f32>, found: &Array4<f32>) -> Vec<Vec<usize>> {
    let (images, channels, height, width) = found.dim();
    // One constant for all is another fault: no channel was copied.
    if images * height * width < LEAST_VALUES || spread(found) == 0.0 {
        return Vec::new();
    }
    let apart = APART * spread(expected);
    let [ours, theirs] = [expected, found]
        .map(|latents| -> Vec<ArrayView3<f32>> { latents.axis_iter(Axis(1)).collect() });
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for channel in 0..channels {
        let same = |group: &&mut Vec<usize>| {
            theirs[group[0]] == theirs[channel]
                && rms_difference(ours[group[0]], ours[channel]) > apart
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(channel),
            None => groups.push(vec![channel]),
        }
    }
    groups.retain(|group| group.len() > 1);
    groups
}

/// `0 and 1`, `0, 1 and 2`, `0, 1, 2, 3, ...`.
fn numbered(channels: &[usize]) -> String {
    const SHOWN: usize = 4;
    let words: Vec<String> = channels.iter().take(SHOWN).map(usize::to_string).collect();
    match words.split_last() {
        Some((last, others)) if channels.len() <= SHOWN => {
            format!("{} and {last}", others.join(", "))
        }
        _ => format!("{}, ...", words.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Array4<f32> {
        Array4::from_shape_fn((1, 6, 2, 3), |(_, c, y, x)| ((c * 7 + y * 3 + x) as f32).sin())
    }

    #[test]
    fn copies_are_found_and_named() {
        let title = |from: [usize; 6]| {
            repeated(&own(), &own().select(Axis(1), &from)).map(|finding| finding.title)
        };
        assert_eq!(title([0, 1, 2, 3, 4, 5]), None);
        let of = |words: &str| Some(format!("{words} the same"));
        assert_eq!(title([0, 1, 2, 3, 4, 4]), of("channels 4 and 5 of your latents are"));
        assert_eq!(title([3; 6]), of("all 6 channels of your latents are"));
        assert_eq!(
            title([0, 1, 2, 0, 1, 2]),
            of("6 of 6 channels of your latents are 3 channels repeated; 0 and 3 are")
        );
        let same = repeated(&own(), &own().select(Axis(1), &[0, 0, 0, 0, 0, 5])).unwrap();
        assert_eq!(same.title, "channels 0, 1, 2, 3, ... of your latents are the same");
        assert_eq!(same.evidence["distinct"], 2);
        assert_eq!(same.evidence["same"], serde_json::json!([[0, 1, 2, 3, 4]]));
    }

    #[test]
    fn nearly_the_same_is_not_the_same_and_own_copies_are_no_fault() {
        let copied = own().select(Axis(1), &[0, 1, 2, 3, 4, 4]);
        assert_eq!(repeated(&copied, &copied), None);
        let mut off = copied.clone();
        off[[0, 5, 1, 2]] = off[[0, 5, 1, 2]].next_up();
        assert_eq!(repeated(&own(), &off), None);
        // One value a channel says nothing.
        let small = |from: &Array4<f32>| from.slice(ndarray::s![.., .., ..1, ..1]).to_owned();
        assert_eq!(repeated(&small(&own()), &small(&copied)), None);
        assert_eq!(repeated(&own(), &Array4::zeros(own().dim())), None);
    }
}
