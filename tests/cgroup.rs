//! The cgroup layer against the real kernel, on whatever layout the host has. What cannot run here
//! prints *skipped* with the reason.
#![allow(unsafe_code)]

use orlop::bundle::spec::{Cpu, DeviceRule, HugepageLimit, Memory, Pids, Resources};
use orlop::cgroup::{
    Access, Cgroup, CgroupPath, Controller, DeviceKind, DevicePolicy, Join, Layout, Options, Record,
};
use orlop::cgroup::{FreezerState, Settings};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A cgroup with a name of its own, killed and removed at the end.
struct Host {
    layout: Layout,
    path: CgroupPath,
}

impl Host {
    fn new(name: &str) -> Option<Self> {
        let layout = match Layout::detect() {
            Ok(layout) => layout,
            Err(e) => {
                println!("skipped: {e}");
                return None;
            }
        };
        let path = CgroupPath::new(&format!("/orlop-cgroup-test-{}-{name}", std::process::id())).unwrap();
        let host = Self { layout, path };
        match host.create(&Resources::default()) {
            Ok((cgroup, _)) => {
                cgroup.remove().unwrap();
                Some(host)
            }
            Err(e)
                if matches!(e.errno().map(|n| n as i32), Some(libc::EACCES | libc::EPERM | libc::EROFS)) =>
            {
                println!("skipped: {e}");
                None
            }
            Err(e) => panic!("{e}"),
        }
    }

    /// A host of which only the cgroup2 mount is used.
    fn unified(name: &str) -> Option<Self> {
        let mut host = Self::new(name)?;
        let Some(unified) = host.layout.unified() else {
            println!("skipped: no cgroup2 is mounted");
            return None;
        };
        let proc = std::env::temp_dir().join(format!("{}-proc", host.path.name()));
        std::fs::create_dir_all(&proc).unwrap();
        let line = format!("1 0 0:1 / {} rw - cgroup2 cgroup2 rw\n", unified.mount.display());
        std::fs::write(proc.join("mountinfo"), line).unwrap();
        host.layout = Layout::detect_in(&proc, Path::new("/")).unwrap();
        std::fs::remove_dir_all(&proc).unwrap();
        Some(host)
    }

    fn create(&self, resources: &Resources) -> orlop::Result<(Cgroup, Join)> {
        Cgroup::create(&self.layout, &self.path, resources, &Options::default())
    }

    fn has(&self, controller: Controller) -> bool {
        let has = self.layout.v1_of(controller).is_some()
            || self.layout.unified_controllers().unwrap().contains(controller);
        if !has {
            println!("skipped: this host has no {controller} controller");
        }
        has
    }

    fn read(&self, cgroup: &Cgroup, controller: Controller, v1: &str, v2: &str) -> String {
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
        let options = Options { device_filter: false, optional: false };
        let settings = Settings::compile(&self.layout, &Resources::default(), &options).unwrap();
        let mut record = Record::plan(&self.layout, &self.path, &settings).unwrap();
        record.unified = self.layout.unified_directory(&self.path).unwrap();
        let cgroup = Cgroup::open(record);
        if cgroup.exists() {
            let _ = cgroup.kill(Duration::from_secs(5));
            let _ = cgroup.remove();
        }
    }
}

/// A shell which enters the cgroup as a stub would, and then runs `script`.
fn enter(join: &Join, cgroup: &Cgroup, script: &str) -> Child {
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
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut word = [0; 3];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut word).unwrap();
    assert_eq!(&word, b"in\n");
    child
}

fn pid(child: &Child) -> i32 {
    child.id() as i32
}

#[test]
fn create_join_list_kill_remove() {
    let Some(host) = Host::new("life") else { return };
    let (cgroup, join) = host.create(&Resources::default()).unwrap();
    assert!(cgroup.paths().all(Path::is_dir));
    assert!(cgroup.processes().unwrap().is_empty());
    let mut child = enter(&join, &cgroup, "exec sleep 600");
    assert_eq!(cgroup.processes().unwrap(), [pid(&child)]);
    let seen = Cgroup::of_process(&host.layout, pid(&child)).unwrap();
    assert_eq!(seen.record().v1, cgroup.record().v1);

    let e = host.create(&Resources::default()).unwrap_err();
    assert!(e.to_string().contains("container's cgroup is not empty"), "{e}");
    let e = cgroup.remove_within(Duration::from_millis(20)).unwrap_err();
    assert!(e.to_string().contains(&pid(&child).to_string()), "{e}");

    let again = Cgroup::open(cgroup.record().clone());
    let mut second = Command::new("sleep").arg("600").spawn().unwrap();
    again.add(pid(&second)).unwrap();
    assert_eq!(again.processes().unwrap().len(), 2);
    cgroup.kill(Duration::from_secs(10)).unwrap();
    assert!(cgroup.processes().unwrap().is_empty());
    child.wait().unwrap();
    second.wait().unwrap();
    cgroup.remove().unwrap();
    assert!(!cgroup.exists());
    cgroup.remove().unwrap();
}

#[test]
fn removal_takes_what_the_processes_made_below() {
    let Some(host) = Host::new("below") else { return };
    let (cgroup, _join) = host.create(&Resources::default()).unwrap();
    for path in cgroup.paths() {
        std::fs::create_dir_all(path.join("a/b")).unwrap();
        std::fs::create_dir(path.join("c")).unwrap();
    }
    let inner = cgroup.sub(None, &CgroupPath::sub("c").unwrap()).unwrap();
    assert!(inner.exists());
    cgroup.remove().unwrap();
    assert!(!cgroup.exists() && !inner.exists());
}
