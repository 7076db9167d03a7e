//! The identity of a process: user, groups, file mode creation mask.

use crate::Problem;
use crate::bundle::spec::User;

/// The umask of a process whose configuration has none.
const DEFAULT_UMASK: u32 = 0o022;

/// The number of groups that setgroups(2) accepts (`NGROUPS_MAX`).
const MAX_GROUPS: usize = 65536;

/// The identity of a process, as IDs of its user namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserIdentity {
    /// User id, for setresuid(2).
    pub uid: u32,
    /// Group id, for setresgid(2).
    pub gid: u32,
    /// Supplementary groups, for setgroups(2).
    pub groups: Vec<u32>,
    /// umask(2).
    pub umask: u32,
}

/// Reads a user.
///
/// # Errors
/// If an ID is -1, which means "unchanged" to the kernel, the umask has bits that are not permissions, or there are too
/// many groups.
pub fn parse(user: &User, at: &str) -> Result<UserIdentity, Vec<Problem>> {
    const SECTION: &str = "config.md#posix-platform-user";
    let mut problems = Vec::new();
    let mut id = |id: u32, name: String| {
        if id == u32::MAX {
            problems.push(Problem::new(format!("{at}/user/{name}"), "4294967295 is not a valid ID", SECTION));
        }
    };
    id(user.uid, "uid".into());
    id(user.gid, "gid".into());
    for (i, gid) in user.additional_gids.iter().enumerate() {
        id(*gid, format!("additionalGids/{i}"));
    }
    if user.additional_gids.len() > MAX_GROUPS {
        let message = format!("{} groups; the kernel accepts {MAX_GROUPS}", user.additional_gids.len());
        problems.push(Problem::new(format!("{at}/user/additionalGids"), message, SECTION));
    }
    let umask = user.umask.unwrap_or(DEFAULT_UMASK);
    if umask > 0o777 {
        problems.push(Problem::new(
            format!("{at}/user/umask"),
            format!("{umask:#o} has bits that are not permissions"),
            SECTION,
        ));
    }
    if problems.is_empty() {
        Ok(UserIdentity { uid: user.uid, gid: user.gid, groups: user.additional_gids.clone(), umask })
    } else {
        Err(problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_read_and_checked() {
        let user = User { uid: 1000, gid: 5, umask: None, additional_gids: vec![7, 8] };
        let identity = parse(&user, "/process").unwrap();
        assert_eq!(identity, UserIdentity { uid: 1000, gid: 5, groups: vec![7, 8], umask: 0o022 });
        let bad = User { uid: u32::MAX, gid: 0, umask: Some(0o1777), additional_gids: vec![1, u32::MAX] };
        let pointers: Vec<_> = parse(&bad, "").unwrap_err().into_iter().map(|p| p.pointer).collect();
        assert_eq!(pointers, ["/user/uid", "/user/additionalGids/1", "/user/umask"]);
    }
}
