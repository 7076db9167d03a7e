//! Queries: `state`, `list`, `ps`, `features`.

use super::super::low::ListFormat;
use super::command::{Command, CommandId, UNLIMITED};
use super::flag::{Flag, switch, text};

/// The flags of `list` and `ps`.
static FORMAT_FLAGS: &[Flag] =
    &[text("format", Some('f'), "table|json", "output format (default: table)", |args, v| {
        args.list_format = Some(match v.as_str() {
            "table" => ListFormat::Table,
            "json" => ListFormat::Json,
            _ => return Err("invalid format option: must be table or json".into()),
        });
        Ok(())
    })];

static LIST_FLAGS: &[Flag] = &[switch("quiet", Some('q'), "print only the ids", |args, on| args.quiet = on)];

pub(super) static STATE: Command = Command {
    name: "state",
    id: CommandId::State,
    summary: "output the state of a container as JSON",
    usage: "<container-id>",
    description: "The format is that of runtime.md#state in the runtime-spec, with rootfs, created and owner added.",
    operands: (1, 1),
    flags: &[],
};

pub(super) static LIST: Command = Command {
    name: "list",
    id: CommandId::List,
    summary: "list the containers of the state directory",
    usage: "",
    description: "The global flag --root names the state directory.",
    operands: (0, 0),
    flags: &[FORMAT_FLAGS, LIST_FLAGS],
};

pub(super) static PS: Command = Command {
    name: "ps",
    id: CommandId::Ps,
    summary: "list the processes of a container",
    usage: "<container-id> [ps options]",
    description: "The table comes from the host's ps(1): its options (default: -ef) follow the id, and one of its\n\
        columns must be PID. As JSON, one array holds the process ids.\n\n\
        EXAMPLE:\n    {name} ps box -o pid,rss,args",
    operands: (1, UNLIMITED),
    flags: &[FORMAT_FLAGS],
};

pub(super) static FEATURES: Command = Command {
    name: "features",
    id: CommandId::Features,
    summary: "show the features of this runtime as JSON",
    usage: "",
    description: "The format is that of features.md in the runtime-spec.",
    operands: (0, 0),
    flags: &[],
};
