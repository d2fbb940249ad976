//! Rows as a parquet file: `rows.parquet`, and the parts that it is made of.

use std::path::Path;

use vae_fidelity_files::error::Result;

use crate::columns::{ColumnReader, read, written};
use crate::metric::Metric;
use crate::pair::PairMetrics;
use crate::row::Row;

/// Beside a column of each [`Metric`].
const SCHEMA: &str = "
    required int64 picture;
    optional binary id (STRING);
    required int64 model;
    optional binary sha256 (STRING);
    optional int64 source_width;
    optional int64 source_height;
    optional int64 width;
    optional int64 height;
    optional binary error (STRING);
    optional double mse;
    optional double mae;
    optional int64 max_abs_diff;
";

fn schema() -> String {
    let metrics: String =
        Metric::ALL.map(|metric| format!("    optional double {};\n", metric.name())).concat();
    format!("message rows {{{SCHEMA}{metrics}}}")
}

/// The bytes of a parquet file with `rows`, without their channels.
pub(crate) fn rows_file(rows: &[Row]) -> Result<Vec<u8>> {
    let side = |pair: Option<(u32, u32)>| pair.map_or((None, None), |(w, h)| (Some(w), Some(h)));
    let metric = |of: fn(&PairMetrics) -> Option<f64>| {
        rows.iter().map(move |row| row.metrics.as_ref().and_then(of))
    };
    written(&schema(), |columns| {
        columns.numbers(rows.iter().map(|row| row.picture))?;
        columns.texts(rows.iter().map(|row| Some(row.id.as_str())))?;
        columns.numbers(rows.iter().map(|row| row.model.into()))?;
        columns.texts(rows.iter().map(|row| row.sha256.as_deref()))?;
        columns.optional_numbers(rows.iter().map(|row| side(row.source_size).0.map(u64::from)))?;
        columns.optional_numbers(rows.iter().map(|row| side(row.source_size).1.map(u64::from)))?;
        columns.optional_numbers(rows.iter().map(|row| side(row.size).0.map(u64::from)))?;
        columns.optional_numbers(rows.iter().map(|row| side(row.size).1.map(u64::from)))?;
        columns.texts(rows.iter().map(|row| row.error.as_deref()))?;
        columns.doubles(metric(|of| Some(of.mse)))?;
        columns.doubles(metric(|of| Some(of.mae)))?;
        columns.optional_numbers(
            rows.iter().map(|row| row.metrics.map(|of| u64::from(of.max_abs_diff))),
        )?;
        Metric::ALL.into_iter().try_for_each(|metric| {
            columns.doubles(rows.iter().map(|row| metric.of(row.metrics.as_ref()?)))
        })
    })
}

/// The rows of the file at `path`, without their channels.
///
/// # Errors
///
/// When it cannot be read, or is no such file.
pub(crate) fn read_rows(path: &Path) -> Result<Vec<Row>> {
    read(path, &schema(), |columns: &mut ColumnReader| {
        let pictures = columns.numbers()?;
        let mut ids = columns.texts()?.into_iter();
        let mut models = columns.numbers()?.into_iter();
        let mut sha256 = columns.texts()?.into_iter();
        let mut sides = || -> std::result::Result<_, parquet::errors::ParquetError> {
            let (width, height) = (columns.numbers()?, columns.numbers()?);
            Ok(width.into_iter().zip(height).map(|(w, h)| Some((w? as u32, h? as u32))))
        };
        let (mut source_sizes, mut sizes) = (sides()?, sides()?);
        let mut errors = columns.texts()?.into_iter();
        let mut mse = columns.doubles()?.into_iter();
        let mut mae = columns.doubles()?.into_iter();
        let mut max_abs_diff = columns.numbers()?.into_iter();
        let mut others = Vec::with_capacity(Metric::ALL.len());
        for _ in Metric::ALL {
            others.push(columns.doubles()?.into_iter());
        }
        let row = |picture: Option<u64>| {
            let (mse, mae) = (mse.next().flatten(), mae.next().flatten());
            let most = max_abs_diff.next().flatten();
            let mut metrics = PairMetrics::default();
            for (metric, values) in Metric::ALL.into_iter().zip(&mut others) {
                *metric.place(&mut metrics) = values.next().flatten();
            }
            let metrics = mse.zip(mae).zip(most).map(|((mse, mae), most)| PairMetrics {
                mse,
                mae,
                max_abs_diff: most as u8,
                ..metrics
            });
            Row {
                picture: picture.unwrap_or_default(),
                id: ids.next().flatten().unwrap_or_default(),
                model: models.next().flatten().unwrap_or_default() as u32,
                sha256: sha256.next().flatten(),
                source_size: source_sizes.next().flatten(),
                size: sizes.next().flatten(),
                error: errors.next().flatten(),
                metrics,
                channels: Vec::new(),
            }
        };
        Ok(pictures.into_iter().map(row).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pair::LpipsDistances;

    #[test]
    fn rows_come_back_as_they_were_written() {
        let judged = Row {
            sha256: Some("00".to_owned()),
            source_size: Some((3, 4)),
            size: Some((8, 16)),
            error: None,
            metrics: Some(PairMetrics {
                mse: 0.1 + 0.2,
                psnr_db: Some(f64::MIN_POSITIVE),
                ms_ssim: Some(1.0),
                mae: 0.25,
                max_abs_diff: 255,
                lpips: LpipsDistances { vgg: Some(0.25), ..LpipsDistances::default() },
                ..PairMetrics::default()
            }),
            ..Row::failed(7, "a/b.png", 1, String::new())
        };
        let rows = [judged, Row::failed(8, "c é.png", 0, "broken".to_owned())];
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), rows_file(&rows).unwrap()).unwrap();
        assert_eq!(read_rows(file.path()).unwrap(), rows);
        std::fs::write(file.path(), "PAR1").unwrap();
        assert!(read_rows(file.path()).is_err());
    }
}
