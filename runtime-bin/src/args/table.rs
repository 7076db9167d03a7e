//! The table: every command and every flag, once.

use super::{Args, CgroupManager, ListFormat};
use crate::log::{Format, Level};
use std::path::PathBuf;

/// What a flag takes, and where it puts it. An `Err` is the rest of the sentence
/// `invalid value "…" for flag --x: `.
pub(crate) enum Kind {
    /// Nothing (or `=true`, `=false`).
    Switch(fn(&mut Args, bool)),
    /// A path.
    Path(fn(&mut Args, PathBuf)),
    /// A number.
    Number(fn(&mut Args, u32)),
    /// A text.
    Text(fn(&mut Args, String) -> Result<(), String>),
}

/// One flag.
pub(crate) struct Flag {
    /// Its name behind `--`.
    pub(crate) long: &'static str,
    /// Its letter behind `-`.
    pub(crate) short: Option<char>,
    /// How help names its value; empty for a switch.
    pub(crate) value: &'static str,
    /// Whether each occurrence adds one; otherwise the last wins.
    pub(crate) repeats: bool,
    /// What it does.
    pub(crate) doc: &'static str,
    /// What it takes, and the field of [`Args`] it sets.
    pub(crate) kind: Kind,
}

/// A command's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// `create`
    Create,
    /// `start`
    Start,
    /// `state`
    State,
    /// `kill`
    Kill,
    /// `delete`
    Delete,
    /// `run`
    Run,
    /// `exec`
    Exec,
    /// `list`
    List,
    /// `spec`
    Spec,
    /// `features`
    Features,
    /// `plan`
    Plan,
}

/// One command.
pub(crate) struct Command {
    /// What the command line calls it.
    pub(crate) word: &'static str,
    /// What the program calls it.
    pub(crate) name: Name,
    /// One line for the list of commands.
    pub(crate) summary: &'static str,
    /// The words behind the flags, for the usage line.
    pub(crate) usage: &'static str,
    /// Paragraphs for its own help; `{name}` stands for the program's name.
    pub(crate) text: &'static str,
    /// Least and greatest number of words.
    pub(crate) words: (usize, usize),
    /// Its flags, as lists which commands share.
    pub(crate) flags: &'static [&'static [Flag]],
}

const fn switch(
    long: &'static str,
    short: Option<char>,
    doc: &'static str,
    set: fn(&mut Args, bool),
) -> Flag {
    Flag { long, short, value: "", repeats: false, doc, kind: Kind::Switch(set) }
}

const fn path(
    long: &'static str,
    short: Option<char>,
    value: &'static str,
    doc: &'static str,
    set: fn(&mut Args, PathBuf),
) -> Flag {
    Flag { long, short, value, repeats: false, doc, kind: Kind::Path(set) }
}

const fn number(
    long: &'static str,
    short: Option<char>,
    value: &'static str,
    doc: &'static str,
    set: fn(&mut Args, u32),
) -> Flag {
    Flag { long, short, value, repeats: false, doc, kind: Kind::Number(set) }
}

const fn text(
    long: &'static str,
    short: Option<char>,
    value: &'static str,
    doc: &'static str,
    set: fn(&mut Args, String) -> Result<(), String>,
) -> Flag {
    Flag { long, short, value, repeats: false, doc, kind: Kind::Text(set) }
}

/// A number of nothing but digits: `+5` and ` 5` are mistakes that nobody should guess about.
pub(super) fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The flag may be given several times.
const fn list(mut flag: Flag) -> Flag {
    flag.repeats = true;
    flag
}

/// Flags before the command.
pub(crate) static GLOBAL: &[Flag] = &[
    path(
        "root",
        None,
        "DIR",
        "directory of the containers' state (default: /run/orlop, or $XDG_RUNTIME_DIR/orlop when not really root)",
        |a, v| a.root = Some(v),
    ),
    path("log", None, "FILE", "append log records to FILE instead of writing them to stderr", |a, v| {
        a.log = Some(v);
    }),
    text("log-format", None, "text|json", "form of a log record (default: text)", |a, v| {
        a.log_format = Some(match v.as_str() {
            "text" => Format::Text,
            "json" => Format::Json,
            _ => return Err("must be text or json".into()),
        });
        Ok(())
    }),
    text(
        "log-level",
        None,
        "error|warning|info|debug",
        "least severity that is logged (default: info)",
        |a, v| {
            a.log_level = Some(match v.as_str() {
                "error" => Level::Error,
                "warning" | "warn" => Level::Warning,
                "info" => Level::Info,
                "debug" => Level::Debug,
                _ => return Err("must be error, warning, info or debug".into()),
            });
            Ok(())
        },
    ),
    switch("debug", None, "log at level debug", |a, on| {
        a.log_level = if on { Some(Level::Debug) } else { a.log_level.filter(|l| *l != Level::Debug) };
    }),
    switch("systemd-cgroup", None, "the same as --cgroup-manager systemd", |a, on| {
        a.cgroup_manager = Some(if on { CgroupManager::Systemd } else { CgroupManager::Cgroupfs });
    }),
    text(
        "cgroup-manager",
        None,
        "cgroupfs|systemd",
        "who makes the container's cgroup; a new container can have cgroupfs only (default: cgroupfs)",
        |a, v| {
            a.cgroup_manager = Some(match v.as_str() {
                "cgroupfs" => CgroupManager::Cgroupfs,
                "systemd" => CgroupManager::Systemd,
                "disabled" => {
                    return Err("a container without a cgroup is not supported yet; use cgroupfs".into());
                }
                _ => return Err("must be cgroupfs or systemd".into()),
            });
            Ok(())
        },
    ),
    text(
        "rootless",
        None,
        "true|false|auto",
        "whether to go on without the cgroups which this user may not make (default: auto)",
        |a, v| {
            a.rootless = match v.as_str() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                "auto" => None,
                _ => return Err("must be true, false or auto".into()),
            };
            Ok(())
        },
    ),
];

/// What `create` and `run` share.
static NEW: &[Flag] = &[
    path("bundle", Some('b'), "DIR", "directory of the bundle (default: the current directory)", |a, v| {
        a.bundle = Some(v);
    }),
    path("config", Some('f'), "FILE", "configuration to use (default: config.json in the bundle)", |a, v| {
        a.config = Some(v);
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
    switch("no-subreaper", None, "do not adopt the container's orphaned processes", |a, on| {
        a.no_subreaper = on;
    }),
    switch("init", None, "stay in the container as PID 1, which reaps and forwards signals", |a, on| {
        a.init = on;
    }),
];

static RUN: &[Flag] = &[
    switch("detach", Some('d'), "do not wait for the container's end", |a, on| a.detach = on),
    switch("keep", None, "keep the container's state after its end", |a, on| a.keep = on),
];

static EXEC: &[Flag] = &[
    path(
        "console-socket",
        None,
        "SOCKET",
        "unix socket which is sent the master of the process's terminal",
        |a, v| a.console_socket = Some(v),
    ),
    path("pidfd-socket", None, "SOCKET", "unix socket which is sent a pidfd of the process", |a, v| {
        a.pidfd_socket = Some(v);
    }),
    text("cwd", None, "DIR", "working directory in the container", |a, v| {
        a.cwd = Some(v);
        Ok(())
    }),
    list(text("env", Some('e'), "NAME=VALUE", "set an environment variable", |a, v| {
        match v.split_once('=') {
            Some((name, _)) if !name.is_empty() => a.env.push(v),
            _ => return Err("must be NAME=VALUE".into()),
        }
        Ok(())
    })),
    switch("tty", Some('t'), "give the process a terminal", |a, on| a.tty = on),
    text("user", Some('u'), "UID[:GID]", "numeric user, and group, in the container", |a, v| {
        let number = |s: &str| digits(s).ok_or_else(|| "must be UID or UID:GID, as numbers".to_owned());
        a.user = Some(match v.split_once(':') {
            None => (number(&v)?, None),
            Some((uid, gid)) => (number(uid)?, Some(number(gid)?)),
        });
        Ok(())
    }),
    list(number("additional-gids", Some('g'), "GID", "add a supplementary group", |a, v| {
        a.additional_gids.push(v);
    })),
    path(
        "process",
        Some('p'),
        "FILE",
        "read the process object from FILE (JSON), or from stdin with -",
        |a, v| {
            a.process = Some(v);
        },
    ),
    switch("detach", Some('d'), "do not wait for the process's end", |a, on| a.detach = on),
    path("pid-file", None, "FILE", "write the process id to FILE", |a, v| a.pid_file = Some(v)),
    text("process-label", None, "LABEL", "SELinux label of the process", |a, v| {
        a.process_label = Some(v);
        Ok(())
    }),
    text("apparmor", None, "PROFILE", "AppArmor profile of the process", |a, v| {
        a.apparmor = Some(v);
        Ok(())
    }),
    switch("no-new-privs", None, "set no_new_privs for the process", |a, on| a.no_new_privs = on),
    list(text("cap", Some('c'), "CAP", "add a capability to the process's sets", |a, v| {
        a.caps.push(v);
        Ok(())
    })),
    number(
        "preserve-fds",
        None,
        "N",
        "pass N more descriptors to the process: stdio, then N (default: 0)",
        |a, v| a.preserve_fds = v,
    ),
    list(text(
        "cgroup",
        None,
        "[CONTROLLER:]PATH",
        "run in an existing cgroup below the container's",
        |a, v| {
            a.cgroups.push(v);
            Ok(())
        },
    )),
    switch("ignore-paused", None, "exec also in a paused container", |a, on| a.ignore_paused = on),
];

static KILL: &[Flag] =
    &[switch("all", Some('a'), "send the signal to all processes of the container", |a, on| a.all = on)];

static DELETE: &[Flag] = &[switch(
    "force",
    Some('f'),
    "kill a running container first; succeed if there is no such container",
    |a, on| a.force = on,
)];

static LIST: &[Flag] = &[
    text("format", Some('f'), "table|json", "how to print (default: table)", |a, v| {
        a.list_format = Some(match v.as_str() {
            "table" => ListFormat::Table,
            "json" => ListFormat::Json,
            _ => return Err("invalid format option: must be table or json".into()),
        });
        Ok(())
    }),
    switch("quiet", Some('q'), "print the ids only", |a, on| a.quiet = on),
];

static SPEC: &[Flag] = &[
    path(
        "bundle",
        Some('b'),
        "DIR",
        "directory to write config.json to (default: the current directory)",
        |a, v| {
            a.bundle = Some(v);
        },
    ),
    switch("rootless", None, "write a configuration that works without root", |a, on| a.spec_rootless = on),
];

static PLAN: &[Flag] = &[path(
    "config",
    Some('f'),
    "FILE",
    "configuration to use (default: config.json in the bundle)",
    |a, v| {
        a.config = Some(v);
    },
)];

const ANY: usize = usize::MAX;
/// All commands, in the order of help.
pub(crate) static COMMANDS: &[Command] = &[
    Command {
        word: "create",
        name: Name::Create,
        summary: "create a container",
        usage: "<container-id>",
        text: "Makes everything a container needs from the bundle, a directory with a config.json and\n\
            a root file system, up to the point before its program. \"{name} start\" goes on from there.\n\n\
            The id names the new container: letters, digits and _ + - . of your choice, not in use yet.",
        words: (1, 1),
        flags: &[NEW],
    },
    Command {
        word: "delete",
        name: Name::Delete,
        summary: "delete any resources held by a container",
        usage: "<container-id>",
        text: "Removes what is left of a stopped container, or of a created one: its cgroup and its state.\n\
            It also cleans up after a {name} that was killed half-way.",
        words: (1, 1),
        flags: &[DELETE],
    },
    Command {
        word: "exec",
        name: Name::Exec,
        summary: "execute a new process in a running container",
        usage: "<container-id> <command> [argument...]  ||  --process process.json <container-id>",
        text: "Runs a command beside the container's own, with the identity and limits of the latter unless\n\
            flags say otherwise. Flags end at the first word of the command.\n\n\
            The exit code is the process's own, 128+n after signal n, and 255 if it could not be run.\n\n\
            EXAMPLE:\n    {name} exec box ps -ef",
        words: (1, ANY),
        flags: &[EXEC],
    },
    Command {
        word: "features",
        name: Name::Features,
        summary: "show what this runtime can do, as JSON",
        usage: "",
        text: "The form is features.md of the runtime-spec.",
        words: (0, 0),
        flags: &[],
    },
    Command {
        word: "kill",
        name: Name::Kill,
        summary: "send a signal to a container's init process",
        usage: "<container-id> [signal]",
        text: "The signal is a number or a name, with or without SIG (default: SIGTERM).\n\n\
            EXAMPLE:\n    {name} kill box KILL",
        words: (1, 2),
        flags: &[KILL],
    },
    Command {
        word: "list",
        name: Name::List,
        summary: "list the containers of the state directory",
        usage: "",
        text: "The directory is the one of the global flag --root.",
        words: (0, 0),
        flags: &[LIST],
    },
    Command {
        word: "plan",
        name: Name::Plan,
        summary: "explain what a bundle would do, without doing it",
        usage: "[bundle]",
        text: "Compiles the bundle (default: the current directory) and prints each step which the host side\n\
            and the container's init would take, with the place in config.json that asked for it. Needs no\n\
            root and touches nothing.",
        words: (0, 1),
        flags: &[PLAN],
    },
    Command {
        word: "run",
        name: Name::Run,
        summary: "create and start a container",
        usage: "<container-id>",
        text: "Does what \"{name} create\" and \"{name} start\" do, waits for the end, and deletes the container.\n\
            Signals are forwarded to it. The exit code is the container's own, or 128+n after signal n.\n\n\
            The id names the new container: letters, digits and _ + - . of your choice, not in use yet.",
        words: (1, 1),
        flags: &[NEW, RUN],
    },
    Command {
        word: "spec",
        name: Name::Spec,
        summary: "write a config.json to start from",
        usage: "",
        text: "The container it describes runs \"sh\" in the directory rootfs, read-only, with a terminal.\n\
            Edit it as needed.\n\n\
            EXAMPLE:\n    mkdir -p box/rootfs && cd box\n    {name} spec\n    {name} run box",
        words: (0, 0),
        flags: &[SPEC],
    },
    Command {
        word: "start",
        name: Name::Start,
        summary: "start the program of a created container",
        usage: "<container-id>",
        text: "Returns once the program has been executed, or with the reason why it could not be.",
        words: (1, 1),
        flags: &[],
    },
    Command {
        word: "state",
        name: Name::State,
        summary: "output the state of a container as JSON",
        usage: "<container-id>",
        text: "The form is runtime.md#state of the runtime-spec, with rootfs, created and owner added.",
        words: (1, 1),
        flags: &[],
    },
];

impl Command {
    /// All its flags.
    pub(crate) fn flags(&self) -> impl Iterator<Item = &'static Flag> {
        self.flags.iter().flat_map(|list| list.iter())
    }
}
