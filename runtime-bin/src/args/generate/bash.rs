//! bash(1): one function, and two tables as `case`s.

use super::{Takes, commands, identifier, own_flags, own_words, places, signals, words};
use std::fmt::Write;

/// Readline splits words at `=`, so `--root=/x` comes in three of them and is put together first.
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
                # What follows belongs to another program.
                @own@) ended=1 ;;
            esac
        fi
    done
    # A flag's value may be the word at the cursor, or a word before it that has been passed.
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
    let _ = writeln!(out, "# What the value of a flag is; no kind, no value.\n_{id}_value() {{");
    out.push_str("    case \"$1 $2\" in\n");
    for (place, flags) in places() {
        for flag in flags {
            let Some(kind) = kind(&flag.takes()) else { continue };
            let short = flag.short.map(|letter| format!(" | '{place} {letter}'")).unwrap_or_default();
            let _ = writeln!(out, "        '{place} {}'{short}) kind='{kind}' ;;", flag.long);
        }
    }
    let _ = write!(out, "    esac\n}}\n\n# What a command's word of that number is.\n_{id}_word() {{\n");
    let names = commands().map(|(word, _)| word).collect::<Vec<_>>().join(" ");
    let _ = writeln!(out, "    case \"$1 $2\" in\n        ' 0') kind='choice {names}' ;;");
    for (place, words) in words() {
        for (n, takes) in words.iter().enumerate() {
            if let Some(kind) = kind(takes).filter(|kind| kind != "any") {
                let _ = writeln!(out, "        '{place} {n}') kind='{kind}' ;;");
            }
        }
    }
    let _ = write!(out, "    esac\n}}\n\n# The flags of a command.\n_{id}_flags() {{\n    case $1 in\n");
    for (place, flags) in places() {
        let own = own_flags(place).iter().map(|(long, ..)| *long);
        let all: Vec<String> = flags.iter().map(|f| f.long).chain(own).map(|l| format!("--{l}")).collect();
        let place = if place.is_empty() { "''" } else { place };
        let _ = writeln!(out, "        {place}) kind='choice {}' ;;", all.join(" "));
    }
    out.push_str("    esac\n}\n");
    let own = own_words().map(|(word, count)| format!("'{word} {count}'")).collect::<Vec<_>>().join(" | ");
    out.push_str(&FUNCTION.replace("@id@", &id).replace("@name@", program).replace("@own@", &own));
    out
}

fn kind(takes: &Takes) -> Option<String> {
    Some(match takes {
        Takes::Nothing => return None,
        Takes::Directory => "directory".to_owned(),
        Takes::File => "file".to_owned(),
        Takes::Socket => "socket".to_owned(),
        Takes::Container => "container".to_owned(),
        Takes::OneOf(all) => format!("choice {}", all.replace('|', " ")),
        Takes::Signal => format!("choice {}", signals()),
        Takes::Command => {
            format!("choice {}", commands().map(|(word, _)| word).collect::<Vec<_>>().join(" "))
        }
        Takes::Anything => "any".to_owned(),
    })
}
