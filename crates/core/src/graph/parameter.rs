//! A tensor of a module: its sizes, and what stands for its values.

/// One tensor of a module.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter<W = ()> {
    /// Sizes of its dimensions.
    pub shape: Vec<usize>,
    /// What stands for its values.
    pub value: W,
}

impl Parameter {
    pub(super) fn new(shape: impl Into<Vec<usize>>) -> Self {
        Self { shape: shape.into(), value: () }
    }
}
