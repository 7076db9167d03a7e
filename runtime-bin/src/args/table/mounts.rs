//! `mounts`

use super::command::{Command, CommandId};

pub(super) static MOUNTS: Command = Command {
    name: "mounts",
    id: CommandId::Mounts,
    summary: "add mounts to a running container, or remove some",
    usage: "<add|remove> <container-id> <file>",
    description: "FILE (- for stdin) holds mounts as in config.json: the array, or an object with \"mounts\".\n\
        \"add\" mounts all of them in the container, in this order, or none. \"remove\" unmounts what is at\n\
        their destinations; all other fields are ignored.\n\n\
        EXAMPLE:\n    echo '[{\"destination\": \"/data\", \"source\": \"/srv\", \"options\": [\"rbind\", \"ro\"]}]' |\n\
        \x20       {name} mounts add box -",
    operands: (3, 3),
    flags: &[],
};
