//! Rows as a parquet file: `rows.parquet`, and the parts that it is made of.

use std::path::Path;

use vae_fidelity_files::error::Result;

use crate::columns::{ColumnReader, read, written};
use crate::pair::{LpipsDistances, PairMetrics};
use crate::row::Row;

const SCHEMA: &str = "message rows {
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
    optional double psnr_db;
    optional double ssim;
    optional double ms_ssim;
    optional double mae;
    optional int64 max_abs_diff;
    optional double lpips_alex;
    optional double lpips_vgg;
    optional double lpips_squeeze;
}";

/// The bytes of a parquet file with `rows`, without their channels.
pub(crate) fn rows_file(rows: &[Row]) -> Result<Vec<u8>> {
    let side = |pair: Option<(u32, u32)>| pair.map_or((None, None), |(w, h)| (Some(w), Some(h)));
    let metric = |of: fn(&PairMetrics) -> Option<f64>| {
        rows.iter().map(move |row| row.metrics.as_ref().and_then(of))
    };
    written(SCHEMA, |columns| {
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
        columns.doubles(metric(|of| of.psnr_db))?;
        columns.doubles(metric(|of| of.ssim))?;
        columns.doubles(metric(|of| of.ms_ssim))?;
        columns.doubles(metric(|of| Some(of.mae)))?;
        columns.optional_numbers(
            rows.iter().map(|row| row.metrics.map(|of| u64::from(of.max_abs_diff))),
        )?;
        columns.doubles(metric(|of| of.lpips.alex))?;
        columns.doubles(metric(|of| of.lpips.vgg))?;
        columns.doubles(metric(|of| of.lpips.squeeze))
    })
}

/// The rows of the file at `path`, without their channels.
///
/// # Errors
///
/// When it cannot be read, or is no such file.
pub(crate) fn read_rows(path: &Path) -> Result<Vec<Row>> {
    read(path, SCHEMA, |columns: &mut ColumnReader| {
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
        let mut psnr_db = columns.doubles()?.into_iter();
        let mut ssim = columns.doubles()?.into_iter();
        let mut ms_ssim = columns.doubles()?.into_iter();
        let mut mae = columns.doubles()?.into_iter();
        let mut max_abs_diff = columns.numbers()?.into_iter();
        let mut alex = columns.doubles()?.into_iter();
        let mut vgg = columns.doubles()?.into_iter();
        let mut squeeze = columns.doubles()?.into_iter();
        let row = |picture: Option<u64>| {
            let (mse, psnr_db) = (mse.next().flatten(), psnr_db.next().flatten());
            let (ssim, ms_ssim) = (ssim.next().flatten(), ms_ssim.next().flatten());
            let (mae, most) = (mae.next().flatten(), max_abs_diff.next().flatten());
            let (alex, vgg) = (alex.next().flatten(), vgg.next().flatten());
            let lpips = LpipsDistances { alex, vgg, squeeze: squeeze.next().flatten() };
            let metrics = mse.zip(mae).zip(most).map(|((mse, mae), most)| PairMetrics {
                mse,
                psnr_db,
                ssim,
                ms_ssim,
                mae,
                max_abs_diff: most as u8,
                lpips,
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
                ssim: None,
                ms_ssim: Some(1.0),
                mae: 0.25,
                max_abs_diff: 255,
                lpips: LpipsDistances { vgg: Some(0.25), ..LpipsDistances::default() },
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
