//! What a lowered plan does to the process's root directory, followed through every branch of its instructions: no path
//! of a container is looked up while the process's root is the host's.

#![allow(clippy::match_same_arms, clippy::collapsible_match)]

use super::listing::Listing;
use super::machine::{ANY, CONTROL, FIRST_SLOT, Insn, MEMORY, REGISTERS, compare, kind, op};
use super::made_up::{self, bundle, recorded};
use super::step::{Line, MountSource, NamespaceStep, ProcessStep, RootfsStep, SEALED, Slot, Step};
use super::{
    BundlePaths, CgroupOutcome, ContainerRoot, HookPlace, Host, JoinedContainer, Options, Plan, Policy,
    Service, compile, compile_exec, compile_hook, compile_loopback, compile_mount_points, compile_mounts,
    compile_proc, compile_readonly_root, compile_service, compile_unmounts, compile_with_cgroup,
};
use super::{ControlStep, Node};
use crate::bundle::spec::{Hook, IdMapping, Mount};
use crate::bundle::{Bundle, Spec};
use crate::cgroup::CgroupManager;
use crate::mount::filesystem_type as file_system;
use crate::mount::options::MountOptions;
use crate::namespace::NamespaceKind;
use crate::sys::mount::{FsconfigCommand, SYS_OPEN_TREE_ATTR};
use std::path::Path;

/// What is known of a descriptor, or of a directory that the process stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A number, or a descriptor of something else.
    Other,
    /// The host's root directory.
    Host,
    /// The host's /proc.
    Proc,
    /// A new file system, or the root of one that is attached to nothing.
    Made,
    /// The container's root directory.
    Container,
    /// Something that was found in the container, or mounted there.
    Inside,
    /// It was closed.
    Closed,
}

/// What holds before an instruction, on every way that leads there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    root: Place,
    cwd: Place,
    /// The container's root is there.
    attached: bool,
    /// The process has left its caller's session.
    alone: bool,
    /// The type of the file system that is being made.
    making: Option<u64>,
    /// `None`: not written on every way.
    registers: [Option<Place>; REGISTERS],
}

impl State {
    fn new(plan: &Plan) -> Self {
        let mut registers = [None; REGISTERS];
        let slots = FIRST_SLOT + plan.slots.at_birth().count();
        registers[..slots].fill(Some(Place::Other));
        const { assert!(CONTROL < FIRST_SLOT && MEMORY < FIRST_SLOT) };
        let (root, cwd) = (Place::Host, Place::Other);
        Self { root, cwd, attached: false, alone: false, making: None, registers }
    }

    /// What holds if either of two does; whose root it is must not be a question.
    fn join(&self, other: &Self) -> Result<Self, String> {
        if (self.root, self.attached) != (other.root, other.attached) {
            return Err(format!("by one way the root is {:?}, by another {:?}", self.root, other.root));
        }
        let either = |a, b| if a == b { a } else { Place::Other };
        let mut joined = self.clone();
        joined.cwd = either(self.cwd, other.cwd);
        joined.alone &= other.alone;
        joined.making = self.making.filter(|_| self.making == other.making);
        for (place, other) in joined.registers.iter_mut().zip(other.registers) {
            *place = match (*place, other) {
                (Some(Place::Closed), _) | (_, Some(Place::Closed)) => Some(Place::Closed),
                (Some(a), Some(b)) => Some(either(a, b)),
                _ => None,
            };
        }
        Ok(joined)
    }
}

/// A plan that is followed.
struct Follow<'a> {
    plan: &'a Plan,
    listing: &'a Listing,
    /// The final process comes up where processes of a container are.
    seen: bool,
    /// How many lookups in a container's root there were.
    lookups: usize,
}

fn number(nr: u16) -> libc::c_long {
    nr.into()
}

impl Follow<'_> {
    fn all(&mut self) -> Result<(), String> {
        let instructions = self.listing.instructions();
        let mut states: Vec<Option<State>> = vec![None; instructions.len() + 1];
        states[0] = Some(State::new(self.plan));
        let mut open = vec![0];
        while let Some(at) = open.pop() {
            let (Some(state), Some(insn)) = (states[at].clone(), instructions.get(at)) else { continue };
            let next = self.step(insn, state, at).map_err(|what| format!("instruction {at}: {what}"))?;
            for (to, state) in next {
                let joined = match &states[to] {
                    Some(known) => known.join(&state).map_err(|what| format!("instruction {to}: {what}"))?,
                    None => state,
                };
                if states[to].as_ref() != Some(&joined) {
                    states[to] = Some(joined);
                    open.push(to);
                }
            }
        }
        Ok(())
    }

    fn line(&self, insn: &Insn) -> &Step {
        &self.plan.lines()[usize::from(insn.step)].step
    }

    fn text(&self, insn: &Insn, i: usize) -> Option<&str> {
        (insn.kinds[i] == kind::DATA)
            .then(|| self.listing.text(insn.args[i]))?
            .map(|text| std::str::from_utf8(text).unwrap_or("?"))
    }

    /// What an argument stands for as a directory.
    fn place(insn: &Insn, i: usize, state: &State) -> Place {
        match insn.kinds[i] {
            kind::REGISTER => state.registers[insn.args[i] as usize].unwrap_or(Place::Other),
            kind::IMMEDIATE if insn.args[i] as i32 == libc::AT_FDCWD => state.cwd,
            _ => Place::Other,
        }
    }

    /// What an instruction does, and where it leads.
    fn step(&mut self, insn: &Insn, mut state: State, at: usize) -> Result<Vec<(usize, State)>, String> {
        for (kind, value) in insn.kinds.iter().zip(insn.args) {
            let register = (*kind == kind::REGISTER).then(|| state.registers[value as usize]);
            match register {
                Some(None) => return Err(format!("register {value} was not written")),
                Some(Some(Place::Closed)) => return Err(format!("register {value} is closed")),
                _ => {}
            }
        }
        let mut result = Place::Other;
        match insn.op {
            op::JUMP => {
                let to = insn.args[2] as usize;
                let on = (insn.nr != compare::ALWAYS).then(|| (at + 1, state.clone()));
                return Ok(on.into_iter().chain([(to, state)]).collect());
            }
            op::FAIL | op::INIT => return Ok(Vec::new()),
            op::MOVE => result = Self::place(insn, 0, &state),
            op::MAKE_PATH => {
                self.in_container(Self::place(insn, 0, &state), &state)?;
                result = Place::Inside;
            }
            op::HAND_OVER => self.hand_over(insn, &state)?,
            op::CALL => match self.call(insn, &mut state)? {
                Some(place) => result = place,
                None => return Ok(Vec::new()),
            },
            _ => {}
        }
        if matches!(insn.op, op::CALL | op::MOVE | op::LOAD | op::ADD | op::MAKE_PATH) {
            state.registers[usize::from(insn.dst)] = Some(result);
        }
        Ok(vec![(at + 1, state)])
    }

    /// A lookup by `RESOLVE_IN_ROOT` or `MAKE_PATH`.
    fn in_container(&mut self, from: Place, state: &State) -> Result<(), String> {
        self.lookups += 1;
        if !state.attached || state.root != Place::Container {
            return Err(format!("a path of the container is looked up while the root is {:?}", state.root));
        }
        match from {
            Place::Container | Place::Inside => Ok(()),
            other => Err(format!("a path of the container is looked up from {other:?}")),
        }
    }

    /// Into a pid namespace in which others are.
    fn hand_over(&self, insn: &Insn, state: &State) -> Result<(), String> {
        let flags = insn.args[0];
        if self.seen && (state.root != Place::Container || !state.attached) {
            return Err(format!("a process is born where it is seen, with the root {:?}", state.root));
        }
        if self.seen && !state.alone {
            return Err("a process is born where it is seen, in its caller's session".into());
        }
        if flags & NamespaceKind::Pid.flag() == 0 && flags & libc::CLONE_VM as u64 != 0 {
            return Err("a process that is seen shares the memory of one that is not".into());
        }
        Ok(())
    }

    /// A system call: what its answer stands for; `None` where nothing comes after it.
    fn call(&mut self, insn: &Insn, state: &mut State) -> Result<Option<Place>, String> {
        self.tolerates(insn)?;
        self.by_name(insn, state)?;
        let nr = number(insn.nr);
        let mut answer = Place::Other;
        match nr {
            libc::SYS_exit_group | libc::SYS_execve => return self.ends(insn, state).map(|()| None),
            libc::SYS_setsid => state.alone = true,
            libc::SYS_fchdir => {
                state.cwd = match (Self::place(insn, 0, state), self.line(insn)) {
                    // What the host side has given, in a slot.
                    (Place::Other, Step::Rootfs(RootfsStep::ChangeRoot { .. })) => Place::Host,
                    (
                        Place::Other,
                        Step::Rootfs(RootfsStep::DetachedRoot { .. } | RootfsStep::JoinRoot { .. }),
                    ) => {
                        state.registers[insn.args[0] as usize] = Some(Place::Container);
                        state.attached = true;
                        Place::Container
                    }
                    (place, _) => place,
                };
            }
            libc::SYS_chdir if self.text(insn, 0) == Some("/") => state.cwd = state.root,
            libc::SYS_chdir => state.cwd = Place::Other,
            libc::SYS_chroot => {
                if !matches!(state.cwd, Place::Host | Place::Container | Place::Made) {
                    return Err(format!("the root becomes {:?}", state.cwd));
                }
                state.root = state.cwd;
            }
            libc::SYS_pivot_root => {
                if (state.root, state.cwd) != (Place::Host, Place::Container) {
                    return Err(format!("pivot_root from {:?} to {:?}", state.root, state.cwd));
                }
                state.root = Place::Container;
            }
            libc::SYS_setns if insn.args[1] & NamespaceKind::Mount.flag() != 0 => {
                // A namespace that gets the container's root is one in which it does not have it yet.
                let gets = |line: &Line| matches!(line.step, Step::Rootfs(RootfsStep::Root { .. }));
                let before = self.plan.lines().iter().any(gets);
                let root = if before { Place::Host } else { Place::Container };
                (state.root, state.cwd, state.attached) = (root, root, !before);
            }
            libc::SYS_openat2 => answer = self.openat2(insn, state)?,
            libc::SYS_openat => answer = self.openat(insn, state),
            libc::SYS_fsopen => state.making = Some(insn.args[0]),
            libc::SYS_fsconfig if insn.args[1] == u64::from(FsconfigCommand::Create.number()) => {
                self.made(state)?;
            }
            libc::SYS_fsmount => answer = Place::Made,
            libc::SYS_move_mount => self.move_mount(insn, state),
            libc::SYS_close => {
                if insn.kinds[0] == kind::REGISTER {
                    state.registers[insn.args[0] as usize] = Some(Place::Closed);
                }
            }
            _ => {}
        }
        Ok(Some(answer))
    }

    /// A program gets the container's root.
    fn ends(&self, insn: &Insn, state: &State) -> Result<(), String> {
        let hook = self.plan.lines().iter().any(|line| {
            matches!(line.step, Step::Rootfs(RootfsStep::ChangeRoot { .. } | RootfsStep::AttachTree { .. }))
        });
        let wrong = number(insn.nr) == libc::SYS_execve && state.attached && state.root != Place::Container;
        if wrong && !hook { Err(format!("a program begins with the root {:?}", state.root)) } else { Ok(()) }
    }

    fn openat2(&mut self, insn: &Insn, state: &State) -> Result<Place, String> {
        let from = Self::place(insn, 0, state);
        let [flags, _, resolve] = self.listing.words(insn.args[2]).ok_or("no struct open_how")?;
        let in_root = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;
        if resolve & in_root != in_root {
            return Err(format!("openat2 resolves by {resolve:#x}"));
        }
        if from != Place::Host {
            self.in_container(from, state)?;
            return Ok(Place::Inside);
        }
        // A device of the host's, to be looked at and bound.
        let device = match self.line(insn) {
            Step::Rootfs(RootfsStep::Mask { .. }) => Some("/dev/null".to_owned()),
            Step::Rootfs(RootfsStep::MakeNode(node)) if node.bind => Some(Node::path(node)),
            _ => None,
        };
        let looks = (libc::O_PATH | libc::O_NOFOLLOW) as u64;
        let right = state.root == Place::Container && flags & looks == looks;
        match self.text(insn, 1) {
            Some(path) if right && device.as_deref() == Some(path) => Ok(Place::Other),
            path => Err(format!("{path:?} is looked up on the host")),
        }
    }

    fn openat(&self, insn: &Insn, state: &State) -> Place {
        match (Self::place(insn, 0, state), self.text(insn, 1)) {
            (_, Some("/")) => state.root,
            (_, Some("/proc")) if state.root == Place::Host => Place::Proc,
            _ => Place::Other,
        }
    }

    /// Types of which an option or the source may be a path are made where paths are the host's.
    fn made(&self, state: &State) -> Result<(), String> {
        let sealed = self.plan.lines().iter().find_map(|line| match &line.step {
            Step::Rootfs(RootfsStep::SealType { kind }) => Some(kind.as_bytes()),
            _ => None,
        });
        let text = |at| if at == SEALED { sealed } else { self.listing.text(at) };
        let name = state.making.and_then(text).ok_or("of no known type")?;
        let name = std::str::from_utf8(name).unwrap_or_default();
        let right = file_system::needs_no_path(name) || state.root == Place::Host;
        if right { Ok(()) } else { Err(format!("{name} is made while the root is {:?}", state.root)) }
    }

    fn move_mount(&self, insn: &Insn, state: &mut State) {
        let Step::Rootfs(step) = self.line(insn) else { return };
        let moved = &mut state.registers[insn.args[0] as usize];
        match step {
            RootfsStep::Root { .. } => {
                *moved = Some(Place::Container);
                state.attached = true;
            }
            RootfsStep::Pivot { .. } => {}
            _ if *moved == Some(Place::Container) => {}
            _ => *moved = Some(Place::Inside),
        }
    }

    /// The errnos that count as a result are those of this call; an errno meant for another call is not among them.
    fn tolerates(&self, insn: &Insn) -> Result<(), String> {
        let errnos: &[i32] = match number(insn.nr) {
            libc::SYS_write | libc::SYS_close => &[libc::EBADF],
            libc::SYS_fstat => &[libc::EBADF],
            libc::SYS_openat2 => &[libc::ENOENT],
            libc::SYS_openat => &[libc::ENOENT, libc::EEXIST],
            libc::SYS_mknodat | libc::SYS_symlinkat => &[libc::EEXIST],
            libc::SYS_sendmsg => &[libc::EPIPE, libc::ECONNRESET],
            libc::SYS_setgroups | libc::SYS_setsid => &[libc::EPERM],
            libc::SYS_fchmodat => &[libc::EPERM, libc::EOVERFLOW],
            libc::SYS_keyctl => &[libc::ENOSYS, libc::EACCES],
            // Only to hide what is mounted on the host.
            libc::SYS_umount2 => &[libc::EINVAL, libc::EPERM, libc::ENOENT],
            libc::SYS_move_mount => &[libc::ENOENT],
            libc::SYS_mount_setattr | libc::SYS_rt_sigaction => &[libc::EINVAL],
            libc::SYS_faccessat2
            | libc::SYS_newfstatat
            | libc::SYS_fchown
            | libc::SYS_ioctl
            | libc::SYS_sched_setaffinity => &[i32::from(ANY)],
            libc::SYS_chdir
                if matches!(self.line(insn), Step::Process(ProcessStep::HookDirectory { .. })) =>
            {
                &[i32::from(ANY)]
            }
            _ => &[],
        };
        let wrong = |errno: &&u16| **errno != 0 && !errnos.contains(&i32::from(**errno));
        match insn.tolerate.iter().find(wrong) {
            Some(errno) => Err(format!("call {} tolerates {errno}", insn.nr)),
            None => Ok(()),
        }
    }

    /// Paths that are looked up by the process's root or working directory.
    fn by_name(&self, insn: &Insn, state: &State) -> Result<(), String> {
        type Places = &'static [(Option<usize>, usize)];
        const PATHS: &[(libc::c_long, Places)] = &[
            (libc::SYS_openat, &[(Some(0), 1)]),
            (libc::SYS_open_tree, &[(Some(0), 1)]),
            (SYS_OPEN_TREE_ATTR, &[(Some(0), 1)]),
            (libc::SYS_move_mount, &[(Some(0), 1), (Some(2), 3)]),
            (libc::SYS_mount_setattr, &[(Some(0), 1)]),
            (libc::SYS_mkdirat, &[(Some(0), 1)]),
            (libc::SYS_mknodat, &[(Some(0), 1)]),
            (libc::SYS_symlinkat, &[(Some(1), 2)]),
            (libc::SYS_unlinkat, &[(Some(0), 1)]),
            (libc::SYS_fchownat, &[(Some(0), 1)]),
            (libc::SYS_fchmodat, &[(Some(0), 1)]),
            (libc::SYS_faccessat2, &[(Some(0), 1)]),
            (libc::SYS_newfstatat, &[(Some(0), 1)]),
            (libc::SYS_fspick, &[(Some(0), 1)]),
            (libc::SYS_chdir, &[(None, 0)]),
            (libc::SYS_chroot, &[(None, 0)]),
            (libc::SYS_umount2, &[(None, 0)]),
        ];
        let paths = PATHS.iter().find(|(nr, _)| *nr == number(insn.nr)).map_or(&[][..], |(_, paths)| paths);
        for (directory, path) in paths {
            let Some(path) = self.text(insn, *path) else { continue };
            let from = directory.map_or(state.cwd, |i| Self::place(insn, i, state));
            let by_descriptor = directory.is_some_and(|i| insn.kinds[i] == kind::REGISTER);
            if matches!(path, "" | ".") || (path == "/" && !by_descriptor) || !state.attached {
                continue;
            }
            // Up to the root of a mount, in directories of the host alone.
            let climbs =
                matches!(self.line(insn), Step::Rootfs(RootfsStep::HideKernelMounts { .. })) && path == "..";
            let right = if by_descriptor && from == Place::Host && climbs {
                true
            } else if by_descriptor && from != Place::Proc {
                // One component, and a symbolic link in its place is not followed.
                !path.contains('/') && path != ".." && Self::follows_nothing(insn)
            } else if from == Place::Proc {
                !path.starts_with('/')
            } else if state.root == Place::Host {
                self.sources(insn).iter().any(|source| source == path)
            } else {
                state.root == Place::Container && self.names_own_files(insn)
            };
            if !right {
                return Err(format!(
                    "{path:?} is looked up from {from:?} while the root is {:?}",
                    state.root
                ));
            }
        }
        Ok(())
    }

    /// Whether a call with one component follows no symbolic link of that name.
    fn follows_nothing(insn: &Insn) -> bool {
        match number(insn.nr) {
            libc::SYS_openat => insn.args[2] as i32 & libc::O_NOFOLLOW != 0,
            libc::SYS_fchownat => insn.args[4] as i32 & libc::AT_SYMLINK_NOFOLLOW != 0,
            libc::SYS_mkdirat
            | libc::SYS_mknodat
            | libc::SYS_symlinkat
            | libc::SYS_unlinkat
            | libc::SYS_move_mount => true,
            _ => false,
        }
    }

    /// The host's paths of a step.
    fn sources(&self, insn: &Insn) -> Vec<String> {
        match self.line(insn) {
            Step::Rootfs(RootfsStep::Mount(mount)) => match &mount.source {
                MountSource::HostPath(path) => vec![path.clone()],
                _ => Vec::new(),
            },
            Step::Rootfs(RootfsStep::CgroupMount { views, .. }) => {
                views.iter().map(|view| view.path.clone()).collect()
            }
            Step::Rootfs(RootfsStep::HideKernelMounts { paths }) => paths.clone(),
            // The hook's program, and where it begins.
            Step::Control(ControlStep::FindProgram { candidates, .. }) => candidates.clone(),
            Step::Process(ProcessStep::ChangeDirectory { path }) => vec![path.clone()],
            _ => Vec::new(),
        }
    }

    /// Steps that name a file as the program itself would.
    fn names_own_files(&self, insn: &Insn) -> bool {
        match self.line(insn) {
            Step::Control(ControlStep::FindProgram { .. }) => true,
            Step::Process(ProcessStep::ChangeDirectory { .. }) => true,
            Step::Rootfs(RootfsStep::Unmount { .. }) => insn.args[1] as i32 & libc::UMOUNT_NOFOLLOW != 0,
            _ => false,
        }
    }
}

/// Follows a plan; how many lookups in a container's root there were.
fn follow(name: &str, plan: &Plan, seen: bool) -> usize {
    let blob = plan.encode().unwrap_or_else(|e| panic!("{name}: {e}"));
    let listing = Listing::decode(blob.as_ref()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let mut follow = Follow { plan, listing: &listing, seen, lookups: 0 };
    let done = follow.all();
    done.unwrap_or_else(|what| panic!("{name}: {what}\n{plan}\n{listing}"));
    follow.lookups
}

mod early_filter;
mod plans;
