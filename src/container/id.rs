//! Container ids, which name state directories.

use crate::{Error, ErrorKind, Phase, Result};

/// The maximum length of an id, which is that of a file name on Linux (`NAME_MAX`).
pub(super) const MAX_LENGTH: usize = 255;

/// Checks that `id` consists of `[A-Za-z0-9_+.-]`, is neither `.` nor `..`, and is not too long for a file name.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`], naming the id and the rule.
pub(crate) fn validate(id: &str) -> Result<()> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'+' | b'.' | b'-');
    let why = if id.is_empty() {
        "an id may not be empty"
    } else if id.len() > MAX_LENGTH {
        "an id may have at most 255 characters"
    } else if id == "." || id == ".." || !id.bytes().all(allowed) {
        "an id consists of letters, digits and the characters _ + - . (and is neither . nor ..)"
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
    fn ids_that_are_not_plain_file_names_are_refused() {
        for id in ["", ".", "..", "a/b", "/a", "a b", "a\0b", "ä", "a\n", "a:b", "a@b", &"f".repeat(256)] {
            let e = validate(id).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{id}");
            assert!(e.to_string().starts_with("invalid container id format"), "{e}");
        }
    }
}
