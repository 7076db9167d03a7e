//! Other limits for a cgroup that exists.

use super::controller::{Controller, Controllers};
use super::create::{Cgroup, Options};
use super::dir::{Dir, DirRef};
use super::layout::Layout;
use super::settings::change::Change;
use super::settings::{Settings, Side};
use crate::bundle::spec::Resources;
use crate::{Error, Phase, Result};
use std::borrow::Cow;

impl Cgroup {
    /// Changes limits: those that `resources` names, whatever it leaves out stays. Returns sentences
    /// about fields which change nothing.
    ///
    /// Only files whose value changes are written, and what the kernel has made of it is read back.
    /// Of values that belong together the absent one is the kernel's: a quota without a period keeps
    /// the period, a limit of memory and swap together without one of memory takes that of the cgroup.
    /// Devices are left as they are: see [`Cgroup::set_devices`].
    ///
    /// # Errors
    /// As [`Cgroup::create`], and `the kernel has not taken the limit`, with what was wanted and what
    /// the kernel has. All limits are then what they were before; where one could not be set back the
    /// error's hint names its file.
    pub fn update(&self, layout: &Layout, resources: &Resources) -> Result<Vec<String>> {
        self.update_and(layout, resources, || Ok(()))
    }

    /// [`Cgroup::update`], then `then`; if that fails, all limits are put back as well.
    pub(crate) fn update_and(
        &self,
        layout: &Layout,
        resources: &Resources,
        then: impl FnOnce() -> Result<()>,
    ) -> Result<Vec<String>> {
        let resources = self.completed(resources)?;
        let options = Options { device_filter: false, optional: false };
        let settings = Settings::compile(layout, &resources, &options)?;
        for setting in settings.entries() {
            let missing = match (setting.side, setting.controller) {
                (Side::V2, _) => self.record.unified.is_none(),
                (Side::V1, Some(c)) => self.record.v1_of(c).is_none(),
                (Side::V1, None) => true,
            };
            if missing {
                return Err(Error::unsupported(
                    Phase::Cgroup,
                    setting.pointer.clone(),
                    format!("the cgroup is not in the hierarchy of {}", setting.file),
                ));
            }
        }
        let touched = self.touched(&settings)?;
        let mut change = Change::default();
        match touched.write(&mut change, &settings).and_then(|()| change.check()).and_then(|()| then()) {
            Ok(()) => Ok(settings.warnings().to_vec()),
            Err(e) => Err(change.undo(e)),
        }
    }

    /// Whether the kernel limits the cgroup's swap.
    ///
    /// # Errors
    /// If the cgroup cannot be read.
    pub(crate) fn counts_swap(&self) -> Result<bool> {
        let (directory, name) = match (self.record.v1_of(Controller::Memory), self.record.unified.as_deref())
        {
            (Some(directory), _) => (directory, "memory.memsw.limit_in_bytes"),
            (None, Some(directory)) => (directory, "memory.swap.max"),
            (None, None) => return Ok(false),
        };
        let dir = Dir::open(directory)?;
        dir.at().has(name).map_err(|e| dir.at().failed("stat", name, e))
    }

    /// Opens the directories that have something to write.
    fn touched(&self, settings: &Settings) -> Result<Touched> {
        let mut v1 = Vec::new();
        for place in &self.record.v1 {
            let controllers = place.controllers();
            if settings.v1(controllers).next().is_some() {
                v1.push((controllers, Dir::open(&place.directory)?));
            }
        }
        let unified = self.record.unified.as_deref().filter(|_| settings.v2().next().is_some());
        Ok(Touched { v1, unified: unified.map(Dir::open).transpose()? })
    }

    /// cgroup2 limits swap alone, callers limit it together with memory: without a memory limit in
    /// `resources` the cgroup's own is what is taken off.
    fn completed<'r>(&self, resources: &'r Resources) -> Result<Cow<'r, Resources>> {
        let set = |value: Option<i64>| value.filter(|n| *n != 0);
        let swap_alone = resources
            .memory
            .as_ref()
            .is_some_and(|m| set(m.limit).is_none() && set(m.swap).is_some_and(|n| n > 0));
        if !swap_alone || self.record.v1_of(Controller::Memory).is_some() {
            return Ok(Cow::Borrowed(resources));
        }
        let Some(directory) = &self.record.unified else { return Ok(Cow::Borrowed(resources)) };
        let Some(limit) = memory_max(Dir::open(directory)?.at())? else {
            return Ok(Cow::Borrowed(resources));
        };
        let mut resources = resources.clone();
        if let Some(memory) = &mut resources.memory {
            memory.limit = Some(limit);
        }
        Ok(Cow::Owned(resources))
    }
}

/// Directories of a cgroup.
struct Touched {
    v1: Vec<(Controllers, Dir)>,
    unified: Option<Dir>,
}

impl Touched {
    fn write<'a>(&'a self, change: &mut Change<'a>, settings: &'a Settings) -> Result<()> {
        for (controllers, dir) in &self.v1 {
            if controllers.contains(Controller::Memory) {
                settings.check_usage(dir.at(), Side::V1)?;
            }
            change.write(dir.at(), settings.v1(*controllers))?;
        }
        if let Some(dir) = &self.unified {
            settings.check_usage(dir.at(), Side::V2)?;
            change.write(dir.at(), settings.v2())?;
        }
        Ok(())
    }
}

/// The memory limit of a cgroup2 directory; `None` where there is none.
fn memory_max(cgroup: DirRef<'_>) -> Result<Option<i64>> {
    let limit = cgroup.number("memory.max")?.filter(|n| *n != u64::MAX);
    Ok(limit.and_then(|n| i64::try_from(n).ok()))
}
