//! One metric over all pictures.

use serde::{Deserialize, Serialize};

use crate::bootstrap::{Bootstrap, Interval, quantile};

/// One metric over all pictures that have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MetricSummary {
    /// How many pictures have it.
    pub pictures: usize,
    /// Mean.
    pub mean: f64,
    /// Standard deviation of the population.
    pub std: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Below which values how many pictures lie.
    pub percentiles: Percentiles,
    /// Where the mean lies, by bootstrap; `None` for one picture.
    pub confidence: Option<Interval>,
}

/// Values below which 1, 5, 25, ... per cent of the pictures lie, between neighbours in a straight line.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the name says it")]
pub struct Percentiles {
    pub p1: f64,
    pub p5: f64,
    pub p25: f64,
    pub p50: f64,
    pub p75: f64,
    pub p95: f64,
    pub p99: f64,
}

impl MetricSummary {
    /// Of `values`, in the order of the pictures; `None` where there are none.
    pub fn of(values: &[f64], bootstrap: Bootstrap) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let below = |share| quantile(&sorted, share);
        Some(Self {
            pictures: values.len(),
            mean,
            std: (squares / count).sqrt(),
            min,
            max,
            percentiles: Percentiles {
                p1: below(0.01),
                p5: below(0.05),
                p25: below(0.25),
                p50: below(0.5),
                p75: below(0.75),
                p95: below(0.95),
                p99: below(0.99),
            },
            confidence: bootstrap.mean(values),
        })
    }
}
