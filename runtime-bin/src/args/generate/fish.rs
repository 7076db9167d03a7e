//! fish(1): a `complete` for every flag, each with the place where it holds.

use super::{Takes, commands, identifier, own_flags, own_words, places, quoted, signals, words};
use std::fmt::Write;

const FUNCTIONS: &str = r#"
# The command before the cursor and the number of words behind it, "- 0" where there is none yet; or
# where another program's words have begun, "other".
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

# Whether the cursor is behind that command (and at that word of it).
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
    let _ = write!(out, "# The flags whose value may be the next word.\nset -g __{id}_valued");
    for (place, flags) in places() {
        let place = if place.is_empty() { "-" } else { place };
        for flag in flags.iter().filter(|flag| !flag.value.is_empty()) {
            let _ = write!(out, " '{place} {}'", flag.long);
            if let Some(short) = flag.short {
                let _ = write!(out, " '{place} {short}'");
            }
        }
    }
    let _ = write!(out, "\n# Behind how many words those of another program begin.\nset -g __{id}_own");
    for (word, count) in own_words() {
        let _ = write!(out, " '{word} {count}'");
    }
    out.push('\n');
    out.push_str(&FUNCTIONS.replace("@id@", &id).replace("@name@", program));
    for (word, summary) in commands() {
        let _ = writeln!(out, "complete -c {program} -n '__{id}_at - 0' -a {word} -d {}", quoted(summary));
    }
    for (place, flags) in places() {
        let place = if place.is_empty() { "-" } else { place };
        for flag in flags {
            let _ = write!(out, "complete -c {program} -n '__{id}_at {place}' -l {}", flag.long);
            if let Some(short) = flag.short {
                let _ = write!(out, " -s {short}");
            }
            if let Some(how) = how(&id, &flag.takes()) {
                let _ = write!(out, " {how}");
            }
            let _ = writeln!(out, " -d {}", quoted(flag.doc));
        }
        let own = own_flags(if place == "-" { "" } else { place });
        for (long, short, doc) in own {
            let _ =
                writeln!(out, "complete -c {program} -n '__{id}_at {place}' -l {long} -s {short} -d '{doc}'");
        }
    }
    for (place, words) in words() {
        for (n, takes) in words.iter().enumerate() {
            if let Some(how) = how(&id, takes).filter(|how| how != "-x") {
                let how = how.replace("-x ", "").replace("-r ", "");
                let _ = writeln!(out, "complete -c {program} -n '__{id}_at {place} {n}' {how}");
            }
        }
    }
    out
}

fn how(id: &str, takes: &Takes) -> Option<String> {
    Some(match takes {
        Takes::Nothing => return None,
        Takes::Directory => "-x -a '(__fish_complete_directories)'".to_owned(),
        Takes::File | Takes::Socket => "-r -F".to_owned(),
        Takes::Container => format!("-x -a '(__{id}_containers)'"),
        Takes::OneOf(all) => format!("-x -a '{}'", all.replace('|', " ")),
        Takes::Signal => format!("-x -a '{}'", signals()),
        Takes::Command => {
            format!("-x -a '{}'", commands().map(|(word, _)| word).collect::<Vec<_>>().join(" "))
        }
        Takes::Anything => "-x".to_owned(),
    })
}
