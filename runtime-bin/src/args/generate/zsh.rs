//! zsh(1): the specifications of `_arguments`.

use super::super::table::{Flag, ValueHint};
use super::index::{built_in_flags, commands, identifier, operands, own_operands, quoted, scopes, signals};
use std::fmt::Write;

const HEAD: &str = r#"#compdef @name@
# zsh completion for @name@, written by "@name@ completion zsh".

_@id@_containers() {
    local -a ids
    ids=(${(f)"$("${@id@_call[@]}" list --quiet 2>/dev/null)"})
    compadd "$@" -a ids
}

_@id@_commands() {
    local -a commands
    commands=(
"#;

const MIDDLE: &str = r#"    )
    _describe -t commands command commands
}

_@id@() {
    local curcontext=$curcontext state state_descr line ret=1
    typeset -A opt_args
    local -a @id@_call
    local -i n
    @id@_call=("${(Q)words[1]}")
    for ((n = 2; n < CURRENT; n++)); do
        case $words[n] in
            --root|-root) @id@_call+=(--root "${(Q)words[n+1]}") ;;
            --root=*|-root=*) @id@_call+=("--root=${(Q)words[n]#*=}") ;;
        esac
    done
    _arguments -C \
"#;

const STATES: &str = r"        '1:command:_@id@_commands' \
        '*::argument:->arguments' && ret=0
    [[ $state == arguments ]] || return ret
    curcontext=${curcontext%:*:*}:@id@-$line[1]:
    case $line[1] in
";

const TAIL: &str = r#"    esac
    return ret
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _@id@ "$@"
else
    compdef _@id@ @name@
fi
"#;

/// The script, for a file `_NAME` in `$fpath` or to be sourced.
pub(super) fn script(program: &str) -> String {
    let id = identifier(program);
    let fill = |text: &str| text.replace("@id@", &id).replace("@name@", program);
    let mut out = fill(HEAD);
    for (name, summary) in commands() {
        let _ = writeln!(out, "        {}", quoted(&format!("{name}:{}", summary.replace(':', "\\:"))));
    }
    out.push_str(&fill(MIDDLE));
    let mut all_operands = operands();
    for (scope, flags) in scopes() {
        if scope.is_empty() {
            specifications(&mut out, "        ", &id, scope, &flags);
            out.push_str(&fill(STATES));
            continue;
        }
        let _ = writeln!(out, "        {scope})\n            _arguments \\");
        specifications(&mut out, "                ", &id, scope, &flags);
        arguments(&mut out, &id, scope, &all_operands.next().map(|(_, hints)| hints).unwrap_or_default());
        out.push_str("                && ret=0\n            ;;\n");
    }
    let _ = writeln!(out, "        help) _{id}_commands && ret=0 ;;");
    out.push_str(&fill(TAIL));
    out
}

fn specifications(out: &mut String, indent: &str, id: &str, scope: &str, flags: &[&Flag]) {
    let mut line = |long: &str, short: Option<char>, repeats: bool, rest: &str, value: bool| {
        let (equals, plus) = if value { ("=", "+") } else { ("", "") };
        let word = match (short, repeats) {
            (None, false) => quoted(&format!("--{long}{equals}{rest}")),
            (None, true) => quoted(&format!("*--{long}{equals}{rest}")),
            (Some(s), false) => {
                format!("'(-{s} --{long})'{{-{s}{plus},--{long}{equals}}}{}", quoted(rest))
            }
            (Some(s), true) => format!("'*'{{-{s}{plus},--{long}{equals}}}{}", quoted(rest)),
        };
        let _ = writeln!(out, "{indent}{word} \\");
    };
    for flag in flags {
        let mut rest = format!("[{}]", escaped(flag.help));
        if let Some(action) = action(id, &ValueHint::of_flag(flag)) {
            let _ = write!(rest, ":{}:{action}", flag.value_name.replace(':', "\\:"));
        }
        line(flag.long, flag.short, flag.repeats, &rest, !flag.value_name.is_empty());
    }
    for (long, short, help) in built_in_flags(scope) {
        line(long, Some(*short), false, &format!("[{help}]"), false);
    }
}

fn arguments(out: &mut String, id: &str, scope: &str, operands: &[ValueHint]) {
    for (n, hint) in operands.iter().enumerate() {
        let (n, rest) = (n + 1, own_operands().any(|(name, _)| name == scope) && n > 0);
        let what = match hint {
            ValueHint::Container => "container",
            ValueHint::Signal => "signal",
            ValueHint::Directory => "directory",
            ValueHint::Command => "command",
            _ => "argument",
        };
        match action(id, hint) {
            // The command line of another program: flags end here.
            _ if rest => {
                out.push_str("                '*:: : ' \\\n");
                return;
            }
            Some(action) => {
                let _ = writeln!(out, "                '{n}:{what}:{}' \\", action.replace('\'', "'\\''"));
            }
            None => {}
        }
    }
}

fn action(id: &str, hint: &ValueHint) -> Option<String> {
    Some(match hint {
        ValueHint::NoValue => return None,
        ValueHint::Directory => "_files -/".to_owned(),
        ValueHint::File => "_files".to_owned(),
        ValueHint::Socket => "_files -g \"*(=)\"".to_owned(),
        ValueHint::Container => format!("_{id}_containers"),
        ValueHint::OneOf(all) => format!("({})", all.replace('|', " ")),
        ValueHint::Signal => format!("({})", signals()),
        ValueHint::Command => format!("_{id}_commands"),
        ValueHint::Other => " ".to_owned(),
    })
}

fn escaped(help: &str) -> String {
    help.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]").replace(':', "\\:")
}
