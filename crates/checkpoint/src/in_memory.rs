//! Weights that lie in the memory of the process: the bytes of a safetensors file that nobody wrote.

use std::fmt;
use std::sync::Arc;

/// A safetensors file in memory, shared and never copied.
///
/// Two are equal if they are the same memory.
#[derive(Clone)]
pub struct InMemory(Arc<dyn AsRef<[u8]> + Send + Sync>);

impl InMemory {
    /// `bytes` as `safetensors.torch.save` makes them: a header with names, shapes and dtypes, then the
    /// values.
    pub fn new(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self(Arc::new(bytes))
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl fmt::Debug for InMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InMemory({} bytes)", self.as_slice().len())
    }
}

impl PartialEq for InMemory {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for InMemory {}
