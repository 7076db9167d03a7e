//! A command: a program that runs without a container.

use super::super::compiled::Plan;
use super::super::host::Host;
use super::super::step::{
    ControlStep, Groups, LineOrigin, MountSource, MountStep, NamespaceStep, ProcessStep, RootfsStep, Slot,
};
use super::draft::Draft;
use super::namespaces;
use crate::cgroup::Join;
use crate::mount::{MountOptions, Propagation, PropagationKind, options};
use crate::namespace::{NamespaceKind, Namespaces};
use crate::process::capability::{CAP_SYS_ADMIN, CapabilitySets};
use crate::process::env;
use crate::seccomp::SeccompProgram;
use crate::{Error, ErrorKind, Phase, Result};
use nix::errno::Errno;

/// What a command is compiled from.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)] // Each is a switch of its own.
pub(crate) struct CommandInput<'a> {
    pub(crate) args: Vec<String>,
    /// A path, or a name that is looked up in the `PATH` of `env`.
    pub(crate) program: String,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) directory: String,
    pub(crate) umask: u32,
    pub(crate) preserve_fds: u32,
    pub(crate) namespaces: Option<&'a Namespaces>,
    pub(crate) hostname: Option<String>,
    pub(crate) domainname: Option<String>,
    pub(crate) cgroup: Option<&'a Join>,
    pub(crate) root: CommandRoot,
    pub(crate) mounts_proc: bool,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) groups: Option<Vec<u32>>,
    pub(crate) capabilities: Option<CapabilitySets>,
    pub(crate) no_new_privs: bool,
    pub(crate) seccomp: Option<&'a SeccompProgram>,
    pub(crate) new_session: bool,
    pub(crate) init: bool,
}

/// The root of a command's mount namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CommandRoot {
    /// The caller's.
    Unchanged,
    /// A detached mount, which the caller gives.
    Mount,
    /// A directory.
    Directory(String),
}

/// Compiles a command.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] and [`ErrorKind::Unsupported`] for what cannot be done.
pub(crate) fn compile_command(input: &CommandInput<'_>, host: &Host) -> Result<Plan> {
    let none = Namespaces::new();
    let set = input.namespaces.unwrap_or(&none);
    check_text(input)?;
    check_namespaces(input, set, host)?;
    let mut draft = Draft::new(host.kernel);
    draft.plan.preserve_fds = input.preserve_fds;
    isolation(input, set, host, &mut draft)?;
    if set.is_new(NamespaceKind::Mount) {
        filesystem(input, set, host, &mut draft)?;
    }
    program(input, set, host, &mut draft)?;
    Ok(draft.finish())
}

fn invalid(phase: Phase, what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, phase, what.into())
}

/// Refuses strings that cannot be an argument, a name or a path.
fn check_text(input: &CommandInput<'_>) -> Result<()> {
    let names = input.hostname.iter().chain(&input.domainname).chain([&input.directory]);
    let named = [
        ("an argument", input.args.iter().chain([&input.program]).collect::<Vec<_>>()),
        ("an environment variable", input.env.iter().flat_map(|(name, value)| [name, value]).collect()),
        ("a name or path", names.collect()),
    ];
    for (what, texts) in named {
        if texts.iter().any(|text| text.contains('\0')) {
            return Err(invalid(Phase::Process, format!("{what} has a NUL byte")));
        }
    }
    if let Some((name, _)) = input.env.iter().find(|(name, _)| name.is_empty() || name.contains('=')) {
        return Err(invalid(Phase::Process, format!("{name:?} cannot name an environment variable")));
    }
    if !input.directory.starts_with('/') {
        let what = format!("the working directory {:?} is not an absolute path", input.directory);
        return Err(invalid(Phase::Process, what));
    }
    match &input.root {
        CommandRoot::Directory(path) if !path.starts_with('/') || path.contains('\0') => {
            Err(invalid(Phase::Mount, format!("the root {path:?} is not an absolute path")))
        }
        _ => Ok(()),
    }
}

/// Refuses what would change the caller's own namespaces, and what a command or the host does not support.
fn check_namespaces(input: &CommandInput<'_>, set: &Namespaces, host: &Host) -> Result<()> {
    if !set.is_new(NamespaceKind::Mount) && (input.mounts_proc || input.root != CommandRoot::Unchanged) {
        let what = "without a new mount namespace this would change the host's mounts";
        return Err(invalid(Phase::Mount, what).with_hint("add NamespaceKind::Mount to the namespaces"));
    }
    if !set.has(NamespaceKind::Uts) && (input.hostname.is_some() || input.domainname.is_some()) {
        let what = "without a UTS namespace of its own this would change the host's name";
        return Err(invalid(Phase::Namespace, what).with_hint("add NamespaceKind::Uts to the namespaces"));
    }
    if let Some(why) = namespaces::refuse_time(set, host) {
        return Err(Error::new(ErrorKind::Unsupported, Phase::Namespace, why));
    }
    if input.seccomp.is_some_and(SeccompProgram::notifies) {
        let what = "a filter that notifies is not supported: nothing would receive its listener";
        return Err(Error::new(ErrorKind::Unsupported, Phase::Seccomp, what));
    }
    Ok(())
}

fn isolation(input: &CommandInput<'_>, set: &Namespaces, host: &Host, draft: &mut Draft) -> Result<()> {
    let files = input.cgroup.map_or(0, |join| join.files().len());
    let new = namespaces::new_flags(set, files > 0);
    let into_cgroup = input.cgroup.is_some_and(|join| join.directory().is_some());
    let flags = if namespaces::needs_two_stages(set) { 0 } else { new };
    draft.spawn(LineOrigin::Standard, flags, into_cgroup);
    namespaces::hide_before_joining(draft, set);
    namespaces::join_cgroup(draft, files)?;
    for kind in namespaces::in_joining_order(set, host) {
        namespaces::join(draft, LineOrigin::Standard, kind, kind.name().to_owned())?;
    }
    namespaces::create(draft, &LineOrigin::Standard, set, new, input.new_session);
    user_namespace(set, host, draft);
    if files > 0 {
        namespaces::create_cgroup(draft, set, LineOrigin::Standard);
    }
    namespaces::create_time(draft, host, set, LineOrigin::Standard);
    if set.is_new(NamespaceKind::Network) {
        draft.standard(NamespaceStep::Loopback);
    }
    if let Some(name) = &input.hostname {
        draft.standard(NamespaceStep::HostName(name.clone()));
    }
    if let Some(name) = &input.domainname {
        draft.standard(NamespaceStep::DomainName(name.clone()));
    }
    Ok(())
}

/// Becomes root of the user namespace, if it has that id.
fn user_namespace(set: &Namespaces, host: &Host, draft: &mut Draft) {
    let maps = set.id_maps();
    let mut has_root = set.has(NamespaceKind::User);
    if set.is_new(NamespaceKind::User) {
        if !maps.uids.is_empty() || !maps.gids.is_empty() {
            namespaces::await_id_maps(draft, host, &LineOrigin::Standard);
        }
        has_root = [&maps.uids, &maps.gids].iter().all(|ids| ids.iter().any(|map| map.container == 0));
    }
    if has_root {
        draft.standard(NamespaceStep::BecomeRoot);
    }
}

fn filesystem(input: &CommandInput<'_>, set: &Namespaces, host: &Host, draft: &mut Draft) -> Result<()> {
    draft.standard(RootfsStep::HostPropagation(Propagation::recursive(PropagationKind::Slave)));
    match &input.root {
        CommandRoot::Unchanged if input.mounts_proc => draft.standard(RootfsStep::HostRoot),
        CommandRoot::Unchanged => return Ok(()),
        CommandRoot::Mount => {
            let slot = draft.standard_slot(Slot::Given)?;
            draft.standard(RootfsStep::Root { path: "a mount".into(), slot: Some(slot) });
        }
        CommandRoot::Directory(path) => {
            draft.standard(RootfsStep::Root { path: path.clone(), slot: None });
        }
    }
    if input.mounts_proc {
        let words = ["nosuid", "nodev", "noexec"].map(str::to_owned);
        let options = options::parse(&words)
            .map_err(|e| Error::sys(Phase::Mount, "mount proc", Errno::EINVAL).with_detail(e.message))?;
        let mount = MountStep {
            destination: "/proc".into(),
            source: procfs(set, host, draft, &options)?,
            options,
            no_symlinks: true,
            label: None,
        };
        draft.standard(RootfsStep::Mount(Box::new(mount)));
    }
    if input.root != CommandRoot::Unchanged {
        draft.standard(RootfsStep::Pivot { move_mount: false });
    }
    Ok(())
}

/// Where the procfs comes from: it shows the pid namespace of the process that creates it, and the stub enters a joined
/// one only later.
fn procfs(set: &Namespaces, host: &Host, draft: &mut Draft, options: &MountOptions) -> Result<MountSource> {
    let (kind, source) = ("proc".to_owned(), "proc".to_owned());
    if !namespaces::joins(set, NamespaceKind::Pid) {
        return Ok(MountSource::New { kind, source });
    }
    let name = |kind: NamespaceKind| Some(kind.name().to_owned());
    let user =
        name(NamespaceKind::User).filter(|_| !host.privileged && namespaces::joins(set, NamespaceKind::User));
    let options = Box::new(options.clone());
    let slot = draft.standard_slot(Slot::Proc { namespace: name(NamespaceKind::Pid), user, options })?;
    Ok(MountSource::CreatedByHost { kind, source, slot, idmapped: false })
}

fn program(input: &CommandInput<'_>, set: &Namespaces, host: &Host, draft: &mut Draft) -> Result<()> {
    draft.standard(ProcessStep::ChangeDirectory { path: input.directory.clone() });
    if input.no_new_privs {
        draft.standard(ProcessStep::NoNewPrivileges);
    }
    let sets = credentials(input, host, draft);
    draft.standard(ProcessStep::Umask(input.umask));
    let env: Vec<String> = input.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let candidates = env::candidates(&input.program, &env, &input.directory);
    draft.standard(ControlStep::FindProgram { name: input.program.clone(), candidates });
    if namespaces::joins(set, NamespaceKind::Pid) {
        draft.standard(ControlStep::Undumpable);
        draft.standard(ControlStep::HandOver { namespaces: 0 });
        if input.new_session {
            draft.standard(ProcessStep::NewSession);
        }
    }
    draft.standard(ControlStep::CloseDescriptors { preserve: input.preserve_fds });
    let filter = filter(input, host)?;
    if input.init {
        draft.standard(ControlStep::stay_as_init(false, input.uid, sets, filter.as_ref()));
    }
    draft.standard(ProcessStep::ResetSignals);
    if let Some(filter) = filter {
        draft.standard(filter);
    }
    draft.standard(ControlStep::Execute { args: input.args.clone(), env });
    Ok(())
}

/// Sets the identity and the capabilities. Returns the capabilities that an init keeps, unless it keeps all.
fn credentials(input: &CommandInput<'_>, host: &Host, draft: &mut Draft) -> Option<CapabilitySets> {
    if let Some(sets) = &input.capabilities {
        draft.standard(ProcessStep::BoundingSet { keep: sets.bounding.0, last: host.last_cap });
    }
    if input.uid.is_some() || input.gid.is_some() || input.groups.is_some() {
        let groups = match &input.groups {
            Some(groups) => Groups::Set(groups.clone()),
            None if host.privileged => Groups::Set(Vec::new()),
            None => Groups::Drop,
        };
        draft.standard(ProcessStep::Identity { uid: input.uid, gid: input.gid, groups });
    }
    let needs_privilege = input.seccomp.is_some() && !input.no_new_privs;
    let extra = if needs_privilege { 1 << CAP_SYS_ADMIN } else { 0 };
    let leaves_root = input.uid.is_some_and(|uid| uid != 0);
    match &input.capabilities {
        Some(sets) => {
            draft.standard(ProcessStep::Capabilities { sets: *sets, extra, ambient: sets.ambient.0 });
            Some(*sets)
        }
        // setresuid(2) clears the effective set, but loading the filter requires this capability. execve(2) drops it.
        None if needs_privilege && leaves_root => {
            draft.standard(ProcessStep::Capabilities { sets: CapabilitySets::default(), extra, ambient: 0 });
            Some(CapabilitySets::default())
        }
        None => None,
    }
}

fn filter(input: &CommandInput<'_>, host: &Host) -> Result<Option<ProcessStep>> {
    let Some(filter) = input.seccomp else { return Ok(None) };
    let flags = host.seccomp()?.flag_word(filter)?;
    Ok(Some(ProcessStep::Seccomp { filter: filter.to_bytes(), flags: flags.into(), listener: None }))
}
