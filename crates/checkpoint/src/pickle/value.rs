//! What a pickle's instructions make.

/// A value: small ones themselves, others as a handle into the machine's list of nodes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Str(&'a str),
    /// A number or bytes that no tensor depends on.
    Other,
    Node(usize),
}

/// A value that others are part of.
#[derive(Debug)]
pub(super) enum Node<'a> {
    Tuple(Vec<Value<'a>>),
    List(Vec<Value<'a>>),
    /// Pairs in file order; a later pair of the same key wins.
    Dict(Vec<(Value<'a>, Value<'a>)>),
    /// A class or function, by module and name.
    Global(&'a str, &'a str),
    Storage(Box<Storage<'a>>),
    Tensor(Box<Tensor<'a>>),
    /// Made by a global that this reader does not know, and never calls.
    Opaque(&'a str, &'a str),
}

/// Where the values of tensors lie, as a pickle names it.
#[derive(Debug, Clone)]
pub(super) struct Storage<'a> {
    /// Name of a file in the archive, or of a block after the pickles.
    pub key: &'a str,
    /// torch's name of the element type, such as `FloatStorage`.
    pub kind: &'a str,
    /// Number of values of the view that tensors use, and how many lie before it.
    pub len: usize,
    pub first: usize,
}

/// A tensor over a storage; sizes in values.
#[derive(Debug, Clone)]
pub(super) struct Tensor<'a> {
    pub storage: Storage<'a>,
    /// torch's name of the dtype, where the storage does not imply it.
    pub dtype: Option<&'a str>,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}
