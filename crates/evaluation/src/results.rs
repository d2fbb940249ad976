//! From rows to a report.

use vae_fidelity_files::error::Result;

use crate::bootstrap::{Bootstrap, Interval};
use crate::comparison::comparisons;
use crate::duplicates::Duplicates;
use crate::error_map::ErrorMap;
use crate::features::{SetDistances, Sets};
use crate::identity::Identity;
use crate::latents::LatentSummary;
use crate::maps::Maps;
use crate::pair::{PairMetrics, decibels};
use crate::report::{
    EvaluationReport, EvaluationVerdict, Failure, Kid, Metrics, ModelResult, ProtocolRecord,
    PsnrOfMeanMse, Rfid, RunRecord, SCHEMA_VERSION, Share,
};
use crate::row::Row;
use crate::sha256::sha256;
use crate::spectrum::Spectrum;
use crate::summary::MetricSummary;

/// How many pictures that could not be judged are named.
const NAMED: usize = 20;

/// What the means of every model must at least reach.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Least {
    /// PSNR in dB, averaged as the protocol says.
    pub psnr_db: Option<f64>,
    /// SSIM.
    pub ssim: Option<f64>,
    /// MS-SSIM.
    pub ms_ssim: Option<f64>,
}

/// Sums `rows` up, which are in order of pictures, and for each of them of models; and `sets` of those that every model
/// judged; and the `maps` of each model.
///
/// # Errors
///
/// As [`crate::Protocol::hash`], and when a feature is not finite.
pub(crate) fn report(
    identity: &Identity,
    rows: &[Row],
    sets: Option<Sets>,
    maps: &[Maps],
    least: &Least,
    run: RunRecord,
) -> Result<EvaluationReport> {
    let bootstrap = Bootstrap(identity.protocol.confidence);
    let of_model = |model: usize| -> Vec<&Row> {
        rows.iter().filter(|row| row.model as usize == model).collect()
    };
    let by_model: Vec<Vec<&Row>> = (0..identity.models.len()).map(of_model).collect();
    let failed: Vec<&Row> = rows.iter().filter(|row| row.error.is_some()).collect();
    let mut pictures: Vec<u64> = failed.iter().map(|row| row.picture).collect();
    pictures.dedup();
    let asked = &identity.protocol.metrics;
    let reference_sha256 = sets.and_then(Sets::reference_sha256);
    let of_sets = sets.map(|sets| sets.distances(asked)).transpose()?.unwrap_or_default();
    let mut of_sets = of_sets.into_iter();
    let models: Vec<ModelResult> = identity
        .models
        .iter()
        .zip(&by_model)
        .zip(maps)
        .map(|((model, rows), maps)| ModelResult {
            source: model.source.clone(),
            weights_sha256: model.weights_sha256.clone(),
            judged: rows.iter().filter(|row| row.metrics.is_some()).count(),
            identical: rows
                .iter()
                .filter(|row| row.metrics.is_some_and(|of| of.psnr_db.is_none()))
                .count(),
            metrics: with_sets(metrics(rows, bootstrap), of_sets.next().zip(sets)),
            latents: LatentSummary::of(rows, &model.config, bootstrap),
            spectrum: Spectrum::of(&maps.spectra),
            error_map: ErrorMap::of(&maps.errors),
        })
        .collect();
    let verdict_reasons = missed(&models, identity, least);
    let first: &[&Row] = by_model.first().map_or(&[], Vec::as_slice);
    Ok(EvaluationReport {
        schema_version: SCHEMA_VERSION,
        verdict: EvaluationVerdict::from_reasons(&verdict_reasons),
        verdict_reasons,
        protocol: ProtocolRecord {
            name: identity.protocol.name.clone(),
            hash: identity.protocol_hash(reference_sha256)?,
            choices: identity.protocol.clone(),
            engine: identity.engine.clone(),
            metric_weights: identity.metric_weights.clone(),
            metric_instructions: identity.metric_instructions.clone(),
        },
        data_sha256: identity.data.sha256.clone(),
        pictures_sha256: pictures_sha256(first),
        pictures: first.len() as u64,
        errors: pictures.len() as u64,
        failures: failed
            .iter()
            .filter(|row| pictures.iter().take(NAMED).any(|picture| *picture == row.picture))
            .map(|row| Failure {
                id: row.id.clone(),
                model: row.model as usize,
                error: row.error.clone().unwrap_or_default(),
            })
            .collect(),
        duplicates: Duplicates::of(first),
        comparisons: (1..models.len())
            .flat_map(|model| comparisons(model, first, &by_model[model], bootstrap))
            .collect(),
        models,
        run,
    })
}

/// Of what each picture was when it was read; one that could not be read is an empty line.
fn pictures_sha256(rows: &[&Row]) -> String {
    let lines: String =
        rows.iter().map(|row| format!("{}\n", row.sha256.as_deref().unwrap_or_default())).collect();
    sha256(lines.as_bytes())
}

/// `metrics` with what is of all pictures together.
fn with_sets(metrics: Metrics, of_sets: Option<(SetDistances, Sets)>) -> Metrics {
    let Some((SetDistances { frechet, kernel, precision_recall }, sets)) = of_sets else {
        return metrics;
    };
    let pictures = sets.features.pictures();
    let reference_sha256 = sets.reference_sha256().map(str::to_owned);
    let share = |value| Share { pictures, value };
    Metrics {
        rfid: frechet.map(|value| Rfid { pictures, value, reference_sha256 }),
        kid: kernel.map(|of| Kid { pictures, mean: of.mean, std: of.std }),
        precision: precision_recall.map(|of| share(of.precision)),
        recall: precision_recall.map(|of| share(of.recall)),
        ..metrics
    }
}

fn metrics(rows: &[&Row], bootstrap: Bootstrap) -> Metrics {
    let values = |get: fn(&PairMetrics) -> Option<f64>| -> Vec<f64> {
        rows.iter().filter_map(|row| row.metrics.as_ref().and_then(get)).collect()
    };
    let summary = |get| MetricSummary::of(&values(get), bootstrap);
    let mse = summary(|of| Some(of.mse));
    Metrics {
        psnr_db: summary(|of| of.psnr_db),
        psnr_of_mean_mse_db: mse.as_ref().map(|mse| PsnrOfMeanMse {
            mean: (mse.mean > 0.0).then(|| decibels(mse.mean)),
            // More error is less PSNR.
            confidence: mse
                .confidence
                .filter(|mse| mse.low > 0.0)
                .map(|mse| Interval { low: decibels(mse.high), high: decibels(mse.low) }),
        }),
        ssim: summary(|of| of.ssim),
        ms_ssim: summary(|of| of.ms_ssim),
        mae: summary(|of| Some(of.mae)),
        max_abs_diff: summary(|of| Some(f64::from(of.max_abs_diff))),
        ssimulacra2: summary(|of| of.ssimulacra2),
        butteraugli: summary(|of| of.butteraugli),
        lpips_alex: summary(|of| of.lpips.alex),
        lpips_vgg: summary(|of| of.lpips.vgg),
        lpips_squeeze: summary(|of| of.lpips.squeeze),
        dists: summary(|of| of.dists),
        rotation_psnr_db: summary(|of| of.rotation_psnr_db),
        scaling_psnr_db: summary(|of| of.scaling_psnr_db),
        rfid: None,
        kid: None,
        precision: None,
        recall: None,
        mse,
    }
}

/// What was asked for and is not reached.
fn missed(models: &[ModelResult], identity: &Identity, least: &Least) -> Vec<String> {
    let mut reasons = Vec::new();
    for model in models {
        let metrics = &model.metrics;
        let mean = |summary: &Option<MetricSummary>| summary.as_ref().map(|of| of.mean);
        let psnr = metrics.averaged_psnr_db(identity.protocol.metrics.psnr_average);
        // Nothing but identical pictures is better than any bar.
        let psnr = match model.judged > 0 && model.identical == model.judged {
            true => Some(f64::INFINITY),
            false => psnr,
        };
        for (name, unit, least, found) in [
            ("PSNR", " dB", least.psnr_db, psnr),
            ("SSIM", "", least.ssim, mean(&metrics.ssim)),
            ("MS-SSIM", "", least.ms_ssim, mean(&metrics.ms_ssim)),
        ] {
            let Some(least) = least else { continue };
            let source = &model.source;
            match found {
                Some(found) if found >= least => {}
                Some(found) => reasons.push(format!(
                    "{source}: mean {name} {found:.4}{unit} is below the least asked for, {least}{unit}"
                )),
                None => reasons.push(format!("{source}: no picture has {name}, {least}{unit} was asked")),
            }
        }
    }
    reasons
}
