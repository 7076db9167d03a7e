//! A special caller: this program changes its own properties as the words say, then becomes the runtime.
//!
//! `fd=PATH` opens a descriptor without close-on-exec, `wfd=PATH` one to write to; `uid=N` drops to that user and
//! group; `groups=N,N` are its supplementary groups; `userns` makes it root of a user namespace in which each ID is
//! mapped to itself, `alone` of one with root only; `nofile=N` lowers a limit, `softfiles=N` only the soft one;
//! `terminal` makes standard input the controlling terminal; `mounts` has a mount namespace of its own; `none=KIND`
//! may create no more namespaces of that kind (after `userns`); `chroot=DIRECTORY` changes the root to that
//! directory, with the kernel's file systems and the parent directory mounted in it; `null=FILE` sees that file as
//! /dev/null; `cgroup2` sees the host's cgroup2 hierarchy alone, at /sys/fs/cgroup; `cgroup=DIRECTORY` joins that
//! cgroup; `umask=OCTAL`; `ignore=N` ignores a signal; `block=N` blocks one; `processor=N` runs on that one only; `lacks=N` drops a
//! capability from the bounding set;
//! `traced` is stopped by its parent once it has executed the runtime. `memfd_noexec=N` is the first process of a
//! pid namespace with that `vm.memfd_noexec`.
//!
//! `guard=MICROSECONDS` stays as the runtime's parent instead, kills it after that time (0: never), prints the
//! time, and exits when no process is left of those that the runtime created.

use crate::leak::hierarchies;
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// The first argument that makes a test program a wrapper.
pub const NAME: &str = "--as-caller";

/// Applies the words before `--` and executes what follows it.
pub fn main(words: &[String]) -> ExitCode {
    let split = words.iter().position(|word| word == "--").unwrap_or(words.len());
    for word in &words[..split] {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        apply(name, value);
    }
    let command = &words[split + 1..];
    let guard = words[..split].iter().find_map(|word| word.strip_prefix("guard="));
    if let Some(after) = guard {
        return stand_guard(command, Duration::from_micros(after.parse().unwrap_or(0)));
    }
    let error = Command::new(&command[0]).args(&command[1..]).exec();
    eprintln!("{}: {error}", command[0]);
    ExitCode::from(127)
}

fn apply(name: &str, value: &str) {
    let number = || value.parse::<u32>().unwrap_or_else(|_| panic!("{name}={value}"));
    match name {
        "fd" => std::mem::forget(open(value, OFlag::O_RDONLY, Mode::empty()).unwrap()),
        "wfd" => std::mem::forget(open(value, OFlag::O_WRONLY, Mode::empty()).unwrap()),
        "uid" => {
            nix::unistd::setgroups(&[]).unwrap();
            nix::unistd::setgid(number().into()).unwrap();
            nix::unistd::setuid(number().into()).unwrap();
        }
        "groups" => {
            let groups: Vec<_> = value.split(',').map(|gid| gid.parse::<u32>().unwrap().into()).collect();
            nix::unistd::setgroups(&groups).unwrap();
        }
        "userns" => enter_user_namespace(),
        "alone" => enter_user_namespace_alone(),
        "nofile" => setrlimit(Resource::RLIMIT_NOFILE, number().into(), number().into()).unwrap(),
        "softfiles" => {
            let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
            setrlimit(Resource::RLIMIT_NOFILE, number().into(), hard).unwrap();
        }
        "terminal" => crate::sys::take_terminal(),
        "processor" => crate::sys::bind_to_processor(number() as usize),
        "umask" => drop(umask(Mode::from_bits_truncate(u32::from_str_radix(value, 8).unwrap()))),
        "lacks" => {
            let drop = [libc::PR_CAPBSET_DROP.into(), number().into(), 0, 0, 0, 0];
            crate::sys::syscall(libc::SYS_prctl, drop).unwrap();
        }
        "ignore" => crate::sys::set_handler(Signal::try_from(number() as i32).unwrap(), SigHandler::SigIgn),
        "block" => {
            let mut set = SigSet::empty();
            set.add(Signal::try_from(number() as i32).unwrap());
            set.thread_block().unwrap();
        }
        "guard" => {}
        "chroot" => enter_chroot(Path::new(value)),
        "mounts" => unshare(CloneFlags::CLONE_NEWNS).unwrap(),
        "none" => std::fs::write(format!("/proc/sys/user/max_{value}_namespaces"), "0").unwrap(),
        "null" => replace_null_device(value),
        "traced" => nix::sys::ptrace::traceme().unwrap(),
        "memfd_noexec" => forbid_executable_memory(value),
        "cgroup2" => see_cgroup2_alone(),
        "cgroup" => std::fs::write(Path::new(value).join("cgroup.procs"), "0").unwrap(),
        _ => panic!("no such property of a caller: {name}"),
    }
}

/// IDs above 65535 have no name there; setgroups(2) is allowed.
fn enter_user_namespace() {
    // Only a process outside may write the maps.
    let (entered, enter) = std::io::pipe().unwrap();
    let pid = std::process::id();
    let script =
        format!("read line; for kind in uid gid; do echo 0 0 65536 >/proc/{pid}/${{kind}}_map; done");
    let mut writer = Command::new("/bin/sh").args(["-c", &script]).stdin(entered).spawn().unwrap();
    unshare(CloneFlags::CLONE_NEWUSER).unwrap();
    drop(enter);
    assert!(writer.wait().unwrap().success());
    nix::unistd::setgid(0.into()).unwrap();
    nix::unistd::setuid(0.into()).unwrap();
}

/// There is no other ID, and setgroups(2) is not allowed.
fn enter_user_namespace_alone() {
    unshare(CloneFlags::CLONE_NEWUSER).unwrap();
    for (file, text) in [("setgroups", "deny"), ("uid_map", "0 0 1"), ("gid_map", "0 0 1")] {
        std::fs::write(format!("/proc/self/{file}"), text).unwrap();
    }
}

fn enter_chroot(cage: &Path) {
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    for place in [Path::new("/proc"), Path::new("/sys"), Path::new("/dev"), cage.parent().unwrap()] {
        let inside = cage.join(place.strip_prefix("/").unwrap());
        std::fs::create_dir_all(&inside).unwrap();
        mount(Some(place), &inside, none, MsFlags::MS_BIND | MsFlags::MS_REC, none).unwrap();
    }
    nix::unistd::chroot(cage).unwrap();
    std::env::set_current_dir("/").unwrap();
}

fn replace_null_device(file: &str) {
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    mount(Some(file), "/dev/null", none, MsFlags::MS_BIND, none).unwrap();
}

/// Continues in a child, whose exit code becomes this process's.
fn forbid_executable_memory(scope: &str) {
    unshare(CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS).unwrap();
    let pid = crate::sys::fork().unwrap();
    if pid != 0 {
        let code = crate::sys::reap(pid, Duration::from_secs(3600)).unwrap_or(127);
        std::process::exit(code);
    }
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).unwrap();
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none).unwrap();
    std::fs::write("/proc/sys/vm/memfd_noexec", scope).unwrap();
}

fn see_cgroup2_alone() {
    let place = Path::new("/sys/fs/cgroup");
    let found = hierarchies().into_iter().find(|(_, controllers)| controllers.is_empty());
    let (unified, _) = found.expect("a cgroup2 mount");
    if unified == place {
        return;
    }
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    mount(Some(&unified), place, none, MsFlags::MS_BIND, none).unwrap();
}

fn stand_guard(command: &[String], after: Duration) -> ExitCode {
    crate::sys::become_subreaper();
    let begun = Instant::now();
    let mut child = Command::new(&command[0]).args(&command[1..]).spawn().unwrap();
    let pid = child.id() as i32;
    if after.is_zero() {
        child.wait().unwrap();
    } else {
        // A sleep would be longer than the steps that it should hit.
        while begun.elapsed() < after {
            std::hint::spin_loop();
        }
        crate::sys::kill(pid, libc::SIGKILL);
        child.wait().unwrap();
    }
    println!("guard: {} us", begun.elapsed().as_micros());
    while crate::sys::reap_any() {}
    ExitCode::SUCCESS
}
