//! `checkpoint` and `restore`.

use super::super::values::page_server;
use super::command::{Command, CommandId};
use super::flag::{Flag, number, path, repeated, switch, text};
use super::lifecycle::CONTAINER_FLAGS;
use orlop::container::{CgroupsMode, NetworkLock};

/// The flags of both.
static COMMON_FLAGS: &[Flag] = &[
    path(
        "image-path",
        None,
        "DIR",
        "directory of the image files (default: checkpoint in the current directory)",
        |args, v| args.criu.image_path = Some(v),
    ),
    path(
        "work-path",
        None,
        "DIR",
        "directory of criu's log and working files (default: the image directory)",
        |args, v| args.criu.work_path = Some(v),
    ),
    switch("tcp-established", None, "allow established TCP connections, and keep them", |args, on| {
        args.criu.tcp_established = on;
    }),
    switch(
        "ext-unix-sk",
        None,
        "allow Unix sockets connected to processes outside the container",
        |args, on| {
            args.criu.ext_unix_sk = on;
        },
    ),
    switch("shell-job", None, "allow a job of a terminal from outside the container", |args, on| {
        args.criu.shell_job = on;
    }),
    switch("file-locks", None, "keep file locks", |args, on| args.criu.file_locks = on),
    switch("lazy-pages", None, "fetch memory pages on demand (userfaultfd)", |args, on| {
        args.criu.lazy_pages = on;
    }),
    switch("auto-dedup", None, "do not store a memory page in two images", |args, on| {
        args.criu.auto_dedup = on;
    }),
    text(
        "manage-cgroups-mode",
        None,
        "soft|full|strict|ignore",
        "how criu treats the properties of cgroups (default: soft)",
        |args, v| {
            let mode = CgroupsMode::from_name(&v).ok_or("must be soft, full, strict or ignore")?;
            args.criu.manage_cgroups = Some(mode);
            Ok(())
        },
    ),
    text(
        "network-lock",
        None,
        "iptables|nftables|skip",
        "how criu blocks network traffic meanwhile (default: criu's own choice)",
        |args, v| {
            let method = NetworkLock::from_name(&v).ok_or("must be iptables, nftables or skip")?;
            args.criu.network_lock = Some(method);
            Ok(())
        },
    ),
    repeated(text(
        "empty-ns",
        None,
        "network",
        "do not restore the contents of the network namespace: hooks set it up (default: only lo is brought up)",
        |args, v| match v.as_str() {
            "network" => {
                args.criu.empty_namespaces.push(v);
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
        "images of an earlier --pre-dump, relative to the image path: write only what has changed since then",
        |args, v| args.criu.parent_path = Some(v),
    ),
    switch("leave-running", None, "leave the container running afterwards", |args, on| {
        args.criu.leave_running = on;
    }),
    switch("pre-dump", None, "write memory only, and leave the container running", |args, on| {
        args.criu.pre_dump = on;
    }),
    switch("tcp-skip-in-flight", None, "skip TCP connections that are not accepted yet", |args, on| {
        args.criu.tcp_skip_in_flight = on;
    }),
    switch("link-remap", None, "allow unlinked open files by giving them a temporary name", |args, on| {
        args.criu.link_remap = on;
    }),
    number(
        "status-fd",
        None,
        "FD",
        "descriptor that receives a NUL byte once lazy pages are ready",
        |args, v| args.criu.status_fd = Some(v),
    ),
    text(
        "page-server",
        None,
        "ADDRESS:PORT",
        "send memory to this criu page server instead of writing it to files",
        |args, v| {
            args.criu.page_server = Some(page_server(&v).ok_or("must be ADDRESS:PORT")?);
            Ok(())
        },
    ),
];

static RESTORE_FLAGS: &[Flag] = &[
    switch("detach", Some('d'), "detach: return without waiting for the container to exit", |args, on| {
        args.detach = on;
    }),
    switch("no-pivot", None, "rejected: criu changes the root only by pivot_root", |args, on| {
        args.no_pivot = on;
    }),
    switch("tcp-close", None, "restore TCP connections in closed state", |args, on| {
        args.criu.tcp_close = on;
    }),
    text(
        "lsm-profile",
        None,
        "TYPE:NAME",
        "LSM profile to restore with: apparmor:PROFILE, selinux:LABEL",
        |args, v| {
            match v.split_once(':') {
                Some(("apparmor" | "selinux", name)) if !name.is_empty() => args.criu.lsm_profile = Some(v),
                _ => return Err("must be apparmor:PROFILE or selinux:LABEL".into()),
            }
            Ok(())
        },
    ),
    text("lsm-mount-context", None, "CONTEXT", "SELinux context to restore mounts with", |args, v| {
        args.criu.lsm_mount_context = Some(v);
        Ok(())
    }),
];

pub(super) static CHECKPOINT: Command = Command {
    name: "checkpoint",
    id: CommandId::Checkpoint,
    summary: "checkpoint a running container to disk",
    usage: "<container-id>",
    description: "Writes the processes of a container to files, with criu(8), which must be installed. The\n\
        container is deleted afterwards, unless --leave-running or --pre-dump is given.\n\
        \"{name} restore\" recreates it from the images and a bundle.\n\n\
        criu's options may be set in /etc/criu/{name}.conf or, if that does not exist, in\n\
        /etc/criu/runc.conf. With --allow-annotation org.criu.config, the container's annotation of that\n\
        name replaces it by another file, or by none if it is empty.",
    operands: (1, 1),
    flags: &[COMMON_FLAGS, CHECKPOINT_FLAGS],
};

pub(super) static RESTORE: Command = Command {
    name: "restore",
    id: CommandId::Restore,
    summary: "restore a container from a checkpoint",
    usage: "<container-id>",
    description: "Recreates a container; its processes continue from where \"{name} checkpoint\" saved them.\n\
        The bundle describes what is not in the images: mounts of host directories, joined namespaces,\n\
        the cgroup. Its prestart and createRuntime hooks run.\n\n\
        Without --detach it waits for the container to exit and then deletes it, as \"{name} run\" does.",
    operands: (1, 1),
    flags: &[COMMON_FLAGS, CONTAINER_FLAGS, RESTORE_FLAGS],
};
