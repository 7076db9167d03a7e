//! From `create` to `delete`.

use super::{Command, Flag, Name, number, path, switch};

/// What `create`, `run` and `restore` share.
pub(super) static BIRTH_FLAGS: &[Flag] = &[
    path("bundle", Some('b'), "DIR", "directory of the bundle (default: the current directory)", |a, v| {
        a.bundle = Some(v);
    }),
    path(
        "console-socket",
        None,
        "SOCKET",
        "unix socket which is sent the master of the container's terminal",
        |a, v| a.console_socket = Some(v),
    ),
    path("pid-file", None, "FILE", "write the process id of the container's init to FILE", |a, v| {
        a.pid_file = Some(v);
    }),
    switch("no-subreaper", None, "do not adopt the container's orphaned processes", |a, on| {
        a.no_subreaper = on;
    }),
];

/// What `create` and `run` share beside it.
static NEW_FLAGS: &[Flag] = &[
    path("config", Some('f'), "FILE", "configuration to use (default: config.json in the bundle)", |a, v| {
        a.config = Some(v);
    }),
    path(
        "pidfd-socket",
        None,
        "SOCKET",
        "unix socket which is sent a pidfd of the container's init",
        |a, v| {
            a.pidfd_socket = Some(v);
        },
    ),
    switch(
        "no-pivot",
        None,
        "change the root by chroot instead of pivot_root, for a host on a ramdisk",
        |a, on| {
            a.no_pivot = on;
        },
    ),
    switch("no-new-keyring", None, "keep the caller's session keyring", |a, on| a.no_new_keyring = on),
    number(
        "preserve-fds",
        None,
        "N",
        "pass N more descriptors to the container: stdio, those of $LISTEN_FDS, then N (default: 0)",
        |a, v| a.preserve_fds = v,
    ),
    switch("init", None, "stay in the container as PID 1, which reaps and forwards signals", |a, on| {
        a.init = on;
    }),
];

static RUN_FLAGS: &[Flag] = &[
    switch("detach", Some('d'), "do not wait for the container's end", |a, on| a.detach = on),
    switch("keep", None, "keep the container's state after its end", |a, on| a.keep = on),
];

static REGEX_FLAGS: &[Flag] = &[switch(
    "regex",
    Some('r'),
    "the container id is a regular expression: do it to every container in whose id it is found",
    |a, on| a.regex = on,
)];

static KILL_FLAGS: &[Flag] =
    &[switch("all", Some('a'), "send the signal to all processes of the container", |a, on| a.all = on)];

static DELETE_FLAGS: &[Flag] = &[switch(
    "force",
    Some('f'),
    "kill a running container first, and end an operation that is under way on it; succeed if there is no such container",
    |a, on| a.force = on,
)];

pub(super) static CREATE: Command = Command {
    word: "create",
    name: Name::Create,
    summary: "create a container",
    usage: "<container-id>",
    text: "Makes everything a container needs from the bundle, a directory with a config.json and\n\
        a root file system, up to the point before its program. \"{name} start\" goes on from there.\n\n\
        The id names the new container: letters, digits and _ + - . of your choice, not in use yet.",
    words: (1, 1),
    flags: &[BIRTH_FLAGS, NEW_FLAGS],
};

pub(super) static RUN: Command = Command {
    word: "run",
    name: Name::Run,
    summary: "create and start a container",
    usage: "<container-id>",
    text: "Does what \"{name} create\" and \"{name} start\" do, waits for the end, and deletes the container.\n\
        Signals are forwarded to it. The exit code is the container's own, or 128+n after signal n.\n\n\
        The id names the new container: letters, digits and _ + - . of your choice, not in use yet.",
    words: (1, 1),
    flags: &[BIRTH_FLAGS, NEW_FLAGS, RUN_FLAGS],
};

pub(super) static START: Command = Command {
    word: "start",
    name: Name::Start,
    summary: "start the program of a created container",
    usage: "<container-id>",
    text: "Returns once the program has been executed, or with the reason why it could not be.",
    words: (1, 1),
    flags: &[],
};

pub(super) static KILL: Command = Command {
    word: "kill",
    name: Name::Kill,
    summary: "send a signal to a container's init process",
    usage: "<container-id> [signal]",
    text: "The signal is a number or a name, with or without SIG (default: SIGTERM).\n\n\
        EXAMPLE:\n    {name} kill box KILL",
    words: (1, 2),
    flags: &[KILL_FLAGS, REGEX_FLAGS],
};

pub(super) static DELETE: Command = Command {
    word: "delete",
    name: Name::Delete,
    summary: "delete any resources held by a container",
    usage: "<container-id>",
    text: "Removes what is left of a stopped container, or of a created one: its cgroup and its state.\n\
        It also cleans up after a command that was killed half-way.",
    words: (1, 1),
    flags: &[DELETE_FLAGS, REGEX_FLAGS],
};
