//! What `compare` says to a reader in front of a terminal.

use std::fmt::{self, Display};

use super::compare::{CompareReport, Compared, ComparedTensor};
use super::lines::{BAD, line, number, tuple};
use super::text::{pixel_lines, verdict_lines};
use crate::metrics::TensorMetrics;
use crate::printable::{printable, shown};

impl Display for CompareReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.compared {
            Compared::Images { sizes, metrics, thresholds } => {
                for (name, path, size) in [("a", &self.a, sizes[0]), ("b", &self.b, sizes[1])] {
                    let path = shown(path.display());
                    line(f, name, format_args!("{path} ({} x {})", size[0], size[1]))?;
                }
                if let Some(metrics) = metrics {
                    pixel_lines(f, metrics, thresholds)?;
                }
            }
            Compared::Tensors { tensors, tolerance } => {
                line(f, "a", shown(self.a.display()))?;
                line(f, "b", shown(self.b.display()))?;
                if let Some(tolerance) = tolerance {
                    line(
                        f,
                        "allowed",
                        format_args!("{} + {} x |b|", tolerance.atol(), tolerance.rtol()),
                    )?;
                }
                tensors.iter().try_for_each(|tensor| tensor_lines(f, tensor))?;
            }
        }
        verdict_lines(f, self.verdict, &self.verdict_reasons, &[])
    }
}

fn tensor_lines(f: &mut fmt::Formatter<'_>, tensor: &ComparedTensor) -> fmt::Result {
    let name = printable(tensor.name.as_deref().unwrap_or("(unnamed)"));
    let [shape_a, shape_b] = tensor.shapes.each_ref().map(|shape| match shape {
        Some(shape) => tuple(shape),
        None => "missing".to_owned(),
    });
    let Some(metrics) = &tensor.metrics else {
        return line(f, "tensor", format_args!("{name} {shape_a} beside {shape_b}"));
    };
    line(f, "tensor", format_args!("{name} {shape_a}"))?;
    if metrics.identical {
        return line(f, "", "identical");
    }
    let TensorMetrics { values, differing, .. } = metrics;
    line(
        f,
        "",
        format_args!(
            "{differing} of {values} values differ{}",
            match tensor.outside_tolerance {
                Some(outside) => format!(", {outside} by more than allowed"),
                None => String::new(),
            }
        ),
    )?;
    if let Some(worst) = &metrics.worst {
        line(
            f,
            "",
            format_args!(
                "largest difference {} at {:?}: {} beside {}; {} ULP at most",
                number(metrics.max_abs_diff),
                worst.index,
                worst.actual,
                worst.expected,
                metrics.max_ulp.unwrap_or(0),
            ),
        )?;
    }
    line(
        f,
        "",
        format_args!(
            "mean {}, RMS {}, cosine {}",
            number(metrics.mean_abs_diff),
            number(metrics.rms_diff),
            number(metrics.cosine)
        ),
    )?;
    let over: Vec<String> = metrics
        .over
        .iter()
        .filter(|over| over.threshold > 0.0)
        .map(|over| format!("{:e}: {}", over.threshold, over.values))
        .collect();
    line(f, "", format_args!("differ by more than {}", over.join(", ")))?;
    if metrics.non_finite_pairs > 0 {
        line(
            f,
            "",
            format_args!(
                "{BAD}{} NaN or infinite in a, {} in b{BAD:#}",
                metrics.non_finite_actual, metrics.non_finite_expected
            ),
        )?;
    }
    Ok(())
}
