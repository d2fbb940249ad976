//! What can differ between two evaluations, and how one of it is changed alone.

use serde::Serialize;
use serde_json::Value;
use vae_fidelity_perceptual::Net;

use super::nets::GapNets;
use crate::metric::Metric;
use crate::protocol::{
    FilterChoice, Input, LpipsChoices, Metrics, Posterior, Protocol, Resize, RfidChoice, Take,
};

/// All that decides an evaluation's numbers, where each part is of one of two sides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Setup {
    /// Whose pictures: 0 or 1.
    pub pictures: usize,
    /// Whose model: 0 or 1.
    pub model: usize,
    pub input: Input,
    pub posterior: Posterior,
    pub metrics: Metrics,
    /// The network whose distance is LPIPS, where the two results have none in common.
    pub net: Option<Net>,
}

impl Setup {
    /// All of `side`, whose protocol is given.
    pub fn of(side: usize, protocol: &Protocol, nets: &GapNets) -> Self {
        let posterior = match protocol.posterior.take {
            // A seed that nothing is drawn by decides nothing.
            Take::Mode => Posterior { take: Take::Mode, seed: 0 },
            Take::Draw => protocol.posterior,
        };
        // Whatever is computed, is for both; what only one of them has is not.
        let all = nets.all();
        let lpips = LpipsChoices {
            alex: all.contains(&Metric::Lpips(Net::Alex)),
            vgg: all.contains(&Metric::Lpips(Net::Vgg)),
            squeeze: all.contains(&Metric::Lpips(Net::Squeeze)),
            ..protocol.metrics.lpips
        };
        let metrics = Metrics {
            lpips,
            ssimulacra2: all.contains(&Metric::Ssimulacra2),
            butteraugli: all.contains(&Metric::Butteraugli),
            dists: all.contains(&Metric::Dists),
            equivariance: false,
            // Of a sample it is another.
            rfid: RfidChoice::None,
            kid: false,
            precision_recall: false,
            ..protocol.metrics
        };
        let (input, net) = (protocol.input, nets.other(side));
        Self { pictures: side, model: side, input, posterior, metrics, net }
    }

    /// Whether the same pictures go through the same model in the same way; only what is computed of them
    /// may differ.
    pub fn has_trip_of(&self, other: &Self) -> bool {
        let trip = |of: &Self| (of.pictures, of.model, of.input, of.posterior);
        trip(self) == trip(other)
    }
}

/// A choice in which two evaluations differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The pictures.
    Pictures,
    /// The VAE.
    Model,
    /// `input.exif`.
    Exif,
    /// `input.resize`, `input.filter` and `input.size` together, where one means nothing without another.
    Frame,
    /// `input.resize`.
    Resize,
    /// `input.filter`.
    Filter,
    /// `input.size`.
    Size,
    /// `posterior`.
    Posterior,
    /// `metrics.rounding`.
    Rounding,
    /// `metrics.psnr_values`.
    PsnrValues,
    /// `metrics.psnr_average`.
    PsnrAverage,
    /// `metrics.ssim.values`.
    SsimValues,
    /// `metrics.ssim.window`.
    SsimWindow,
    /// `metrics.ssim.border`.
    SsimBorder,
    /// `metrics.ssim.covariance`.
    SsimCovariance,
    /// `metrics.ssim.range`.
    SsimRange,
    /// `metrics.ssim.zero`.
    SsimZero,
    /// `metrics.lpips.values`.
    LpipsValues,
    /// `metrics.lpips.unit_length`.
    LpipsUnitLength,
    /// Which network, where the two results have none in common.
    LpipsNet,
}

impl Choice {
    /// All there are, along the data's way.
    const ALL: [Self; 20] = [
        Self::Pictures,
        Self::Model,
        Self::Exif,
        Self::Frame,
        Self::Resize,
        Self::Filter,
        Self::Size,
        Self::Posterior,
        Self::Rounding,
        Self::PsnrValues,
        Self::PsnrAverage,
        Self::SsimValues,
        Self::SsimWindow,
        Self::SsimBorder,
        Self::SsimCovariance,
        Self::SsimRange,
        Self::SsimZero,
        Self::LpipsValues,
        Self::LpipsUnitLength,
        Self::LpipsNet,
    ];

    /// Its name in a protocol's file, else what it is.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pictures => "pictures",
            Self::Model => "model",
            Self::Exif => "input.exif",
            Self::Frame => "input",
            Self::Resize => "input.resize",
            Self::Filter => "input.filter",
            Self::Size => "input.size",
            Self::Posterior => "posterior",
            Self::Rounding => "metrics.rounding",
            Self::PsnrValues => "metrics.psnr_values",
            Self::PsnrAverage => "metrics.psnr_average",
            Self::SsimValues => "metrics.ssim.values",
            Self::SsimWindow => "metrics.ssim.window",
            Self::SsimBorder => "metrics.ssim.border",
            Self::SsimCovariance => "metrics.ssim.covariance",
            Self::SsimRange => "metrics.ssim.range",
            Self::SsimZero => "metrics.ssim.zero",
            Self::LpipsValues => "metrics.lpips.values",
            Self::LpipsUnitLength => "metrics.lpips.unit_length",
            Self::LpipsNet => "metrics.lpips",
        }
    }

    /// Those in which `a` and `b` differ.
    pub(super) fn between(a: &Setup, b: &Setup) -> Vec<Self> {
        let joined = are_joined(&a.input, &b.input);
        let counts = |choice: Self| match choice {
            Self::Frame => joined,
            Self::Resize | Self::Filter | Self::Size => !joined,
            _ => true,
        };
        let differs = |choice: Self| {
            let mut changed = *a;
            choice.change(&mut changed, b);
            changed != *a
        };
        Self::ALL.into_iter().filter(|&choice| counts(choice) && differs(choice)).collect()
    }

    /// Takes this choice of `to`.
    pub(super) fn change(self, setup: &mut Setup, to: &Setup) {
        match self {
            Self::Pictures => setup.pictures = to.pictures,
            Self::Model => setup.model = to.model,
            Self::Exif => setup.input.exif = to.input.exif,
            Self::Frame => setup.input = Input { exif: setup.input.exif, ..to.input },
            Self::Resize => setup.input.resize = to.input.resize,
            Self::Filter => setup.input.filter = to.input.filter,
            Self::Size => setup.input.size = to.input.size,
            Self::Posterior => setup.posterior = to.posterior,
            Self::Rounding => setup.metrics.rounding = to.metrics.rounding,
            Self::PsnrValues => setup.metrics.psnr_values = to.metrics.psnr_values,
            Self::PsnrAverage => setup.metrics.psnr_average = to.metrics.psnr_average,
            Self::SsimValues => setup.metrics.ssim.values = to.metrics.ssim.values,
            Self::SsimWindow => setup.metrics.ssim.window = to.metrics.ssim.window,
            Self::SsimBorder => setup.metrics.ssim.border = to.metrics.ssim.border,
            Self::SsimCovariance => setup.metrics.ssim.covariance = to.metrics.ssim.covariance,
            Self::SsimRange => setup.metrics.ssim.range = to.metrics.ssim.range,
            Self::SsimZero => setup.metrics.ssim.zero = to.metrics.ssim.zero,
            Self::LpipsValues => setup.metrics.lpips.values = to.metrics.lpips.values,
            Self::LpipsUnitLength => {
                setup.metrics.lpips.unit_length = to.metrics.lpips.unit_length;
            }
            Self::LpipsNet => setup.net = to.net,
        }
    }

    /// What `protocol` has here, in its file's words; `None` for what is in no protocol.
    pub(super) fn value(self, protocol: &Protocol) -> Option<String> {
        let Input { resize, filter, size, exif } = protocol.input;
        let Metrics { rounding, psnr_values, psnr_average, ssim, lpips, .. } = protocol.metrics;
        let Posterior { take, seed } = protocol.posterior;
        Some(match self {
            Self::Pictures | Self::Model => return None,
            Self::Exif => word(exif),
            Self::Frame => format!("{}, {}, {size}", word(resize), word(filter)),
            Self::Resize => word(resize),
            Self::Filter => word(filter),
            Self::Size => size.to_string(),
            Self::Posterior if take == Take::Draw => format!("draw, seed {seed}"),
            Self::Posterior => word(take),
            Self::Rounding => word(rounding),
            Self::PsnrValues => word(psnr_values),
            Self::PsnrAverage => word(psnr_average),
            Self::SsimValues => word(ssim.values),
            Self::SsimWindow => word(ssim.window),
            Self::SsimBorder => word(ssim.border),
            Self::SsimCovariance => word(ssim.covariance),
            Self::SsimRange => ssim.range.to_string(),
            Self::SsimZero => word(ssim.zero),
            Self::LpipsValues => word(lpips.values),
            Self::LpipsUnitLength => word(lpips.unit_length),
            Self::LpipsNet => {
                lpips.nets().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            }
        })
    }
}

/// Whether the three choices of a picture's frame go together only: a size is another thing for
/// `multiple-of`, and tensors are resized by one filter alone.
fn are_joined(a: &Input, b: &Input) -> bool {
    let is_multiple = |input: &Input| input.resize == Resize::MultipleOf;
    let of_tensor = |input: &Input| input.resize == Resize::ShortSideTensor;
    let not_bilinear = |input: &Input| input.filter != FilterChoice::Bilinear;
    is_multiple(a) != is_multiple(b)
        || (of_tensor(a) && not_bilinear(b))
        || (of_tensor(b) && not_bilinear(a))
}

fn word(value: impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without metrics that only some have, as where two are compared.
    fn setup(side: usize, name: &str) -> Setup {
        let none = crate::report::Metrics::default();
        let none = GapNets::of([&none, &none]);
        Setup::of(side, &Protocol::named(name).unwrap(), &none)
    }

    #[test]
    fn changed_one_by_one_one_side_becomes_the_other() {
        for a in crate::protocol::NAMES {
            for b in crate::protocol::NAMES {
                let (mut from, to) = (setup(0, a), setup(1, b));
                let choices = Choice::between(&from, &to);
                assert!(choices.starts_with(&[Choice::Pictures, Choice::Model]), "{a}, {b}");
                choices.iter().for_each(|choice| choice.change(&mut from, &to));
                assert_eq!(from, to, "{a}, {b}");
            }
        }
    }

    #[test]
    fn every_step_on_the_way_is_a_protocol() {
        for a in crate::protocol::NAMES {
            for b in crate::protocol::NAMES {
                let (start, to) = (setup(0, a), setup(0, b));
                let choices = Choice::between(&start, &to);
                for order in [choices.clone(), choices.into_iter().rev().collect()] {
                    let mut at = start;
                    for choice in order {
                        choice.change(&mut at, &to);
                        let protocol = Protocol {
                            input: at.input,
                            posterior: at.posterior,
                            metrics: at.metrics,
                            ..Protocol::named(a).unwrap()
                        };
                        let text = protocol.to_toml().unwrap();
                        assert!(
                            Protocol::from_toml(&text, "x").is_ok(),
                            "{a} to {b} at {choice:?}"
                        );
                        let multiple = at.input.resize == Resize::MultipleOf;
                        assert_eq!(multiple, at.input.size < 64, "{a} to {b} at {choice:?}");
                    }
                }
            }
        }
    }
}
