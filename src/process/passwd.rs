//! The one thing that is read from a container's passwd file: a home directory.
//!
//! The file belongs to the image and is hostile: it is read by descriptor inside the root file system,
//! up to [`LIMIT`] bytes, and never decides who a process is.

/// How much of a passwd file is looked at, in bytes.
pub const LIMIT: usize = 1 << 20;

/// The home directory of `uid` in the text of a passwd file (passwd(5)); the first line of a user
/// counts. Only an absolute path is taken.
pub fn home(text: &[u8], uid: u32) -> Option<&str> {
    let text = &text[..text.len().min(LIMIT)];
    for line in text.split(|b| *b == b'\n') {
        let mut fields = line.split(|b| *b == b':');
        if fields.nth(2).and_then(id) == Some(uid) {
            let home = std::str::from_utf8(fields.nth(2)?).ok()?;
            return (home.starts_with('/') && !home.contains('\0')).then_some(home);
        }
    }
    None
}

fn id(field: &[u8]) -> Option<u32> {
    if field.is_empty() || !field.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(field).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes() {
        let text = b"root:x:0:0:root:/root:/bin/sh\n1000:x:0:0::/evil:/bin/sh\na:x:+5:5::/plus:\n\
            b:x:1000:1000:B:/home/b:/bin/sh\nshort:x:7\nc:x:8:8::relative:\nd:x:9:9::/d";
        assert_eq!(home(text, 0), Some("/root"));
        assert_eq!(home(text, 1000), Some("/home/b"));
        assert_eq!(home(text, 9), Some("/d"));
        for uid in [5, 7, 8, 1234] {
            assert_eq!(home(text, uid), None, "{uid}");
        }
        let mut long = vec![b'x'; LIMIT];
        long.extend_from_slice(b"\nb:x:1000:1000:B:/home/b:/bin/sh\n");
        assert_eq!(home(&long, 1000), None);
    }
}
