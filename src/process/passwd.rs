//! What is read from passwd files: of a container's a home directory, of the host's a user's name.
//!
//! A container's file belongs to the image and is hostile: it is read by descriptor inside the root
//! file system, up to [`LIMIT`] bytes, and never decides who a process is. The C library's getpwuid(3)
//! is not asked for the host's: it loads shared libraries also into a static program.

/// How much of a passwd file is looked at, in bytes.
pub const LIMIT: usize = 1 << 20;

/// The home directory of `uid` in the text of a passwd file (passwd(5)); the first line of a user
/// counts. Only an absolute path is taken.
pub fn home(text: &[u8], uid: u32) -> Option<&str> {
    let home = std::str::from_utf8(fields(text, uid)?.nth(5)?).ok()?;
    (home.starts_with('/') && !home.contains('\0')).then_some(home)
}

/// The name of `uid` in the text of a passwd file; the first line of a user counts.
pub fn name(text: &[u8], uid: u32) -> Option<&str> {
    let name = std::str::from_utf8(fields(text, uid)?.next()?).ok()?;
    (!name.is_empty()).then_some(name)
}

/// The fields of the first line of a user.
fn fields(text: &[u8], uid: u32) -> Option<impl Iterator<Item = &[u8]>> {
    let text = &text[..text.len().min(LIMIT)];
    let user = |line: &[u8]| line.split(|b| *b == b':').nth(2).and_then(id);
    let line = text.split(|b| *b == b'\n').find(|line| user(line) == Some(uid))?;
    Some(line.split(|b| *b == b':'))
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
    fn homes_and_names() {
        let text = b"root:x:0:0:root:/root:/bin/sh\n1000:x:0:0::/evil:/bin/sh\na:x:+5:5::/plus:\n\
            b:x:1000:1000:B:/home/b:/bin/sh\nshort:x:7\nc:x:8:8::relative:\nd:x:9:9::/d";
        assert_eq!(home(text, 0), Some("/root"));
        assert_eq!(home(text, 1000), Some("/home/b"));
        assert_eq!(home(text, 9), Some("/d"));
        assert_eq!(
            [0, 1000, 7, 5].map(|uid| name(text, uid)),
            [Some("root"), Some("b"), Some("short"), None]
        );
        for uid in [5, 7, 8, 1234] {
            assert_eq!(home(text, uid), None, "{uid}");
        }
        let mut long = vec![b'x'; LIMIT];
        long.extend_from_slice(b"\nb:x:1000:1000:B:/home/b:/bin/sh\n");
        assert_eq!(home(&long, 1000), None);
    }
}
