//! Layers whose outputs come near to what f16 holds.

/// A layer whose output passed [`Extreme::WATCHED`] in a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Extreme {
    /// diffusers' module name.
    pub module: String,
    /// Its largest absolute value.
    pub largest: f32,
}

impl Extreme {
    /// Half of 65504, the largest finite f16: a picture that is a little brighter may pass the limit.
    pub const WATCHED: f32 = 32768.0;

    /// Adds `more` to `extremes`: of one module the largest, modules in the order in which they first
    /// came.
    pub fn merge(extremes: &mut Vec<Self>, more: Vec<Self>) {
        for one in more {
            match extremes.iter_mut().find(|known| known.module == one.module) {
                Some(known) => known.largest = known.largest.max(one.largest),
                None => extremes.push(one),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_one_module_the_largest_stays() {
        let extreme = |module: &str, largest| Extreme { module: module.to_owned(), largest };
        let mut extremes = vec![extreme("a", 4e4)];
        Extreme::merge(&mut extremes, vec![extreme("b", 5e4), extreme("a", 6e4)]);
        Extreme::merge(&mut extremes, vec![extreme("b", 4e4)]);
        assert_eq!(extremes, [extreme("a", 6e4), extreme("b", 5e4)]);
    }
}
