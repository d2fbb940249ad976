//! Which part of a data set one run is about.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Part `index`, from 0, of `of` parts that together are the whole.
///
/// ```
/// use vae_fidelity_evaluation::Shard;
/// let shard: Shard = "1/3".parse().unwrap();
/// assert_eq!(shard.range(10), 3..6);
/// assert!("3/3".parse::<Shard>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shard {
    /// Which part.
    pub index: u64,
    /// Of how many.
    pub of: u64,
}

impl Shard {
    /// All of it.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// Its pictures, of `pictures` in all: neighbours, as they lie in one file. Where there are more
    /// shards than pictures, some have none.
    pub fn range(&self, pictures: usize) -> Range<usize> {
        let at = |index: u64| (pictures as u128 * u128::from(index) / u128::from(self.of)) as usize;
        at(self.index)..at(self.index + 1)
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/');
        let shard = numbers.and_then(|(index, of)| {
            Some(Self { index: index.parse().ok()?, of: of.parse().ok()? })
        });
        match shard {
            Some(shard) if shard.index < shard.of => Ok(shard),
            _ => Err("expected INDEX/COUNT, such as 0/8 to 7/8".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_the_whole_and_do_not_overlap() {
        for pictures in [0, 1, 5, 64, 1000] {
            for of in [1, 2, 7, 64] {
                let mut next = 0;
                for index in 0..of {
                    let range = Shard { index, of }.range(pictures);
                    assert_eq!(range.start, next);
                    next = range.end;
                }
                assert_eq!(next, pictures);
            }
        }
    }
}
