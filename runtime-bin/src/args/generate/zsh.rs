//! zsh(1): the specifications of `_arguments`.

use super::super::table::Flag;
use super::{Takes, commands, identifier, own_flags, own_words, places, quoted, signals, words};
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

/// The script; as a file `_NAME` in `$fpath`, or sourced.
pub(super) fn script(program: &str) -> String {
    let id = identifier(program);
    let fill = |text: &str| text.replace("@id@", &id).replace("@name@", program);
    let mut out = fill(HEAD);
    for (word, summary) in commands() {
        let _ = writeln!(out, "        {}", quoted(&format!("{word}:{}", summary.replace(':', "\\:"))));
    }
    out.push_str(&fill(MIDDLE));
    let mut all_words = words();
    for (place, flags) in places() {
        if place.is_empty() {
            specifications(&mut out, "        ", &id, place, &flags);
            out.push_str(&fill(STATES));
            continue;
        }
        let _ = writeln!(out, "        {place})\n            _arguments \\");
        specifications(&mut out, "                ", &id, place, &flags);
        arguments(&mut out, &id, place, &all_words.next().map(|(_, takes)| takes).unwrap_or_default());
        out.push_str("                && ret=0\n            ;;\n");
    }
    let _ = writeln!(out, "        help) _{id}_commands && ret=0 ;;");
    out.push_str(&fill(TAIL));
    out
}

fn specifications(out: &mut String, indent: &str, id: &str, place: &str, flags: &[&Flag]) {
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
        let mut rest = format!("[{}]", escaped(flag.doc));
        if let Some(action) = action(id, &flag.takes()) {
            let _ = write!(rest, ":{}:{action}", flag.value.replace(':', "\\:"));
        }
        line(flag.long, flag.short, flag.repeats, &rest, !flag.value.is_empty());
    }
    for (long, short, doc) in own_flags(place) {
        line(long, Some(*short), false, &format!("[{doc}]"), false);
    }
}

fn arguments(out: &mut String, id: &str, place: &str, words: &[Takes]) {
    for (n, takes) in words.iter().enumerate() {
        let (n, rest) = (n + 1, own_words().any(|(word, _)| word == place) && n > 0);
        let what = match takes {
            Takes::Container => "container",
            Takes::Signal => "signal",
            Takes::Directory => "directory",
            Takes::Command => "command",
            _ => "argument",
        };
        match action(id, takes) {
            // Words of another program: flags end here.
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

fn action(id: &str, takes: &Takes) -> Option<String> {
    Some(match takes {
        Takes::Nothing => return None,
        Takes::Directory => "_files -/".to_owned(),
        Takes::File => "_files".to_owned(),
        Takes::Socket => "_files -g \"*(=)\"".to_owned(),
        Takes::Container => format!("_{id}_containers"),
        Takes::OneOf(all) => format!("({})", all.replace('|', " ")),
        Takes::Signal => format!("({})", signals()),
        Takes::Command => format!("_{id}_commands"),
        Takes::Anything => " ".to_owned(),
    })
}

fn escaped(doc: &str) -> String {
    doc.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]").replace(':', "\\:")
}
