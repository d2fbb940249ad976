//! The pictures that came back worst, kept to be looked at.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::{Rgb8, encode_png};

use crate::pair::Pair;
use crate::row::Row;

/// How many are kept of each model.
pub const WORST: usize = 12;

/// A picture that is among the worst of its model, by PSNR.
#[derive(Debug, Clone, PartialEq)]
pub struct WorstPicture {
    /// The model's place in the list.
    pub model: u32,
    /// The picture's place in the data set.
    pub picture: u64,
    /// Its name.
    pub id: String,
    /// Its PSNR in dB.
    pub psnr_db: f64,
    /// Input and output side by side, as PNG.
    pub png: Vec<u8>,
}

/// What is among the worst so far: PSNR, picture, name and the two pictures where they are at hand.
type Kept = (f64, u64, String, Option<Vec<u8>>);

/// The worst of each model among the rows that were seen.
#[derive(Debug, Default)]
pub(crate) struct Worst(BTreeMap<u32, Vec<Kept>>);

fn order((a, a_at, ..): &Kept, (b, b_at, ..): &Kept) -> Ordering {
    a.total_cmp(b).then(a_at.cmp(b_at))
}

impl Worst {
    /// Sees `row`; its pictures are kept while it is among the worst.
    pub fn add(&mut self, row: &Row, pair: Option<&Pair>) -> Result<()> {
        let Some(psnr_db) = row.metrics.and_then(|of| of.psnr_db) else { return Ok(()) };
        let kept = self.0.entry(row.model).or_default();
        let mut new: Kept = (psnr_db, row.picture, row.id.clone(), None);
        let place = kept.partition_point(|other| order(other, &new) == Ordering::Less);
        if place < WORST {
            new.3 = pair.map(|pair| side_by_side(&pair.input, &pair.output)).transpose()?;
            kept.insert(place, new);
            kept.truncate(WORST);
        }
        Ok(())
    }

    /// The names of their files, and the bytes of those that are at hand.
    pub fn files(&self) -> impl Iterator<Item = (String, Option<&[u8]>)> {
        self.0.iter().flat_map(|(model, kept)| {
            kept.iter().map(|(_, picture, _, png)| (file_name(*model, *picture), png.as_deref()))
        })
    }

    /// Forgets the bytes, once they are on the disk.
    pub fn written(&mut self) {
        self.0.values_mut().flatten().for_each(|kept| kept.3 = None);
    }

    /// All of them, with what `read` reads of each file.
    pub fn pictures(self, read: impl Fn(&str) -> Result<Vec<u8>>) -> Result<Vec<WorstPicture>> {
        let all = self.0.into_iter().flat_map(|(model, kept)| {
            kept.into_iter().map(move |(psnr_db, picture, id, _)| (model, psnr_db, picture, id))
        });
        all.map(|(model, psnr_db, picture, id)| {
            let png = read(&file_name(model, picture))?;
            Ok(WorstPicture { model, picture, id, psnr_db, png })
        })
        .collect()
    }
}

pub(crate) fn file_name(model: u32, picture: u64) -> String {
    format!("{model}-{picture:09}.png")
}

/// Whether a file is called as one of these pictures is.
pub(crate) fn is_file_name(name: &str) -> bool {
    let numbers = name.strip_suffix(".png").and_then(|stem| stem.split_once('-'));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|of| of.is_ascii_digit());
    numbers.is_some_and(|(model, picture)| {
        all_digits(model) && picture.len() >= 9 && all_digits(picture)
    })
}

fn side_by_side(input: &Rgb8, output: &Rgb8) -> Result<Vec<u8>> {
    let bytes = input.width() * 3;
    let rows = input.data().chunks_exact(bytes).zip(output.data().chunks_exact(bytes));
    let data = rows.flat_map(|(a, b)| [a, b]).flatten().copied().collect();
    encode_png(&Rgb8::new(2 * input.width(), input.height(), data)?)
}
