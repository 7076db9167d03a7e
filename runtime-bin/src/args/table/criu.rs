//! `checkpoint` and `restore`.

use super::{Command, Flag, Name, list, number, path, switch, text};
use orlop::container::{CgroupsMode, NetworkLock, PageServer};
use std::path::PathBuf;

/// The flags of `checkpoint` and `restore`.
#[derive(Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct CriuArgs {
    /// `--image-path`
    pub(crate) image_path: Option<PathBuf>,
    /// `--work-path`
    pub(crate) work_path: Option<PathBuf>,
    /// `--parent-path`
    pub(crate) parent_path: Option<PathBuf>,
    /// `--leave-running`
    pub(crate) leave_running: bool,
    /// `--pre-dump`
    pub(crate) pre_dump: bool,
    /// `--tcp-established`
    pub(crate) tcp_established: bool,
    /// `--tcp-skip-in-flight`
    pub(crate) tcp_skip_in_flight: bool,
    /// `--tcp-close`
    pub(crate) tcp_close: bool,
    /// `--link-remap`
    pub(crate) link_remap: bool,
    /// `--ext-unix-sk`
    pub(crate) ext_unix_sk: bool,
    /// `--shell-job`
    pub(crate) shell_job: bool,
    /// `--file-locks`
    pub(crate) file_locks: bool,
    /// `--lazy-pages`
    pub(crate) lazy_pages: bool,
    /// `--status-fd`
    pub(crate) status_fd: Option<u32>,
    /// `--page-server`
    pub(crate) page_server: Option<PageServer>,
    /// `--auto-dedup`
    pub(crate) auto_dedup: bool,
    /// `--manage-cgroups-mode`
    pub(crate) manage_cgroups: Option<CgroupsMode>,
    /// `--network-lock`
    pub(crate) network_lock: Option<NetworkLock>,
    /// `--empty-ns`
    pub(crate) empty_namespaces: Vec<String>,
    /// `--lsm-profile`
    pub(crate) lsm_profile: Option<String>,
    /// `--lsm-mount-context`
    pub(crate) lsm_mount_context: Option<String>,
}

/// What both take.
static COMMON_FLAGS: &[Flag] = &[
    path(
        "image-path",
        None,
        "DIR",
        "directory of the image files (default: checkpoint in the current directory)",
        |a, v| a.criu.image_path = Some(v),
    ),
    path(
        "work-path",
        None,
        "DIR",
        "directory of criu's log and working files (default: that of the images)",
        |a, v| {
            a.criu.work_path = Some(v);
        },
    ),
    switch("tcp-established", None, "allow established TCP connections, and keep them", |a, on| {
        a.criu.tcp_established = on;
    }),
    switch("ext-unix-sk", None, "allow unix sockets that are connected to processes outside", |a, on| {
        a.criu.ext_unix_sk = on;
    }),
    switch("shell-job", None, "allow a job of a terminal which is not the container's own", |a, on| {
        a.criu.shell_job = on;
    }),
    switch("file-locks", None, "keep file locks", |a, on| a.criu.file_locks = on),
    switch("lazy-pages", None, "let memory be fetched as it is used (userfaultfd)", |a, on| {
        a.criu.lazy_pages = on;
    }),
    switch("auto-dedup", None, "keep no page of memory in two images", |a, on| a.criu.auto_dedup = on),
    text(
        "manage-cgroups-mode",
        None,
        "soft|full|strict|ignore",
        "what criu does about the properties of cgroups (default: soft)",
        |a, v| {
            let mode = CgroupsMode::from_name(&v).ok_or("must be soft, full, strict or ignore")?;
            a.criu.manage_cgroups = Some(mode);
            Ok(())
        },
    ),
    text(
        "network-lock",
        None,
        "iptables|nftables|skip",
        "how criu keeps packets off the connections meanwhile (default: criu's own)",
        |a, v| {
            let method = NetworkLock::from_name(&v).ok_or("must be iptables, nftables or skip")?;
            a.criu.network_lock = Some(method);
            Ok(())
        },
    ),
    list(text(
        "empty-ns",
        None,
        "network",
        "leave the container's own network namespace empty: without it lo is up, other devices are for hooks",
        |a, v| match v.as_str() {
            "network" => {
                a.criu.empty_namespaces.push(v);
                Ok(())
            }
            _ => Err("only the network namespace can be left empty".into()),
        },
    )),
];

static CHECKPOINT_FLAGS: &[Flag] = &[
    path(
        "parent-path",
        None,
        "DIR",
        "images of an earlier --pre-dump, relative to the image path: write only what has changed since",
        |a, v| a.criu.parent_path = Some(v),
    ),
    switch("leave-running", None, "let the container go on afterwards", |a, on| a.criu.leave_running = on),
    switch("pre-dump", None, "write memory only, and let the container go on", |a, on| a.criu.pre_dump = on),
    switch("tcp-skip-in-flight", None, "leave out TCP connections that are not accepted yet", |a, on| {
        a.criu.tcp_skip_in_flight = on;
    }),
    switch("link-remap", None, "allow open files that were unlinked, by a name for the time", |a, on| {
        a.criu.link_remap = on;
    }),
    number(
        "status-fd",
        None,
        "FD",
        "descriptor to which a NUL byte is written once lazy pages are ready",
        |a, v| {
            a.criu.status_fd = Some(v);
        },
    ),
    text(
        "page-server",
        None,
        "ADDRESS:PORT",
        "send memory to this criu page-server, not into files",
        |a, v| {
            a.criu.page_server = Some(page_server(&v).ok_or("must be ADDRESS:PORT")?);
            Ok(())
        },
    ),
];

static RESTORE_FLAGS: &[Flag] = &[
    switch("detach", Some('d'), "do not wait for the container's end", |a, on| a.detach = on),
    switch("no-pivot", None, "refused: criu changes the root by pivot_root only", |a, on| a.no_pivot = on),
    switch("tcp-close", None, "restore TCP connections as closed ones", |a, on| a.criu.tcp_close = on),
    text(
        "lsm-profile",
        None,
        "TYPE:NAME",
        "LSM profile to restore with: apparmor:PROFILE, selinux:LABEL",
        |a, v| {
            match v.split_once(':') {
                Some(("apparmor" | "selinux", name)) if !name.is_empty() => a.criu.lsm_profile = Some(v),
                _ => return Err("must be apparmor:PROFILE or selinux:LABEL".into()),
            }
            Ok(())
        },
    ),
    text("lsm-mount-context", None, "CONTEXT", "SELinux context to restore mounts with", |a, v| {
        a.criu.lsm_mount_context = Some(v);
        Ok(())
    }),
];

/// `ADDRESS:PORT`; an IPv6 address is in brackets.
fn page_server(text: &str) -> Option<PageServer> {
    let (address, port) = text.rsplit_once(':')?;
    let address = match address.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None if address.contains(':') => return None,
        None => address,
    };
    let port = super::digits(port).and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)?;
    (!address.is_empty()).then(|| PageServer { address: address.to_owned(), port })
}

pub(super) static CHECKPOINT: Command = Command {
    word: "checkpoint",
    name: Name::Checkpoint,
    summary: "write a running container into image files",
    usage: "<container-id>",
    text: "Writes the processes of a container into files, by criu(8), which must be installed. Unless\n\
        --leave-running says otherwise, the container is deleted afterwards. \"{name} restore\" makes it\n\
        again, from the images and a bundle.\n\n\
        criu's options may be set in /etc/criu/{name}.conf, or where there is none in\n\
        /etc/criu/runc.conf. With --allow-annotation org.criu.config, the container's annotation of that\n\
        name overrides it with another file, or with none if it is empty.",
    words: (1, 1),
    flags: &[COMMON_FLAGS, CHECKPOINT_FLAGS],
};

pub(super) static RESTORE: Command = Command {
    word: "restore",
    name: Name::Restore,
    summary: "make a container from image files",
    usage: "<container-id>",
    text: "Makes a container whose processes go on where \"{name} checkpoint\" has written them. The bundle\n\
        says what is not in the images: mounts of the host's directories, joined namespaces, the cgroup.\n\
        Its prestart and createRuntime hooks run.\n\n\
        Without --detach it waits for the container's end, and deletes it, as \"{name} run\" does.",
    words: (1, 1),
    flags: &[COMMON_FLAGS, super::lifecycle::BIRTH_FLAGS, RESTORE_FLAGS],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_and_a_port() {
        let server = |address: &str, port| Some(PageServer { address: address.to_owned(), port });
        assert_eq!(page_server("10.0.0.1:80"), server("10.0.0.1", 80));
        assert_eq!(page_server("[::1]:65535"), server("::1", 65535));
        for wrong in ["", ":80", "host", "host:", "host:0", "host:65536", "::1:80", "[::1:80", "host:+1"] {
            assert_eq!(page_server(wrong), None, "{wrong}");
        }
    }
}
