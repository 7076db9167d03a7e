//! Operations on containers whose init process is a `sleep` that the test has started.

use super::*;
use crate::container::process::identity::{ProcessIdentity, boot_id};
use crate::container::state::Status;
use crate::container::store::{Stage, StateRecord};
use crate::sys;
use crate::{Error, ErrorKind};
use nix::errno::Errno;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

struct Scratch {
    path: PathBuf,
    runtime: Runtime,
    warnings: Arc<Mutex<Vec<String>>>,
}

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("orlop-end-{}-{n}", std::process::id()));
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&warnings);
        let runtime = Runtime::new(&path)
            .unwrap()
            .with_warnings(move |e: &Error| sink.lock().unwrap().push(e.to_string()));
        Self { path, runtime, warnings }
    }

    /// A container in this stage, as another process would load it.
    fn create(&self, id: &str, stage: Stage, config: &str) -> (Container, Child) {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let (directory, _lock) = StateDirectory::create(self.runtime.state_root(), id).unwrap();
        let record = StateRecord {
            stage,
            init: ProcessIdentity::of(child.id() as i32).unwrap(),
            boot: boot_id().unwrap().to_owned(),
            poststop: !config.is_empty(),
            hooked: true,
            own_pid_namespace: true,
            bundle: self.path.clone(),
            ..StateRecord::new(id)
        };
        directory.write_first(&record).unwrap();
        config::write(&directory, config.as_bytes(), b"").unwrap();
        (self.runtime.load(id).unwrap(), child)
    }

    fn ids(&self) -> Vec<String> {
        self.runtime.list().unwrap().into_iter().map(|s| s.id).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn status(container: &Container) -> (Status, bool) {
    let State { status, pid, .. } = container.state().unwrap();
    (status, pid != 0)
}

#[test]
fn a_running_container_is_killed_and_then_deleted() {
    let scratch = Scratch::new();
    let (container, mut child) = scratch.create("run", Stage::Started, "");
    assert_eq!(status(&container), (Status::Running, true));
    let e = container.delete(false).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::WrongState);
    assert!(e.to_string().starts_with("cannot delete container run that is not stopped: running"), "{e}");
    container.kill("0".parse().unwrap(), false).unwrap();
    container.kill(Signal::TERM, false).unwrap();
    assert!(sys::process::poll_in(container.pidfd().unwrap_or_else(|_| dup(&container)), 5000).unwrap());
    assert_eq!(
        status(&container),
        (Status::Stopped, false),
        "a container whose init process is a zombie is stopped"
    );
    for signal in ["0", "KILL", "TERM"] {
        let e = container.kill(signal.parse().unwrap(), false).unwrap_err();
        assert_eq!((e.kind(), e.to_string()), (ErrorKind::NotRunning, "container not running".into()));
        container.kill(signal.parse().unwrap(), true).unwrap();
    }
    assert_eq!(container.wait().unwrap(), Exit::Signal(libc::SIGTERM));
    container.delete(false).unwrap();
    assert_eq!(scratch.ids(), Vec::<String>::new());
    for e in [
        container.state().unwrap_err(),
        container.delete(true).unwrap_err(),
        container.kill(Signal::KILL, false).unwrap_err(),
        scratch.runtime.load("run").unwrap_err(),
    ] {
        assert_eq!((e.kind(), e.to_string()), (ErrorKind::NotFound, "container does not exist: run".into()));
    }
    let _ = child.wait();
}

/// A pidfd of the init process, even if it is a zombie.
fn dup(container: &Container) -> OwnedFd {
    container.directory.read().unwrap().unwrap().open_init().unwrap().pidfd().unwrap()
}

#[test]
fn only_a_forced_delete_kills_a_running_container() {
    let scratch = Scratch::new();
    // Stage::Created: the program already runs, but `start` was killed before it could record that.
    for stage in [Stage::Created, Stage::Started, Stage::Creating] {
        let (container, child) = scratch.create("box", stage, "");
        assert_eq!(container.delete(false).unwrap_err().kind(), ErrorKind::WrongState);
        container.delete(true).unwrap();
        // The process was killed, and reaped by its parent, which is this process.
        assert_eq!(sys::process::pidfd_open(child.id() as i32).unwrap_err(), Errno::ESRCH);
        assert!(scratch.ids().is_empty());
    }
}

#[test]
fn poststop_hooks_run_once_with_the_stopped_state_and_failures_are_warnings() {
    let scratch = Scratch::new();
    let out = scratch.path.join("seen");
    let config = format!(
        r#"{{"ociVersion":"1.3.0","hooks":{{"poststop":[
            {{"path":"/bin/sh","args":["sh","-c","exit 4"]}},
            {{"path":"/bin/sh","args":["sh","-c","cat >> {}"]}}]}}}}"#,
        out.display()
    );
    let (container, _child) = scratch.create("hooked", Stage::Started, &config);
    container.delete(true).unwrap();
    let state: State = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!((state.status, state.pid, state.id.as_str()), (Status::Stopped, 0, "hooked"));
    let warnings = scratch.warnings.lock().unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("error running poststop hook #0: exit status 4"), "{warnings:?}");
}

#[test]
fn a_container_with_an_unreadable_configuration_can_be_deleted() {
    let scratch = Scratch::new();
    let (container, _child) = scratch.create("odd", Stage::Started, "{ not json");
    container.delete(true).unwrap();
    assert!(scratch.ids().is_empty());
    assert_eq!(scratch.warnings.lock().unwrap().len(), 1);
}

#[test]
fn what_a_crash_leaves_is_stopped_and_can_be_deleted() {
    let scratch = Scratch::new();
    // Killed right after mkdir, and in the middle of the first record.
    for (id, content) in [("empty", None), ("torn", Some("{\"format\":1,\"st"))] {
        let (directory, lock) = StateDirectory::create(scratch.runtime.state_root(), id).unwrap();
        if let Some(content) = content {
            std::fs::write(scratch.path.join(id).join("journal"), content).unwrap();
        }
        let container = scratch.runtime.load(id).unwrap();
        assert_eq!(status(&container), (Status::Creating, false));
        drop((directory, lock));
        assert_eq!(status(&container), (Status::Stopped, false));
        assert_eq!(scratch.ids(), [id]);
        container.delete(false).unwrap();
        assert!(scratch.ids().is_empty());
    }
    // Killed after the hooks of a delete.
    let (container, mut child) = scratch.create("half", Stage::Deleting, "{ not json");
    child.kill().unwrap();
    child.wait().unwrap();
    container.delete(false).unwrap();
    assert!(scratch.warnings.lock().unwrap().is_empty(), "the hooks do not run again");
    // A record of another version.
    let (container, mut child) = scratch.create("new", Stage::Started, "");
    std::fs::write(scratch.path.join("new/journal"), "{\"format\":77}").unwrap();
    assert_eq!(scratch.ids(), ["new"], "other containers are still listed");
    assert_eq!(container.delete(false).unwrap_err().kind(), ErrorKind::Corrupt);
    container.delete(true).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn concurrent_deletes_are_serialized() {
    let scratch = Scratch::new();
    for _ in 0..20 {
        let (container, _child) = scratch.create("twice", Stage::Started, "");
        let results = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| container.delete(true))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect::<Vec<_>>()
        });
        // More than one succeeds if the machine is so slow that one of them begins to end the operation of another.
        assert!(results.iter().any(Result::is_ok), "{results:?}");
        assert_eq!(scratch.runtime.load("twice").unwrap_err().kind(), ErrorKind::NotFound);
        for e in results.into_iter().filter_map(Result::err) {
            assert_eq!(e.kind(), ErrorKind::NotFound);
        }
    }
}

/// A new cgroup for a container, or `None` if this machine does not permit creating one.
fn cgroup(name: &str) -> Option<crate::cgroup::Cgroup> {
    use crate::cgroup::{Cgroup, CgroupOptions, CgroupPath, Layout};
    let path = CgroupPath::new(&format!("/orlop-container-{}-{name}", std::process::id())).unwrap();
    let options = CgroupOptions { device_filter: false, optional: false };
    let made = Layout::require().and_then(|layout| {
        Cgroup::create(&layout, &path, &crate::bundle::spec::Resources::default(), &options)
    });
    match made {
        Ok((cgroup, _)) => Some(cgroup),
        Err(e) => {
            println!("skipped: no cgroup can be created here: {e}");
            None
        }
    }
}

#[test]
fn all_processes_of_a_container_without_a_pid_namespace_are_killed() {
    let scratch = Scratch::new();
    for with_init in [true, false] {
        let Some(cgroup) = cgroup("shared") else { return };
        let (container, mut init) = scratch.create("shared", Stage::Started, "");
        let mut other = Command::new("sleep").arg("600").spawn().unwrap();
        cgroup.add(init.id() as i32).unwrap();
        cgroup.add(other.id() as i32).unwrap();
        let mut record = container.directory.read().unwrap().unwrap();
        record.cgroup = cgroup.record().clone();
        record.own_pid_namespace = false;
        container.directory.write(&record).unwrap();
        let mut both = vec![init.id() as i32, other.id() as i32];
        both.sort_unstable();
        assert_eq!(container.processes().unwrap(), both);
        if !with_init {
            init.kill().unwrap();
            init.wait().unwrap();
            // The other processes are killed even if the init process has exited.
            container.kill(Signal::KILL, false).unwrap();
            other.wait().unwrap();
            assert_eq!(container.kill(Signal::KILL, false).unwrap_err().kind(), ErrorKind::NotRunning);
            container.kill(Signal::KILL, true).unwrap();
        }
        container.delete(true).unwrap();
        assert!(!cgroup.exists().unwrap());
        let _ = (init.wait(), other.wait());
    }
}

#[test]
fn a_paused_container_can_be_resumed_killed_and_deleted() {
    let scratch = Scratch::new();
    let Some(cgroup) = cgroup("paused") else { return };
    let (container, mut init) = scratch.create("paused", Stage::Started, "");
    cgroup.add(init.id() as i32).unwrap();
    let mut record = container.directory.read().unwrap().unwrap();
    record.cgroup = cgroup.record().clone();
    container.directory.write(&record).unwrap();
    assert_eq!(container.resume().unwrap_err().to_string(), "container not paused");
    container.pause().unwrap();
    assert_eq!(status(&container), (Status::Paused, true));
    assert_eq!(container.pause().unwrap_err().kind(), ErrorKind::WrongState);
    let e = container.delete(false).unwrap_err().to_string();
    assert!(e.contains("is not stopped: paused"), "{e}");
    container.resume().unwrap();
    assert_eq!(status(&container), (Status::Running, true));
    container.pause().unwrap();
    container.kill(Signal::KILL, false).unwrap();
    init.wait().unwrap();
    assert_eq!(container.pause().unwrap_err().to_string(), "container not running");
    container.delete(false).unwrap();
    assert!(!cgroup.exists().unwrap());
    // `delete` kills a frozen container.
    let Some(cgroup) = self::cgroup("paused") else { return };
    let (container, mut init) = scratch.create("paused", Stage::Started, "");
    cgroup.add(init.id() as i32).unwrap();
    let mut record = container.directory.read().unwrap().unwrap();
    record.cgroup = cgroup.record().clone();
    container.directory.write(&record).unwrap();
    container.pause().unwrap();
    container.delete(true).unwrap();
    assert!(!cgroup.exists().unwrap());
    let _ = init.wait();
}
