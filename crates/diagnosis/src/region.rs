//! Where a file differs: only in a rectangle.

use ndarray::{Array2, Array4};

use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::finding::Finding;
use super::severity::Severity;
use vae_fidelity_pixels::Rgb8;

pub(super) const EDITED_REGION: Cause = Cause {
    code: Code::EditedRegion,
    severity: Severity::Error,
    title: "only one part of the picture differs",
    meaning: "The rest agrees, so that weights, factor and ranges are right: the picture was \
              edited or pasted into after its latents were cached, or before it was saved.",
    rule: "Blocks of 8 x 8 pixels that differ at least 4 times as much as the others fill at least \
           half of one rectangle, which covers no more than half of the picture; nine in ten of their \
           pixels differ (but at the rim), and the rest is the same to half a level. Of single latents, where a change \
           reaches further, it is a warning.",
    remedy: "make latents, picture and tensor again from one state of the file",
    diffusers: "clear cached latents when pictures change",
    comfyui: "look for a mask, an inpaint or a composite node",
    ports: "key caches by the file's contents, not by its name",
    sources: &["bmaltais/kohya_ss#1629"],
    decided_by: &[DecidedBy::Latents, DecidedBy::DecodedImage, DecidedBy::Preprocessed],
};

/// How much more than what is allowed may still be the same, in squares.
const ROOM: f64 = 2.0;
/// How much more the border, or a rectangle, differs than the rest.
const STRONGER: f64 = 4.0;
/// How much more the border differs where convolutions are padded otherwise: at least 1.6 times as much, of 8
/// pictures and a trained VAE, in latents and pictures.
const OUTER: f64 = 1.2;
/// RMS in levels outside an edited part: rounding, which blurs, resizes and compression do not stay below.
const UNTOUCHED: f64 = 0.5;
/// The share of pixels that an edit changes where it does.
const EVERY: f64 = 0.9;
/// The share of a rectangle that has to differ, and of the picture that it may cover.
const FILLED: f64 = 0.5;
const COVERED: f64 = 0.5;

/// Mean squared difference by place: blocks of 8 x 8 pixels, or single latents.
pub(super) struct Region {
    /// (rows, columns).
    squares: Array2<f64>,
    /// The same before anything was allowed for.
    all: Array2<f64>,
    /// The share of pixels that differ; none for latents, where what is edited changes all around it.
    touched: Option<Array2<f64>>,
    /// The RMS that is worth a word, and how wide a place is in pixels of the picture.
    least: f64,
    pixels: usize,
    /// How many places around an edit change with it: a JPEG's chroma reaches over its neighbours.
    reach: usize,
}

impl Region {
    /// Of two pictures of one size, in levels.
    pub fn of_pictures(ours: &Rgb8, theirs: &Rgb8) -> Self {
        const SIDE: usize = 8;
        let (width, height) = (ours.width(), ours.height());
        let mut sums = Array2::zeros((height.div_ceil(SIDE), width.div_ceil(SIDE)));
        let mut counts = Array2::<f64>::zeros(sums.dim());
        let mut touched = counts.clone();
        for (i, (a, b)) in ours.data().iter().zip(theirs.data()).enumerate() {
            let at = [i / 3 / width / SIDE, i / 3 % width / SIDE];
            sums[at] += f64::from(a.abs_diff(*b)).powi(2);
            counts[at] += 1.0;
        }
        let pixels = ours.data().chunks_exact(3).zip(theirs.data().chunks_exact(3));
        for (i, (a, b)) in pixels.enumerate() {
            touched[[i / width / SIDE, i % width / SIDE]] += f64::from(u8::from(a != b));
        }
        touched = 3.0 * touched / &counts;
        let squares = sums / counts;
        let all = squares.clone();
        Self { squares, all, touched: Some(touched), least: 3.0, pixels: SIDE, reach: 0 }
    }

    /// The same, of pictures that were both saved as JPEG.
    pub fn kept_as_jpeg(mut self) -> Self {
        self.reach = 1;
        self
    }

    /// Of latents, relative to the `spread` of the expected ones; each stands for `pixels` pixels.
    pub fn of_latents(
        expected: &Array4<f32>,
        found: &Array4<f32>,
        spread: f64,
        pixels: usize,
    ) -> Self {
        let (_, channels, height, width) = expected.dim();
        let squares = Array2::from_shape_fn((height, width), |(y, x)| {
            let off = (0..channels).map(|c| {
                let off = f64::from(found[[0, c, y, x]]) - f64::from(expected[[0, c, y, x]]);
                (off / spread).powi(2)
            });
            off.sum::<f64>() / channels as f64
        });
        Self { all: squares.clone(), squares, touched: None, least: 0.05, pixels, reach: 0 }
    }

    /// The larger of both, at each place; of the same two sizes.
    pub fn or(mut self, other: &Self) -> Self {
        self.squares.zip_mut_with(&other.squares, |found, &by| *found = found.max(by));
        self
    }

    /// What is left of the difference where one like `allowed`, of the same two sizes, is no fault:
    /// that is larger in detailed parts than in flat ones, and looks like a rectangle.
    pub fn beyond(mut self, allowed: &Self) -> Self {
        ndarray::Zip::from(&mut self.squares)
            .and(&allowed.squares)
            .for_each(|found, &by| *found = (*found - ROOM * by).max(0.0));
        self
    }

    /// Whether the outermost places differ more than the middle half of rows and columns, as convolutions that
    /// are padded otherwise make them; also where there is no middle.
    pub fn stands_out_at_the_border(&self) -> bool {
        let (rows, columns) = self.all.dim();
        if rows.min(columns) < 4 {
            return true;
        }
        let outermost =
            |y: usize, x: usize| y.min(rows - 1 - y) == 0 || x.min(columns - 1 - x) == 0;
        let middle = |at: usize, end: usize| (end / 4..end - end / 4).contains(&at);
        rms(&self.all, |(y, x)| outermost(y, x))
            >= OUTER * rms(&self.all, |(y, x)| middle(y, rows) && middle(x, columns))
    }

    /// `edited-region`, for `subject`. An edit changes every pixel of a part and leaves the others as they
    /// are; in latents, where that cannot be seen, it is only warned of.
    pub fn rectangle(&self, subject: &str) -> Option<Finding> {
        let (rows, columns) = self.squares.dim();
        let mut sorted: Vec<f64> = self.squares.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let usual = sorted.get(sorted.len() / 2)?.sqrt();
        let bar = (STRONGER * usual).max(self.least).powi(2);
        let strong = |at: (usize, usize)| self.squares[at] >= bar;
        let places: Vec<_> = (0..rows * columns)
            .map(|i| (i / columns, i % columns))
            .filter(|at| strong(*at))
            .collect();
        let (top, bottom) =
            (places.iter().map(|at| at.0).min()?, places.iter().map(|at| at.0).max()?);
        let (left, right) =
            (places.iter().map(|at| at.1).min()?, places.iter().map(|at| at.1).max()?);
        let (height, width) = (bottom - top + 1, right - left + 1);
        let area = (height * width) as f64;
        let filled = places.len() as f64 / area;
        if height.min(width) < 2 || filled < FILLED || area > COVERED * (rows * columns) as f64 {
            return None;
        }
        let inside =
            |at: (usize, usize)| (top..=bottom).contains(&at.0) && (left..=right).contains(&at.1);
        let reach = self.reach;
        let outside = |at: (usize, usize)| {
            !(top.saturating_sub(reach)..=bottom + reach).contains(&at.0)
                || !(left.saturating_sub(reach)..=right + reach).contains(&at.1)
        };
        let (within, without) = (rms(&self.squares, inside), rms(&self.squares, outside));
        let is_edit = |touched: &Array2<f64>| {
            // An edit ends inside the blocks at its rim, which are most of them where it is small.
            let within = |at: (usize, usize)| {
                (top + 1..bottom).contains(&at.0) && (left + 1..right).contains(&at.1)
            };
            let mut shares: Vec<f64> =
                places.iter().filter(|at| within(**at)).map(|&at| touched[at]).collect();
            if shares.is_empty() {
                shares = places.iter().map(|&at| touched[at]).collect();
            }
            shares.sort_by(f64::total_cmp);
            rms(&self.all, outside) <= UNTOUCHED && shares[shares.len() / 2] >= EVERY
        };
        let shows = self.touched.as_ref().is_none_or(is_edit);
        let severity = match self.touched {
            Some(_) => Severity::Error,
            None => Severity::Warning,
        };
        (shows && within >= STRONGER * without).then(|| {
            let [x, y, width, height] =
                [left, top, width, height].map(|places| places * self.pixels);
            let title = format!(
                "a difference in {width} x {height} pixels of {subject} alone, at x {x} y {y}: that part was \
                 edited or pasted"
            );
            Finding::new(&EDITED_REGION, title)
                .severity(severity)
                .evidence("x", x)
                .evidence("y", y)
                .evidence("width", width)
                .evidence("height", height)
                .evidence("rms_inside", within)
                .evidence("rms_outside", without)
        })
    }
}

/// Of the places that lie `inside`; 0 where none does.
fn rms(squares: &Array2<f64>, inside: impl Fn((usize, usize)) -> bool) -> f64 {
    let chosen = squares.indexed_iter().filter(|(at, _)| inside(*at));
    let (sum, n) = chosen.fold((0.0, 0usize), |(sum, n), (_, by)| (sum + by, n + 1));
    (sum / n.max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(of: impl Fn(usize, usize) -> f64) -> Region {
        let squares = Array2::from_shape_fn((16, 20), |(y, x)| of(y, x).powi(2));
        let all = squares.clone();
        Region {
            touched: Some(Array2::from_elem((16, 20), 1.0)),
            all,
            squares,
            least: 3.0,
            pixels: 8,
            reach: 0,
        }
    }

    #[test]
    fn a_rectangle_is_told_from_what_is_none() {
        let found = |region: &Region| region.rectangle("your picture");
        let code = |region: Region| found(&region).map(|finding| finding.code);
        let patch = |y: usize, x: usize| (3..7).contains(&y) && (5..9).contains(&x);
        let patched = found(&region(|y, x| if patch(y, x) { 30.0 } else { 0.4 })).unwrap();
        assert_eq!(patched.code, Code::EditedRegion);
        assert_eq!([&patched.evidence["x"], &patched.evidence["y"]], [40, 24]);
        assert_eq!(code(region(|y, x| ((y * 7 + x * 3) % 5) as f64)), None);
        // Detail that a blur took leaves traces elsewhere, and levels that wrap round pixels beside them.
        assert_eq!(code(region(|y, x| if patch(y, x) { 30.0 } else { 0.6 })), None);
        let edited = || region(|y, x| if patch(y, x) { 30.0 } else { 0.0 });
        let some = Array2::from_elem((16, 20), 0.3);
        assert_eq!(code(Region { touched: Some(some), ..edited() }), None);
        // Small edits end inside most of their blocks.
        let cut = |y: usize, x: usize| patch(y, x) && (y == 3 || y == 6 || x == 5 || x == 8);
        let partly = Array2::from_shape_fn((16, 20), |(y, x)| if cut(y, x) { 0.4 } else { 1.0 });
        assert!(code(Region { touched: Some(partly), ..edited() }).is_some());
        let of_latents = found(&Region { touched: None, ..edited() }).unwrap();
        assert_eq!(of_latents.severity, Severity::Warning);
        assert_eq!(code(region(|_, _| 0.0)), None);
        assert_eq!(code(region(|_, _| f64::NAN)), None);
        // A border is no rectangle, and a rectangle no border.
        let border = |y: usize, x: usize| y == 0 || x == 0 || y == 15 || x == 19;
        let bordered = region(|y, x| if border(y, x) { 9.0 } else { 0.3 });
        assert!(bordered.stands_out_at_the_border());
        assert!(!edited().stands_out_at_the_border());
        assert_eq!(code(bordered), None);
    }
}
