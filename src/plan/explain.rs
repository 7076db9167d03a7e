//! A plan in words: what `orlop plan` prints, and what a step's failure is called.

use super::compile::Plan;
use super::names::call_name;
use super::step::{Groups, Line, MountStep, Origin, Sender, Side, Source, Step, Turn};
use crate::mount::options::MountOptions;
use crate::namespace::Kind;
use crate::process::capability::CapSet;
use crate::sys::mount::attr;
use std::fmt;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, line) in self.lines.iter().enumerate() {
            let side = match line.step.side() {
                Side::Host => "host",
                Side::Stub => "stub",
            };
            let text = line.step.to_string();
            let origin = match &line.origin {
                Origin::Pointer(pointer) => pointer.as_str(),
                Origin::Standard => "standard",
            };
            writeln!(f, "{number:>3}  {side}  {text:<72}  {origin}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(groups) => write!(f, "{groups:?}"),
            Self::Drop => f.write_str("[], if they may be changed"),
            Self::Keep => f.write_str("of the caller"),
        }
    }
}

impl Line {
    /// The pointer, if `config.json` asked for the line.
    pub(crate) fn pointer(&self) -> Option<&str> {
        match &self.origin {
            Origin::Pointer(pointer) => Some(pointer),
            Origin::Standard => None,
        }
    }
}

/// `CLONE_NEW*` as the spec's names.
fn namespaces(flags: u64) -> String {
    let names: Vec<_> =
        (0..64).map(|bit| flags & (1 << bit)).filter_map(Kind::from_flag).map(Kind::name).collect();
    if names.is_empty() { "none".into() } else { names.join(" ") }
}

/// `MS_*` propagation flags as the spec's names.
fn propagation(flag: u64, recursive: bool) -> String {
    let name = match flag {
        libc::MS_PRIVATE => "private",
        libc::MS_SLAVE => "slave",
        libc::MS_SHARED => "shared",
        _ => "unbindable",
    };
    format!("{}{name}", if recursive { "r" } else { "" })
}

const ATTRIBUTES: [(u64, &str); 6] = [
    (attr::RDONLY, "ro"),
    (attr::NOSUID, "nosuid"),
    (attr::NODEV, "nodev"),
    (attr::NOEXEC, "noexec"),
    (attr::NODIRATIME, "nodiratime"),
    (attr::NOSYMFOLLOW, "nosymfollow"),
];

fn attributes(words: &mut Vec<String>, set: u64, clear: u64, prefix: &str) {
    for (bit, name) in ATTRIBUTES {
        if set & bit != 0 {
            words.push(format!("{prefix}{name}"));
        } else if clear & bit != 0 {
            words.push(format!("{prefix}-{name}"));
        }
    }
    match set & attr::ATIME {
        attr::NOATIME => words.push(format!("{prefix}noatime")),
        attr::STRICTATIME => words.push(format!("{prefix}strictatime")),
        _ if clear & attr::ATIME != 0 => words.push(format!("{prefix}relatime")),
        _ => {}
    }
}

fn options(options: &MountOptions) -> String {
    let mut words = Vec::new();
    attributes(&mut words, options.attr_set, options.attr_clear, "");
    attributes(&mut words, options.rec_set, options.rec_clear, "r:");
    words.extend(options.superblock.iter().map(|flag| format!("sb:{}", flag.key)));
    words.extend(options.propagation.iter().map(|p| propagation(p.flag, p.recursive)));
    words.extend(options.tmpcopyup.map(|_| "tmpcopyup".to_owned()));
    words.extend(options.data.iter().map(ToString::to_string));
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(",")) }
}

fn mount(f: &mut fmt::Formatter<'_>, mount: &MountStep) -> fmt::Result {
    let (destination, options) = (&mount.destination, options(&mount.options));
    if mount.options.remount.is_some() {
        return write!(f, "remount {destination}{options}");
    }
    match mount.from {
        Source::Slot if !mount.kind.is_empty() => {
            write!(f, "mount {} on {destination}{options}, idmapped, made by the host", mount.kind)
        }
        Source::New => {
            let label = mount.label.as_ref().map_or_else(String::new, |label| format!(", labelled {label}"));
            write!(f, "mount {} on {destination}{options}{label}", mount.kind)
        }
        Source::Path | Source::Slot => {
            let rec = if mount.options.bind.is_some_and(|b| b.recursive) { "rbind" } else { "bind" };
            let by = if mount.from == Source::Slot { ", opened by the host" } else { "" };
            write!(f, "{rec} {} on {destination}{options}{by}", mount.source)
        }
    }
}

fn turn(turn: Turn) -> &'static str {
    match turn {
        Turn::IdMaps => "the id maps",
        Turn::NetDevices => "the network devices",
        Turn::Scope => "systemd's scope",
        Turn::RuntimeHooks => "the hooks outside",
        Turn::ContainerHooks => "the createContainer hooks",
        Turn::StartHooks => "the startContainer hooks",
        Turn::Listener => "the listener's way to the agent",
        Turn::Created => "the record",
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MakeCgroup { path } => write!(f, "make cgroup {path}"),
            Self::MakeResctrl { path, monitor } => {
                let monitor = if *monitor { ", with a monitoring group" } else { "" };
                write!(f, "class of service {path}{monitor}")
            }
            Self::JoinResctrl { slots } if slots.len() > 1 => {
                f.write_str("join the class of service and its monitoring group")
            }
            Self::JoinResctrl { .. } => f.write_str("join the class of service"),
            Self::StartScope { unit, path } => write!(f, "start systemd unit {unit}, cgroup {path}"),
            Self::Spawn { namespaces: n, into_cgroup } => {
                let cgroup = if *into_cgroup { ", in its cgroup" } else { "" };
                write!(f, "spawn the stub{cgroup}; new namespaces: {}", namespaces(*n))
            }
            Self::WriteIdMaps => f.write_str("write the id maps"),
            Self::MoveNetDevices { devices } => {
                f.write_str("move network devices:")?;
                devices.iter().try_for_each(|(name, new)| {
                    write!(f, " {name}")?;
                    if name == new { Ok(()) } else { write!(f, " as {new}") }
                })
            }
            Self::RunHooks { kind, count } => write!(f, "run {count} {kind} hook(s)"),
            Self::RecordCreated => f.write_str("record the state, write the pid file"),
            Self::Dumpable => f.write_str("let its user look into it until its ids are mapped"),
            Self::Undumpable => f.write_str("become undumpable"),
            Self::JoinCgroup { slots } => write!(f, "join the cgroup in {} hierarchies", slots.len()),
            Self::JoinNamespace { kind, .. } => write!(f, "join the {kind} namespace"),
            Self::HandOver { namespaces: n } => {
                write!(f, "clone the final process; new namespaces: {}", namespaces(*n))
            }
            Self::Unshare { namespaces: n } => write!(f, "unshare namespaces: {}", namespaces(*n)),
            Self::AwaitHost(t) => write!(f, "wait for {}", turn(*t)),
            Self::BecomeRoot => f.write_str("become root of the user namespace"),
            Self::NewSession => f.write_str("new session"),
            Self::TimeNamespace { offsets } => {
                write!(f, "new time namespace {}", offsets.trim_end().replace('\n', ", "))
            }
            Self::Loopback => f.write_str("lo up"),
            Self::HostName(name) => write!(f, "host name {name}"),
            Self::DomainName(name) => write!(f, "domain name {name}"),
            Self::OomScoreAdj(value) => write!(f, "oom_score_adj {value}"),
            Self::Sysctl { path, value } => write!(f, "write {value:?} to {path}"),
            Self::OpenUmask => f.write_str("umask 0"),
            _ => self.filesystem_text(f),
        }
    }
}

impl Step {
    fn filesystem_text(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostPropagation { flag, recursive, .. } => {
                write!(f, "make the host's mounts {}", propagation(*flag, *recursive))
            }
            Self::Root { path, slot } => {
                let by = if slot.is_some() { ", opened by the host" } else { "" };
                write!(f, "root {path}{by}")
            }
            Self::AttachTree { path, .. } => write!(f, "attach a tree on {path}"),
            Self::MountPoint { path } => write!(f, "make the mount point {path}"),
            Self::HostRoot => f.write_str("keep the root"),
            Self::Mount { mount: step, .. } => mount(f, step),
            Self::CgroupMount { destination, options: o, views, .. } => {
                write!(f, "cgroup hierarchies on {destination}: {}", names(views.iter().map(|v| &*v.name)))?;
                f.write_str(&options(o))
            }
            Self::MakeNode(node) => {
                let how = if node.bind { "bind" } else { "make" };
                let kind = match node.mode & libc::S_IFMT {
                    libc::S_IFCHR => 'c',
                    libc::S_IFBLK => 'b',
                    _ => 'p',
                };
                let mode = node.mode & 0o7777;
                write!(f, "{how} {} {kind} {}:{} {mode:o}", node.path, node.major, node.minor)
            }
            Self::DevLinks { .. } => f.write_str("links in /dev"),
            Self::Terminal { size, .. } => {
                f.write_str("open the terminal, send its master")?;
                size.map_or(Ok(()), |(height, width)| write!(f, " ({width}x{height})"))
            }
            Self::Mask { path, .. } => write!(f, "mask {path}"),
            Self::ReadonlyPath { path } => write!(f, "read-only {path}"),
            Self::ReadonlyMount { path } => write!(f, "mount {path} becomes read-only"),
            Self::Pivot { move_mount: false } => f.write_str("pivot root"),
            Self::Pivot { move_mount: true } => f.write_str("move the root, chroot"),
            Self::ReadonlyRoot => f.write_str("root read-only"),
            Self::RootPropagation { flag, recursive } => {
                write!(f, "root {}", propagation(*flag, *recursive))
            }
            _ => self.process_text(f),
        }
    }

    fn process_text(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyring { name } => write!(f, "session keyring {name}"),
            Self::Rlimit { name, soft, hard, .. } => write!(f, "limit {name} {soft} {hard}"),
            Self::Scheduler { .. } => f.write_str("scheduler"),
            Self::IoPriority(value) => write!(f, "I/O priority {value:#x}"),
            Self::Personality(value) => write!(f, "personality {value:#x}"),
            Self::MemoryPolicy { mode, .. } => write!(f, "memory policy {mode:#x}"),
            Self::OpenLabel { .. } => f.write_str("open the label file"),
            Self::WriteLabel { text } => write!(f, "label {text}"),
            Self::ChownStdio { uid } => write!(f, "standard descriptors to user {uid}"),
            Self::NoNewPrivileges => f.write_str("no new privileges"),
            Self::BoundingSet { keep, .. } => write!(f, "bounding set {}", capabilities(CapSet(*keep))),
            Self::Identity { uid, gid, groups, .. } => {
                let id = |id: &u32| if *id == u32::MAX { "as it is".into() } else { id.to_string() };
                write!(f, "user {}, group {}, groups {groups}", id(uid), id(gid))
            }
            Self::Capabilities { sets, .. } => write!(
                f,
                "permitted {}, effective {}, inheritable {}, ambient {}",
                capabilities(sets.permitted),
                capabilities(sets.effective),
                capabilities(sets.inheritable),
                capabilities(sets.ambient)
            ),
            Self::Umask(mask) => write!(f, "umask {mask:04o}"),
            Self::WorkingDirectory { path } | Self::ChangeDirectory { path } => {
                write!(f, "working directory {path}")
            }
            Self::CpuAffinity { asked: false, .. } => f.write_str("run on every processor of the cgroup"),
            Self::CpuAffinity { mask, .. } => write!(f, "run on processors {}", processors(mask)),
            Self::HookDirectory { path } => write!(f, "working directory {path}, or /"),
            Self::FindProgram { name, candidates } => {
                write!(f, "find {name}")?;
                if candidates.len() > 1 { write!(f, " in {} places", candidates.len()) } else { Ok(()) }
            }
            Self::Created => f.write_str("created"),
            Self::AwaitStart { .. } => f.write_str("wait for start"),
            Self::CloseDescriptors { preserve: 0 } => f.write_str("close all descriptors but 0 to 2"),
            Self::CloseDescriptors { preserve } => {
                write!(f, "close all descriptors but 0 to {}", 2 + preserve)
            }
            Self::KeepDescriptors { slots } => write!(f, "but keep {} descriptor(s)", slots.len()),
            Self::ResetSignals => f.write_str("signals to default"),
            Self::StayAsInit { .. } => f.write_str("stay as PID 1; the program is a child"),
            Self::Seccomp { filter, flags, listener } => {
                write!(f, "seccomp filter of {} instructions, flags {flags:#x}", filter.len() / 8)?;
                f.write_str(match listener {
                    None => "",
                    Some(Sender::Itself) => "; its listener to the agent",
                    Some(Sender::Aside) => "; its listener to the agent, by a thread aside",
                })
            }
            Self::Execute { args, .. } => write!(f, "execute {args:?}"),
            Self::Unmount { directory, name } => write!(f, "unmount {directory}{name}"),
            Self::Done => f.write_str("done"),
            Self::NoProgram => f.write_str("there is no program: start fails"),
            Self::Finish => f.write_str("end"),
            _ => Ok(()),
        }
    }
}

fn names<'a>(list: impl Iterator<Item = &'a str>) -> String {
    list.collect::<Vec<_>>().join(" ")
}

/// Few by name, many by number.
fn capabilities(set: CapSet) -> String {
    let list: Vec<_> = set.names().collect();
    match list.len() {
        0 => "none".into(),
        1..=4 => list.join("+"),
        n => format!("{:#x} ({n})", set.0),
    }
}

/// The name of a system call that a plan makes.
pub(super) fn operation(call: Option<u32>) -> &'static str {
    call.map_or("check", |call| call_name(call).unwrap_or("system call"))
}

/// The numbers in a mask: `0 2 3`.
fn processors(mask: &[u8]) -> String {
    let bits = (0..mask.len() * 8).filter(|bit| mask[bit / 8] >> (bit % 8) & 1 == 1);
    bits.map(|bit| bit.to_string()).collect::<Vec<_>>().join(" ")
}
