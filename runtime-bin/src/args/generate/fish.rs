//! fish(1): one `complete` command for every flag, with a condition for its scope.

use super::super::table::ValueHint;
use super::index::{built_in_flags, commands, identifier, operands, own_operands, quoted, scopes, signals};
use std::fmt::Write;

const FUNCTIONS: &str = r#"
# The command before the cursor and the number of its operands so far, "- 0" if there is none yet, or
# "other" after the operands are those of another program.
function __@id@_place
    set -l tokens (commandline -opc)
    set -l command -
    set -l count 0
    set -l skip 0
    for token in $tokens[2..-1]
        if test $skip = 1
            set skip 0
            continue
        end
        switch $token
            case '-*=*'
            case '-*'
                if contains -- "$command "(string replace -r '^--?' '' -- $token) $__@id@_valued
                    set skip 1
                end
            case '*'
                if test $command = -
                    set command $token
                else
                    set count (math $count + 1)
                end
                if contains -- "$command $count" $__@id@_own
                    echo other
                    return
                end
        end
    end
    echo $command $count
end

# Whether the cursor is after that command (and at that operand).
function __@id@_at
    set -l place (string split -- ' ' (__@id@_place))
    if test (count $argv) -gt 1
        test "$place" = "$argv"
    else
        test $place[1] = $argv[1]
    end
end

function __@id@_containers
    set -l tokens (commandline -opc)
    set -l call $tokens[1]
    for n in (seq 2 (count $tokens))
        switch $tokens[$n]
            case --root -root
                set -a call --root $tokens[(math $n + 1)]
            case '--root=*' '-root=*'
                set -a call --root=(string replace -r '^[^=]*=' '' -- $tokens[$n])
        end
    end
    $call list --quiet 2>/dev/null
end

complete -c @name@ -f
"#;

/// The script.
pub(super) fn script(program: &str) -> String {
    let id = identifier(program);
    let mut out = String::with_capacity(24 * 1024);
    let _ = write!(out, "# fish completion for {program}, written by \"{program} completion fish\".\n\n");
    let _ = write!(out, "# The flags that take a value.\nset -g __{id}_valued");
    for (scope, flags) in scopes() {
        let scope = if scope.is_empty() { "-" } else { scope };
        for flag in flags.iter().filter(|flag| !flag.value_name.is_empty()) {
            let _ = write!(out, " '{scope} {}'", flag.long);
            if let Some(short) = flag.short {
                let _ = write!(out, " '{scope} {short}'");
            }
        }
    }
    let _ = write!(
        out,
        "\n# After how many operands the command line of another program begins.\nset -g __{id}_own"
    );
    for (name, count) in own_operands() {
        let _ = write!(out, " '{name} {count}'");
    }
    out.push('\n');
    out.push_str(&FUNCTIONS.replace("@id@", &id).replace("@name@", program));
    for (name, summary) in commands() {
        let _ = writeln!(out, "complete -c {program} -n '__{id}_at - 0' -a {name} -d {}", quoted(summary));
    }
    for (scope, flags) in scopes() {
        let scope = if scope.is_empty() { "-" } else { scope };
        for flag in flags {
            let _ = write!(out, "complete -c {program} -n '__{id}_at {scope}' -l {}", flag.long);
            if let Some(short) = flag.short {
                let _ = write!(out, " -s {short}");
            }
            if let Some(options) = options(&id, &ValueHint::of_flag(flag)) {
                let _ = write!(out, " {options}");
            }
            let _ = writeln!(out, " -d {}", quoted(flag.help));
        }
        let built_in = built_in_flags(if scope == "-" { "" } else { scope });
        for (long, short, help) in built_in {
            let _ = writeln!(
                out,
                "complete -c {program} -n '__{id}_at {scope}' -l {long} -s {short} -d '{help}'"
            );
        }
    }
    for (scope, operands) in operands() {
        for (n, hint) in operands.iter().enumerate() {
            if let Some(options) = options(&id, hint).filter(|options| options != "-x") {
                let options = options.replace("-x ", "").replace("-r ", "");
                let _ = writeln!(out, "complete -c {program} -n '__{id}_at {scope} {n}' {options}");
            }
        }
    }
    out
}

/// The options of `complete` for such a value.
fn options(id: &str, hint: &ValueHint) -> Option<String> {
    Some(match hint {
        ValueHint::NoValue => return None,
        ValueHint::Directory => "-x -a '(__fish_complete_directories)'".to_owned(),
        ValueHint::File | ValueHint::Socket => "-r -F".to_owned(),
        ValueHint::Container => format!("-x -a '(__{id}_containers)'"),
        ValueHint::OneOf(all) => format!("-x -a '{}'", all.replace('|', " ")),
        ValueHint::Signal => format!("-x -a '{}'", signals()),
        ValueHint::Command => {
            format!("-x -a '{}'", commands().map(|(name, _)| name).collect::<Vec<_>>().join(" "))
        }
        ValueHint::Other => "-x".to_owned(),
    })
}
