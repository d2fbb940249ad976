//! Latents of several pictures or frames in one tensor: each judged by itself, and told which is this
//! picture's.

use ndarray::{Array4, ArrayD, Axis};

use super::compared::Judged;
use super::evidence::Evidence;
use super::finding::Finding;
use super::fit::Line;
use super::latents;
use super::latents_differ::LATENTS_DIFFER;
use super::severity::Severity;
use vae_fidelity_files::error::Result;

/// Rows with a difference that is looked into: each explanation that is tried encodes the picture again.
const LOOKED_INTO: usize = 4;

/// Correlation below which a row is of another picture, and no explanation of it is tried.
const UNRELATED: f64 = 0.5;

/// Relative residual of a line up to which nothing has to be tried.
const STRAIGHT: f64 = 0.004;

/// What is wrong with the user's latents, where `tensor` may hold several rows and axes of length 1.
pub(super) fn judged(evidence: &Evidence, tensor: &ArrayD<f32>) -> Result<Judged> {
    // Latents that a class hands on in another shape may be given in either.
    for expected in [&evidence.encoded.latents, evidence.latents] {
        match rows(tensor, expected.dim()).as_slice() {
            [] => {}
            [only] => return latents::judged(evidence, only),
            several => return one_by_one(evidence, expected, several),
        }
    }
    latents::judged(evidence, tensor)
}

/// The findings of several rows, each named by its number from 0, and how far off the first row is that
/// is this picture's.
fn one_by_one(evidence: &Evidence, expected: &Array4<f32>, rows: &[ArrayD<f32>]) -> Result<Judged> {
    let (mut alike, mut with_findings) = (0, 0);
    let mut own = Vec::new();
    let mut nearest = None;
    let mut of_rows: Vec<(usize, Finding)> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let sound = row.iter().all(|value| value.is_finite());
        let line = Line::through(expected, row);
        if sound && line.as_ref().is_none_or(|line| line.correlation < UNRELATED) {
            // A batch holds other pictures, too.
            let title = "your latents are not this picture's";
            let finding = Finding::new(&LATENTS_DIFFER, title).severity(Severity::Warning);
            of_rows.push((index, finding));
            continue;
        }
        alike += 1;
        let straight = line.is_some_and(|line| line.residual <= STRAIGHT * line.spread[1]);
        if sound && !straight && with_findings >= LOOKED_INTO {
            let title = "your latents are not this picture's; too many rows are to say why";
            of_rows.push((index, Finding::new(&LATENTS_DIFFER, title)));
            continue;
        }
        let judged = latents::judged(evidence, row)?;
        of_rows.extend(judged.findings.iter().cloned().map(|finding| (index, finding)));
        match judged.findings.is_empty() {
            true => {
                own.push(index);
                nearest.get_or_insert(judged);
            }
            false => with_findings += 1,
        }
    }
    // Where no row is like it, the first one is looked into as a whole file of one would be.
    if alike == 0 {
        let judged = latents::judged(evidence, &rows[0])?;
        let named = |finding: Finding| {
            let title =
                format!("none of {} rows is this picture's; row 0: {}", rows.len(), finding.title);
            Finding { title, ..finding }.evidence("rows", rows.len())
        };
        let findings = judged.findings.into_iter().map(named).collect();
        return Ok(Judged { findings, ..judged });
    }
    of_rows.retain(|(_, finding)| evidence.knows(finding.code));
    let findings = gathered(of_rows, &own, rows.len());
    Ok(Judged { findings, ..nearest.unwrap_or_default() })
}

/// One finding a code and severity, with the numbers of its rows.
fn gathered(of_rows: Vec<(usize, Finding)>, own: &[usize], count: usize) -> Vec<Finding> {
    let mut gathered: Vec<(Vec<usize>, Finding)> = Vec::new();
    for (index, finding) in of_rows {
        let same = gathered
            .iter_mut()
            .find(|(_, other)| (other.code, other.severity) == (finding.code, finding.severity));
        match same {
            Some((rows, _)) => rows.push(index),
            None => gathered.push((vec![index], finding)),
        }
    }
    let named = |(rows, finding): (Vec<usize>, Finding)| {
        let which = match own {
            [] => String::new(),
            own => format!("; {} of {count} {} this picture's", numbered(own), verb(own)),
        };
        let title = format!("{}: {}{which}", numbered(&rows), finding.title);
        Finding { title, ..finding }.evidence("rows", rows)
    };
    gathered.into_iter().map(named).collect()
}

fn verb(rows: &[usize]) -> &'static str {
    if rows.len() == 1 { "is" } else { "are" }
}

/// `row 1`, `rows 0, 2`.
fn numbered(rows: &[usize]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = rows.iter().take(SHOWN).map(usize::to_string).collect();
    let more = if rows.len() > SHOWN { ", ..." } else { "" };
    format!("row{} {}{more}", if rows.len() == 1 { "" } else { "s" }, shown.join(", "))
}

/// The rows of `tensor` that have the expected shape (1, C, h, w): those of a batch (N, C, h, w), the frames
/// of (C, F, h, w) and (N, C, F, h, w), or the one of a tensor with other axes of length 1. Empty where its
/// axes do not say so.
fn rows(
    tensor: &ArrayD<f32>,
    (_, channels, height, width): (usize, usize, usize, usize),
) -> Vec<ArrayD<f32>> {
    let wanted = [1, channels, height, width];
    let shape = tensor.shape();
    if shape == wanted || shape == &wanted[1..] {
        return Vec::new();
    }
    let row = |view: ndarray::ArrayViewD<f32>| {
        let values: Vec<f32> = view.iter().copied().collect();
        Array4::from_shape_vec((1, channels, height, width), values).ok().map(|row| row.into_dyn())
    };
    // Dropping axes of length 1 moves no value.
    let long =
        |shape: &[usize]| shape.iter().copied().filter(|&side| side != 1).collect::<Vec<_>>();
    if long(shape) == long(&wanted) {
        return row(tensor.view()).into_iter().collect();
    }
    let split = match *shape {
        [_, c, h, w] if (c, h, w) == (channels, height, width) => Some((0, None)),
        [c, _, h, w] if (c, h, w) == (channels, height, width) => Some((1, None)),
        [_, c, _, h, w] if (c, h, w) == (channels, height, width) => Some((0, Some(1))),
        [_, _, c, h, w] if (c, h, w) == (channels, height, width) => Some((0, Some(0))),
        _ => None,
    };
    match split {
        Some((axis, None)) => tensor.axis_iter(Axis(axis)).filter_map(row).collect(),
        Some((first, Some(second))) => tensor
            .axis_iter(Axis(first))
            .flat_map(|batch| {
                let frames: Vec<ArrayD<f32>> =
                    batch.axis_iter(Axis(second)).filter_map(row).collect();
                frames
            })
            .collect(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::IxDyn;

    fn counted(shape: &[usize]) -> ArrayD<f32> {
        let count = shape.iter().product::<usize>();
        ArrayD::from_shape_vec(IxDyn(shape), (0..count).map(|value| value as f32).collect())
            .unwrap()
    }

    #[test]
    fn axes_of_length_one_are_dropped_and_rows_told_apart() {
        let wanted = (1, 4, 2, 3);
        for plain in [&[1, 4, 2, 3][..], &[4, 2, 3], &[1, 2, 3, 4], &[4, 3, 2], &[2, 5, 2, 3]] {
            assert!(rows(&counted(plain), wanted).is_empty(), "{plain:?}");
        }
        for one in [&[1, 1, 4, 2, 3][..], &[4, 1, 2, 3], &[1, 4, 1, 2, 3], &[1, 1, 1, 4, 2, 3]] {
            let rows = rows(&counted(one), wanted);
            assert_eq!(rows.len(), 1, "{one:?}");
            assert_eq!(
                rows[0].iter().copied().collect::<Vec<_>>(),
                (0..24).map(|v| v as f32).collect::<Vec<_>>()
            );
        }
        let batch = rows(&counted(&[2, 4, 2, 3]), wanted);
        assert_eq!((batch.len(), batch[1][[0, 0, 0, 0]]), (2, 24.0));
        let frames = rows(&counted(&[4, 3, 2, 3]), wanted);
        assert_eq!((frames.len(), frames[1][[0, 1, 0, 0]]), (3, 24.0));
        let video = rows(&counted(&[2, 4, 3, 2, 3]), wanted);
        assert_eq!((video.len(), video[4][[0, 0, 0, 0]]), (6, 78.0));
    }

    #[test]
    fn findings_of_several_rows_name_them_once() {
        let finding = || Finding::new(&LATENTS_DIFFER, "your latents are not this picture's");
        let found = gathered(vec![(1, finding()), (3, finding())], &[0, 2], 4);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].title,
            "rows 1, 3: your latents are not this picture's; rows 0, 2 of 4 are this picture's"
        );
    }
}
