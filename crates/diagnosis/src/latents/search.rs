//! One search for what brings the expected latents to the user's.

use ndarray::{Array4, Axis};

use super::super::affine::Affine;
use super::super::changes::{Change, LAYOUT_SCRAMBLED, SYMMETRIES, Tried};
use super::super::codes::Code;
use super::super::competition::{Competition, Explanation, Outcome};
use super::super::evidence::{Evidence, LatentsScale};
use super::super::finding::Finding;
use super::super::fit::{Line, rms_difference, spread};
use super::super::layout::Layout;
use super::super::padded::{Padding, first_padding};
use super::super::scaling::{self, SCALING_FACTOR_MISMATCH};
use super::noise::ALTERED;
use super::way::Way;
use vae_fidelity_core::config::VaeConfig;
use vae_fidelity_files::error::Result;

/// Relative residual below which only a resize is looked into, and one explanation is as good as
/// another.
pub(super) const PRECISE: f64 = 0.004;
/// Relative residual that f16, bf16 and other kernels may leave.
pub(super) const ROUNDING: f64 = 0.02;
/// A line through the latents of a changed picture that leaves this much less than the expected
/// scaling is another scaling.
const OTHER_SCALING: f64 = 0.8;

/// The explanations offered so far, and the latents that they are about.
pub(super) struct Search<'a> {
    evidence: &'a Evidence<'a>,
    affine: &'a Affine,
    found: &'a Array4<f32>,
    /// RMS between the user's latents and the expected ones, scaled as asked for.
    before: f64,
    pub competition: Competition<'a>,
    /// The lines of explanations that need one, by their words.
    lines: Vec<(String, Line)>,
}

impl<'a> Search<'a> {
    pub fn new(evidence: &'a Evidence<'a>, affine: &'a Affine, found: &'a Array4<f32>) -> Self {
        let before = rms_difference(&affine.apply(&evidence.encoded.latents), found);
        let size = spread(found);
        let competition = Competition::new(PRECISE * size, ROUNDING * size, evidence.unknown);
        Self { evidence, affine, found, before, competition, lines: Vec::new() }
    }

    pub fn before(&self) -> f64 {
        self.before
    }

    /// Another factor or shift, and nothing else.
    pub fn offer_line(&mut self, line: &Line) {
        let found = self.evidence.all_known(scaling::line(self.affine, line));
        if let Some(finding) = found.into_iter().flatten().next() {
            let cause = finding.code.cause();
            let explanation = Explanation::new(cause, finding.title, self.before, line.residual);
            self.competition.offer(explanation.fitted(2).unbent());
        }
    }

    /// TAESD's range for latents in pictures: `z / 6 + 0.5`, clamped to [0, 1], or with the numbers of the
    /// config.
    pub fn offer_unit_range(&mut self) {
        if !self.evidence.knows(Code::ScalingFactorMismatch) {
            return;
        }
        let (range, shift) = match self.evidence.vae.config() {
            VaeConfig::AutoencoderTiny(config) => {
                (2.0 * config.latent_magnitude, config.latent_shift)
            }
            _ => (6.0, 0.5),
        };
        let in_unit = |z: f32| (z / range as f32 + shift as f32).clamp(0.0, 1.0);
        let raw = &self.evidence.encoded.latents;
        let scaled = Affine::of(self.evidence.vae.config(), LatentsScale::Scaled).apply(raw);
        let left = [raw.mapv(in_unit), scaled.mapv(in_unit)]
            .map(|candidate| rms_difference(&candidate, self.found))
            .into_iter()
            .fold(f64::INFINITY, f64::min);
        let what = &format!(
            "your latents are in TAESD's range for pictures: z / {range} + {shift}, clamped to [0, 1]"
        );
        let explanation = Explanation::new(&SCALING_FACTOR_MISMATCH, what, self.before, left);
        self.competition.offer(explanation);
    }

    /// Latents whose own axes were mixed up.
    pub fn offer_layouts(&mut self) {
        let first = self.evidence.encoded.latents.index_axis(Axis(0), 0);
        let reread = Layout::ALL.map(|(layout, name)| (layout.apply(first), name));
        let turned = SYMMETRIES.map(|(symmetry, name)| (symmetry.apply(first), name));
        for (candidate, name) in reread.into_iter().chain(turned) {
            let candidate = candidate.insert_axis(Axis(0));
            if candidate.dim() != self.found.dim() {
                continue;
            }
            let Some(line) = Line::through(&candidate, self.found) else { continue };
            let what = format!("the expected ones: {name}");
            // Known only where it is all but exact: pictures are alike when mirrored.
            if line.correlation > 0.99 {
                let explanation =
                    Explanation::new(&LAYOUT_SCRAMBLED, what.clone(), self.before, line.residual);
                self.competition.offer(explanation.number("correlation", line.correlation));
                // A wrong factor beside it is said.
                self.lines.push((what, line));
            }
        }
    }

    /// Pictures changed before the encoder.
    pub fn offer_encoded(&mut self, tried: Vec<Tried>) -> Result<()> {
        for Tried { cause, what, change } in tried {
            let Some(sample) = change.apply(self.evidence)? else { continue };
            if sample.dim() != self.evidence.sample.dim() {
                continue;
            }
            let latents = self.evidence.vae.encode(sample.view(), None)?.latents;
            let what = format!("those of the picture {what}");
            let Some((left, free, line)) = self.explained(&latents) else { continue };
            let explanation = Explanation::new(cause, what, self.before, left).fitted(free);
            self.add(explanation, line);
            if self.competition.done() {
                break;
            }
        }
        Ok(())
    }

    /// Convolutions padded otherwise in the encoder: all of them where the difference stands out `at_the_border`,
    /// else only the strided ones.
    pub fn offer_paddings(&mut self, at_the_border: bool) -> Result<()> {
        let evidence = self.evidence;
        // What a draw has added to the mode.
        let noise = match evidence.mean() {
            Some(mean) if evidence.drawn => Some(&evidence.encoded.latents - &mean),
            _ => None,
        };
        for padding in Padding::ALL {
            let cause = padding.cause();
            let may_be = padding == Padding::Symmetric || at_the_border;
            if !may_be || !evidence.knows(cause.code) || self.competition.done() {
                continue;
            }
            let Some(mean) = padding.encode(evidence.vae, evidence.sample)? else { return Ok(()) };
            let latents = match &noise {
                Some(noise) => mean + noise,
                None => mean,
            };
            if latents.dim() != evidence.encoded.latents.dim() {
                continue;
            }
            let what = format!("those of an encoder with {}", padding.in_words());
            let Some((left, free, line)) = self.explained(&latents) else { continue };
            let explanation = Explanation::new(cause, what, self.before, left).fitted(free);
            self.add(explanation, line);
        }
        Ok(())
    }

    fn add(&mut self, explanation: Explanation, line: Option<Line>) {
        let spread = spread(self.found);
        let (before, left) = (explanation.before / spread, explanation.left / spread);
        self.lines.extend(line.map(|line| (explanation.what.clone(), line)));
        self.competition.offer(
            explanation
                .number("relative_residual", before)
                .number("relative_residual_explained", left),
        );
    }

    /// What `latents` leave of the user's: scaled as asked for, or, where that is much better,
    /// by a line of their own, which is two numbers more.
    fn explained(&self, latents: &Array4<f32>) -> Option<(f64, usize, Option<Line>)> {
        let left = rms_difference(&self.affine.apply(latents), self.found);
        let line = Line::through(latents, self.found)?;
        // Another scaling is a finding of its own beside the explanation.
        let known = || self.evidence.all_known(scaling::line(self.affine, &line)).is_some();
        let other = line.slope > 0.0 && line.residual < OTHER_SCALING * left && known();
        Some(if other { (line.residual, 2, Some(line)) } else { (left, 0, None) })
    }

    /// Contrast, brightness, gamma and saturation of the picture, as far as the encoder is nearly
    /// linear in them: by its slope in each, a few times.
    pub fn offer_fitted(&mut self) -> Result<()> {
        for way in Way::ALL {
            let mut numbers = self.nearest_start(way)?;
            let mut best: Option<(f64, Vec<f64>)> = None;
            for _ in 0..STEPS {
                let at = self.encoded(way, &numbers)?;
                let left = rms_difference(&at, self.found);
                if best.as_ref().is_none_or(|(least, _)| left < *least) {
                    best = Some((left, numbers.clone()));
                } else {
                    break;
                }
                let slopes: Vec<Array4<f32>> = (0..numbers.len())
                    .map(|i| {
                        let mut aside = numbers.clone();
                        aside[i] += NUDGE;
                        Ok((self.encoded(way, &aside)? - &at) / NUDGE as f32)
                    })
                    .collect::<Result<_>>()?;
                let Some(step) = least_squares(&slopes, &(self.found - &at)) else { break };
                // A picture that is nothing of the kind is left after one look.
                if share_left(&slopes, &step, &(self.found - &at)) > HOPELESS {
                    break;
                }
                numbers.iter_mut().zip(step).for_each(|(number, by)| {
                    *number = (*number + by).clamp(-0.8, 1.5);
                });
            }
            let Some((left, numbers)) = best else { continue };
            let is_a_range = way.recolouring(&numbers).is_a_range();
            if numbers.iter().all(|number| number.abs() < 0.01) || is_a_range {
                continue;
            }
            let (cause, what) = way.in_words(&numbers);
            let what = format!("those of the picture {what}");
            let explanation = Explanation::new(cause, what, self.before, left);
            self.add(explanation.fitted(numbers.len()), None);
        }
        Ok(())
    }

    /// Where the numbers of `way` are first looked for.
    fn nearest_start(&self, way: Way) -> Result<Vec<f64>> {
        let starts = way.starts();
        if let [only] = &starts[..] {
            return Ok(only.clone());
        }
        let mut best = (f64::INFINITY, vec![0.0; way.free()]);
        for start in starts {
            let left = rms_difference(&self.encoded(way, &start)?, self.found);
            if left < best.0 {
                best = (left, start);
            }
        }
        Ok(best.1)
    }

    /// The latents of the picture so changed, scaled as asked for.
    fn encoded(&self, way: Way, numbers: &[f64]) -> Result<Array4<f32>> {
        let change = Change::Recoloured(way.recolouring(numbers));
        let Some(sample) = change.apply(self.evidence)? else {
            return Ok(self.evidence.encoded.latents.clone());
        };
        Ok(self.affine.apply(&self.evidence.vae.encode(sample.view(), None)?.latents))
    }

    /// Whether the user's latents decode to a picture that a person sees to be another.
    pub fn altered(&self) -> bool {
        self.before > ALTERED * spread(self.found)
    }

    /// What is found, with the factor beside it where that is wrong as well; `None` where nothing
    /// explains the difference.
    pub fn findings(&self, outcome: &Outcome, line: &Line) -> Option<Vec<Finding>> {
        let altered = self.altered();
        let first = outcome.first()?;
        let scaled =
            matches!(first.cause.code, Code::ScalingFactorMismatch | Code::ShiftFactorDropped);
        let by_line = scaled && first.free > 0;

        if by_line && matches!(outcome, Outcome::Clear(..)) {
            return Some(scaling::line(self.affine, line));
        }
        let subject = if scaled { "" } else { "your latents are " };
        let mut finding = outcome.finding(subject, altered)?;
        if matches!(outcome, Outcome::Nearest(_)) {
            return Some(vec![finding]);
        }
        if first.cause.code == Code::SymmetricDownsamplePadding {
            finding = finding.within(first_padding(self.evidence.vae.config()));
        }
        let mut findings = vec![finding];
        if let Some((_, with)) = self.lines.iter().find(|(what, _)| *what == first.what) {
            findings.extend(scaling::line(self.affine, with));
            findings.retain(|finding| self.evidence.knows(finding.code));
        }
        Some(findings)
    }
}

/// Steps towards the numbers of a change of colours, the nudge by which slopes are taken, and the
/// share of the difference that a first step has to leave no more than.
const STEPS: usize = 5;
const NUDGE: f64 = 0.05;
const HOPELESS: f64 = 0.8;

/// The one or two numbers that bring the sum of `slopes` nearest to `target`.
fn least_squares(slopes: &[Array4<f32>], target: &Array4<f32>) -> Option<Vec<f64>> {
    let dot = |a: &Array4<f32>, b: &Array4<f32>| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    match slopes {
        [one] => {
            let square = dot(one, one);
            (square > 0.0).then(|| vec![dot(one, target) / square])
        }
        [one, two] => {
            let (a, b, c) = (dot(one, one), dot(one, two), dot(two, two));
            let (x, y) = (dot(one, target), dot(two, target));
            let determinant = a * c - b * b;
            (determinant > 1e-9 * a * c)
                .then(|| vec![(c * x - b * y) / determinant, (a * y - b * x) / determinant])
        }
        _ => None,
    }
}

/// What `step` along `slopes` leaves of `target`, as a share.
fn share_left(slopes: &[Array4<f32>], step: &[f64], target: &Array4<f32>) -> f64 {
    let mut left = target.clone();
    for (slope, by) in slopes.iter().zip(step) {
        left.scaled_add(-*by as f32, slope);
    }
    let squares = |tensor: &Array4<f32>| -> f64 {
        tensor.iter().map(|value| f64::from(*value).powi(2)).sum()
    };
    (squares(&left) / squares(target)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_those_of_least_squares() {
        let tensor =
            |values: [f32; 4]| Array4::from_shape_vec((1, 1, 2, 2), values.into()).unwrap();
        let slopes = [tensor([1.0, 0.0, 1.0, 2.0]), tensor([0.0, 1.0, 1.0, -1.0])];
        let target = &slopes[0] * 0.5 - &slopes[1] * 0.25;
        let step = least_squares(&slopes, &target).unwrap();
        assert!((step[0] - 0.5).abs() < 1e-6 && (step[1] + 0.25).abs() < 1e-6, "{step:?}");
        assert!(share_left(&slopes, &step, &target) < 1e-3);
        assert_eq!(least_squares(&[slopes[0].clone(), slopes[0].clone()], &target), None);
    }
}
