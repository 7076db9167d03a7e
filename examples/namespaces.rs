//! Namespaces without a container: a program in new ones of all eight kinds, with ID maps and shifted clocks;
//! another that joins those of the first, by pidfd and by path; a third that joins some and creates others. Nothing
//! of this program changes: only the children have these namespaces.
//!
//! Runs as root and as an ordinary user: `cargo run --example namespaces`

#![forbid(unsafe_code)]

use orlop::init::Command;
use orlop::namespace::{Clock, IdMap, NamespaceKind, Namespaces};
use orlop::{Error, Phase, Result};
use std::io::Read;
use std::path::Path;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let done = match arguments.next().as_deref() {
        Some("show") => show(),
        Some("hold") => std::io::stdin().read_to_end(&mut Vec::new()).map(drop).map_err(io("read")),
        _ => run(),
    };
    if let Err(e) = done {
        eprintln!("namespaces: {e}");
        std::process::exit(1);
    }
}

/// What the children do: print their namespaces.
fn show() -> Result<()> {
    let read = |path: &str| std::fs::read_to_string(path).map_err(io("read"));
    let uptime = read("/proc/uptime")?;
    println!(
        "  pid {}, uid {}, host name {}, up for {} days",
        std::process::id(),
        nix::unistd::getuid(),
        read("/proc/sys/kernel/hostname")?.trim(),
        uptime.split('.').next().and_then(|s| s.parse::<u64>().ok()).unwrap_or(0) / 86_400
    );
    for kind in NamespaceKind::ALL {
        print!("  {}", link("self", kind)?);
    }
    println!();
    Ok(())
}

fn run() -> Result<()> {
    let program = std::env::current_exe().map_err(io("find this program"))?.display().to_string();
    println!("this program:");
    show()?;

    println!("new namespaces of every kind:");
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    let every = || {
        NamespaceKind::ALL
            .into_iter()
            .fold(Namespaces::new(), Namespaces::create)
            .uid_map(IdMap { container: 0, host: uid, size: 1 })
            .gid_map(IdMap { container: 0, host: gid, size: 1 })
            .time_offset(Clock::Boottime, 1000 * 86_400, 0)
    };
    let new = every();
    let child = Command::new(&program).arg("show").namespaces(&new).mount_proc().hostname("new").spawn()?;
    check(child.wait()?.shell_code() == 0, "it exits with 0")?;

    // This one stays until the pipe is closed, so that others can join its namespaces.
    let (reader, writer) = std::io::pipe().map_err(io("make a pipe"))?;
    let held = every();
    let holder = Command::new(&program)
        .arg("hold")
        .stdin(&reader)
        .namespaces(&held)
        .mount_proc()
        .hostname("held")
        .spawn()?;
    drop(reader);

    println!("those of process {}, by pidfd; uts by path:", holder.pid());
    let pidfd = || holder.pidfd().try_clone().map_err(io("duplicate a pidfd"));
    let mut joined = Namespaces::new().join(NamespaceKind::Uts, format!("/proc/{}/ns/uts", holder.pid()));
    for kind in NamespaceKind::ALL.into_iter().filter(|kind| *kind != NamespaceKind::Uts) {
        joined = joined.join_process(kind, pidfd()?);
    }
    let child = Command::new(&program).arg("show").namespaces(&joined).spawn()?;
    check(child.wait()?.shell_code() == 0, "it exits with 0")?;

    println!("its user, pid and network namespaces, and new uts and mount namespaces:");
    let mixed = [NamespaceKind::User, NamespaceKind::Pid, NamespaceKind::Network]
        .into_iter()
        .try_fold(Namespaces::new(), |set, kind| Ok::<_, Error>(set.join_process(kind, pidfd()?)))?
        .create(NamespaceKind::Uts)
        .create(NamespaceKind::Mount);
    let child =
        Command::new(&program).arg("show").namespaces(&mixed).mount_proc().hostname("mixed").spawn()?;
    check(child.wait()?.shell_code() == 0, "it exits with 0")?;

    drop(writer);
    check(holder.wait()?.shell_code() == 0, "the first one exits with 0")?;

    println!("an error names its step:");
    let gone =
        Namespaces::new().create(NamespaceKind::Uts).join(NamespaceKind::Network, "/proc/self/nowhere");
    if let Err(e) = Command::new(&program).namespaces(&gone).spawn() {
        println!("  {e}");
    }
    Ok(())
}

/// `kind:[inode]`
fn link(process: &str, kind: NamespaceKind) -> Result<String> {
    let path = Path::new("/proc").join(process).join("ns").join(kind.file());
    Ok(std::fs::read_link(path).map_err(io("read"))?.display().to_string())
}

fn check(holds: bool, what: &'static str) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(Error::sys(Phase::Namespace, "check", nix::errno::Errno::EINVAL)
        .with_detail(format!("not so: {what}")))
}

fn io(operation: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |e| {
        let errno = nix::errno::Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO));
        Error::sys(Phase::Namespace, operation, errno)
    }
}
