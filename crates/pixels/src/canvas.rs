//! Pixels of any depth that frames are pasted on, as Pillow's core pastes: bytes, whatever they mean.

use std::path::Path;

use super::opened::no_memory;
use super::to_rgb::divided_by_255;
use vae_fidelity_files::error::Result;
use vae_fidelity_files::memory::reserve;

/// A part of a canvas; it lies within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) left: usize,
    pub(super) top: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Area {
    /// All of a canvas of that size.
    pub(super) fn whole(width: usize, height: usize) -> Self {
        Self { left: 0, top: 0, width, height }
    }

    /// The size of a canvas that has that size at least and holds the area.
    pub(super) fn around(&self, (width, height): (usize, usize)) -> (usize, usize) {
        (width.max(self.left + self.width), height.max(self.top + self.height))
    }

    /// Whether `other` lies within it.
    pub(super) fn holds(&self, other: Self) -> bool {
        other.left >= self.left
            && other.top >= self.top
            && other.fits(self.left + self.width, self.top + self.height)
    }

    /// Whether it lies within a canvas of that size.
    pub(super) fn fits(&self, width: usize, height: usize) -> bool {
        self.left.checked_add(self.width).is_some_and(|right| right <= width)
            && self.top.checked_add(self.height).is_some_and(|bottom| bottom <= height)
    }
}

/// `depth` bytes a pixel, row by row from the top left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Canvas {
    width: usize,
    depth: usize,
    data: Vec<u8>,
}

impl Canvas {
    /// `width` x `height` of `pixel`; the size has been checked.
    pub(super) fn new(path: &Path, width: usize, height: usize, pixel: &[u8]) -> Result<Self> {
        let size = width * height * pixel.len();
        let mut data = Vec::new();
        reserve(&mut data, size).map_err(|_| no_memory(path))?;
        match pixel {
            [first, rest @ ..] if rest.iter().all(|byte| byte == first) => {
                data.resize(size, *first)
            }
            _ => (0..width * height).for_each(|_| data.extend_from_slice(pixel)),
        }
        Ok(Self { width, depth: pixel.len(), data })
    }

    /// All bytes.
    pub(super) fn data(&self) -> &[u8] {
        &self.data
    }

    /// The rows.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[u8]> {
        self.data.chunks_exact(self.width * self.depth)
    }

    /// The rows of `area`, as far as it is wide.
    pub(super) fn rows_of(&mut self, area: Area) -> impl Iterator<Item = &mut [u8]> {
        let (left, right) = (area.left * self.depth, (area.left + area.width) * self.depth);
        self.data
            .chunks_exact_mut(self.width * self.depth)
            .skip(area.top)
            .take(area.height)
            .map(move |row| &mut row[left..right])
    }

    /// `area` becomes `pixel`.
    pub(super) fn fill(&mut self, area: Area, pixel: &[u8]) {
        let depth = self.depth;
        for row in self.rows_of(area) {
            row.chunks_exact_mut(depth).for_each(|to| to.copy_from_slice(pixel));
        }
    }

    /// A copy of `area`.
    pub(super) fn cropped(&self, path: &Path, area: Area) -> Result<Self> {
        let mut data = Vec::new();
        let length = area.width * self.depth;
        reserve(&mut data, length * area.height).map_err(|_| no_memory(path))?;
        for row in self.rows().skip(area.top).take(area.height) {
            data.extend_from_slice(&row[area.left * self.depth..][..length]);
        }
        Ok(Self { width: area.width, depth: self.depth, data })
    }

    /// `part` takes the place of `area`, which has its size.
    pub(super) fn paste(&mut self, part: &Self, area: Area) {
        self.rows_of(area).zip(part.rows()).for_each(|(to, from)| to.copy_from_slice(from));
    }

    /// `part` over `area`, as opaque as `alpha` says of each of its pixels: every byte is blended, those of
    /// alpha and of an index too (`Paste.c`, `paste_mask_RGBA`).
    pub(super) fn paste_masked(&mut self, part: &Self, area: Area, alpha: impl Fn(&[u8]) -> u8) {
        let depth = self.depth;
        for (to, from) in self.rows_of(area).zip(part.rows()) {
            for (to, from) in to.chunks_exact_mut(depth).zip(from.chunks_exact(depth)) {
                let mask = u32::from(alpha(from));
                for (to, &from) in to.iter_mut().zip(from) {
                    let sum = u32::from(*to) * (255 - mask) + u32::from(from) * mask;
                    *to = divided_by_255(sum) as u8;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_filled_cut_and_pasted() {
        let path = Path::new("picture");
        let mut canvas = Canvas::new(path, 3, 2, &[1, 2]).unwrap();
        let area = Area { left: 1, top: 1, width: 2, height: 1 };
        canvas.fill(area, &[7, 8]);
        assert_eq!(canvas.data(), [1, 2, 1, 2, 1, 2, 1, 2, 7, 8, 7, 8]);
        let part = canvas.cropped(path, area).unwrap();
        assert_eq!(part.data(), [7, 8, 7, 8]);
        canvas.paste(&part, Area { left: 0, top: 0, ..area });
        assert_eq!(canvas.data(), [7, 8, 7, 8, 1, 2, 1, 2, 7, 8, 7, 8]);
        // Half of 9 and half of 1; and 255 is all of it.
        let mut canvas = Canvas::new(path, 2, 1, &[9, 0]).unwrap();
        let part = Canvas { width: 2, depth: 2, data: vec![1, 128, 3, 255] };
        canvas.paste_masked(&part, Area::whole(2, 1), |pixel| pixel[1]);
        assert_eq!(canvas.data(), [5, 64, 3, 255]);
        assert!(area.fits(3, 2) && !area.fits(2, 2) && !area.fits(3, 1));
    }
}
