//! `--show`: pictures in the terminal, by its own graphics where it has them, else with half blocks.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use crate::metrics::Visibility;
use crate::pictures::{Scale, heat_map, montage, written};
use crate::pipeline::Checked;
use crate::pixels::{encode_png, resize_bicubic};
use crate::{Result, Rgb8};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// What is drawn for one image.
pub struct Shown {
    input: Rgb8,
    output: Rgb8,
    visibility: Visibility,
}

impl Shown {
    /// `None` where there is nothing to compare.
    pub fn of(checked: &Checked) -> Option<Self> {
        let (input, output) = checked.pair()?;
        let visibility = checked.visibility.clone()?;
        Some(Self { input: input.clone(), output: output.clone(), visibility })
    }
}

/// What a terminal understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Graphics {
    /// kitty's protocol.
    Kitty,
    /// iTerm2's protocol.
    Iterm,
    /// Two pixels a character, in 16 million colours.
    TrueColour,
    /// Two pixels a character, in the 216 colours of a cube.
    Palette,
}

/// Columns of a terminal that does not say.
const COLUMNS: usize = 80;
/// Base64 characters that kitty takes at once.
const CHUNK: usize = 4096;

impl Graphics {
    /// Those of the terminal that stdout is, by its environment; `None` where stdout is none, or
    /// one without cursor.
    pub fn of_stdout() -> Option<Self> {
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        io::stdout().is_terminal().then(|| Self::named(variable)).flatten()
    }

    fn named(variable: impl Fn(&str) -> String) -> Option<Self> {
        let (term, program) = (variable("TERM"), variable("TERM_PROGRAM"));
        let true_colour = ["truecolor", "24bit"].contains(&variable("COLORTERM").as_str());
        // Multiplexers do not pass pictures on.
        let multiplexed = term.starts_with("screen") || term.starts_with("tmux");
        match program.as_str() {
            _ if term == "dumb" => None,
            _ if multiplexed => Some(if true_colour { Self::TrueColour } else { Self::Palette }),
            "iTerm.app" | "WezTerm" => Some(Self::Iterm),
            "ghostty" => Some(Self::Kitty),
            _ if term.contains("kitty") || !variable("KITTY_WINDOW_ID").is_empty() => {
                Some(Self::Kitty)
            }
            _ if true_colour => Some(Self::TrueColour),
            _ => Some(Self::Palette),
        }
    }
}

impl Shown {
    /// Writes the pictures to stdout; a reader that went away is no error.
    pub fn draw(&self, graphics: Graphics) -> Result<()> {
        let columns = terminal_size::terminal_size().map_or(COLUMNS, |(width, _)| width.0.into());
        let drawn = self.drawn(graphics, columns.max(3))?;
        let mut stdout = io::stdout().lock();
        let _ = stdout.write_all(drawn.as_bytes()).and_then(|()| stdout.flush());
        Ok(())
    }

    fn drawn(&self, graphics: Graphics, columns: usize) -> Result<String> {
        let picture = || -> Result<(usize, Vec<u8>)> {
            let names = ["input", "output"];
            let montage = montage(&self.input, &self.output, &self.visibility, names)?;
            // A character is about eight pixels wide.
            Ok((columns.min(montage.width().div_ceil(8)), encode_png(&montage)?))
        };
        match graphics {
            Graphics::Kitty => picture().map(|(columns, png)| kitty(columns, &png)),
            Graphics::Iterm => picture().map(|(columns, png)| iterm(columns, &png)),
            Graphics::TrueColour => self.half_blocks(columns, true_colour),
            Graphics::Palette => self.half_blocks(columns, palette),
        }
    }

    /// Input, output and heat map side by side, each under its name.
    fn half_blocks(&self, columns: usize, colour: fn([u8; 3]) -> String) -> Result<String> {
        let scale = Scale::of(&self.visibility);
        let map = heat_map(&self.visibility, scale)?;
        let gap = 1;
        let width = ((columns - 2 * gap) / 3).min(self.input.width()).max(1);
        // Two rows of pixels a character, and at most forty characters high.
        let height = (self.input.height() * width).div_ceil(self.input.width()).clamp(1, 80);
        let panels = [&self.input, &self.output, &map].map(|p| resize_bicubic(p, width, height));
        let [input, output, map] = panels;
        let panels = [input?, output?, map?];
        let mut text = String::new();
        let brightest = written(scale.top());
        let names = ["input", "output", "difference"];
        for name in names {
            let _ =
                write!(text, "{:<1$}", name.chars().take(width).collect::<String>(), width + gap);
        }
        text.push('\n');
        for top in (0..height).step_by(2) {
            for panel in &panels {
                for x in 0..width {
                    let above = colour(panel.pixel(x, top));
                    // An odd last row is half a character.
                    let below = (top + 1 < height).then(|| colour(panel.pixel(x, top + 1)));
                    let below = below.map(|below| format!("\x1b[48;{below}m")).unwrap_or_default();
                    let _ = write!(text, "\x1b[38;{above}m{below}\u{2580}\x1b[0m");
                }
                text.push_str(&" ".repeat(gap));
            }
            text.push('\n');
        }
        let _ = writeln!(
            text,
            "difference: Butteraugli distance, dark 0 to bright {brightest}; 1 is just visible"
        );
        Ok(text)
    }
}

fn true_colour([red, green, blue]: [u8; 3]) -> String {
    format!("2;{red};{green};{blue}")
}

fn palette(colour: [u8; 3]) -> String {
    // The cube's levels are 0, 95, 135, 175, 215 and 255.
    let [red, green, blue] = colour.map(|level| match level {
        0..48 => 0,
        48..115 => 1,
        _ => (u16::from(level) - 35) / 40,
    });
    format!("5;{}", 16 + 36 * red + 6 * green + blue)
}

fn kitty(columns: usize, png: &[u8]) -> String {
    let encoded = BASE64_STANDARD.encode(png);
    let mut text = String::new();
    let mut rest = encoded.as_str();
    let mut first = true;
    while !rest.is_empty() {
        let (chunk, later) = rest.split_at(rest.len().min(CHUNK));
        rest = later;
        let more = u8::from(!rest.is_empty());
        let keys = if first { format!("a=T,f=100,c={columns},") } else { String::new() };
        first = false;
        let _ = write!(text, "\x1b_G{keys}q=2,m={more};{chunk}\x1b\\");
    }
    text.push('\n');
    text
}

fn iterm(columns: usize, png: &[u8]) -> String {
    let (size, encoded) = (png.len(), BASE64_STANDARD.encode(png));
    format!("\x1b]1337;File=inline=1;size={size};width={columns}:{encoded}\x07\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown() -> Shown {
        let plain = |level: u8| Rgb8::new(40, 31, vec![level; 40 * 31 * 3]).unwrap();
        let (input, output) = (plain(10), plain(240));
        let visibility = Visibility::of(&input, &output).unwrap().unwrap();
        Shown { input, output, visibility }
    }

    fn named(variables: &[(&str, &str)]) -> Option<Graphics> {
        Graphics::named(|name| {
            let found = variables.iter().find(|(given, _)| *given == name);
            found.map(|(_, value)| (*value).to_owned()).unwrap_or_default()
        })
    }

    #[test]
    fn terminals_are_told_apart() {
        assert_eq!(named(&[("TERM", "xterm-kitty")]), Some(Graphics::Kitty));
        assert_eq!(named(&[("TERM_PROGRAM", "iTerm.app")]), Some(Graphics::Iterm));
        assert_eq!(named(&[("TERM", "xterm-256color")]), Some(Graphics::Palette));
        assert_eq!(named(&[("COLORTERM", "truecolor")]), Some(Graphics::TrueColour));
        assert_eq!(named(&[("TERM", "dumb"), ("COLORTERM", "truecolor")]), None);
        let inside = [("TERM", "tmux-256color"), ("KITTY_WINDOW_ID", "1")];
        assert_eq!(named(&inside), Some(Graphics::Palette));
    }

    #[test]
    fn half_blocks_fit_the_terminal_and_have_the_colours() {
        for columns in [3, 20, 80, 400] {
            let text = shown().drawn(Graphics::TrueColour, columns).unwrap();
            assert!(text.contains("\x1b[38;2;10;10;10m"), "{columns}");
            // Three columns have room for one row of pixels, which is the upper half of a character.
            assert_eq!(text.contains("48;2;240;240;240m"), columns > 3, "{columns}");
            let blocks = |line: &str| line.matches('\u{2580}').count();
            assert!(text.lines().all(|line| blocks(line) <= columns), "{columns}");
            let rows = text.lines().filter(|line| blocks(line) > 0).count();
            assert!((1..=40).contains(&rows));
        }
        assert!(shown().drawn(Graphics::Palette, 80).unwrap().contains("\x1b[38;5;16m"));
    }

    #[test]
    fn the_cube_holds_its_own_colours() {
        assert_eq!(palette([0, 0, 0]), "5;16");
        assert_eq!(palette([255, 255, 255]), "5;231");
        assert_eq!(palette([95, 135, 215]), "5;68");
    }

    #[test]
    fn protocols_carry_the_whole_png() {
        let text = shown().drawn(Graphics::Kitty, 80).unwrap();
        let chunks: Vec<&str> = text.split("\x1b_G").skip(1).collect();
        let sent: String = chunks
            .iter()
            .map(|chunk| &chunk[chunk.find(';').unwrap() + 1..chunk.find('\x1b').unwrap()])
            .collect();
        let png = BASE64_STANDARD.decode(sent).unwrap();
        assert!(png.starts_with(b"\x89PNG") && png.ends_with(b"IEND\xaeB`\x82"));
        assert!(chunks[..chunks.len() - 1].iter().all(|chunk| chunk.contains("m=1;")));
        assert!(chunks[chunks.len() - 1].contains("m=0;"));
        let text = shown().drawn(Graphics::Iterm, 80).unwrap();
        assert!(text.contains(&format!("size={};", png.len())));
    }
}
