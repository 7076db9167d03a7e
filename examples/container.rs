//! A container from a configuration in memory: create, start, wait, delete.
//!
//! The root file system is created on the spot. Its only program is this one, which the repository builds
//! statically: `cargo run --example container`

#![forbid(unsafe_code)]

use orlop::bundle::Bundle;
use orlop::bundle::spec::{Process, Root, Spec};
use orlop::cgroup::Layout;
use orlop::container::{CreateOptions, Exit, Runtime, Status};
use orlop::{Error, Phase, Result};
use std::path::{Path, PathBuf};

fn main() {
    if std::env::args().nth(1).as_deref() == Some("inside") {
        return inside();
    }
    let directory = std::env::temp_dir().join(format!("orlop-example-container-{}", std::process::id()));
    let done = run(&directory);
    let removed = std::fs::remove_dir_all(&directory).map_err(io("remove a directory"));
    if let Err(e) = done.and(removed) {
        eprintln!("container: {e}");
        std::process::exit(1);
    }
}

/// What the container's process does.
fn inside() {
    let names = |directory: &str| -> Vec<String> {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    println!("  inside: pid {}, host name {}", std::process::id(), hostname.trim());
    println!("  inside: / has {}", names("/").join(" "));
    println!("  inside: /dev has {}", names("/dev").join(" "));
    println!("  inside: the environment is {:?}", std::env::vars().collect::<Vec<_>>());
    println!("  inside: writing to / says {:?}", std::fs::write("/x", "").err().map(|e| e.kind()));
    std::process::exit(7);
}

fn run(directory: &Path) -> Result<()> {
    let rootfs = make_rootfs(directory)?;
    let bundle = Bundle::from_spec(None, configuration(&rootfs))?;
    let runtime =
        Runtime::new(directory.join("state"))?.with_warnings(|warning| println!("warning: {warning}"));
    let id = format!("example-{}", std::process::id());

    let container = runtime.create(&id, &bundle, &CreateOptions::default())?;
    let done = live(&container);
    // Nothing is left in any case.
    container.delete(true)?;
    println!("deleted; containers left: {}", runtime.list()?.len());
    done
}

fn live(container: &orlop::container::Container) -> Result<()> {
    let state = container.state()?;
    println!("created: {} is {}, pid {}", state.id, state.status.name(), state.pid);
    check(state.status == Status::Created, "its program waits")?;

    container.start()?;
    println!("started");
    let exit = container.wait()?;
    println!("exited with {exit:?}; the container is {}", container.state()?.status.name());
    check(exit == Exit::Code(7), "its program has exited with 7")
}

/// The default namespaces, mounts and masks; one program; a read-only root.
fn configuration(rootfs: &Path) -> Spec {
    let pure = matches!(Layout::detect(), Ok(Some(layout)) if layout.is_unified());
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let template = if uid.is_root() {
        Spec::template(pure)
    } else {
        Spec::rootless_template(pure, uid.as_raw(), gid.as_raw())
    };
    let process = template.process.clone().unwrap_or_default();
    let mut mounts = template.mounts;
    if !uid.is_root() && !pure {
        // The host has cgroups, but none that this user may show.
        mounts.retain(|mount| mount.kind.as_deref() != Some("cgroup"));
    }
    Spec {
        hostname: Some("example".into()),
        root: Some(Root { path: rootfs.display().to_string(), readonly: true }),
        process: Some(Process {
            terminal: false,
            args: vec!["/program".into(), "inside".into()],
            env: vec!["GREETING=hello".into()],
            ..process
        }),
        mounts,
        ..template
    }
}

/// A directory with this program in it.
fn make_rootfs(directory: &Path) -> Result<PathBuf> {
    let rootfs = directory.join("rootfs");
    std::fs::create_dir_all(&rootfs).map_err(io("make a directory"))?;
    for name in ["proc", "dev", "sys"] {
        std::fs::create_dir(rootfs.join(name)).map_err(io("make a directory"))?;
    }
    let program = std::env::current_exe().map_err(io("find this program"))?;
    std::fs::copy(program, rootfs.join("program")).map_err(io("copy this program"))?;
    Ok(rootfs)
}

fn check(holds: bool, what: &'static str) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(Error::sys(Phase::Lifecycle, "check", nix::errno::Errno::EINVAL)
        .with_detail(format!("not so: {what}")))
}

fn io(operation: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |e| {
        let errno = nix::errno::Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO));
        Error::sys(Phase::Lifecycle, operation, errno)
    }
}
