//! Where a file differs: only near the border, or only in a rectangle.

use ndarray::{Array2, Array4, s};

use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::finding::Finding;
use super::severity::Severity;
use vae_fidelity_pixels::Rgb8;

pub(super) const PADDING_MODE: Cause = Cause {
    code: Code::PaddingMode,
    severity: Severity::Error,
    title: "convolutions pad with something other than zeros",
    meaning: "AutoencoderKL pads with zeros. Circular padding (a switch for tiling textures), \
              reflection or repeated edges change the outermost pixels and nothing else.",
    rule: "The difference at the border (8 pixels, or 1 latent) is at least 4 times that in the \
           middle half, on three sides or more, and at least 3 levels (5 % of the latents' spread); it \
           is no larger than padding makes it (40 levels, 70 % of the spread), and one step inward \
           5 to 50 % of it is left: of a frame nothing, of a vignette or a mask more.",
    remedy: "pad with zeros: padding_mode='zeros' in every convolution",
    diffusers: "look for code that sets padding_mode='circular' on the VAE's Conv2d modules",
    comfyui: "turn seamless tiling off for the VAE, and reload it: the switch stays on modules",
    ports: "zeros on all sides of 3 x 3 convolutions; (0, 1, 0, 1) before strided ones",
    sources: &["comfyanonymous/ComfyUI#646", "vladmandic/sdnext#2911"],
    decided_by: &[DecidedBy::Latents, DecidedBy::DecodedImage],
};

pub(super) const EDITED_REGION: Cause = Cause {
    code: Code::EditedRegion,
    severity: Severity::Error,
    title: "only one part of the picture differs",
    meaning: "The rest agrees, so that weights, factor and ranges are right: the picture was \
              edited or pasted into after its latents were cached, or before it was saved.",
    rule: "Blocks of 8 x 8 pixels that differ at least 4 times as much as the others fill at least \
           half of one rectangle, which covers no more than half of the picture; nine in ten of their \
           pixels differ, and the rest is the same to half a level. Of single latents, where a change \
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
/// The share of the difference at the border that padding leaves one step inward. Circular, reflecting and
/// repeating padding of 8 pictures: 0.09 to 0.44 in latents, 0.25 to 0.5 in pictures; vignettes and oval masks
/// 0.57 to 1.1, frames and rounded corners 0 in pictures.
const INWARD: std::ops::RangeInclusive<f64> = 0.05..=0.5;
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
    /// The RMS that is worth a word, and the most that padding makes at the border: in those pictures up to
    /// 30 levels and 0.58 of the spread, where frames and masks make 37 to 230, and 0.73 to 4.6.
    least: f64,
    most: f64,
    /// How wide a place is in pixels of the picture.
    pixels: usize,
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
        Self { squares, all, touched: Some(touched), least: 3.0, most: 40.0, pixels: SIDE }
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
        Self { all: squares.clone(), squares, touched: None, least: 0.05, most: 0.7, pixels }
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

    /// RMS in the middle half of rows and columns; `None` where there is none.
    fn middle(&self) -> Option<f64> {
        let (rows, columns) = self.squares.dim();
        let middle =
            self.squares.slice(s![rows / 4..rows - rows / 4, columns / 4..columns - columns / 4]);
        Some(middle.mean()?.sqrt())
    }

    /// Whether the middle shows what this is the difference of.
    pub fn shows_in_the_middle(&self) -> bool {
        self.middle().is_some_and(|middle| middle >= self.least)
    }

    /// `padding-mode`, for `subject` ("your picture").
    pub fn border(&self, subject: &str) -> Option<Finding> {
        let (rows, columns) = self.squares.dim();
        if rows.min(columns) < 8 {
            return None;
        }
        let middle = self.middle()?;
        // That many places from the border, without the corners of those further out.
        let sides = |squares: &Array2<f64>, inward: usize| {
            let (last_row, last_column) = (rows - 1 - inward, columns - 1 - inward);
            [
                squares.slice(s![inward, inward..=last_column]),
                squares.slice(s![last_row, inward..=last_column]),
                squares.slice(s![inward..=last_row, inward]),
                squares.slice(s![inward..=last_row, last_column]),
            ]
            .map(|side| side.mean().unwrap_or(0.0).sqrt())
        };
        let rms =
            |sides: [f64; 4]| (sides.iter().map(|side| side * side).sum::<f64>() / 4.0).sqrt();
        let outermost = sides(&self.squares, 0);
        let strong = |side: &&f64| **side >= self.least && **side >= STRONGER * middle;
        let outer = rms(outermost);
        let left = rms(sides(&self.all, 1)) / rms(sides(&self.all, 0));
        let is_padding = outermost.iter().filter(strong).count() >= 3
            && outer <= self.most
            && INWARD.contains(&left);
        is_padding.then(|| {
            let title = format!(
                "a difference near the border of {subject} and none in the middle: another padding of the \
                 convolutions"
            );
            Finding::new(&PADDING_MODE, title)
                .evidence("rms_at_the_border", outer)
                .evidence("rms_in_the_middle", middle)
                .evidence("share_left_one_step_inward", left)
                .evidence("rms_top_bottom_left_right", outermost)
        })
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
        let mean = |squares: &Array2<f64>, of: bool| {
            let chosen = squares.indexed_iter().filter(|(at, _)| inside(*at) == of);
            let (sum, n) = chosen.fold((0.0, 0usize), |(sum, n), (_, by)| (sum + by, n + 1));
            (sum / n.max(1) as f64).sqrt()
        };
        let (within, without) = (mean(&self.squares, true), mean(&self.squares, false));
        let is_edit = |touched: &Array2<f64>| {
            let mut shares: Vec<f64> = places.iter().map(|&at| touched[at]).collect();
            shares.sort_by(f64::total_cmp);
            mean(&self.all, false) <= UNTOUCHED && shares[shares.len() / 2] >= EVERY
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
            most: 40.0,
            pixels: 8,
        }
    }

    #[test]
    fn the_border_a_rectangle_and_neither_are_told_apart() {
        let found = |region: &Region| {
            region.border("your picture").or_else(|| region.rectangle("your picture"))
        };
        let code = |region: Region| found(&region).map(|finding| finding.code);
        let at_border = |y: usize, x: usize| y == 0 || x == 0 || y == 15 || x == 19;
        let next_to_it = |y: usize, x: usize| y == 1 || x == 1 || y == 14 || x == 18;
        let bordered = |border: f64, next: f64| {
            region(move |y, x| match () {
                () if at_border(y, x) => border,
                () if next_to_it(y, x) => next,
                () => 0.3,
            })
        };
        assert_eq!(code(bordered(9.0, 3.0)), Some(Code::PaddingMode));
        // A frame that was drawn, a mask that fades out, and black corners are no padding.
        assert_eq!(code(bordered(9.0, 0.3)), None);
        assert_eq!(code(bordered(9.0, 6.0)), None);
        assert_eq!(code(bordered(60.0, 20.0)), None);
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
        let of_latents = found(&Region { touched: None, ..edited() }).unwrap();
        assert_eq!(of_latents.severity, Severity::Warning);
        assert_eq!(code(region(|_, _| 0.0)), None);
        assert_eq!(code(region(|_, _| f64::NAN)), None);
        // One side is no border.
        assert_eq!(code(region(|y, _| if y == 0 { 9.0 } else { 0.1 })), None);
    }
}
