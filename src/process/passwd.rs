//! Reading passwd files: the home directory from a container's file, a user's name from the host's.
//!
//! A container's file comes from the image and is not trusted. The caller reads it by a descriptor inside the root
//! file system, up to [`LIMIT`] bytes, and it never decides the identity of a process. The C library's getpwuid(3)
//! is not used for the host's file, because it loads shared libraries even into a static program.

/// How much of a passwd file is read, in bytes.
pub const LIMIT: usize = 1 << 20;

/// The home directory of `uid` in the text of a passwd file (passwd(5)), from the first line of that user. `None` if
/// it is not an absolute path.
pub fn home(text: &[u8], uid: u32) -> Option<&str> {
    let home = std::str::from_utf8(fields(text, uid)?.nth(5)?).ok()?;
    (home.starts_with('/') && !home.contains('\0')).then_some(home)
}

/// The name of `uid` in the text of a passwd file, from the first line of that user.
pub fn name(text: &[u8], uid: u32) -> Option<&str> {
    let name = std::str::from_utf8(fields(text, uid)?.next()?).ok()?;
    (!name.is_empty()).then_some(name)
}

/// The fields of the first line of `uid`.
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
    fn the_first_line_of_a_user_is_read() {
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
