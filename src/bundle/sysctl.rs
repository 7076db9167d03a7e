//! Kernel parameters: their paths, and the namespaces that they belong to; sysctl(8), proc_sys(5).

/// The path below `/proc/sys` of a kernel parameter. As in sysctl(8), the first of `.` and `/` in the name is its
/// separator; the other stands for the separator as a part of a component (`net.ipv4.conf.eth0/1.forwarding`). `None`
/// if the name is not well-formed.
pub fn sysctl_path(name: &str) -> Option<String> {
    let separator = name.find(['.', '/']).map(|i| name.as_bytes()[i])?;
    let path: String = if separator == b'/' {
        name.to_owned()
    } else {
        name.chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                c => c,
            })
            .collect()
    };
    let good = path.split('/').all(|part| {
        !part.is_empty() && part != "." && part != ".." && part.bytes().all(|b| b.is_ascii_graphic())
    });
    good.then_some(path)
}

/// The name of the namespace type that the parameter at a path below `/proc/sys` belongs to; `None` if it belongs to
/// no namespace.
pub(crate) fn sysctl_namespace(path: &str) -> Option<&'static str> {
    match path {
        "kernel/msgmax"
        | "kernel/msgmnb"
        | "kernel/msgmni"
        | "kernel/sem"
        | "kernel/shmall"
        | "kernel/shmmax"
        | "kernel/shmmni"
        | "kernel/shm_rmid_forced"
        | "kernel/auto_msgmni"
        | "kernel/msg_next_id"
        | "kernel/sem_next_id"
        | "kernel/shm_next_id" => Some("ipc"),
        "kernel/domainname" | "kernel/hostname" => Some("uts"),
        _ if path.starts_with("fs/mqueue/") => Some("ipc"),
        _ if path.starts_with("net/") => Some("network"),
        _ if path.starts_with("user/") => Some("user"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths_and_malformed_ones_are_refused() {
        assert_eq!(sysctl_path("net.ipv4.ip_forward").as_deref(), Some("net/ipv4/ip_forward"));
        assert_eq!(sysctl_path("net/ipv4/conf/eth0.1/mtu").as_deref(), Some("net/ipv4/conf/eth0.1/mtu"));
        assert_eq!(sysctl_path("net.ipv4.conf.eth0/1.mtu").as_deref(), Some("net/ipv4/conf/eth0.1/mtu"));
        for bad in
            ["", "net", "/net/x", "net//x", "net/../x", "net..x", "net./.x", "net.x ", "net.\n", "net/"]
        {
            assert_eq!(sysctl_path(bad), None, "{bad:?}");
        }
    }
}
