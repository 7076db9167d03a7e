//! What asks: `state`, `list`, `ps`, `features`.

use super::{ANY, Command, Flag, ListFormat, Name, switch, text};

/// What `list` and `ps` share.
static FORMAT_FLAGS: &[Flag] =
    &[text("format", Some('f'), "table|json", "how to print (default: table)", |a, v| {
        a.list_format = Some(match v.as_str() {
            "table" => ListFormat::Table,
            "json" => ListFormat::Json,
            _ => return Err("invalid format option: must be table or json".into()),
        });
        Ok(())
    })];

static LIST_FLAGS: &[Flag] = &[switch("quiet", Some('q'), "print the ids only", |a, on| a.quiet = on)];

pub(super) static STATE: Command = Command {
    word: "state",
    name: Name::State,
    summary: "output the state of a container as JSON",
    usage: "<container-id>",
    text: "The form is runtime.md#state of the runtime-spec, with rootfs, created and owner added.",
    words: (1, 1),
    flags: &[],
};

pub(super) static LIST: Command = Command {
    word: "list",
    name: Name::List,
    summary: "list the containers of the state directory",
    usage: "",
    text: "The directory is the one of the global flag --root.",
    words: (0, 0),
    flags: &[FORMAT_FLAGS, LIST_FLAGS],
};

pub(super) static PS: Command = Command {
    word: "ps",
    name: Name::Ps,
    summary: "list the processes of a container",
    usage: "<container-id> [ps options]",
    text: "The table is what the host's ps(1) says of them: its options (default: -ef) follow the id, and\n\
        its columns must have one named PID. As JSON it is the process ids, in one array.\n\n\
        EXAMPLE:\n    {name} ps box -o pid,rss,args",
    words: (1, ANY),
    flags: &[FORMAT_FLAGS],
};

pub(super) static FEATURES: Command = Command {
    word: "features",
    name: Name::Features,
    summary: "show what this runtime can do, as JSON",
    usage: "",
    text: "The form is features.md of the runtime-spec.",
    words: (0, 0),
    flags: &[],
};
