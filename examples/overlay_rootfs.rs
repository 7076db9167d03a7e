//! A root file system of layers: mounts an overlay (lower, upper, merged), then one of 200 layers, and makes each
//! the root of a thread of its own with pivot_root(2). Neither the rest of the program nor the machine is affected.
//!
//! Runs as root; as an ordinary user it enters a user namespace first.
//!
//!     cargo run --example overlay_rootfs

#![forbid(unsafe_code)]

use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, unshare};
use orlop::mount::{Detached, Layer, MountOptions, Overlay, Rootfs, in_root, pivot};
use orlop::namespace::{self, IdMap, IdMaps};
use orlop::{Error, Phase, Result};
use std::path::Path;

fn main() {
    if let Err(e) = run() {
        eprintln!("overlay_rootfs: {e}");
        std::process::exit(1);
    }
}

fn run() -> Result<()> {
    let unprivileged = enter_user_namespace_if_needed()?;
    let directory = std::env::temp_dir().join(format!("orlop-overlay-rootfs-{}", std::process::id()));
    std::fs::create_dir(&directory).map_err(io("create a directory"))?;
    let done = in_thread(|| lower_upper_merged(&directory, unprivileged))
        .and_then(|()| in_thread(|| two_hundred_layers(unprivileged)));
    std::fs::remove_dir_all(&directory).map_err(io("remove a directory"))?;
    done?;
    println!("the program's own root is unchanged: {} entries", count("/")?);
    Ok(())
}

/// Two directories on the disk, merged; what the thread writes to its root goes to the upper one.
fn lower_upper_merged(directory: &Path, unprivileged: bool) -> Result<()> {
    let path = |name: &str| directory.join(name);
    for name in ["lower", "upper", "work"] {
        std::fs::create_dir(path(name)).map_err(io("create a directory"))?;
    }
    std::fs::write(path("lower/from-below"), "lower\n").map_err(io("write"))?;
    pivot::unshare_mounts()?;
    let mut overlay = Overlay::new([path("lower")]).upper(path("upper"), path("work"));
    if unprivileged {
        overlay = overlay.user_xattr();
    }
    let root = Rootfs::overlay(&overlay)?;
    // A descriptor for checking the upper directory from the host's side.
    let upper = in_root::open(Detached::clone_path(directory, false)?, "upper", OFlag::O_PATH)?;
    root.enter()?;

    let found = std::fs::read_to_string("/from-below").map_err(io("read /from-below"))?;
    check(found == "lower\n", "the lower layer is visible")?;
    std::fs::write("/from-inside", "upper\n").map_err(io("write /from-inside"))?;
    let written = in_root::read(&upper, "from-inside", 100)?;
    check(written == b"upper\n", "a write goes to the upper layer")?;
    check(!Path::new("/proc").exists() && !directory.exists(), "the host's files are not visible")?;
    println!("lower + upper: merged, pivoted into, {} entries in /", count("/")?);
    Ok(())
}

/// 200 layers with one file each, in a tmpfs that only this thread sees.
fn two_hundred_layers(unprivileged: bool) -> Result<()> {
    pivot::unshare_mounts()?;
    let tmpfs = Detached::filesystem("tmpfs", None, &MountOptions::default())?;
    // Attached: before Linux 6.15 overlayfs does not accept layers of a detached mount.
    let place = std::fs::File::open("/").map_err(io("open /"))?;
    tmpfs.attach(&place)?;
    let mut layers = Vec::new();
    for i in 0..200 {
        in_root::make_file(&tmpfs, format!("{i}/file-{i}"), 0o644)?;
        layers.push(Layer::Fd(in_root::open(&tmpfs, format!("{i}"), OFlag::O_PATH)?));
    }
    let upper = in_root::mkdir_all(&tmpfs, "upper", 0o755)?.fd;
    let work = in_root::mkdir_all(&tmpfs, "work", 0o755)?.fd;
    let mut overlay = Overlay::new(layers).upper(Layer::Fd(upper), Layer::Fd(work)).volatile();
    if unprivileged {
        overlay = overlay.user_xattr();
    }
    Rootfs::overlay(&overlay)?.enter()?;

    check(count("/")? == 200, "every layer is visible")?;
    std::fs::write("/file-199", "changed").map_err(io("write /file-199"))?;
    println!("200 layers: merged, pivoted into, {} entries in /", count("/")?);
    Ok(())
}

/// A thread gets a root, a working directory and mounts of its own by unshare(2).
fn in_thread(work: impl FnOnce() -> Result<()> + Send) -> Result<()> {
    std::thread::scope(|scope| {
        let failed = |_| Err(Error::sys(Phase::Mount, "run a thread", nix::errno::Errno::EIO));
        scope.spawn(work).join().unwrap_or_else(failed)
    })
}

/// An ordinary user may mount in a user namespace of its own. Must be called while there is one thread.
fn enter_user_namespace_if_needed() -> Result<bool> {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    if uid.is_root() {
        return Ok(false);
    }
    let map = |host| vec![IdMap { container: 0, host, size: 1 }];
    let maps = IdMaps { uids: map(uid.as_raw()), gids: map(gid.as_raw()) };
    let pid = i32::try_from(std::process::id()).unwrap_or(0);
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).map_err(|e| {
        let error = Error::sys(Phase::Namespace, "unshare CLONE_NEWUSER", e);
        match namespace::explain_user_namespace_error(e) {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    })?;
    namespace::write_id_maps(pid, &maps)?;
    println!("in a user namespace of its own, as uid {}", nix::unistd::geteuid());
    Ok(true)
}

fn count(directory: &str) -> Result<usize> {
    std::fs::read_dir(directory).map(Iterator::count).map_err(io("read a directory"))
}

fn check(holds: bool, what: &'static str) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(Error::sys(Phase::Mount, "check", nix::errno::Errno::EINVAL).with_detail(format!("not so: {what}")))
}

fn io(operation: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |e| {
        let errno = nix::errno::Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO));
        Error::sys(Phase::Mount, operation, errno)
    }
}
