//! Which size a picture is encoded at.

use super::limit::MAX_PIXELS_REFUSED;
use vae_fidelity_files::error::{Error, Result};

/// The (width, height) that a picture of `width` x `height` pixels is resized to.
///
/// `requested` (see [`requested_size`]) is taken as it is. Without it, each side goes down to a
/// multiple of 8, but not below 8, as the reference script's `ensure_multiple_of_8` does.
///
/// # Errors
///
/// As [`requested_size`].
///
/// # Examples
///
/// ```
/// use vae_fidelity_pixels::target_size;
/// assert_eq!(target_size(300, 200, None).unwrap(), (296, 200));
/// assert_eq!(target_size(5, 3, None).unwrap(), (8, 8));
/// assert_eq!(target_size(300, 200, Some((64, 32))).unwrap(), (64, 32));
/// ```
pub fn target_size(
    width: usize,
    height: usize,
    requested: Option<(usize, usize)>,
) -> Result<(usize, usize)> {
    match requested {
        Some((width, height)) => check_requested(width, height),
        None => Ok(((width / 8 * 8).max(8), (height / 8 * 8).max(8))),
    }
}

/// What a width and a height ask for: both, or neither.
///
/// # Errors
///
/// Returns an error if only one is given (which the reference script ignores silently), if a side is
/// zero or no multiple of 8, or if the picture would have more pixels than Pillow opens.
pub fn requested_size(
    width: Option<usize>,
    height: Option<usize>,
) -> Result<Option<(usize, usize)>> {
    match (width, height) {
        (None, None) => Ok(None),
        (Some(width), Some(height)) => check_requested(width, height).map(Some),
        (Some(width), None) => Err(one_alone("`width`", width, "`height`")),
        (None, Some(height)) => Err(one_alone("`height`", height, "`width`")),
    }
}

fn one_alone(given: &str, value: usize, missing: &str) -> Error {
    Error::option(
        given,
        format!("{value} was given without {missing}"),
        format!("give both {given} and {missing}, or neither"),
    )
}

fn check_requested(width: usize, height: usize) -> Result<(usize, usize)> {
    for (option, side) in [("`width`", width), ("`height`", height)] {
        if side == 0 || side % 8 != 0 {
            let below = side / 8 * 8;
            let nearest = if below == 0 { "8".into() } else { format!("{below} or {}", below + 8) };
            return Err(Error::option(
                option,
                format!("expected a multiple of 8, at least 8, found {side}"),
                format!("use {nearest}"),
            ));
        }
    }
    if width.checked_mul(height).is_none_or(|pixels| pixels as u64 > MAX_PIXELS_REFUSED) {
        return Err(Error::option(
            "`width` and `height`",
            format!("{width} x {height} is more than {MAX_PIXELS_REFUSED} pixels"),
            "ask for a smaller picture",
        ));
    }
    Ok((width, height))
}
