//! Container ids: what may name a state directory.

use crate::{Error, ErrorKind, Phase, Result};

/// The longest id: what a directory's name may be on Linux (`NAME_MAX`).
pub(super) const MAX_LENGTH: usize = 255;

/// Checks that `id` is made of `[A-Za-z0-9_+.-]`, is neither `.` nor `..`, and fits a file name.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`], naming the id and the rule.
pub(crate) fn validate(id: &str) -> Result<()> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'+' | b'.' | b'-');
    let why = if id.is_empty() {
        "an id may not be empty"
    } else if id.len() > MAX_LENGTH {
        "an id may have 255 characters at most"
    } else if id == "." || id == ".." || !id.bytes().all(allowed) {
        "an id is made of letters, digits and the characters _ + - . (and is neither . nor ..)"
    } else {
        return Ok(());
    };
    let shown: String = id.chars().take(64).collect();
    Err(Error::new(ErrorKind::InvalidArgument, Phase::State, "invalid container id format")
        .on(format!("{shown:?}"))
        .with_detail(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_managers_use_are_accepted() {
        for id in ["a", "0", "buildah-buildah123", "x_+.-y", "...", ".hidden", "-dash", &"f".repeat(255)] {
            assert!(validate(id).is_ok(), "{id}");
        }
    }

    #[test]
    fn ids_that_could_leave_the_state_root_are_refused() {
        for id in ["", ".", "..", "a/b", "/a", "a b", "a\0b", "ä", "a\n", "a:b", "a@b", &"f".repeat(256)] {
            let e = validate(id).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{id}");
            assert!(e.to_string().starts_with("invalid container id format"), "{e}");
        }
    }
}
