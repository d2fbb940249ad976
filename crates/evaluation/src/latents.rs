//! The latents of a whole data set, and the scaling that they ask for.

use serde::{Deserialize, Serialize};

use crate::bootstrap::{Bootstrap, Interval};
use crate::moments::ChannelMoments;
use crate::row::Row;

/// Below this variance of the posterior's mean over the data a channel says nothing about a picture
/// (Burda, Grosse, Salakhutdinov 2016, "active units").
const ACTIVE: f64 = 0.01;

/// Latents over all pictures, as the model makes them: not scaled. Of what the protocol takes, mode or draw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LatentSummary {
    /// Number of values.
    pub values: u64,
    /// Mean.
    pub mean: f64,
    /// Standard deviation of the population.
    pub std: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Fourth central moment over the square of the variance: 3 for a normal distribution.
    pub kurtosis: Option<f64>,
    /// Divergence of the posterior from a standard normal distribution, in nats a value; `None` where
    /// there is no posterior.
    pub kl: Option<f64>,
    /// `1 / std`, which gives latents unit variance, beside the config's.
    pub scaling_factor: Suggestion,
    /// The mean, which is subtracted before scaling, beside the config's.
    pub shift_factor: Suggestion,
    /// Channels whose posterior's mean has a variance under 0.01 over the data; where there is no
    /// posterior, under 0.01 of the largest channel's.
    pub dead_channels: Vec<usize>,
    /// Each channel. Their means and deviations are what `latents_mean` and `latents_std` of a config say.
    pub channels: Vec<ChannelSummary>,
}

/// What the data asks for, and what the config says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Suggestion {
    /// Of these pictures.
    pub measured: Option<f64>,
    /// Where it lies, by bootstrap over pictures; `None` for one picture.
    pub confidence: Option<Interval>,
    /// The config's; `None` where it has none.
    pub config: Option<f64>,
}

/// One channel of the latents over all pictures.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ChannelSummary {
    /// Mean.
    pub mean: f64,
    /// Standard deviation of the population.
    pub std: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// See [`LatentSummary::kurtosis`].
    pub kurtosis: Option<f64>,
    /// See [`LatentSummary::kl`].
    pub kl: Option<f64>,
    /// The config's mean for this channel; `None` where it has none.
    pub config_mean: Option<f64>,
    /// The config's deviation for this channel; `None` where it has none.
    pub config_std: Option<f64>,
}

impl LatentSummary {
    /// Of the channels of `rows`, of one model with `config`; `None` where there are none.
    pub fn of(rows: &[&Row], config: &serde_json::Value, bootstrap: Bootstrap) -> Option<Self> {
        let rows: Vec<&[ChannelMoments]> =
            rows.iter().map(|row| row.channels.as_slice()).filter(|of| !of.is_empty()).collect();
        let count = rows.first()?.len();
        let mut channels = vec![ChannelMoments::default(); count];
        // What each picture adds to the whole.
        let mut pictures = Vec::with_capacity(rows.len());
        for row in &rows {
            for (sum, of) in channels.iter_mut().zip(*row) {
                *sum = sum.merge(of);
            }
            pictures.push(together(row));
        }
        let all = together(&channels);
        let interval = |statistic: fn(&ChannelMoments) -> f64| {
            bootstrap.statistic(pictures.len(), |drawn| statistic(&of_drawn(&pictures, drawn)))
        };
        let of_config = |name: &str| config.get(name).and_then(serde_json::Value::as_f64);
        let listed = |name: &str, channel: usize| config.get(name)?.get(channel)?.as_f64();
        let per_value = |of: &ChannelMoments| of.kl.map(|kl| kl / of.values as f64);
        Some(Self {
            values: all.values,
            mean: all.mean,
            std: all.std(),
            min: all.min,
            max: all.max,
            kurtosis: all.kurtosis(),
            kl: per_value(&all),
            scaling_factor: Suggestion {
                measured: (all.m2 > 0.0).then(|| 1.0 / all.std()),
                confidence: interval(|of| 1.0 / of.std()),
                config: of_config("scaling_factor"),
            },
            shift_factor: Suggestion {
                measured: Some(all.mean),
                confidence: interval(|of| of.mean),
                config: of_config("shift_factor"),
            },
            dead_channels: dead(&channels),
            channels: channels
                .iter()
                .enumerate()
                .map(|(channel, of)| ChannelSummary {
                    mean: of.mean,
                    std: of.std(),
                    min: of.min,
                    max: of.max,
                    kurtosis: of.kurtosis(),
                    kl: per_value(of),
                    config_mean: listed("latents_mean", channel),
                    config_std: listed("latents_std", channel),
                })
                .collect(),
        })
    }

    /// The lines of a `config.json` that give this data's latents unit variance.
    pub fn config_lines(&self) -> String {
        let number = |value: Option<f64>| value.map_or("null".to_owned(), |v| format!("{v:.6}"));
        format!(
            "\"scaling_factor\": {},\n\"shift_factor\": {}",
            number(self.scaling_factor.measured),
            number(self.shift_factor.measured)
        )
    }
}

fn together(parts: &[ChannelMoments]) -> ChannelMoments {
    parts.iter().fold(ChannelMoments::default(), |sum, part| sum.merge(part))
}

/// Count, mean and sum of squared distances of the pictures drawn: what two statistics are made of.
fn of_drawn(pictures: &[ChannelMoments], drawn: &mut dyn Iterator<Item = usize>) -> ChannelMoments {
    let (mut values, mut mean, mut m2) = (0.0, 0.0, 0.0);
    for index in drawn {
        let of = &pictures[index];
        let n = of.values as f64;
        let distance = of.mean - mean;
        let sum = values + n;
        m2 += of.m2 + distance * distance * values * n / sum;
        mean += distance * n / sum;
        values = sum;
    }
    ChannelMoments { values: values as u64, mean, m2, ..ChannelMoments::default() }
}

fn dead(channels: &[ChannelMoments]) -> Vec<usize> {
    let variances: Vec<f64> =
        channels.iter().map(|of| of.posterior_m2 / of.values as f64).collect();
    let least = match channels.iter().all(|of| of.kl.is_some()) {
        true => ACTIVE,
        false => ACTIVE * variances.iter().copied().fold(0.0, f64::max),
    };
    (0..channels.len()).filter(|channel| variances[*channel] < least).collect()
}
