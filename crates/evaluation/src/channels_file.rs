//! Moments of latents as a parquet file: a row for each picture, model and channel.

use std::path::Path;

use vae_fidelity_files::error::{Error, ErrorKind, Result};

use crate::columns::{ColumnReader, read, written};
use crate::moments::ChannelMoments;
use crate::row::Row;

const SCHEMA: &str = "message latents {
    required int64 picture;
    required int64 model;
    required int64 channel;
    required int64 values;
    optional double mean;
    optional double m2;
    optional double m3;
    optional double m4;
    optional double min;
    optional double max;
    optional double posterior_mean;
    optional double posterior_m2;
    optional double kl;
}";

/// The bytes of a parquet file with the channels of `rows`.
pub(crate) fn channels_file(rows: &[Row]) -> Result<Vec<u8>> {
    let all: Vec<(&Row, usize, &ChannelMoments)> = rows
        .iter()
        .flat_map(|row| row.channels.iter().enumerate().map(move |(index, of)| (row, index, of)))
        .collect();
    let moment = |get: fn(&ChannelMoments) -> f64| all.iter().map(move |(.., of)| Some(get(of)));
    written(SCHEMA, |columns| {
        columns.numbers(all.iter().map(|(row, ..)| row.picture))?;
        columns.numbers(all.iter().map(|(row, ..)| row.model.into()))?;
        columns.numbers(all.iter().map(|(_, channel, _)| *channel as u64))?;
        columns.numbers(all.iter().map(|(.., of)| of.values))?;
        columns.doubles(moment(|of| of.mean))?;
        columns.doubles(moment(|of| of.m2))?;
        columns.doubles(moment(|of| of.m3))?;
        columns.doubles(moment(|of| of.m4))?;
        columns.doubles(moment(|of| of.min))?;
        columns.doubles(moment(|of| of.max))?;
        columns.doubles(moment(|of| of.posterior_mean))?;
        columns.doubles(moment(|of| of.posterior_m2))?;
        columns.doubles(all.iter().map(|(.., of)| of.kl))
    })
}

/// Gives `rows` the channels of the file at `path`, which has those of all of them.
///
/// # Errors
///
/// When it cannot be read, is no such file, or has not the channels of these rows.
pub(crate) fn read_channels(path: &Path, rows: &mut [Row]) -> Result<()> {
    let all = read(path, SCHEMA, |columns: &mut ColumnReader| {
        let pictures = columns.numbers()?;
        let mut models = columns.numbers()?.into_iter();
        columns.numbers()?;
        let mut values = columns.numbers()?.into_iter();
        let mut moment = || -> std::result::Result<_, parquet::errors::ParquetError> {
            Ok(columns.doubles()?.into_iter())
        };
        let (mut mean, mut m2, mut m3, mut m4) = (moment()?, moment()?, moment()?, moment()?);
        let (mut min, mut max) = (moment()?, moment()?);
        let (mut posterior_mean, mut posterior_m2, mut kl) = (moment()?, moment()?, moment()?);
        let of = |picture: Option<u64>| {
            let place = (picture.unwrap_or_default(), models.next().flatten().unwrap_or_default());
            let moments = ChannelMoments {
                values: values.next().flatten()?,
                mean: mean.next().flatten()?,
                m2: m2.next().flatten()?,
                m3: m3.next().flatten()?,
                m4: m4.next().flatten()?,
                min: min.next().flatten()?,
                max: max.next().flatten()?,
                posterior_mean: posterior_mean.next().flatten()?,
                posterior_m2: posterior_m2.next().flatten()?,
                kl: kl.next().flatten(),
            };
            Some((place, moments))
        };
        Ok(pictures.into_iter().map(of).collect::<Option<Vec<_>>>())
    })?;
    let mut all = all.into_iter().flatten().peekable();
    for row in rows.iter_mut() {
        let place = (row.picture, u64::from(row.model));
        while let Some((_, moments)) = all.next_if(|(at, _)| *at == place) {
            row.channels.push(moments);
        }
    }
    let complete = rows.iter().all(|row| row.metrics.is_none() || !row.channels.is_empty());
    if all.next().is_some() || !complete {
        return Err(Error::new(
            ErrorKind::Output,
            path.display(),
            "expected the latents of the rows beside it, found others",
            "remove its folder and run again",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_go_back_to_their_rows() {
        let channel = |mean: f64| ChannelMoments { values: 4, mean, ..ChannelMoments::default() };
        let row = |picture, model, means: &[f64]| Row {
            channels: means.iter().map(|mean| channel(*mean)).collect(),
            ..Row::failed(picture, "x", model, String::new())
        };
        let rows = vec![row(0, 0, &[1.0, 2.0]), row(0, 1, &[]), row(1, 0, &[0.1 + 0.2])];
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), channels_file(&rows).unwrap()).unwrap();
        let mut bare: Vec<Row> =
            rows.iter().map(|row| Row { channels: Vec::new(), ..row.clone() }).collect();
        read_channels(file.path(), &mut bare).unwrap();
        assert_eq!(bare, rows);
        assert!(read_channels(file.path(), &mut bare[..1]).is_err(), "others' channels");
    }
}
