//! Findings that follow from another fault, and are no wrong cause beside it.

/// Any fault in weights or config.
const IN_WEIGHTS: &str = "weights";

/// Code of the fault, code of what follows from it, and why it does.
pub const CONSEQUENCES: [(&str, &str, &str); 8] = [
    (
        "fp16-overflow-decoder",
        "non-finite-output",
        "what passes the end of f16 becomes infinity, then NaN: that is all its finding says",
    ),
    (
        "fp16-overflow-encoder",
        "non-finite-output",
        "what passes the end of f16 becomes infinity, then NaN: that is all its finding says",
    ),
    (
        IN_WEIGHTS,
        "passes-nothing",
        "broken weights do not do their job: that is all its finding says",
    ),
    (IN_WEIGHTS, "dead-encoder", "an encoder with broken weights tells pictures no longer apart"),
    (IN_WEIGHTS, "dead-decoder", "a decoder with broken weights tells latents no longer apart"),
    (IN_WEIGHTS, "non-finite-output", "weights too large make infinity, then NaN"),
    (
        "latent-patch-order",
        "layout-scrambled",
        "patches unpacked by columns, not rows, are both: that is what its finding says",
    ),
    (
        "wrong-family-channels",
        "size-mismatch",
        "a tensor of other channels has another shape: that is all its finding says",
    ),
];

/// Say that something is wrong and blame nothing: all that is left to say of a fault that no rule knows.
const NAME_NO_CAUSE: [&str; 4] =
    ["decoded-differs", "latents-differ", "preprocessed-differs", "trace-diverges"];

/// What is found in drawn weights, and rightly.
const OF_DRAWN_WEIGHTS: [&str; 2] = ["passes-nothing", "weights-untrained"];

/// Models whose weights were trained; those of the others are drawn by a recipe.
const TRAINED: [&str; 2] = ["builtin", "eight-channel"];

/// Whether `code` is true of `model` itself, whatever was planted.
pub fn of_the_model(model: &str, code: &str) -> bool {
    !TRAINED.contains(&model) && OF_DRAWN_WEIGHTS.contains(&code)
}

/// Whether an error of `found` beside the planted code blames nothing else.
pub fn follows(planted: &str, in_weights: bool, found: &str) -> bool {
    let is = |(of, code, _): &(&str, &str, &str)| {
        *code == found && (*of == planted || (in_weights && *of == IN_WEIGHTS))
    };
    planted == found || CONSEQUENCES.iter().any(is)
}

/// Whether an error of `found` is no wrong cause for a fault that no rule knows.
pub fn blames_nothing(found: &str) -> bool {
    NAME_NO_CAUSE.contains(&found)
}
