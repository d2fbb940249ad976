//! One model against another, picture by picture.

use serde::{Deserialize, Serialize};

use crate::bootstrap::{Bootstrap, Interval};
use crate::metric::Metric;
use crate::row::Row;

/// By how much a metric of one model lies above the first one's, over the pictures that both have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ModelComparison {
    /// Which metric.
    pub metric: String,
    /// Place of the model in the list, from 1: it is held against model 0.
    pub model: usize,
    /// How many pictures both have.
    pub pictures: usize,
    /// Mean of the differences.
    pub mean_difference: f64,
    /// Where that lies, by bootstrap over pictures; 0 outside of it is a difference that is there.
    pub confidence: Option<Interval>,
    /// Share of the pictures in which the metric is higher than the first model's; equal ones count half.
    pub higher: f64,
}

/// Model `model` held against the first, where `first` and `other` are their rows in the same order.
pub(crate) fn comparisons(
    model: usize,
    first: &[&Row],
    other: &[&Row],
    bootstrap: Bootstrap,
) -> Vec<ModelComparison> {
    let of = |metric: Metric| {
        let get = |row: &Row| metric.of(row.metrics.as_ref()?);
        let pairs = first.iter().zip(other);
        let both = |(a, b): (&&Row, &&Row)| Some((get(a)?, get(b)?));
        let differences: Vec<f64> = pairs.filter_map(both).map(|(a, b)| b - a).collect();
        let count = differences.len();
        let wins: f64 = differences
            .iter()
            .map(|difference| match difference.total_cmp(&0.0) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            })
            .sum();
        (count > 0).then(|| ModelComparison {
            metric: metric.name().to_owned(),
            model,
            pictures: count,
            mean_difference: differences.iter().sum::<f64>() / count as f64,
            confidence: bootstrap.mean(&differences),
            higher: wins / count as f64,
        })
    };
    Metric::ALL.into_iter().filter_map(of).collect()
}
