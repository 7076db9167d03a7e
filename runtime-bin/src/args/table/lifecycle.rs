//! From `create` to `delete`.

use super::command::{Command, CommandId};
use super::flag::{Flag, number, path, switch};

/// The flags of `create`, `run` and `restore`.
pub(super) static CONTAINER_FLAGS: &[Flag] = &[
    path(
        "bundle",
        Some('b'),
        "DIR",
        "directory of the bundle (default: the current directory)",
        |args, v| args.bundle = Some(v),
    ),
    path(
        "console-socket",
        None,
        "SOCKET",
        "Unix socket that receives the container's pseudo-terminal master",
        |args, v| args.console_socket = Some(v),
    ),
    path("pid-file", None, "FILE", "write the process id of the container's init to FILE", |args, v| {
        args.pid_file = Some(v);
    }),
    switch("no-subreaper", None, "do not adopt the container's orphaned processes", |args, on| {
        args.no_subreaper = on;
    }),
];

/// The flags of `create` and `run`.
static CREATE_FLAGS: &[Flag] = &[
    path(
        "config",
        Some('f'),
        "FILE",
        "configuration to use (default: config.json in the bundle)",
        |args, v| args.config = Some(v),
    ),
    path(
        "pidfd-socket",
        None,
        "SOCKET",
        "Unix socket that receives a pidfd of the container's init",
        |args, v| args.pidfd_socket = Some(v),
    ),
    switch(
        "no-pivot",
        None,
        "use chroot instead of pivot_root (for hosts running from a ramdisk)",
        |args, on| args.no_pivot = on,
    ),
    switch("no-new-keyring", None, "keep the caller's session keyring", |args, on| args.no_new_keyring = on),
    number(
        "preserve-fds",
        None,
        "N",
        "pass N extra file descriptors to the container, after stdio and any from $LISTEN_FDS (default: 0)",
        |args, v| args.preserve_fds = v,
    ),
    switch(
        "init",
        None,
        "run a minimal init as PID 1 that reaps zombies and forwards signals",
        |args, on| args.init = on,
    ),
];

static RUN_FLAGS: &[Flag] = &[
    switch("detach", Some('d'), "detach: return without waiting for the container to exit", |args, on| {
        args.detach = on;
    }),
    switch("keep", None, "keep the container's state after it has exited", |args, on| args.keep = on),
];

static REGEX_FLAGS: &[Flag] = &[switch(
    "regex",
    Some('r'),
    "the container id is a regular expression: act on every container whose id matches",
    |args, on| args.regex = on,
)];

static KILL_FLAGS: &[Flag] =
    &[switch("all", Some('a'), "send the signal to all processes of the container", |args, on| {
        args.all = on;
    })];

static DELETE_FLAGS: &[Flag] = &[switch(
    "force",
    Some('f'),
    "kill a running container first, and abort an operation in progress on it; succeed if there is no such container",
    |args, on| args.force = on,
)];

pub(super) static CREATE: Command = Command {
    name: "create",
    id: CommandId::Create,
    summary: "create a container",
    usage: "<container-id>",
    description: "Sets up everything that a container needs from the bundle, a directory with a config.json and\n\
        a root file system, but does not run its program yet: \"{name} start\" does that.\n\n\
        The id names the new container: letters, digits and _ + - . of your choice, not in use yet.",
    operands: (1, 1),
    flags: &[CONTAINER_FLAGS, CREATE_FLAGS],
};

pub(super) static RUN: Command = Command {
    name: "run",
    id: CommandId::Run,
    summary: "create and start a container",
    usage: "<container-id>",
    description: "Creates and starts the container, waits for it to exit, then deletes it. Signals are forwarded\n\
        to it. The exit code is the container's own, or 128+n after signal n.\n\n\
        The id names the new container: letters, digits and _ + - . of your choice, not in use yet.",
    operands: (1, 1),
    flags: &[CONTAINER_FLAGS, CREATE_FLAGS, RUN_FLAGS],
};

pub(super) static START: Command = Command {
    name: "start",
    id: CommandId::Start,
    summary: "start the program of a created container",
    usage: "<container-id>",
    description: "Returns once the program has been executed, or with the reason why it could not be.",
    operands: (1, 1),
    flags: &[],
};

pub(super) static KILL: Command = Command {
    name: "kill",
    id: CommandId::Kill,
    summary: "send a signal to a container's init process",
    usage: "<container-id> [signal]",
    description: "The signal is a number or a name, with or without SIG (default: SIGTERM).\n\n\
        EXAMPLE:\n    {name} kill box KILL",
    operands: (1, 2),
    flags: &[KILL_FLAGS, REGEX_FLAGS],
};

pub(super) static DELETE: Command = Command {
    name: "delete",
    id: CommandId::Delete,
    summary: "delete any resources held by a container",
    usage: "<container-id>",
    description: "Removes the cgroup and the state of a stopped or created container. It also cleans up after\n\
        a command that was killed before it had finished.",
    operands: (1, 1),
    flags: &[DELETE_FLAGS, REGEX_FLAGS],
};
