//! A cgroup for a test, with the hierarchies of this host, and a process in it.

use orlop::bundle::spec::Resources;
use orlop::cgroup::{Cgroup, CgroupOptions, CgroupPath, Controller, Join, Layout};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The path of a cgroup for one test, which is killed and removed when this is dropped.
pub(crate) struct Host {
    pub(crate) layout: Layout,
    pub(crate) path: CgroupPath,
}

impl Host {
    /// Skips the test if there are no cgroups here, or none may be created.
    pub(crate) fn new(name: &str) -> Self {
        let layout = match Layout::detect() {
            Ok(Some(layout)) => layout,
            Ok(None) => kit::skip("no cgroup file system is mounted"),
            Err(e) => panic!("{e}"),
        };
        let path = CgroupPath::new(&format!("/orlop-cgroup-test-{}-{name}", std::process::id())).unwrap();
        let host = Self { layout, path };
        match host.create(&Resources::default()) {
            Ok((cgroup, _)) => {
                cgroup.remove().unwrap();
                host
            }
            Err(e)
                if matches!(e.errno().map(|n| n as i32), Some(libc::EACCES | libc::EPERM | libc::EROFS)) =>
            {
                kit::skip(e.to_string())
            }
            Err(e) => panic!("{e}"),
        }
    }

    /// A host with only its cgroup2 mount.
    pub(crate) fn unified(name: &str) -> Self {
        let mut host = Self::new(name);
        let Some(unified) = host.layout.unified() else { kit::skip("no cgroup2 is mounted") };
        let proc = std::env::temp_dir().join(format!("{}-proc", host.path.name()));
        std::fs::create_dir_all(&proc).unwrap();
        let line = format!("1 0 0:1 / {} rw - cgroup2 cgroup2 rw\n", unified.mount.display());
        std::fs::write(proc.join("mountinfo"), line).unwrap();
        host.layout = Layout::detect_in(&proc, Path::new("/")).unwrap().unwrap();
        std::fs::remove_dir_all(&proc).unwrap();
        host
    }

    pub(crate) fn create(&self, resources: &Resources) -> orlop::Result<(Cgroup, Join)> {
        Cgroup::create(&self.layout, &self.path, resources, &CgroupOptions::default())
    }

    pub(crate) fn has(&self, controller: Controller) -> bool {
        self.layout.v1_of(controller).is_some()
            || self.layout.unified_controllers().unwrap().contains(controller)
    }

    /// Skips the test if the host lacks the controller.
    pub(crate) fn needs(&self, controller: Controller) {
        if !self.has(controller) {
            kit::skip(format!("this host has no {controller} controller"));
        }
    }

    pub(crate) fn read(cgroup: &Cgroup, controller: Controller, v1: &str, v2: &str) -> String {
        let record = cgroup.record();
        let file = match record.v1_of(controller) {
            Some(directory) => directory.join(v1),
            None => record.unified.as_ref().unwrap().join(v2),
        };
        std::fs::read_to_string(file).unwrap().trim().to_owned()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let cgroup = Cgroup::open(Cgroup::plan(&self.layout, &self.path).unwrap());
        if cgroup.exists().unwrap() {
            let _ = cgroup.kill(Duration::from_secs(5));
            let _ = cgroup.remove();
        }
    }
}

/// A shell that joins the cgroup, and then runs `script`.
pub(crate) fn enter(join: &Join, cgroup: &Cgroup, script: &str) -> Child {
    let me = std::process::id();
    let mut files: Vec<String> = join
        .files()
        .iter()
        .map(|f| format!("/proc/{me}/fd/{}", std::os::fd::AsRawFd::as_raw_fd(f)))
        .collect();
    if join.directory().is_some() {
        files.push(cgroup.record().unified.as_ref().unwrap().join("cgroup.procs").display().to_string());
    }
    let enter = format!("for f in \"$@\"; do echo 0 > $f || exit 99; done; echo in; {script}");
    let mut child = Command::new("sh")
        .args(["-c", &enter, "sh"])
        .args(&files)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut word = [0; 3];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut word).unwrap();
    assert_eq!(&word, b"in\n");
    child
}

/// Clones a child into the directory, which exits with the result of `f`. Nothing is allocated in the child.
pub(crate) fn clone_into(join: &Join, f: impl Fn() -> i32) -> i32 {
    let mut args = [0_u64; 11];
    args[0] = 0x2_0000_0000;
    args[4] = libc::SIGCHLD as u64;
    args[10] = std::os::fd::AsRawFd::as_raw_fd(&join.directory().unwrap()) as u64;
    // SAFETY: like fork(2); the child calls only `f`, which makes system calls, and _exit.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, args.as_ptr(), size_of_val(&args)) };
    assert!(pid >= 0, "{}", std::io::Error::last_os_error());
    if pid == 0 {
        // SAFETY: only exits the child.
        unsafe { libc::_exit(f()) };
    }
    pid as i32
}

pub(crate) fn wait(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: waits for a child of this process.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    status
}
