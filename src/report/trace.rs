//! What `trace` prints: every layer of a VAE, and how they compare with another trace's.

use std::fmt::{self, Display};
use std::path::PathBuf;

use serde::Serialize;

use super::check::{Input, Model, Posterior};
use super::json::{lossy, lossy_option};
use super::lines::{BAD, FAINT, GOOD, line, number, tuple};
use super::text::{input_line, model_line, verdict_lines};
use crate::diagnosis::{F16_MAX, extreme};
use crate::golden::{Agreement, Fault, StageComparison, Tolerance};
use crate::printable::{printable, shown};
use crate::trace::{Activation, Stage, TraceFile};
use crate::verdict::Verdict;

/// Every layer of one VAE for one picture: what `trace` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct TraceReport {
    /// Version of this layout: 1.
    pub schema_version: u32,
    /// Fail where a layer holds NaN or infinity, or differs beyond rounding.
    pub verdict: Verdict,
    /// Why it failed; empty for a pass.
    pub verdict_reasons: Vec<String>,
    /// The picture.
    pub input: Input,
    /// The VAE, and how it ran.
    pub model: Model,
    /// How latents were taken from the posterior.
    pub posterior: Posterior,
    /// Where the trace was saved.
    #[serde(serialize_with = "lossy_option")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub saved: Option<PathBuf>,
    /// The layers of the encoder, in the order in which they finish.
    pub encode: Vec<Layer>,
    /// The layers of the decoder.
    pub decode: Vec<Layer>,
    /// How they compare; `None` where there was nothing to compare with.
    pub against: Option<Against>,
    /// What a reader should know beside the numbers.
    pub notes: Vec<String>,
}

/// The output of one layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Layer {
    /// What a trace holds of it.
    #[serde(flatten)]
    pub activation: Activation,
    /// 65504 over the largest absolute value: below 1 it overflows in f16; `None` where all is 0.
    pub f16_headroom: Option<f32>,
}

/// Two traces beside each other.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Against {
    /// The file of the other trace, which is what was expected.
    #[serde(serialize_with = "lossy")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub path: PathBuf,
    /// What counts as rounding; `atol` is in standard deviations of a layer's output.
    pub tolerance: Tolerance,
    /// Whether the first layer beyond rounding is wrong itself; `None` where there is none.
    pub fault: Option<Fault>,
    /// The stages that the other trace has.
    pub stages: Vec<StageComparison>,
}

impl Layer {
    /// The layers of a stage.
    pub fn of(trace: &[Activation]) -> Vec<Self> {
        let layer = |activation: &Activation| {
            let largest = extreme(activation).filter(|largest| *largest > 0.0);
            let f16_headroom = largest.map(|largest| F16_MAX / largest);
            Self { activation: activation.clone(), f16_headroom }
        };
        trace.iter().map(layer).collect()
    }
}

impl Against {
    /// Holds `found` against `expected`, which was read from `path`.
    pub fn new(
        path: PathBuf,
        expected: &TraceFile,
        found: &TraceFile,
        tolerance: Tolerance,
    ) -> Self {
        let stages: Vec<StageComparison> = [Stage::Encode, Stage::Decode]
            .into_iter()
            .filter(|&stage| !expected.stage(stage).is_empty())
            .map(|stage| {
                StageComparison::new(stage, expected.stage(stage), found.stage(stage), tolerance)
            })
            .collect();
        let parts = stages.iter().any(|stage| stage.beyond_rounding > 0);
        let fault = parts.then(|| Fault::CannotTell {
            reason: "that takes whole tensors, and a trace holds statistics and samples".to_owned(),
        });
        Self { path, tolerance, fault, stages }
    }

    /// The first layer beyond rounding, of the first stage that has one.
    pub fn first_beyond(&self) -> Option<&str> {
        self.stages.iter().find_map(|stage| stage.first_beyond_rounding.as_deref())
    }

    /// Layers that both traces name.
    pub fn compared(&self) -> usize {
        self.stages.iter().map(|stage| stage.layers.len()).sum()
    }

    /// Where the two part, in words; empty where they do not.
    pub fn reasons(&self) -> Vec<String> {
        let encoded_otherwise = self
            .stages
            .iter()
            .any(|stage| stage.stage == Stage::Encode && stage.beyond_rounding > 0);
        let parted = |stage: &StageComparison| {
            let layer = stage.first_beyond()?;
            let so_far = match &stage.last_that_agrees {
                Some(before) => format!("{before} and all before it agree"),
                None if stage.stage == Stage::Decode && encoded_otherwise => {
                    "it is the first, and the latents that it is given differ already".to_owned()
                }
                None => "it is the first, so look at its input as well".to_owned(),
            };
            Some(format!(
                "{} is the first layer of {} that differs beyond rounding: {}; {so_far}",
                layer.module,
                half(stage.stage),
                layer.difference.as_deref().unwrap_or_default(),
            ))
        };
        self.stages.iter().filter_map(parted).collect()
    }

    fn agreement(&self, stage: Stage, module: &str) -> Option<Agreement> {
        let stage = self.stages.iter().find(|compared| compared.stage == stage)?;
        let layer = stage.layers.iter().find(|layer| layer.module == module)?;
        Some(layer.agreement)
    }
}

/// The first layer that is not finite, in words; empty where all are.
pub fn non_finite_reasons(trace: &TraceFile) -> Vec<String> {
    let broken = trace.encode.iter().chain(&trace.decode).find(|layer| layer.non_finite > 0);
    let reason = |layer: &Activation| {
        let (module, count) = (&layer.module, layer.non_finite);
        format!("{module} is the first layer with NaN or infinity: {count} values")
    };
    broken.map(reason).into_iter().collect()
}

fn half(stage: Stage) -> &'static str {
    match stage {
        Stage::Encode => "encode",
        Stage::Decode => "decode",
    }
}

impl Display for TraceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        input_line(f, &self.input)?;
        model_line(f, &self.model)?;
        for (stage, layers) in [(Stage::Encode, &self.encode), (Stage::Decode, &self.decode)] {
            line(f, half(stage), format_args!("{} layers", layers.len()))?;
            table(f, stage, layers, self.against.as_ref())?;
        }
        if let Some(path) = &self.saved {
            line(f, "saved", shown(path.display()))?;
        }
        if let Some(against) = &self.against {
            against.lines(f)?;
        }
        verdict_lines(f, self.verdict, &self.verdict_reasons, &[])
    }
}

impl Against {
    fn lines(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "against", shown(self.path.display()))?;
        let (atol, rtol) = (self.tolerance.atol(), self.tolerance.rtol());
        line(f, "", format_args!("rounding is {atol:e} of a layer's std + {rtol:e} of the value"))?;
        for stage in &self.stages {
            let StageComparison { identical, within_rounding, beyond_rounding, .. } = stage;
            let counts = format!(
                "{identical} layers identical, {within_rounding} within rounding, \
                 {beyond_rounding} beyond it"
            );
            line(f, half(stage.stage), counts)?;
            if let Some(first) = &stage.first_not_identical {
                line(f, "", format_args!("the first that is not identical: {}", printable(first)))?;
            }
            if let Some(first) = &stage.first_beyond_rounding {
                line(
                    f,
                    "",
                    format_args!("{BAD}the first beyond rounding: {}{BAD:#}", printable(first)),
                )?;
            }
            if let Some(absent) = stage.absent.first() {
                let count = stage.absent.len();
                let what = format!("{count} layers of the trace are not in this VAE: {absent}");
                line(f, "", format_args!("{FAINT}{}, ..{FAINT:#}", printable(&what)))?;
            }
        }
        match &self.fault {
            Some(fault) => line(f, "", shown(fault)),
            None => Ok(()),
        }
    }
}

/// One row a layer, in columns as wide as they need to be.
fn table(
    f: &mut fmt::Formatter<'_>,
    stage: Stage,
    layers: &[Layer],
    against: Option<&Against>,
) -> fmt::Result {
    let mut rows = vec![
        ["layer", "class", "shape", "mean", "std", "min", "max", "NaN, inf", "f16 room"]
            .map(str::to_owned),
    ];
    rows.extend(layers.iter().map(|layer| {
        let of = &layer.activation;
        let room = match layer.f16_headroom {
            None => "-".to_owned(),
            Some(room) if room < 10.0 => format!("{room:.2}"),
            Some(room) => format!("{room:.0}"),
        };
        [
            shown(&of.module),
            shown(&of.kind),
            tuple(&of.shape),
            number(of.mean),
            number(of.std),
            number(of.min),
            number(of.max),
            of.non_finite.to_string(),
            room,
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    for (at, row) in rows.iter().enumerate() {
        write!(f, " ")?;
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Names to the left, numbers to the right.
            match column < 3 {
                true => write!(f, " {cell:<width$}")?,
                false => write!(f, "  {cell:>width$}")?,
            }
        }
        let header = against.filter(|_| at == 0).map(|_| (FAINT, "agreement"));
        let agreement = at.checked_sub(1).and_then(|at| {
            let agreement = against?.agreement(stage, &layers[at].activation.module);
            Some(match agreement {
                Some(Agreement::Identical) => (GOOD, "identical"),
                Some(Agreement::WithinRounding) => (FAINT, "within rounding"),
                Some(Agreement::BeyondRounding) => (BAD, "beyond rounding"),
                None => (FAINT, "not compared"),
            })
        });
        match header.or(agreement) {
            Some((style, word)) => writeln!(f, "  {style}{word}{style:#}")?,
            None => writeln!(f)?,
        }
    }
    Ok(())
}
