//! Resource Director Technology: groups in the resctrl file system. See `config-linux.md#intelrdt` and the kernel's
//! `Documentation/filesystems/resctrl.rst`.

use super::dir::{Dir, FileSystem, exists, failed, mkdir, rmdir};
use super::procfs;
use crate::bundle::spec::IntelRdt;
use crate::sys::mountinfo;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const SCHEMATA: &str = "schemata";
const TASKS: &str = "tasks";

/// The mount point of the resctrl file system; `None` if it is not mounted or not supported.
///
/// # Errors
/// If this cannot be determined.
pub fn mount_point() -> Result<Option<PathBuf>> {
    // Every kernel that supports the file system has this directory, wherever it is mounted.
    if exists(Path::new("/sys/fs/resctrl"))? {
        Ok(find(&procfs::read(Path::new("/proc/thread-self/mountinfo"))?))
    } else {
        Ok(None)
    }
}

fn find(text: &[u8]) -> Option<PathBuf> {
    let mounts = mountinfo::visible(text, &[b"resctrl"]);
    mounts.iter().find(|entry| entry.root == b"/").map(|entry| mountinfo::unescape(entry.mount_point))
}

/// The groups of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResctrlGroup {
    /// The directory of its class of service.
    pub directory: PathBuf,
    /// Whether the class is created for the container, and removed with it.
    #[serde(rename = "own")]
    pub created: bool,
    /// The directory of its monitoring group, which is created for the container.
    pub monitor: Option<PathBuf>,
}

impl ResctrlGroup {
    /// The groups for a configuration, below the mount point of the file system, which is not accessed.
    pub fn plan(root: &Path, config: &IntelRdt, id: &str) -> Self {
        let named = config.clos_id.as_deref().filter(|name| !name.is_empty());
        let directory = match named {
            Some("/") => root.to_owned(),
            Some(name) => root.join(name),
            None => root.join(id),
        };
        let monitor = config.enable_monitoring.then(|| directory.join("mon_groups").join(id));
        Self { directory, created: named.is_none(), monitor }
    }

    /// The files into which a process writes `0` to join, in this order.
    pub fn tasks(&self) -> impl Iterator<Item = PathBuf> {
        [Some(&self.directory), self.monitor.as_ref()].into_iter().flatten().map(|group| group.join(TASKS))
    }

    /// Finds out whether the class exists already, and so is not created for the container.
    ///
    /// # Errors
    /// EEXIST if the monitoring group exists; if this cannot be determined.
    pub fn find_existing(&mut self) -> Result<()> {
        self.created = self.created && !exists(&self.directory)?;
        match self.monitor.as_deref() {
            Some(monitor) if exists(monitor)? => Err(failed("mkdir", monitor, "", Errno::EEXIST)),
            _ => Ok(()),
        }
    }

    /// Creates the missing groups and writes the schemata.
    ///
    /// # Errors
    /// If a named class does not exist and the configuration has no schemata, if it exists with other schemata, or if the
    /// kernel refuses a schema. The groups that were created are then removed. Groups that another process has created
    /// in the meantime are kept, and do not count as created for the container.
    pub fn create(&mut self, config: &IntelRdt) -> Result<()> {
        let mut created = Vec::new();
        self.create_groups(config, &mut created).map_err(|e| {
            for directory in created.iter().rev() {
                match rmdir(directory) {
                    Ok(()) | Err(Errno::ENOENT) => {}
                    Err(errno) => {
                        return e.with_hint(format!(
                            "left behind: {} ({})",
                            directory.display(),
                            errno.desc()
                        ));
                    }
                }
            }
            e
        })
    }

    fn create_groups(&mut self, config: &IntelRdt, created: &mut Vec<PathBuf>) -> Result<()> {
        let fixed: Vec<&str> = [&config.l3_cache_schema, &config.mem_bw_schema]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        let all: Vec<&str> =
            fixed.iter().copied().chain(config.schemata.iter().map(String::as_str)).collect();
        let named = config.clos_id.as_deref().is_some_and(|name| !name.is_empty());
        let existed = exists(&self.directory)?;
        self.created &= !existed;
        if named && !existed && all.is_empty() {
            return Err(self
                .failed("find class of service", Errno::ENOENT)
                .with_hint("a closID without schemata must name an existing class"));
        }
        if !existed {
            create_directory(&self.directory)
                .inspect_err(|e| self.created &= e.errno() != Some(Errno::EEXIST))?;
            created.push(self.directory.clone());
        }
        let lines = if named && existed {
            self.compare(&fixed)?;
            // The class is shared: only the schemata that need not match are written.
            config.schemata.iter().map(String::as_str).collect()
        } else {
            all
        };
        if !lines.is_empty() {
            self.write(&lines)?;
        }
        let Some(monitor) = self.monitor.clone() else { return Ok(()) };
        create_directory(&monitor).inspect_err(|e| {
            if e.errno() == Some(Errno::EEXIST) {
                self.monitor = None;
            }
        })?;
        created.push(monitor);
        Ok(())
    }

    /// Changes the schemata.
    ///
    /// # Errors
    /// If the kernel refuses a schema.
    pub fn change(&self, lines: &[&str]) -> Result<()> {
        if lines.is_empty() { Ok(()) } else { self.write(lines) }
    }

    fn write(&self, lines: &[&str]) -> Result<()> {
        let text = lines.iter().fold(String::new(), |all, line| all + line + "\n");
        let dir = open(&self.directory)?;
        dir.at().write(SCHEMATA, text.as_bytes()).map_err(|e| {
            let status = self.status().filter(|status| status != "ok");
            let detail = status.unwrap_or_else(|| format!("{:?}", text.trim_end()));
            dir.at().failed("write", SCHEMATA, e).with_detail(detail)
        })
    }

    /// The kernel's message about the last command, if it can be read, to explain an error.
    fn status(&self) -> Option<String> {
        let info = |directory: &Path| open(&directory.join("info")).ok()?.at().read("last_cmd_status").ok();
        let text = info(&self.directory).or_else(|| info(self.directory.parent()?))?;
        Some(String::from_utf8_lossy(&text).trim().to_owned())
    }

    /// Checks that an existing class has these schemata.
    fn compare(&self, lines: &[&str]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let dir = open(&self.directory)?;
        let text = dir.at().read(SCHEMATA).map_err(|e| dir.at().failed("read", SCHEMATA, e))?;
        let text = String::from_utf8_lossy(&text).into_owned();
        match lines.iter().find(|line| !text.lines().any(|current| includes(current, line))) {
            None => Ok(()),
            Some(line) => {
                let what = format!("{line:?} does not match the existing class of service");
                Err(Error::new(ErrorKind::InvalidConfig, Phase::Cgroup, "compare the schemata")
                    .on(self.directory.join(SCHEMATA).display().to_string())
                    .with_detail(what))
            }
        }
    }

    /// Removes the groups that were created for the container. It is not an error if they do not exist.
    ///
    /// # Errors
    /// If rmdir(2) fails.
    pub fn remove(&self) -> Result<()> {
        let class = self.created.then_some(&self.directory);
        for directory in self.monitor.iter().chain(class) {
            match rmdir(directory) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(e) => return Err(failed("rmdir", directory, "", e)),
            }
        }
        Ok(())
    }

    fn failed(&self, operation: &'static str, errno: Errno) -> Error {
        failed(operation, &self.directory, "", errno)
    }
}

fn open(directory: &Path) -> Result<Dir> {
    Dir::open_on(FileSystem::Resctrl, directory)
}

fn create_directory(directory: &Path) -> Result<()> {
    mkdir(directory).map_err(|e| {
        let error = failed("mkdir", directory, "", e);
        match e {
            Errno::ENOSPC => error.with_hint("the processor has no class or monitor left for another group"),
            Errno::EPERM | Errno::ENOENT => error.with_hint("the processor cannot monitor, perhaps"),
            _ => error,
        }
    })
}

/// Whether a line of the file has every domain of the expected line, with the same value. Masks may have leading zeros,
/// and blanks align the columns.
fn includes(line: &str, expected: &str) -> bool {
    let (Some((resource, line)), Some((expected_resource, expected))) =
        (line.split_once(':'), expected.split_once(':'))
    else {
        return false;
    };
    let domains = |text: &str| -> Vec<(String, String)> {
        let pair = |part: &str| {
            let (domain, value) = part.split_once('=').unwrap_or((part, ""));
            (normalized(domain), normalized(value))
        };
        text.split(';').map(pair).filter(|(domain, _)| !domain.is_empty()).collect()
    };
    let line = domains(line);
    resource.trim() == expected_resource.trim()
        && domains(expected).iter().all(|domain| line.contains(domain))
}

fn normalized(text: &str) -> String {
    let text = text.trim().to_ascii_lowercase();
    let stripped = text.trim_start_matches('0');
    if stripped.is_empty() && !text.is_empty() { "0".to_owned() } else { stripped.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Creates the files that the kernel creates in a new group.
    fn populate(directory: &Path, schemata: &str) {
        fs::create_dir_all(directory.join("mon_groups")).unwrap();
        fs::write(directory.join(SCHEMATA), schemata).unwrap();
        fs::write(directory.join(TASKS), "").unwrap();
    }

    fn tree(name: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("orlop-resctrl-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        populate(&root, "    MB:0=100;1=100\n    L3:0=fffff;1=fffff\n");
        root
    }

    fn config(closid: Option<&str>, l3: Option<&str>, schemata: &[&str]) -> IntelRdt {
        IntelRdt {
            clos_id: closid.map(str::to_owned),
            l3_cache_schema: l3.map(str::to_owned),
            schemata: schemata.iter().map(|&s| s.to_owned()).collect(),
            ..IntelRdt::default()
        }
    }

    #[test]
    fn the_mount_point_is_found() {
        let text = b"23 27 0:22 / /sys rw - sysfs sysfs rw\n\
            90 23 0:38 / /sys/fs/res\\040ctrl rw - resctrl resctrl rw\n";
        assert_eq!(find(text), Some("/sys/fs/res ctrl".into()));
        assert_eq!(find(b"23 27 0:22 / /sys rw - sysfs sysfs rw\n"), None);
    }

    #[test]
    fn schemata_are_compared_by_value() {
        assert!(includes("    L3:0=fffff;1=ff", "L3:0=FFFFF"));
        assert!(includes("L3:0=000ff;1=0", "L3:1=0;0=ff"));
        assert!(
            !includes("L3:0=ff", "L3:0=f")
                && !includes("L3:0=ff", "MB:0=ff")
                && !includes("L3:0=ff", "L3:1=ff")
        );
        assert!(includes("MB:0= 50;1=100", "MB:0=50"));
    }

    #[test]
    fn a_class_of_the_container_is_removed_with_it() {
        let root = tree("own");
        let wanted = config(None, None, &[]);
        let mut group = ResctrlGroup::plan(&root, &wanted, "box");
        group.find_existing().unwrap();
        assert_eq!(group, ResctrlGroup { directory: root.join("box"), created: true, monitor: None });
        group.create(&wanted).unwrap();
        assert_eq!(group.tasks().collect::<Vec<_>>(), [root.join("box/tasks")]);
        group.remove().unwrap();
        group.remove().unwrap();
        assert!(!root.join("box").exists());
        // An existing class is not removed.
        populate(&root.join("box"), "");
        let mut group = ResctrlGroup::plan(&root, &wanted, "box");
        group.find_existing().unwrap();
        group.create(&wanted).unwrap();
        group.remove().unwrap();
        assert!(root.join("box").exists());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_group_that_another_process_creates_in_the_meantime_is_kept() {
        let root = tree("meanwhile");
        let wanted = IntelRdt { enable_monitoring: true, ..config(None, None, &[]) };
        let mut group = ResctrlGroup::plan(&root, &wanted, "box");
        group.find_existing().unwrap();
        fs::create_dir_all(root.join("box/mon_groups/box")).unwrap();
        let e = group.create(&wanted).unwrap_err();
        assert_eq!(e.errno(), Some(Errno::EEXIST));
        group.remove().unwrap();
        assert!(root.join("box/mon_groups/box").exists());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_named_class_must_exist_with_the_same_schemata() {
        let root = tree("named");
        let alone = config(Some("gold"), None, &[]);
        let mut group = ResctrlGroup::plan(&root, &alone, "box");
        let e = group.create(&alone).unwrap_err();
        assert_eq!(e.errno(), Some(Errno::ENOENT));
        populate(&root.join("gold"), "L3:0=f0;1=f0\nMB:0=10\n");
        group.create(&alone).unwrap();
        let alike = config(Some("gold"), Some("L3:0=f0"), &[]);
        ResctrlGroup::plan(&root, &alike, "box").create(&alike).unwrap();
        let other = config(Some("gold"), Some("L3:0=ff"), &[]);
        let e = ResctrlGroup::plan(&root, &other, "box").create(&other).unwrap_err();
        assert!(e.to_string().contains("does not match"), "{e}");
        let read = || fs::read_to_string(root.join("gold/schemata")).unwrap();
        assert_eq!(read(), "L3:0=f0;1=f0\nMB:0=10\n", "nothing was written");
        let more = config(Some("gold"), Some("L3:0=f0"), &["L2:0=f"]);
        ResctrlGroup::plan(&root, &more, "box").create(&more).unwrap();
        assert!(read().starts_with("L2:0=f\n"), "only what is to be written");
        group.remove().unwrap();
        assert!(root.join("gold").exists());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn the_default_class_can_have_a_monitoring_group() {
        let root = tree("root");
        let wanted = IntelRdt { enable_monitoring: true, ..config(Some("/"), None, &[]) };
        let mut group = ResctrlGroup::plan(&root, &wanted, "box");
        assert_eq!((&group.directory, group.created), (&root, false));
        group.create(&wanted).unwrap();
        let tasks: Vec<_> = group.tasks().collect();
        assert_eq!(tasks, [root.join("tasks"), root.join("mon_groups/box/tasks")]);
        assert_eq!(group.clone().find_existing().unwrap_err().errno(), Some(Errno::EEXIST));
        group.remove().unwrap();
        assert!(!root.join("mon_groups/box").exists() && root.exists());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn schemata_are_written_in_order_and_errors_have_the_kernels_message() {
        let root = tree("lines");
        let wanted = IntelRdt {
            mem_bw_schema: Some("MB:0=20".into()),
            ..config(Some("/"), Some("L3:0=f"), &["L2:0=3"])
        };
        let group = ResctrlGroup::plan(&root, &wanted, "box");
        group.change(&["L3:0=f", "MB:0=20", "L2:0=3"]).unwrap();
        let text = fs::read_to_string(root.join(SCHEMATA)).unwrap();
        assert!(text.starts_with("L3:0=f\nMB:0=20\nL2:0=3\n"), "{text}");
        fs::remove_file(root.join(SCHEMATA)).unwrap();
        fs::create_dir_all(root.join("info")).unwrap();
        fs::write(root.join("info/last_cmd_status"), "unknown domain\n").unwrap();
        assert!(group.write(&["L3:9=f"]).unwrap_err().to_string().contains("unknown domain"));
        fs::remove_dir_all(root).unwrap();
    }
}
