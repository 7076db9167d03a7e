//! A reaping PID 1 without a container: the stub stays beside the program, reaps orphans, forwards signals, and
//! exits as the program does. 8 KB of memory, and no other binary.
//!
//! Runs as root and as an ordinary user: `cargo run --example init`

#![forbid(unsafe_code)]

use nix::poll::{PollFd, PollFlags, poll};
use orlop::init::{Command, Exit};
use orlop::namespace::{IdMap, NamespaceKind, Namespaces};
use orlop::{Error, Phase, Result};
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

fn main() {
    if let Err(e) = run() {
        eprintln!("init: {e}");
        std::process::exit(1);
    }
}

fn run() -> Result<()> {
    let mut set = Namespaces::new().create(NamespaceKind::Pid).create(NamespaceKind::Mount);
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    if !uid.is_root() {
        set = set
            .create(NamespaceKind::User)
            .uid_map(IdMap { container: 0, host: uid.as_raw(), size: 1 })
            .gid_map(IdMap { container: 0, host: gid.as_raw(), size: 1 });
    }
    orphans(&set)?;
    signals(&set)?;
    exits(&set)
}

/// The program leaves children whose parents exit: they become children of PID 1, which reaps them.
fn orphans(set: &Namespaces) -> Result<()> {
    let script =
        "for i in 1 2 3 4 5; do (sleep 0.1 & ) ; done; sleep 0.4; cat /proc/[0-9]*/stat | cut -d' ' -f1-4";
    let (lines, exit) = talk(&shell(set, script), |_, _| Ok(()))?;
    println!("after five orphans have exited, these processes remain (pid, name, state, parent):");
    for line in &lines {
        println!("  {line}");
    }
    check(lines.iter().any(|line| line.starts_with("1 (") && line.ends_with(" 0")), "PID 1 is the stub")?;
    check(!lines.iter().any(|line| line.contains(" Z ")), "no zombie is left")?;
    check(exit == Exit::Code(0), "the program exits with 0")
}

/// Signals to PID 1 reach the program.
fn signals(set: &Namespaces) -> Result<()> {
    let script =
        "trap 'echo HUP' HUP; trap 'echo TERM; exit 3' TERM; echo ready; while :; do sleep 0.02; done";
    let mut next = [libc::SIGHUP, libc::SIGTERM].into_iter();
    let (lines, exit) = talk(&shell(set, script), |child, _| next.next().map_or(Ok(()), |s| child.kill(s)))?;
    println!("signals sent to PID 1 reach the program: {lines:?}, which exits with {exit:?}");
    check(lines == ["ready", "HUP", "TERM"] && exit == Exit::Code(3), "both arrive")
}

/// The exit status is that of the program.
fn exits(set: &Namespaces) -> Result<()> {
    for (script, expected) in [("exit 0", 0), ("exit 42", 42), ("kill -KILL $$", 128 + 9)] {
        let start = Instant::now();
        let child = shell(set, script).spawn()?;
        // A daemon would poll this pidfd together with all others.
        let mut set = [PollFd::new(child.as_fd(), PollFlags::POLLIN)];
        poll(&mut set, 10_000_u16).map_err(|e| Error::sys(Phase::Lifecycle, "poll", e))?;
        let Some(exit) = child.try_wait()? else { return check(false, "it ends") };
        println!(
            "{script:?} makes PID 1 exit with {} after {:?}",
            exit.shell_code(),
            rounded(start.elapsed())
        );
        check(exit == Exit::Code(expected), "PID 1 exits as the program did")?;
    }
    Ok(())
}

fn shell<'a>(set: &'a Namespaces, script: &str) -> Command<'a> {
    let mut command = Command::new("sh");
    command.args(["-c", script]).env("PATH", "/usr/bin:/bin").namespaces(set).mount_proc().reaping_init();
    command
}

/// Runs a command; `answer` is called for each line that it prints.
fn talk(
    command: &Command<'_>,
    mut answer: impl FnMut(&orlop::init::Child, &str) -> Result<()>,
) -> Result<(Vec<String>, Exit)> {
    let (reader, writer) = std::io::pipe().map_err(io("make a pipe"))?;
    let child = command.clone().stdout(&writer).spawn()?;
    drop(writer);
    let mut lines = Vec::new();
    for line in BufReader::new(reader).lines() {
        let line = line.map_err(io("read from the program"))?;
        answer(&child, &line)?;
        lines.push(line);
    }
    Ok((lines, child.wait()?))
}

fn rounded(time: Duration) -> Duration {
    Duration::from_micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

fn check(holds: bool, what: &'static str) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(Error::sys(Phase::Launch, "check", nix::errno::Errno::EINVAL).with_detail(format!("not so: {what}")))
}

fn io(operation: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |e| {
        let errno = nix::errno::Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO));
        Error::sys(Phase::Launch, operation, errno)
    }
}
