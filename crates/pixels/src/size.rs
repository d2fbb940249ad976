//! Which size a picture is encoded at.

use super::limit::MAX_PIXELS_REFUSED;
use vae_fidelity_files::error::{Error, Result};

/// The (width, height) that a picture of `width` x `height` pixels is resized to.
///
/// `requested` (see [`requested_size`]) is taken as it is. Without it, each side goes down to a
/// multiple of `multiple_of`, but not below it, as the reference script's `ensure_multiple_of_8` does
/// with 8.
///
/// # Errors
///
/// As [`requested_size`], with `multiple_of` in place of 8.
///
/// # Examples
///
/// ```
/// use vae_fidelity_pixels::target_size;
/// assert_eq!(target_size(300, 200, None, 8).unwrap(), (296, 200));
/// assert_eq!(target_size(5, 3, None, 8).unwrap(), (8, 8));
/// assert_eq!(target_size(300, 200, Some((64, 32)), 8).unwrap(), (64, 32));
/// ```
pub fn target_size(
    width: usize,
    height: usize,
    requested: Option<(usize, usize)>,
    multiple_of: usize,
) -> Result<(usize, usize)> {
    let down = |side: usize| (side / multiple_of * multiple_of).max(multiple_of);
    match requested {
        Some((width, height)) => check_requested(width, height, multiple_of),
        None => Ok((down(width), down(height))),
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
        (Some(width), Some(height)) => check_requested(width, height, 8).map(Some),
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

fn check_requested(width: usize, height: usize, multiple: usize) -> Result<(usize, usize)> {
    for (option, side) in [("`width`", width), ("`height`", height)] {
        if side == 0 || side % multiple != 0 {
            let below = side / multiple * multiple;
            let nearest = match below {
                0 => multiple.to_string(),
                _ => format!("{below} or {}", below + multiple),
            };
            return Err(Error::option(
                option,
                format!("expected a multiple of {multiple}, at least {multiple}, found {side}"),
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
