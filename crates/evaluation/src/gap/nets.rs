//! Which trained networks two results are held against each other by.

use vae_fidelity_files::error::{Error, Result};
use vae_fidelity_perceptual::Net;

use super::side::GapSide;
use crate::metric::Metric;
use crate::report::Metrics;
use crate::sha256::short;
use crate::trained::TrainedMetrics;

/// The metrics by which two results can be held against each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GapNets {
    common: Vec<Metric>,
    other: Option<[Net; 2]>,
}

impl GapNets {
    /// Those that both results have; where there is no LPIPS among them and each has one, these two: which network it
    /// is, is a choice then.
    pub fn of(results: [&Metrics; 2]) -> Self {
        Self::between(results.map(|of| {
            let is_explained = |metric: &Metric| !metric.is_of_changed_latents();
            let all = Metric::ALL.into_iter().filter(is_explained);
            all.filter(|&metric| of.summary(metric).is_some()).collect()
        }))
    }

    fn between(results: [Vec<Metric>; 2]) -> Self {
        let nets = |of: &[Metric]| -> Vec<Net> { of.iter().filter_map(|of| of.net()).collect() };
        let [a, b] = &results;
        let common: Vec<Metric> = a.iter().copied().filter(|metric| b.contains(metric)).collect();
        let other = match (&nets(&common)[..], &nets(a)[..], &nets(b)[..]) {
            ([], &[a], &[b]) => Some([a, b]),
            _ => None,
        };
        Self { common, other }
    }

    /// All that have to be computed.
    pub fn all(&self) -> Vec<Metric> {
        let other = self.other.into_iter().flatten().map(Metric::Lpips);
        self.common.iter().copied().chain(other).collect()
    }

    /// The network of a side, where the two have none in common.
    pub(super) fn other(&self, side: usize) -> Option<Net> {
        self.other.map(|nets| nets[side])
    }
}

/// Refuses weights that are others than a result's.
///
/// # Errors
///
/// With the network, and whose result it is.
pub(super) fn check_weights(trained: &TrainedMetrics, sides: [&GapSide; 2]) -> Result<()> {
    for found in trained.weights() {
        for (name, side) in ["A", "B"].into_iter().zip(sides) {
            let recorded = &side.result.protocol.metric_weights;
            let Some(expected) = recorded.iter().find(|of| of.metric == found.metric) else {
                continue;
            };
            if expected.sha256 != found.sha256 {
                let list = |hashes: &[String]| {
                    hashes.iter().map(|hash| short(hash)).collect::<Vec<_>>().join(", ")
                };
                let problem = format!(
                    "the weights of {} are others than {name}'s: expected SHA-256 {}, found {}",
                    found.metric,
                    list(&expected.sha256),
                    list(&found.sha256)
                );
                let next = "name the folder that it was evaluated with, or leave the option out";
                return Err(Error::option("`metric_weights`", problem, next));
            }
        }
    }
    Ok(())
}

/// What is not explained for want of weights.
pub(super) fn left_out_note(wanted: &GapNets, trained: &TrainedMetrics) -> Option<String> {
    let there = trained.weights();
    let is_missing = |name: &&str| !there.iter().any(|of| of.metric == *name);
    let wanted = wanted.all().into_iter().filter(|metric| metric.takes_weights());
    let missing: Vec<&str> = wanted.map(Metric::name).filter(is_missing).collect();
    (!missing.is_empty())
        .then(|| format!("left out, for want of their weights: {}", missing.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_a_choice_only_where_none_is_common() {
        let of = |a: &[Net], b: &[Net]| {
            GapNets::between([a, b].map(|nets| nets.iter().copied().map(Metric::Lpips).collect()))
        };
        let common = of(&Net::ALL, &[Net::Vgg]);
        assert_eq!((common.all(), common.other(0)), (vec![Metric::Lpips(Net::Vgg)], None));
        let other = of(&[Net::Alex], &[Net::Vgg]);
        assert_eq!(other.all(), [Net::Alex, Net::Vgg].map(Metric::Lpips));
        assert_eq!([0, 1].map(|side| other.other(side)), [Some(Net::Alex), Some(Net::Vgg)]);
        // Which of two it would be, nobody says.
        assert!(of(&[Net::Alex, Net::Vgg], &[Net::Squeeze]).all().is_empty());
        assert!(of(&[], &[Net::Vgg]).all().is_empty());
    }
}
