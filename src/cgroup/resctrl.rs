//! Resource director technology: groups of the resctrl file system; `config-linux.md#intelrdt` and the kernel's
//! `Documentation/filesystems/resctrl.rst`.

use super::dir::{Dir, FileSystem, failed, is_there, mkdir, rmdir};
use super::{layout, mountinfo};
use crate::bundle::spec::IntelRdt;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const SCHEMATA: &str = "schemata";
const TASKS: &str = "tasks";

/// Where the resctrl file system is mounted; `None` if it is not mounted or not supported.
///
/// # Errors
/// If this cannot be determined.
pub fn mount_point() -> Result<Option<PathBuf>> {
    // The directory is there in every kernel that has the file system, wherever that is mounted.
    if is_there(Path::new("/sys/fs/resctrl"))? {
        Ok(find(&layout::read(Path::new("/proc/thread-self/mountinfo"))?))
    } else {
        Ok(None)
    }
}

fn find(text: &[u8]) -> Option<PathBuf> {
    let found = mountinfo::visible(text, &[b"resctrl"]);
    found.iter().find(|entry| entry.root == b"/").map(|entry| mountinfo::unescape(entry.mount))
}

/// The groups of one container: which there are to be, and which of them are its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The class of service.
    pub directory: PathBuf,
    /// The class was made for the container, and goes with it.
    pub own: bool,
    /// The monitoring group, which is always the container's own.
    pub monitor: Option<PathBuf>,
}

impl Group {
    /// The groups which a configuration asks for, below the file system's mount point. Looks at nothing.
    pub fn plan(root: &Path, config: &IntelRdt, id: &str) -> Self {
        let named = config.clos_id.as_deref().filter(|name| !name.is_empty());
        let directory = match named {
            Some("/") => root.to_owned(),
            Some(name) => root.join(name),
            None => root.join(id),
        };
        let monitor = config.enable_monitoring.then(|| directory.join("mon_groups").join(id));
        Self { directory, own: named.is_none(), monitor }
    }

    /// The files into which a process writes `0` to join, in this order.
    pub fn tasks(&self) -> impl Iterator<Item = PathBuf> {
        [Some(&self.directory), self.monitor.as_ref()].into_iter().flatten().map(|group| group.join(TASKS))
    }

    /// Notes what is there already, and so is not the container's own.
    ///
    /// # Errors
    /// EEXIST if a monitoring group of that name exists; if this cannot be determined.
    pub fn look(&mut self) -> Result<()> {
        self.own = self.own && !is_there(&self.directory)?;
        match self.monitor.as_deref() {
            Some(monitor) if is_there(monitor)? => Err(failed("mkdir", monitor, "", Errno::EEXIST)),
            _ => Ok(()),
        }
    }

    /// Makes what is missing and writes the schemata.
    ///
    /// # Errors
    /// A named class which is not there and has no schemata to be made with; one which is there with others;
    /// what the kernel says of a schema. On an error, what was created is removed; groups that another process has
    /// created meanwhile are kept, and no longer count as the container's own.
    pub fn make(&mut self, config: &IntelRdt) -> Result<()> {
        let mut made = Vec::new();
        self.fill(config, &mut made).map_err(|e| {
            for directory in made.iter().rev() {
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

    fn fill(&mut self, config: &IntelRdt, made: &mut Vec<PathBuf>) -> Result<()> {
        let fixed: Vec<&str> = [&config.l3_cache_schema, &config.mem_bw_schema]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        let all: Vec<&str> =
            fixed.iter().copied().chain(config.schemata.iter().map(String::as_str)).collect();
        let named = config.clos_id.as_deref().is_some_and(|name| !name.is_empty());
        let there = is_there(&self.directory)?;
        self.own &= !there;
        if named && !there && all.is_empty() {
            return Err(self
                .failed("find class of service", Errno::ENOENT)
                .with_hint("a closID without any schema must name a class that somebody has made before"));
        }
        if !there {
            make_directory(&self.directory).inspect_err(|e| self.own &= e.errno() != Some(Errno::EEXIST))?;
            made.push(self.directory.clone());
        }
        let lines = if named && there {
            self.compare(&fixed)?;
            // A class of others: what it must have it has, the rest is written as asked.
            config.schemata.iter().map(String::as_str).collect()
        } else {
            all
        };
        if !lines.is_empty() {
            self.write(&lines)?;
        }
        let Some(monitor) = self.monitor.clone() else { return Ok(()) };
        make_directory(&monitor).inspect_err(|e| {
            if e.errno() == Some(Errno::EEXIST) {
                self.monitor = None;
            }
        })?;
        made.push(monitor);
        Ok(())
    }

    /// Writes other schemata.
    ///
    /// # Errors
    /// What the kernel says of a schema.
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

    /// The kernel's message about the last command, if it can be read; only used to explain an error.
    fn status(&self) -> Option<String> {
        let info = |directory: &Path| open(&directory.join("info")).ok()?.at().read("last_cmd_status").ok();
        let text = info(&self.directory).or_else(|| info(self.directory.parent()?))?;
        Some(String::from_utf8_lossy(&text).trim().to_owned())
    }

    /// Whether a class has these schemata already.
    fn compare(&self, lines: &[&str]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let dir = open(&self.directory)?;
        let text = dir.at().read(SCHEMATA).map_err(|e| dir.at().failed("read", SCHEMATA, e))?;
        let text = String::from_utf8_lossy(&text).into_owned();
        match lines.iter().find(|line| !text.lines().any(|there| has(there, line))) {
            None => Ok(()),
            Some(line) => {
                let what = format!("{line:?} does not match the class of service that is there");
                Err(Error::new(ErrorKind::InvalidConfig, Phase::Cgroup, "compare the schemata")
                    .on(self.directory.join(SCHEMATA).display().to_string())
                    .with_detail(what))
            }
        }
    }

    /// Removes what is the container's own; what is gone already is no error.
    ///
    /// # Errors
    /// From rmdir(2).
    pub fn remove(&self) -> Result<()> {
        let own = self.own.then_some(&self.directory);
        for directory in self.monitor.iter().chain(own) {
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

fn make_directory(directory: &Path) -> Result<()> {
    mkdir(directory).map_err(|e| {
        let error = failed("mkdir", directory, "", e);
        match e {
            Errno::ENOSPC => error.with_hint("the processor has no class or monitor left for another group"),
            Errno::EPERM | Errno::ENOENT => error.with_hint("the processor cannot monitor, perhaps"),
            _ => error,
        }
    })
}

/// Whether a line of the file has every domain of an asked line with the same value: masks may have zeros
/// in front, and blanks align the file.
fn has(there: &str, asked: &str) -> bool {
    let (Some((kind, there)), Some((wanted, asked))) = (there.split_once(':'), asked.split_once(':')) else {
        return false;
    };
    let domains = |text: &str| -> Vec<(String, String)> {
        let pair = |part: &str| {
            let (domain, value) = part.split_once('=').unwrap_or((part, ""));
            (plain(domain), plain(value))
        };
        text.split(';').map(pair).filter(|(domain, _)| !domain.is_empty()).collect()
    };
    let there = domains(there);
    kind.trim() == wanted.trim() && domains(asked).iter().all(|domain| there.contains(domain))
}

fn plain(text: &str) -> String {
    let text = text.trim().to_ascii_lowercase();
    let stripped = text.trim_start_matches('0');
    if stripped.is_empty() && !text.is_empty() { "0".to_owned() } else { stripped.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// What the kernel puts into a new group appears with the first look of the test.
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
    fn the_mount_is_found() {
        let text = b"23 27 0:22 / /sys rw - sysfs sysfs rw\n\
            90 23 0:38 / /sys/fs/res\\040ctrl rw - resctrl resctrl rw\n";
        assert_eq!(find(text), Some("/sys/fs/res ctrl".into()));
        assert_eq!(find(b"23 27 0:22 / /sys rw - sysfs sysfs rw\n"), None);
    }

    #[test]
    fn lines_are_compared_by_value() {
        assert!(has("    L3:0=fffff;1=ff", "L3:0=FFFFF"));
        assert!(has("L3:0=000ff;1=0", "L3:1=0;0=ff"));
        assert!(!has("L3:0=ff", "L3:0=f") && !has("L3:0=ff", "MB:0=ff") && !has("L3:0=ff", "L3:1=ff"));
        assert!(has("MB:0= 50;1=100", "MB:0=50"));
    }

    #[test]
    fn a_class_of_the_containers_own() {
        let root = tree("own");
        let wanted = config(None, None, &[]);
        let mut group = Group::plan(&root, &wanted, "box");
        group.look().unwrap();
        assert_eq!(group, Group { directory: root.join("box"), own: true, monitor: None });
        group.make(&wanted).unwrap();
        assert_eq!(group.tasks().collect::<Vec<_>>(), [root.join("box/tasks")]);
        group.remove().unwrap();
        group.remove().unwrap();
        assert!(!root.join("box").exists());
        // One that somebody else has made stays.
        populate(&root.join("box"), "");
        let mut group = Group::plan(&root, &wanted, "box");
        group.look().unwrap();
        group.make(&wanted).unwrap();
        group.remove().unwrap();
        assert!(root.join("box").exists());
        fs::remove_dir_all(root).unwrap();
    }

    /// A group that is created between `look` and `make`.
    #[test]
    fn a_group_of_another_process_is_kept() {
        let root = tree("meanwhile");
        let wanted = IntelRdt { enable_monitoring: true, ..config(None, None, &[]) };
        let mut group = Group::plan(&root, &wanted, "box");
        group.look().unwrap();
        fs::create_dir_all(root.join("box/mon_groups/box")).unwrap();
        let e = group.make(&wanted).unwrap_err();
        assert_eq!(e.errno(), Some(Errno::EEXIST));
        group.remove().unwrap();
        assert!(root.join("box/mon_groups/box").exists());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_named_class() {
        let root = tree("named");
        let alone = config(Some("gold"), None, &[]);
        let mut group = Group::plan(&root, &alone, "box");
        let e = group.make(&alone).unwrap_err();
        assert_eq!(e.errno(), Some(Errno::ENOENT));
        populate(&root.join("gold"), "L3:0=f0;1=f0\nMB:0=10\n");
        group.make(&alone).unwrap();
        let alike = config(Some("gold"), Some("L3:0=f0"), &[]);
        Group::plan(&root, &alike, "box").make(&alike).unwrap();
        let other = config(Some("gold"), Some("L3:0=ff"), &[]);
        let e = Group::plan(&root, &other, "box").make(&other).unwrap_err();
        assert!(e.to_string().contains("does not match"), "{e}");
        let read = || fs::read_to_string(root.join("gold/schemata")).unwrap();
        assert_eq!(read(), "L3:0=f0;1=f0\nMB:0=10\n", "nothing was written");
        let more = config(Some("gold"), Some("L3:0=f0"), &["L2:0=f"]);
        Group::plan(&root, &more, "box").make(&more).unwrap();
        assert!(read().starts_with("L2:0=f\n"), "only what is to be written");
        group.remove().unwrap();
        assert!(root.join("gold").exists());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn the_default_class_with_a_monitor() {
        let root = tree("root");
        let wanted = IntelRdt { enable_monitoring: true, ..config(Some("/"), None, &[]) };
        let mut group = Group::plan(&root, &wanted, "box");
        assert_eq!((&group.directory, group.own), (&root, false));
        group.make(&wanted).unwrap();
        let tasks: Vec<_> = group.tasks().collect();
        assert_eq!(tasks, [root.join("tasks"), root.join("mon_groups/box/tasks")]);
        assert_eq!(group.clone().look().unwrap_err().errno(), Some(Errno::EEXIST));
        group.remove().unwrap();
        assert!(!root.join("mon_groups/box").exists() && root.exists());
        fs::remove_dir_all(root).unwrap();
    }

    /// The order of the lines, and the words of the kernel where it does not take them.
    #[test]
    fn schemata_are_written() {
        let root = tree("lines");
        let wanted = IntelRdt {
            mem_bw_schema: Some("MB:0=20".into()),
            ..config(Some("/"), Some("L3:0=f"), &["L2:0=3"])
        };
        let group = Group::plan(&root, &wanted, "box");
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
