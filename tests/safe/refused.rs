//! Programs that must not compile, with the expected error.

use kit::Case;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

pub(crate) fn cases() -> Vec<Case> {
    kit::plain_cases![programs_that_break_safety_do_not_compile]
}

/// Uses the whole library: if this does not compile, the others fail for the wrong reason.
const GOOD: &str = "
    pub fn good(child: &orlop::init::Child) -> orlop::Result<Option<orlop::init::Exit>> {
        child.kill(orlop::container::Signal::KILL.number())?;
        child.try_wait()
    }";

/// What would break memory or I/O safety, the error's code, and what the compiler says of it.
const BAD: [(&str, &str, &str); 12] = [
    // read(2) over a shared reference.
    (
        "pub fn bad(word: &u64) -> u64 {
            orlop::sys::raw::syscall(0, [0, std::ptr::from_ref(word) as u64, 8, 0, 0, 0]);
            *word
        }",
        "E0603",
        "module `sys` is private",
    ),
    // A second owner for a descriptor.
    (
        "pub fn bad() -> Option<std::os::fd::OwnedFd> { orlop::sys::stdio::take_inherited(3) }",
        "E0603",
        "module `sys` is private",
    ),
    // A process that shares memory with its creator and continues.
    ("pub use orlop::sys::spawn::Request;", "E0603", "module `sys` is private"),
    ("pub use orlop::sys::process::{pidfd_getfd, setns, unshare};", "E0603", "module `sys` is private"),
    ("pub use orlop::init::launch::Launch;", "E0603", "module `launch` is private"),
    // The entry point of a program belongs to the program.
    (
        "fn run(_: std::env::ArgsOs) -> u8 { 0 } orlop::program_entry!(run);",
        "E0433",
        "could not find `program_entry` in `orlop`",
    ),
    // Numbers in place of descriptors.
    (
        "pub fn bad() -> orlop::mount::MountAttr {
            orlop::mount::MountAttr { userns_fd: 3, ..Default::default() }
        }",
        "E0560",
        "no field named `userns_fd`",
    ),
    // MOUNT_ATTR_IDMAP without a descriptor.
    (
        "pub fn bad() -> orlop::mount::MountAttr {
            orlop::mount::MountAttr { set: 0x10_0000, ..Default::default() }
        }",
        "E0308",
        "expected `MountAttrFlags`, found integer",
    ),
    (
        "pub fn bad(mount: &orlop::mount::Detached) { let _ = mount.idmap(3, false); }",
        "E0277",
        "the trait bound `{integer}: AsFd` is not satisfied",
    ),
    (
        "pub fn bad() -> orlop::container::Stdio { orlop::container::Stdio::Fds([0, 1, 2]) }",
        "E0308",
        "expected `OwnedFd`, found integer",
    ),
    // Descriptors that are used after they have been closed.
    (
        "pub fn bad(container: orlop::container::Container) -> i32 {
            let pidfd = container.init_pidfd().unwrap();
            drop(container);
            std::os::fd::AsRawFd::as_raw_fd(&pidfd)
        }",
        "E0505",
        "cannot move out of `container` because it is borrowed",
    ),
    (
        "pub fn bad(file: std::fs::File) -> orlop::Result<orlop::init::Child> {
            let mut command = orlop::init::Command::new(\"/bin/true\");
            command.stdin(&file);
            drop(file);
            command.spawn()
        }",
        "E0505",
        "cannot move out of `file` because it is borrowed",
    ),
];

/// The library with which this program was linked: the newest one that is older than the program.
fn library() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let time = |path: &Path| std::fs::metadata(path).and_then(|about| about.modified()).unwrap();
    let mine: SystemTime = time(&own);
    let entries = std::fs::read_dir(own.parent().unwrap()).unwrap().flatten().map(|entry| entry.path());
    let libraries = entries.filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("liborlop-") && name.ends_with(".rlib") && time(path) <= mine
    });
    libraries.max_by_key(|path| time(path)).unwrap()
}

/// The compiler's message for a crate that forbids `unsafe`; empty if it compiles.
fn compile(directory: &Path, source: &str) -> String {
    let (library, file) = (library(), directory.join("program.rs"));
    std::fs::write(&file, format!("#![forbid(unsafe_code)]\n{source}\n")).unwrap();
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc
        .args(["--edition", "2024", "--crate-type", "lib", "--emit", "metadata", "--out-dir"])
        .arg(directory);
    rustc.arg("--extern").arg(format!("orlop={}", library.display()));
    // target/TRIPLE/PROFILE/deps, and target/PROFILE/deps with the procedural macros.
    let own = library.parent().unwrap();
    let profile = own.parent().unwrap();
    let host = profile.ancestors().nth(2).unwrap().join(profile.file_name().unwrap()).join("deps");
    for directory in [own, &host] {
        rustc.arg("-L").arg(format!("dependency={}", directory.display()));
    }
    let answer = rustc.arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert_eq!(answer.status.success(), !said.contains("error"), "{said}");
    said
}

fn programs_that_break_safety_do_not_compile() {
    let directory = std::env::temp_dir().join(format!("orlop-safe-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let good = compile(&directory, GOOD);
    let bad: Vec<String> = BAD.iter().map(|(source, ..)| compile(&directory, source)).collect();
    std::fs::remove_dir_all(directory).unwrap();
    assert_eq!(good, "", "the allowed program does not compile");
    for ((source, code, why), said) in BAD.iter().zip(bad) {
        assert!(said.contains(&format!("error[{code}]")) && said.contains(why), "{source}\n{said}");
    }
}
