//! The frames of a GIF file, as Pillow shows them: `GifImagePlugin.py`, `_seek`, `load_prepare` and
//! `load_end` with its default loading strategy, `RGB_AFTER_FIRST`.

use std::path::Path;

use super::canvas::{Area, Canvas};
use super::format::ImageFormat;
use super::gif_blocks::{Block, Blocks};
use super::limit::check_pixels;
use super::opened::{OpenedImage, broken, unsupported};
use super::stream::Stream;
use super::to_rgb::{Palette, TRANSPARENT_IS_IGNORED, ToRgb};
use vae_fidelity_files::error::Result;

const GIF: ImageFormat = ImageFormat::Gif;

/// What the pixels of the canvas are.
enum Mode {
    /// `P`, in the first frame alone: an index into its palette.
    Indices(Vec<u8>),
    /// `L`: grey, in every frame.
    Grey,
    /// `RGB` and `RGBA`: four bytes, whose last does not count without alpha.
    Colours { alpha: bool },
}

/// What is shown, and what becomes of it.
struct Shown<'p> {
    path: &'p Path,
    width: usize,
    height: usize,
    canvas: Canvas,
    mode: Mode,
    /// The index that is transparent in the first frame, and in all grey ones.
    transparent: Option<u8>,
    background: u8,
    /// A method of 0 keeps the one of an earlier frame.
    disposal: u8,
    /// What the last frame's area becomes before the next is drawn.
    disposed: Option<(Canvas, Area)>,
    /// What there is to say of its size.
    note: Option<String>,
}

/// Opens the first frame.
///
/// A palette that is its own index opens as `L`. A frame that reaches beyond the screen enlarges
/// it; what the frame leaves free has the transparent color, or color 0.
pub(super) fn open(path: &Path, file: Stream) -> Result<OpenedImage> {
    let mut blocks = Blocks::new(path, file)?;
    let mut opened = Shown::first(path, &mut blocks)?.opened()?;
    if matches!(blocks.next(), Ok(Some(_))) {
        opened.notes.push("animated: only the first frame is used".into());
    }
    Ok(opened)
}

/// The first `count` frames.
pub(super) fn frames(path: &Path, file: Stream, count: usize) -> Result<Vec<OpenedImage>> {
    let mut frames = Vec::new();
    let mut blocks = Blocks::new(path, file)?;
    let mut shown = Shown::first(path, &mut blocks)?;
    while frames.len() < count {
        frames.push(shown.opened()?);
        if frames.len() == count {
            break;
        }
        let Some(block) = blocks.next()? else { break };
        shown.draw(&mut blocks, &block, frames.len())?;
    }
    Ok(frames)
}

impl<'p> Shown<'p> {
    fn first(path: &'p Path, blocks: &mut Blocks<'_>) -> Result<Self> {
        let block = blocks.next()?.ok_or_else(|| broken(path, GIF, "it has no frame"))?;
        let (width, height) = block.area.around(blocks.screen);
        let note = check_pixels(path, width as u64, height as u64)?;
        if block.grey_over_colours {
            let what = "a first frame in grey and a palette of colours for the others";
            return Err(unsupported(path, GIF, what));
        }
        let area = block.area;
        let mut canvas = Canvas::new(path, width, height, &[block.transparent.unwrap_or(0)])?;
        let indices = indices(path, blocks, &block, 0)?;
        for (to, from) in canvas.rows_of(area).zip(indices.chunks_exact(area.width)) {
            to.copy_from_slice(from);
        }
        let disposal = block.disposal.unwrap_or(0);
        // There is nothing before it to go back to.
        let becomes = match disposal {
            0 | 1 => None,
            2 => Some(block.transparent.unwrap_or(blocks.background)),
            _ => block.transparent,
        };
        let disposed = match becomes {
            Some(index) => Some((Canvas::new(path, area.width, area.height, &[index])?, area)),
            None => None,
        };
        let mode = block.palette.map_or(Mode::Grey, Mode::Indices);
        let transparent = block.transparent;
        let background = blocks.background;
        Ok(Self {
            path,
            width,
            height,
            canvas,
            mode,
            transparent,
            background,
            disposal,
            disposed,
            note,
        })
    }

    /// Draws a later frame, `number` counted from 0.
    fn draw(&mut self, blocks: &mut Blocks<'_>, block: &Block, number: usize) -> Result<()> {
        let area = block.area;
        if !area.fits(self.width, self.height) {
            let (right, bottom) = (area.left + area.width, area.top + area.height);
            let what = format!(
                "frame {number} reaching {right} x {bottom} in a picture of {} x {}",
                self.width, self.height
            );
            return Err(unsupported(self.path, GIF, what));
        }
        if let Some((part, area)) = self.disposed.take() {
            self.canvas.paste(&part, area);
        }
        self.colour()?;
        if matches!(self.mode, Mode::Grey) && block.palette.is_some() {
            let what = format!("frame {number} in colours after grey ones");
            return Err(unsupported(self.path, GIF, what));
        }
        self.disposal = block.disposal.unwrap_or(self.disposal);
        self.disposed = match self.disposal {
            0 | 1 => None,
            2 => {
                let pixel = self.cleared(block);
                Some((Canvas::new(self.path, area.width, area.height, &pixel)?, area))
            }
            // What stands there before it is drawn; the reserved methods of 4 to 7 too.
            _ => Some((self.canvas.cropped(self.path, area)?, area)),
        };
        let indices = indices(self.path, blocks, block, number)?;
        let grey = matches!(self.mode, Mode::Grey);
        for (to, from) in self.canvas.rows_of(area).zip(indices.chunks_exact(area.width)) {
            let drawn = |index: u8| block.transparent != Some(index);
            if grey {
                let pixels = to.iter_mut().zip(from).filter(|&(_, &index)| drawn(index));
                pixels.for_each(|(to, &index)| *to = index);
                continue;
            }
            let pixels = to.chunks_exact_mut(4).zip(from).filter(|&(_, &index)| drawn(index));
            pixels.for_each(|(to, &index)| to.copy_from_slice(&rgba(block, index, 255)));
        }
        Ok(())
    }

    /// Behind the first frame, indices become colours.
    fn colour(&mut self) -> Result<()> {
        let Mode::Indices(palette) = &self.mode else { return Ok(()) };
        let alpha = self.transparent.is_some();
        let mut canvas = Canvas::new(self.path, self.width, self.height, &[0; 4])?;
        let all = Area::whole(self.width, self.height);
        for (to, from) in canvas.rows_of(all).zip(self.canvas.rows()) {
            for (to, &index) in to.chunks_exact_mut(4).zip(from) {
                let at = usize::from(index) * 3;
                to[..3].copy_from_slice(palette.get(at..at + 3).unwrap_or(&[0; 3]));
                to[3] = if self.transparent == Some(index) { 0 } else { 255 };
            }
        }
        self.canvas = canvas;
        self.transparent = None;
        self.mode = Mode::Colours { alpha };
        Ok(())
    }

    /// What the area of `block` is filled with where it is disposed of to the background: rather the
    /// transparent colour. An index outside of the palette is 0.
    fn cleared(&self, block: &Block) -> Vec<u8> {
        let index = self.transparent.or(block.transparent);
        if matches!(self.mode, Mode::Grey) {
            return vec![index.unwrap_or(self.background)];
        }
        let (index, alpha) = index.map_or((self.background, 255), |index| (index, 0));
        let known =
            block.palette.as_ref().is_none_or(|bytes| usize::from(index) * 3 + 3 <= bytes.len());
        rgba(block, if known { index } else { 0 }, alpha).to_vec()
    }

    /// What is shown now.
    fn opened(&self) -> Result<OpenedImage> {
        let mut out = ToRgb::new(self.path, self.width, self.height)?;
        let mut notes: Vec<_> = self.note.iter().cloned().collect();
        let mode = match &self.mode {
            Mode::Indices(bytes) => {
                let mut alpha = [255; 256];
                if let Some(index) = self.transparent {
                    alpha[usize::from(index)] = 0;
                }
                out.palette(self.canvas.data(), &Palette::from_rgb(bytes).with_alpha(&alpha));
                "P"
            }
            Mode::Grey => {
                out.grey(self.canvas.data());
                notes.extend(self.transparent.map(|_| TRANSPARENT_IS_IGNORED.into()));
                "L"
            }
            Mode::Colours { alpha: true } => {
                out.rgba(self.canvas.data());
                "RGBA"
            }
            Mode::Colours { alpha: false } => {
                self.canvas.data().chunks_exact(4).for_each(|pixel| out.rgb(&pixel[..3]));
                "RGB"
            }
        };
        let (pixels, lost, mut dropped) = out.finish()?;
        notes.extend(lost);
        if matches!(self.mode, Mode::Grey) {
            dropped.transparent = self.transparent.map(|level| [level; 3]);
        }
        Ok(OpenedImage { pixels, format: GIF, mode, orientation: None, dropped, jpeg: None, notes })
    }
}

/// The indices of a frame that has pixels.
fn indices(path: &Path, blocks: &mut Blocks<'_>, block: &Block, number: usize) -> Result<Vec<u8>> {
    let Area { width, height, .. } = block.area;
    if width == 0 || height == 0 {
        let reason = format!("frame {number} has {width} x {height} pixels");
        return Err(broken(path, GIF, reason));
    }
    blocks.indices(block)
}

/// The colour of an index in the palette of `block`; black where it has none of it.
fn rgba(block: &Block, index: u8, alpha: u8) -> [u8; 4] {
    let Some(palette) = &block.palette else { return [index, index, index, alpha] };
    let at = usize::from(index) * 3;
    match palette.get(at..at + 3) {
        Some(&[red, green, blue]) => [red, green, blue, alpha],
        _ => [0, 0, 0, alpha],
    }
}
