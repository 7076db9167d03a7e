//! Limits that stay while another manager of the cgroup writes its own values.

use super::compare::{has_value, restoring_value};
use super::setting::{Setting, Settings, WritePolicy};
use super::transaction::FileChange;
use super::write::refused;
use crate::Result;
use crate::cgroup::controller::Controller;
use crate::cgroup::dir::DirRef;
use crate::cgroup::version::CgroupVersion;
use nix::errno::Errno;

/// Limits with the values that they have before another manager changes some of them.
pub(in crate::cgroup) struct KeptLimits<'a> {
    limits: Vec<(FileChange<'a>, String)>,
}

impl<'a> KeptLimits<'a> {
    /// Reads the values that the files of `settings` have now.
    pub(in crate::cgroup) fn read(
        cgroup: DirRef<'a>,
        settings: impl Iterator<Item = &'a Setting>,
    ) -> Result<Self> {
        let mut limits = Vec::new();
        for setting in settings {
            let file = FileChange::with_text(cgroup, setting)
                .map_err(|e| refused(cgroup, &setting.file, &setting.value, setting, e))?;
            let value = file.and_then(|file| {
                let value = restoring_value(&file.file, &file.value, file.before.as_deref()?)?;
                Some((file, value))
            });
            limits.extend(value);
        }
        Ok(Self { limits })
    }

    /// Writes those values again that have changed since.
    pub(in crate::cgroup) fn restore(&self) -> Result<()> {
        // The kernel may refuse a value until a later one is written.
        for (file, value) in &self.limits {
            if has_changed(file, value).unwrap_or(true) {
                let _ = file.cgroup.write(&file.file, value.as_bytes());
            }
        }
        for (file, value) in &self.limits {
            let done = match has_changed(file, value) {
                Ok(true) => file.cgroup.write(&file.file, value.as_bytes()),
                other => other.map(drop),
            };
            done.map_err(|e| refused(file.cgroup, &file.file, value, file.setting, e))?;
        }
        Ok(())
    }
}

/// Whether the file has another value than this one, which it had before.
fn has_changed(file: &FileChange<'_>, value: &str) -> Result<bool, Errno> {
    let Some(now) = file.read()? else { return Ok(false) };
    Ok(has_value(&file.file, value, &now).map_or_else(|| file.before.as_deref() != Some(&now), |same| !same))
}

/// The settings for another manager, which cannot know what the kernel has kept of the previous values: the period of a
/// quota, the quota of a period, and the weight of a cgroup that has stopped being idle.
///
/// # Errors
/// If a file cannot be read.
pub(in crate::cgroup) fn with_current_values(mut settings: Settings, cgroup: DirRef<'_>) -> Result<Settings> {
    for setting in settings.entries.iter_mut().filter(|setting| setting.file == "cpu.max") {
        if let Some(now) = cgroup.text("cpu.max")? {
            now.trim().clone_into(&mut setting.value);
            setting.policy = WritePolicy::Required;
        }
    }
    let busy = settings.entries.iter().find(|s| s.file == "cpu.idle" && s.value == "0");
    if let Some(pointer) = busy.map(|setting| setting.pointer.clone())
        && let Some(weight) = cgroup.text("cpu.weight")?
    {
        settings.entries.push(Setting {
            version: CgroupVersion::V2,
            controller: Some(Controller::Cpu),
            file: "cpu.weight".into(),
            value: weight.trim().to_owned(),
            pointer,
            policy: WritePolicy::Required,
        });
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::dir::Dir;
    use crate::cgroup::testing::TempDir;
    use std::fs;

    fn setting(file: &'static str, value: &str, policy: WritePolicy) -> Setting {
        let (version, value) = (CgroupVersion::V2, value.to_owned());
        Setting { version, controller: None, file: file.into(), value, pointer: "/p".into(), policy }
    }

    #[test]
    fn values_that_another_manager_has_changed_are_written_again() {
        let directory = TempDir::new("kept");
        let at = |name: &str| directory.path().join(name);
        let before = [("io.weight", "default 4950\n"), ("cpu.max", "max 50000\n"), ("memory.low", "4096\n")];
        for (file, text) in before {
            fs::write(at(file), text).unwrap();
        }
        let settings = [
            setting("io.bfq.weight", "500", WritePolicy::Substitute("io.weight", "4950".into())),
            setting("cpu.max", "50000", WritePolicy::KeepQuota),
            setting("memory.low", "5000", WritePolicy::Required),
            setting("cpu.max.burst", "0", WritePolicy::IfSupported),
            setting("memory.high", "5000", WritePolicy::Required),
        ];
        let dir = Dir::open(directory.path()).unwrap();
        let kept = KeptLimits::read(dir.at(), settings.iter()).unwrap();
        fs::write(at("io.weight"), "default 100\n").unwrap();
        fs::write(at("cpu.max"), "max 100000\n").unwrap();
        kept.restore().unwrap();
        let text = |name: &str| fs::read_to_string(at(name)).unwrap();
        // These are ordinary files, of which a shorter text replaces only the beginning.
        assert_eq!(text("io.weight"), "default 4950");
        assert!(text("cpu.max").starts_with("max 50000"), "{}", text("cpu.max"));
        assert_eq!(text("memory.low"), "4096\n", "it has not changed");
        assert!(!at("memory.high").exists() && !at("cpu.max.burst").exists());
    }

    #[test]
    fn another_manager_is_told_what_the_kernel_has_kept() {
        let directory = TempDir::new("told");
        fs::write(directory.path().join("cpu.max"), "50000 200000\n").unwrap();
        fs::write(directory.path().join("cpu.weight"), "100\n").unwrap();
        let entries = vec![
            setting("cpu.max", "200000", WritePolicy::KeepQuota),
            setting("cpu.idle", "0", WritePolicy::IfSupported),
        ];
        let dir = Dir::open(directory.path()).unwrap();
        let told = with_current_values(Settings { entries, ..Settings::default() }, dir.at()).unwrap();
        let told: Vec<_> =
            told.entries().iter().map(|s| (s.file.as_ref(), s.value.as_str(), s.keeps_quota())).collect();
        assert_eq!(
            told,
            [("cpu.max", "50000 200000", false), ("cpu.idle", "0", false), ("cpu.weight", "100", false)]
        );
    }
}
