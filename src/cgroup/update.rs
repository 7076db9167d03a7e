//! Changes the limits of an existing cgroup.

use super::controller::{Controller, Controllers};
use super::dir::{Dir, DirRef};
use super::layout::Layout;
use super::options::CgroupOptions;
use super::record::CgroupRecord;
use super::settings::{
    KeptLimits, LimitTransaction, Settings, check_usage, compile_settings, with_current_values,
};
use super::version::CgroupVersion;
use crate::bundle::spec::Resources;
use crate::{Error, Phase, Result};
use std::borrow::Cow;

/// Changes the limits in `resources`, then calls `then`. If anything fails, all limits get their previous values.
pub(super) fn update(
    record: &CgroupRecord,
    layout: &Layout,
    resources: &Resources,
    then: impl FnOnce() -> Result<()>,
) -> Result<Vec<String>> {
    let settings = compile(record, layout, resources, false)?;
    for setting in settings.entries() {
        let is_missing = match (setting.version, setting.controller) {
            (CgroupVersion::V2, _) => record.unified.is_none(),
            (CgroupVersion::V1, Some(c)) => record.v1_of(c).is_none(),
            (CgroupVersion::V1, None) => true,
        };
        if is_missing {
            return Err(Error::unsupported(
                Phase::Cgroup,
                setting.pointer.clone(),
                format!("the cgroup is not in the hierarchy of {}", setting.file),
            ));
        }
    }
    let directories = LimitedDirectories::open(record, &settings)?;
    let mut transaction = LimitTransaction::default();
    let done = directories.write(&mut transaction, &settings).and_then(|()| transaction.verify());
    match done.and_then(|()| then()) {
        Ok(()) => Ok(settings.warnings().to_vec()),
        Err(e) => Err(transaction.undo(e)),
    }
}

/// [`update`] of a cgroup2 cgroup to which another manager writes its own values: `tell` gets the limits for that manager.
/// Those of `all`, the whole configuration, that the manager replaces meanwhile are written again.
pub(super) fn update_beside_manager(
    record: &CgroupRecord,
    layout: &Layout,
    resources: &Resources,
    all: &Resources,
    tell: impl FnOnce(&Settings) -> Result<()>,
    then: impl FnOnce() -> Result<()>,
) -> Result<Vec<String>> {
    let tell_and_restore = || {
        let Some(directory) = &record.unified else { return Ok(()) };
        let dir = Dir::open(directory)?;
        // Otherwise the manager would write its old device rules again.
        let device_filter = !resources.devices.is_empty();
        let told = compile(record, layout, resources, device_filter)?;
        let told = with_current_values(told, dir.at())?;
        let all = compile(record, layout, all, false)?;
        let kept = KeptLimits::read(dir.at(), all.v2())?;
        // The manager may have written values even if it refuses others.
        let done = tell(&told);
        done.and(kept.restore())
    };
    update(record, layout, resources, || tell_and_restore().and_then(|()| then()))
}

/// The settings for an existing cgroup.
fn compile(
    record: &CgroupRecord,
    layout: &Layout,
    resources: &Resources,
    device_filter: bool,
) -> Result<Settings> {
    let resources = with_memory_limit(record, resources)?;
    let options = CgroupOptions { device_filter, optional: false };
    compile_settings(layout, &resources, &options)
}

/// Whether the kernel accounts for swap, so that it can be limited.
pub(super) fn accounts_for_swap(record: &CgroupRecord) -> Result<bool> {
    let (directory, name) = match (record.v1_of(Controller::Memory), record.unified.as_deref()) {
        (Some(directory), _) => (directory, "memory.memsw.limit_in_bytes"),
        (None, Some(directory)) => (directory, "memory.swap.max"),
        (None, None) => return Ok(false),
    };
    let dir = Dir::open(directory)?;
    dir.at().has(name).map_err(|e| dir.at().failed("stat", name, e))
}

/// Callers limit memory and swap together, cgroup2 limits swap alone. If `resources` have no memory limit, the current
/// one of the cgroup is added, so that it can be subtracted.
fn with_memory_limit<'r>(record: &CgroupRecord, resources: &'r Resources) -> Result<Cow<'r, Resources>> {
    let nonzero = |value: Option<i64>| value.filter(|n| *n != 0);
    let only_swap = resources
        .memory
        .as_ref()
        .is_some_and(|m| nonzero(m.limit).is_none() && nonzero(m.swap).is_some_and(|n| n > 0));
    if !only_swap || record.v1_of(Controller::Memory).is_some() {
        return Ok(Cow::Borrowed(resources));
    }
    let Some(directory) = &record.unified else { return Ok(Cow::Borrowed(resources)) };
    let Some(limit) = memory_max(Dir::open(directory)?.at())? else {
        return Ok(Cow::Borrowed(resources));
    };
    let mut resources = resources.clone();
    if let Some(memory) = &mut resources.memory {
        memory.limit = Some(limit);
    }
    Ok(Cow::Owned(resources))
}

/// The directories in which limits change.
struct LimitedDirectories {
    v1: Vec<(Controllers, Dir)>,
    unified: Option<Dir>,
}

impl LimitedDirectories {
    /// Opens the directories that have something to write.
    fn open(record: &CgroupRecord, settings: &Settings) -> Result<Self> {
        let mut v1 = Vec::new();
        for directory in &record.v1 {
            let controllers = directory.controllers();
            if settings.v1(controllers).next().is_some() {
                v1.push((controllers, Dir::open(&directory.directory)?));
            }
        }
        let unified = record.unified.as_deref().filter(|_| settings.v2().next().is_some());
        Ok(Self { v1, unified: unified.map(Dir::open).transpose()? })
    }

    fn write<'a>(&'a self, transaction: &mut LimitTransaction<'a>, settings: &'a Settings) -> Result<()> {
        for (controllers, dir) in &self.v1 {
            if controllers.contains(Controller::Memory) {
                check_usage(settings, dir.at(), CgroupVersion::V1)?;
            }
            transaction.write(dir.at(), settings.v1(*controllers))?;
        }
        if let Some(dir) = &self.unified {
            check_usage(settings, dir.at(), CgroupVersion::V2)?;
            transaction.write(dir.at(), settings.v2())?;
        }
        Ok(())
    }
}

/// The memory limit of a cgroup2 cgroup; `None` if it is unlimited.
fn memory_max(cgroup: DirRef<'_>) -> Result<Option<i64>> {
    let limit = cgroup.number("memory.max")?.filter(|n| *n != u64::MAX);
    Ok(limit.and_then(|n| i64::try_from(n).ok()))
}
