//! What the probe sees of itself and its environment, as one JSON object.

use crate::{Value, json, sys};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::{Mode, major, minor, umask};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, getcwd, getgroups, getpgrp, getpid, getppid, getsid};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// The whole report.
pub(super) fn report() -> Value {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let mut lines = status.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or("").trim().to_owned()
    };
    let numbers =
        |name: &str| -> Vec<u32> { field(name).split_whitespace().filter_map(|n| n.parse().ok()).collect() };
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let mask = umask(Mode::empty());
    umask(mask);
    let names = nix::sys::utsname::uname().ok();
    let name = |pick: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
        names.as_ref().map(|all| pick(all).to_string_lossy().into_owned())
    };
    let args: Vec<String> = std::env::args().collect();
    let boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |at| at.tv_sec());
    let monotonic = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |at| at.tv_sec());
    let cwd = getcwd().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
    let mut own = json!({
        "pid": getpid().as_raw(), "ppid": getppid().as_raw(), "pgid": getpgrp().as_raw(),
        "sid": getsid(None).map_or(-1, Pid::as_raw),
        "uid": numbers("Uid"), "gid": numbers("Gid"),
        "groups": getgroups().unwrap_or_default().iter().map(|gid| gid.as_raw()).collect::<Vec<_>>(),
        "caps": {
            "bounding": capabilities(&field("CapBnd")), "effective": capabilities(&field("CapEff")),
            "permitted": capabilities(&field("CapPrm")), "inheritable": capabilities(&field("CapInh")),
            "ambient": capabilities(&field("CapAmb")),
        },
        "no_new_privileges": field("NoNewPrivs") == "1",
        "seccomp": field("Seccomp"), "seccomp_filters": field("Seccomp_filters"),
        "signals_blocked": field("SigBlk"), "signals_ignored": field("SigIgn"), "sigpipe_ignored": sys::sigpipe_was_ignored(),
        "rlimits": rlimits(), "umask": format!("{:04o}", mask.bits()), "cwd": cwd,
        "env": environment(), "args": args,
        "hostname": name(nix::sys::utsname::UtsName::nodename), "domainname": name(nix::sys::utsname::UtsName::domainname),
        "machine": name(nix::sys::utsname::UtsName::machine),
    });
    let world = json!({
        "mounts": mounts(), "dev": listing(Path::new("/dev")), "fds": descriptors(),
        "cgroup": read("/proc/self/cgroup").lines().collect::<Vec<_>>(),
        "namespaces": namespaces(), "interfaces": interfaces(), "addresses": addresses(),
        "time_offsets": read("/proc/self/timens_offsets").lines().collect::<Vec<_>>(),
        "boottime": boot, "monotonic": monotonic,
        "oom_score_adj": read("/proc/self/oom_score_adj").parse::<i32>().ok(),
        "uid_map": read("/proc/self/uid_map"), "gid_map": read("/proc/self/gid_map"),
        "setgroups": read("/proc/self/setgroups"),
        "exe": link("/proc/self/exe"), "dumpable": sys::syscall(libc::SYS_prctl, [3, 0, 0, 0, 0, 0]).unwrap_or(-1),
        "personality": sys::syscall(libc::SYS_personality, [0xffff_ffff, 0, 0, 0, 0, 0]).unwrap_or(-1),
        "parent_death_signal": field("Pdeathsig"),
        "threads": field("Threads"), "affinity": field("Cpus_allowed_list"), "nice": nice(),
    });
    if let (Some(own), Value::Object(world)) = (own.as_object_mut(), world) {
        own.extend(world);
    }
    own
}

fn nice() -> i64 {
    // getpriority(2) returns 20 - nice, so that the result is never negative.
    20 - sys::syscall(libc::SYS_getpriority, [0; 6]).unwrap_or(20)
}

/// The environment in the order in which the kernel passed it.
fn environment() -> Vec<String> {
    std::env::vars_os()
        .map(|(name, value)| {
            format!("{}={}", String::from_utf8_lossy(name.as_bytes()), value.to_string_lossy())
        })
        .collect()
}

fn link(path: &str) -> String {
    fs::read_link(path).map(|target| target.to_string_lossy().into_owned()).unwrap_or_default()
}

const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

fn capabilities(hex: &str) -> Vec<String> {
    capability_names(u64::from_str_radix(hex, 16).unwrap_or(0))
}

/// The names of a set of capabilities.
pub fn capability_names(bits: u64) -> Vec<String> {
    let held = CAPABILITIES.iter().enumerate().filter(|(n, _)| bits & (1 << n) != 0);
    held.map(|(_, name)| format!("CAP_{name}")).collect()
}

fn rlimits() -> Value {
    let all = [
        ("RLIMIT_AS", Resource::RLIMIT_AS),
        ("RLIMIT_CORE", Resource::RLIMIT_CORE),
        ("RLIMIT_CPU", Resource::RLIMIT_CPU),
        ("RLIMIT_DATA", Resource::RLIMIT_DATA),
        ("RLIMIT_FSIZE", Resource::RLIMIT_FSIZE),
        ("RLIMIT_LOCKS", Resource::RLIMIT_LOCKS),
        ("RLIMIT_MEMLOCK", Resource::RLIMIT_MEMLOCK),
        ("RLIMIT_MSGQUEUE", Resource::RLIMIT_MSGQUEUE),
        ("RLIMIT_NICE", Resource::RLIMIT_NICE),
        ("RLIMIT_NOFILE", Resource::RLIMIT_NOFILE),
        ("RLIMIT_NPROC", Resource::RLIMIT_NPROC),
        ("RLIMIT_RSS", Resource::RLIMIT_RSS),
        ("RLIMIT_RTPRIO", Resource::RLIMIT_RTPRIO),
        ("RLIMIT_RTTIME", Resource::RLIMIT_RTTIME),
        ("RLIMIT_SIGPENDING", Resource::RLIMIT_SIGPENDING),
        ("RLIMIT_STACK", Resource::RLIMIT_STACK),
    ];
    let mut found = json!({});
    for (name, resource) in all {
        if let Ok((soft, hard)) = getrlimit(resource) {
            found[name] = json!([soft, hard]);
        }
    }
    found
}

/// /proc/self/mountinfo, parsed.
fn mounts() -> Vec<Value> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let parse = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        Some(json!({
            "id": left.first()?, "parent": left.get(1)?, "root": left.get(3)?, "point": left.get(4)?,
            "options": left.get(5)?.split(',').collect::<Vec<_>>(), "propagation": left[6..],
            "type": right.first()?, "source": right.get(1)?,
            "super": right.get(2)?.split(',').collect::<Vec<_>>(),
        }))
    };
    table.lines().filter_map(parse).collect()
}

/// One file: kind, mode, owner, device number, link target.
pub(super) fn stat_of(path: &Path) -> io::Result<Value> {
    let data = fs::symlink_metadata(path)?;
    let kind = data.file_type();
    let word = match () {
        () if kind.is_dir() => "directory",
        () if kind.is_symlink() => "link",
        () if kind.is_char_device() => "c",
        () if kind.is_block_device() => "b",
        () if kind.is_fifo() => "p",
        () if kind.is_socket() => "socket",
        () => "file",
    };
    Ok(json!({
        "kind": word, "mode": format!("{:04o}", data.mode() & 0o7777), "uid": data.uid(), "gid": data.gid(),
        "major": major(data.rdev()), "minor": minor(data.rdev()), "size": data.size(),
        "target": fs::read_link(path).map(|to| to.to_string_lossy().into_owned()).unwrap_or_default(),
        "errno": "",
    }))
}

fn listing(dir: &Path) -> Value {
    let mut found = json!({});
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        found[name.as_str()] = stat_of(&entry.path()).unwrap_or_default();
    }
    found
}

/// Open descriptors and their targets, without the one that lists them.
fn descriptors() -> Value {
    let mut found = json!({});
    let names: Vec<String> = fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    for name in names {
        let target = link(&format!("/proc/self/fd/{name}"));
        // The descriptor of the listing is closed by now.
        if !target.is_empty() {
            found[name.as_str()] = json!(target);
        }
    }
    found
}

fn namespaces() -> Value {
    let mut found = json!({});
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"] {
        found[kind] = json!(link(&format!("/proc/self/ns/{kind}")));
    }
    found
}

/// Network interfaces: a map from name to whether it is up.
fn interfaces() -> Value {
    let mut found = json!({});
    for one in nix::ifaddrs::getifaddrs().into_iter().flatten() {
        found[one.interface_name.as_str()] = json!(one.flags.contains(nix::net::if_::InterfaceFlags::IFF_UP));
    }
    found
}

/// Addresses of the network interfaces: a map from name to a list of `ADDRESS/PREFIX`.
fn addresses() -> Value {
    let mut found = json!({});
    for one in nix::ifaddrs::getifaddrs().into_iter().flatten() {
        let (Some(address), Some(mask)) = (one.address, one.netmask) else { continue };
        let text = if let (Some(v4), Some(mask)) = (address.as_sockaddr_in(), mask.as_sockaddr_in()) {
            format!("{}/{}", v4.ip(), mask.ip().to_bits().count_ones())
        } else if let (Some(v6), Some(mask)) = (address.as_sockaddr_in6(), mask.as_sockaddr_in6()) {
            format!("{}/{}", v6.ip(), mask.ip().to_bits().count_ones())
        } else {
            continue;
        };
        let list = &mut found[one.interface_name.as_str()];
        if list.is_null() {
            *list = json!([]);
        }
        list.as_array_mut().unwrap().push(json!(text));
    }
    found
}
