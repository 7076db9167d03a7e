//! bash(1): one function, and its tables as `case` commands.

use super::super::table::ValueHint;
use super::index::{built_in_flags, commands, identifier, operands, own_operands, scopes, signals};
use std::fmt::Write;

/// Readline splits words at `=`: `--root=/x` arrives as three words, which are joined first.
const FUNCTION: &str = r#"
_@id@() {
    local cur flag i word kind= command= count=0 glue= pending= ended= prefix=
    local -a words=() call=("${COMP_WORDS[0]}")
    COMPREPLY=()
    for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        if [[ $word == = && ${#words[@]} -gt 1 && ${words[-1]} == -* && ${words[-1]} != *=* ]]; then
            words[-1]+==
            glue=1
        elif [[ $glue ]]; then
            words[-1]+=$word
            glue=
        else
            words+=("$word")
        fi
    done
    cur=${words[-1]}
    for ((i = 1; i < ${#words[@]} - 1; i++)); do
        word=${words[i]}
        pending=
        if [[ -z $ended && $word == -- ]]; then
            ended=1
        elif [[ -z $ended && $word == -?* ]]; then
            flag=${word#-}
            flag=${flag#-}
            kind=
            [[ $flag == *=* ]] || _@id@_value "$command" "$flag"
            if [[ $kind ]]; then
                pending=$kind
                i=$((i + 1))
                [[ -z $command && $flag == root ]] && call+=(--root "${words[i]}")
            elif [[ -z $command && $flag == root=* ]]; then
                call+=("--$flag")
            fi
        elif [[ -z $command ]]; then
            command=$word
        else
            count=$((count + 1))
            case "$command $count" in
                # The rest is the command line of another program.
                @own@) ended=1 ;;
            esac
        fi
    done
    # A flag's value is either the word at the cursor or an earlier word.
    if [[ $pending && $i -lt ${#words[@]} ]]; then
        pending=
    fi
    kind=$pending
    if [[ -z $kind && -z $ended && $cur == -*=* ]]; then
        word=${cur%%=*}
        flag=${word#-}
        _@id@_value "$command" "${flag#-}"
        [[ $COMP_WORDBREAKS == *=* ]] || prefix=$word=
        cur=${cur#*=}
    elif [[ -z $kind && -z $ended && $cur == -* ]]; then
        _@id@_flags "$command"
    elif [[ -z $kind ]]; then
        _@id@_word "$command" "$count"
    fi
    case $kind in
        directory)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -P "$prefix" -d -- "$cur")
            ;;
        file | socket)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -P "$prefix" -f -- "$cur")
            ;;
        container)
            mapfile -t COMPREPLY < <(compgen -W "$("${call[@]}" list --quiet 2>/dev/null)" -- "$cur")
            ;;
        choice\ *)
            mapfile -t COMPREPLY < <(compgen -P "$prefix" -W "${kind#choice }" -- "$cur")
            ;;
    esac
} && complete -F _@id@ @name@
"#;

/// The script.
pub(super) fn script(program: &str) -> String {
    let id = identifier(program);
    let mut out = String::with_capacity(16 * 1024);
    let _ = write!(out, "# bash completion for {program}, written by \"{program} completion bash\".\n\n");
    let _ = writeln!(out, "# What the value of a flag is; a switch has no kind.\n_{id}_value() {{");
    out.push_str("    case \"$1 $2\" in\n");
    for (scope, flags) in scopes() {
        for flag in flags {
            let Some(kind) = kind(&ValueHint::of_flag(flag)) else { continue };
            let short = flag.short.map(|letter| format!(" | '{scope} {letter}'")).unwrap_or_default();
            let _ = writeln!(out, "        '{scope} {}'{short}) kind='{kind}' ;;", flag.long);
        }
    }
    let _ = write!(out, "    esac\n}}\n\n# What that operand of a command is.\n_{id}_word() {{\n");
    let names = commands().map(|(name, _)| name).collect::<Vec<_>>().join(" ");
    let _ = writeln!(out, "    case \"$1 $2\" in\n        ' 0') kind='choice {names}' ;;");
    for (scope, operands) in operands() {
        for (n, hint) in operands.iter().enumerate() {
            if let Some(kind) = kind(hint).filter(|kind| kind != "any") {
                let _ = writeln!(out, "        '{scope} {n}') kind='{kind}' ;;");
            }
        }
    }
    let _ = write!(out, "    esac\n}}\n\n# The flags of a command.\n_{id}_flags() {{\n    case $1 in\n");
    for (scope, flags) in scopes() {
        let built_in = built_in_flags(scope).iter().map(|(long, ..)| *long);
        let all: Vec<String> =
            flags.iter().map(|f| f.long).chain(built_in).map(|l| format!("--{l}")).collect();
        let scope = if scope.is_empty() { "''" } else { scope };
        let _ = writeln!(out, "        {scope}) kind='choice {}' ;;", all.join(" "));
    }
    out.push_str("    esac\n}\n");
    let own = own_operands().map(|(name, count)| format!("'{name} {count}'")).collect::<Vec<_>>().join(" | ");
    out.push_str(&FUNCTION.replace("@id@", &id).replace("@name@", program).replace("@own@", &own));
    out
}

fn kind(hint: &ValueHint) -> Option<String> {
    Some(match hint {
        ValueHint::NoValue => return None,
        ValueHint::Directory => "directory".to_owned(),
        ValueHint::File => "file".to_owned(),
        ValueHint::Socket => "socket".to_owned(),
        ValueHint::Container => "container".to_owned(),
        ValueHint::OneOf(all) => format!("choice {}", all.replace('|', " ")),
        ValueHint::Signal => format!("choice {}", signals()),
        ValueHint::Command => {
            format!("choice {}", commands().map(|(name, _)| name).collect::<Vec<_>>().join(" "))
        }
        ValueHint::Other => "any".to_owned(),
    })
}
