//! Searches for bytes in memory by the C library's routines, which compare many at a time; code that is compiled for size
//! does not.

/// The index of a byte's first occurrence.
pub(crate) fn find(bytes: &[u8], byte: u8) -> Option<usize> {
    // SAFETY: the range is that of a slice.
    let found = unsafe { libc::memchr(bytes.as_ptr().cast(), byte.into(), bytes.len()) };
    (!found.is_null()).then(|| found.addr() - bytes.as_ptr().addr())
}

/// The index of a byte's last occurrence.
pub(crate) fn rfind(bytes: &[u8], byte: u8) -> Option<usize> {
    // SAFETY: the range is that of a slice.
    let found = unsafe { libc::memrchr(bytes.as_ptr().cast(), byte.into(), bytes.len()) };
    (!found.is_null()).then(|| found.addr() - bytes.as_ptr().addr())
}

#[cfg(test)]
mod tests {
    use super::{find, rfind};

    #[test]
    fn the_first_and_the_last_occurrence_are_found() {
        let text = b"some text\nof some\nlines";
        for start in 0..text.len() {
            for end in start..=text.len() {
                let part = &text[start..end];
                assert_eq!(find(part, b'\n'), part.iter().position(|b| *b == b'\n'), "{start}..{end}");
                assert_eq!(rfind(part, b'\n'), part.iter().rposition(|b| *b == b'\n'), "{start}..{end}");
            }
        }
        assert_eq!((find(b"", 0), rfind(b"", 0)), (None, None));
    }
}
