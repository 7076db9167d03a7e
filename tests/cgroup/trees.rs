//! Descendants that a container can create: names of arbitrary bytes, thousands of levels, a thousand siblings, and
//! changes during a walk.

use crate::host::{Host, enter};
use kit::Case;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use orlop::bundle::spec::{Memory, Resources};
use orlop::cgroup::{Cgroup, CgroupRecord, Controller, Layout};
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub(crate) fn cases() -> Vec<Case> {
    kit::plain_cases![
        a_process_below_a_name_that_is_not_utf8_is_listed_signalled_and_killed,
        a_process_below_a_name_that_is_not_utf8_is_frozen_and_measured,
        processes_in_2500_nested_cgroups_are_listed_and_killed,
        more_processes_than_descriptors_in_a_thousand_cgroups_are_killed,
        processes_of_a_cgroup_that_is_being_renamed_are_listed,
        a_walk_ends_while_cgroups_are_being_created,
        an_oom_kill_in_a_descendant_is_counted,
        processes_frozen_by_the_container_are_killed,
        a_process_is_found_in_cgroups_of_any_name_and_depth,
        directories_on_other_file_systems_are_rejected,
        detection_without_free_descriptors_is_an_error
    ]
}

/// A name that is not UTF-8.
const HIDDEN: &CStr = c"\xff\xfe";
const DEEP: usize = 2500;

fn hidden(directory: &Path) -> std::path::PathBuf {
    directory.join(OsStr::from_bytes(HIDDEN.to_bytes()))
}

fn directory_of(path: &Path) -> OwnedFd {
    openat(nix::fcntl::AT_FDCWD, path, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty()).unwrap()
}

/// Creates a chain of cgroups below `top` by descriptor, as its path would be too long; returns the last one.
fn chain(top: &Path, levels: usize) -> OwnedFd {
    let mut at = directory_of(top);
    for _ in 0..levels {
        mkdirat(&at, HIDDEN, Mode::from_bits_truncate(0o755)).unwrap();
        at = openat(&at, HIDDEN, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty()).unwrap();
    }
    at
}

/// Moves a process into the cgroup of an open directory.
fn put(directory: &OwnedFd, pid: i32) {
    let procs = openat(directory, c"cgroup.procs", OFlag::O_WRONLY, Mode::empty()).unwrap();
    nix::unistd::write(&procs, pid.to_string().as_bytes()).unwrap();
}

/// A process that is killed at the end of the test.
struct Member(Child);

impl Member {
    fn run(program: &str, args: &[&str]) -> Self {
        Self(Command::new(program).args(args).spawn().unwrap())
    }

    fn sleeping() -> Self {
        Self::run("sleep", &["600"])
    }

    fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    /// Whether it exits within a few seconds.
    fn has_ended(&mut self) -> bool {
        let end = Instant::now() + Duration::from_secs(5);
        while self.0.try_wait().unwrap().is_none() {
            if Instant::now() > end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // If a failed test has left it frozen, waiting would never return.
        let _ = self.0.kill();
        self.has_ended();
    }
}

/// Runs a test on both kinds of hierarchy, if the host has them.
fn each(name: &str, test: impl Fn(&Host)) {
    let host = Host::new(name);
    test(&host);
    if !host.layout.is_unified() {
        test(&Host::unified(&format!("{name}-2")));
    }
}

fn create(host: &Host) -> Cgroup {
    host.create(&Resources::default()).unwrap().0
}

/// Creates a child in each directory of a cgroup, and moves a process there.
fn hide(cgroup: &Cgroup, pid: i32) {
    for directory in cgroup.paths() {
        let below = hidden(directory);
        std::fs::create_dir(&below).unwrap();
        // On v1, a cpuset without CPUs cannot have processes. On v2 the child has these files only if the controller
        // is enabled for children.
        for name in ["cpuset.cpus", "cpuset.mems"].into_iter().filter(|name| below.join(name).exists()) {
            let text = std::fs::read_to_string(directory.join(name)).unwrap();
            std::fs::write(below.join(name), text.trim()).unwrap();
        }
        put(&directory_of(&below), pid);
    }
}

fn a_process_below_a_name_that_is_not_utf8_is_listed_signalled_and_killed() {
    each("bytes", |host| {
        let cgroup = create(host);
        let mut child = Member::sleeping();
        hide(&cgroup, child.pid());
        assert_eq!(cgroup.processes().unwrap(), [child.pid()]);
        let e = host.create(&Resources::default()).unwrap_err();
        assert!(e.to_string().contains("container's cgroup is not empty"), "{e}");
        let e = cgroup.remove_within(Duration::from_millis(20)).unwrap_err();
        assert!(e.to_string().contains(&child.pid().to_string()), "{e}");
        assert_eq!(cgroup.signal(libc::SIGTERM).unwrap(), 1);
        assert!(child.has_ended());
        let mut child = Member::sleeping();
        cgroup.paths().for_each(|directory| put(&directory_of(&hidden(directory)), child.pid()));
        cgroup.kill(Duration::from_secs(10)).unwrap();
        assert!(child.has_ended());
        cgroup.remove().unwrap();
        assert!(cgroup.paths().all(|directory| !directory.exists()));
    });
}

fn a_process_below_a_name_that_is_not_utf8_is_frozen_and_measured() {
    each("still", |host| {
        let cgroup = create(host);
        let mut child = Member::run("sh", &["-c", "while :; do :; done"]);
        hide(&cgroup, child.pid());
        let ticks = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.pid())).unwrap();
            let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
            fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
        };
        cgroup.freeze(Duration::from_secs(10)).unwrap();
        let then = ticks();
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(ticks(), then);
        let stats = cgroup.stats().unwrap();
        assert!(stats.pids.is_none_or(|pids| pids.current == 1));
        cgroup.thaw().unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while ticks() == then {
            assert!(Instant::now() < end, "it is still frozen");
        }
        cgroup.kill(Duration::from_secs(10)).unwrap();
        assert!(child.has_ended());
        cgroup.remove().unwrap();
    });
}

/// Runs a test in a new process, with few descriptors and a small stack.
fn in_a_narrow_process(test: &str, body: impl FnOnce() + Send + 'static) {
    const MARK: &str = "ORLOP_TEST_NARROW";
    if std::env::var_os(MARK).is_some() {
        // The library may be called from a thread with a small stack.
        let thread = std::thread::Builder::new().stack_size(128 << 10).spawn(body).unwrap();
        // A skip is a panic with a payload of its own.
        return thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 24; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(MARK, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("running 1 tests\n"), "no test is called {test}: {text}");
    if let Some((_, why)) = text.split_once("ignored, skipped: ") {
        kit::skip(why.lines().next().unwrap_or_default());
    }
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}

fn processes_in_2500_nested_cgroups_are_listed_and_killed() {
    in_a_narrow_process("trees::processes_in_2500_nested_cgroups_are_listed_and_killed", || {
        each("deep", |host| {
            let cgroup = create(host);
            let mut child = Member::sleeping();
            for directory in cgroup.paths() {
                // On v1, only the pids hierarchy.
                let pids = cgroup.record().v1_of(Controller::Pids);
                let deep = pids.is_none_or(|pids| pids == directory);
                put(&chain(directory, if deep { DEEP } else { 0 }), child.pid());
            }
            let begun = Instant::now();
            assert_eq!(cgroup.processes().unwrap(), [child.pid()]);
            println!("listed in {:?}", begun.elapsed());
            let begun = Instant::now();
            let e = cgroup.remove_within(Duration::from_millis(1)).unwrap_err();
            assert_eq!(e.errno(), Some(Errno::EBUSY), "{e}");
            cgroup.kill(Duration::from_secs(10)).unwrap();
            println!("killed in {:?}", begun.elapsed());
            assert!(child.has_ended());
            let begun = Instant::now();
            cgroup.remove().unwrap();
            println!("removed in {:?}", begun.elapsed());
            assert!(begun.elapsed() < Duration::from_secs(20));
            assert!(cgroup.paths().all(|directory| !directory.exists()));
        });
    });
}

fn more_processes_than_descriptors_in_a_thousand_cgroups_are_killed() {
    in_a_narrow_process("trees::more_processes_than_descriptors_in_a_thousand_cgroups_are_killed", || {
        let host = Host::new("wide");
        let cgroup = create(&host);
        let Some(directory) = cgroup.record().v1_of(Controller::Pids).map(Path::to_owned) else {
            kit::skip("no v1 pids hierarchy");
        };
        let name = |n: usize| [b"\xff".as_slice(), n.to_string().as_bytes()].concat();
        for n in 0..1000 {
            std::fs::create_dir(directory.join(OsStr::from_bytes(&name(n)))).unwrap();
        }
        let mut children: Vec<_> = (0..40).map(|_| Member::sleeping()).collect();
        for (n, child) in children.iter().enumerate() {
            let below = directory.join(OsStr::from_bytes(&name(n * 25)));
            std::fs::write(below.join("cgroup.procs"), child.pid().to_string()).unwrap();
        }
        assert_eq!(cgroup.processes().unwrap().len(), children.len());
        assert_eq!(cgroup.signal(libc::SIGCONT).unwrap(), children.len());
        cgroup.kill(Duration::from_secs(10)).unwrap();
        assert!(children.iter_mut().all(Member::has_ended));
        cgroup.remove().unwrap();
        assert!(!directory.exists());
    });
}

/// Runs `test` while another thread repeats `change`.
fn meanwhile(change: impl Fn(usize) + Sync, test: impl FnOnce()) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                change(n);
            }
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(test));
        over.store(true, Ordering::Relaxed);
        done.unwrap();
    });
}

fn processes_of_a_cgroup_that_is_being_renamed_are_listed() {
    let host = Host::new("renamed");
    let cgroup = create(&host);
    let Some(directory) = cgroup.record().v1_of(Controller::Pids) else {
        kit::skip("no v1 pids hierarchy");
    };
    let mut child = Member::sleeping();
    let name = |n: usize| {
        directory.join(OsStr::from_bytes(&[b"\xff".as_slice(), n.to_string().as_bytes()].concat()))
    };
    std::fs::create_dir(name(0)).unwrap();
    std::fs::write(name(0).join("cgroup.procs"), child.pid().to_string()).unwrap();
    meanwhile(
        |n| std::fs::rename(name(n), name(n + 1)).unwrap(),
        || {
            for _ in 0..300 {
                assert_eq!(cgroup.processes().unwrap(), [child.pid()]);
            }
        },
    );
    cgroup.kill(Duration::from_secs(10)).unwrap();
    assert!(child.has_ended());
    cgroup.remove().unwrap();
}

fn a_walk_ends_while_cgroups_are_being_created() {
    each("growing", |host| {
        let cgroup = create(host);
        let directory = cgroup.paths().last().unwrap().to_owned();
        meanwhile(
            |n| {
                let name = CString::new(n.to_string()).unwrap();
                let _ = mkdirat(directory_of(&directory), name.as_c_str(), Mode::from_bits_truncate(0o755));
                let below = directory.join(n.saturating_sub(50).to_string());
                let _ = std::fs::remove_dir(below);
            },
            || {
                for _ in 0..50 {
                    let begun = Instant::now();
                    assert!(cgroup.processes().unwrap().is_empty());
                    assert!(begun.elapsed() < Duration::from_secs(10));
                }
                cgroup.kill(Duration::from_secs(10)).unwrap();
            },
        );
        cgroup.remove().unwrap();
        assert!(!directory.exists());
    });
}

/// v1 counts OOM kills in the cgroup of the victim.
fn an_oom_kill_in_a_descendant_is_counted() {
    let host = Host::new("oombelow");
    host.needs(Controller::Memory);
    let memory = Memory { limit: Some(4 << 20), swap: Some(4 << 20), ..Memory::default() };
    let (cgroup, join) = host.create(&Resources { memory: Some(memory), ..Resources::default() }).unwrap();
    let mut child = Member(enter(&join, &cgroup, "read line; exec tail /dev/zero"));
    hide(&cgroup, child.pid());
    child.0.stdin.take();
    assert!(child.has_ended());
    assert!(cgroup.stats().unwrap().memory.unwrap().oom_kills.is_none_or(|kills| kills == 1));
    let told = cgroup.out_of_memory().unwrap().unwrap().to_string();
    assert!(told.contains("unable to set memory limit to 4194304 (current usage: "), "{told}");
    cgroup.remove().unwrap();
}

/// On v1 a container can freeze a child cgroup, and signals do not kill frozen processes.
fn processes_frozen_by_the_container_are_killed() {
    let host = Host::new("itself");
    let cgroup = create(&host);
    let Some(freezer) = cgroup.record().v1_of(Controller::Freezer) else {
        kit::skip("no v1 freezer");
    };
    let mut child = Member::sleeping();
    hide(&cgroup, child.pid());
    std::fs::write(hidden(freezer).join("freezer.state"), "FROZEN").unwrap();
    cgroup.kill(Duration::from_secs(5)).unwrap();
    assert!(child.has_ended());
    cgroup.remove().unwrap();
}

fn a_process_is_found_in_cgroups_of_any_name_and_depth() {
    let host = Host::unified("named");
    let (cgroup, join) = host.create(&Resources::default()).unwrap();
    let mut child = Member(enter(&join, &cgroup, "exec sleep 600"));
    let top = cgroup.record().unified.clone().unwrap();
    assert!(cgroup.descendant_of_process(child.pid()).unwrap().is_none());
    put(&chain(&top, 3), child.pid());
    let expected = hidden(&hidden(&hidden(&top)));
    let found = Cgroup::of_process(&host.layout, child.pid()).unwrap();
    assert_eq!(found.record().unified.as_ref(), Some(&expected));
    assert_eq!(cgroup.descendant_of_process(child.pid()).unwrap().unwrap().record().unified, Some(expected));
    // The kernel truncates this path in /proc/PID/cgroup.
    put(&chain(&hidden(&hidden(&hidden(&top))), 1500), child.pid());
    let e = Cgroup::of_process(&host.layout, child.pid()).unwrap_err();
    assert_eq!(e.errno(), Some(Errno::ENAMETOOLONG), "{e}");
    let found = cgroup.descendant_of_process(child.pid()).unwrap().unwrap();
    assert_eq!(found.processes().unwrap(), [child.pid()]);
    let mut other = Member::sleeping();
    found.add(other.pid()).unwrap();
    assert_eq!((found.join().unwrap().files().len(), found.processes().unwrap().len()), (1, 2));
    cgroup.kill(Duration::from_secs(10)).unwrap();
    assert!(child.has_ended() && other.has_ended());
    cgroup.remove().unwrap();
}

/// A path in a record may now be on another file system, for example after an unmount.
fn directories_on_other_file_systems_are_rejected() {
    let host = Host::new("linked");
    let directory = std::env::temp_dir().join(format!("orlop-no-cgroup-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    for name in ["cgroup.procs", "cgroup.events"] {
        std::fs::write(directory.join(name), "1\n").unwrap();
    }
    let cgroup = Cgroup::open(CgroupRecord { unified: Some(directory.clone()), ..CgroupRecord::default() });
    let errors = [
        cgroup.processes().unwrap_err(),
        cgroup.signal(0).unwrap_err(),
        cgroup.kill(Duration::ZERO).unwrap_err(),
        cgroup.freeze(Duration::ZERO).unwrap_err(),
        cgroup.freezer_state().unwrap_err(),
        cgroup.stats().unwrap_err(),
        cgroup.join().unwrap_err(),
        cgroup.add(std::process::id() as i32).unwrap_err(),
    ];
    for e in errors {
        assert!(e.to_string().contains("not a cgroup file system"), "{e}");
    }
    // Symbolic links are not followed.
    let real = create(&host);
    let link = directory.join("link");
    std::os::unix::fs::symlink(real.paths().last().unwrap(), &link).unwrap();
    let linked = Cgroup::open(CgroupRecord { unified: Some(link), ..CgroupRecord::default() });
    assert!(matches!(linked.processes().unwrap_err().errno(), Some(Errno::ELOOP | Errno::ENOTDIR)));
    real.remove().unwrap();
    std::fs::remove_dir_all(directory).unwrap();
}

fn detection_without_free_descriptors_is_an_error() {
    in_a_narrow_process("trees::detection_without_free_descriptors_is_an_error", || {
        let found = Layout::detect().unwrap();
        let mut all = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            all.push(file);
        }
        if found.as_ref().is_some_and(Layout::is_unified) {
            kit::skip("on this host detection needs no descriptor");
        }
        assert_eq!(Layout::detect().unwrap_err().errno(), Some(Errno::EMFILE));
        if Path::new("/sys/fs/resctrl").exists() {
            // mountinfo has to be read now.
            assert_eq!(orlop::cgroup::resctrl::mount_point().unwrap_err().errno(), Some(Errno::EMFILE));
        }
        assert_eq!(orlop::plan::Host::detect().unwrap_err().errno(), Some(Errno::EMFILE));
    });
}
