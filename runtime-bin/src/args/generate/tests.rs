//! The generated texts against the table.

use super::super::table::Kind;
use super::super::{Args, Request, parse};
use super::*;

const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

#[test]
fn completions_name_everything() {
    for shell in SHELLS {
        let script = completion(shell, "a-runtime");
        assert!(!script.contains("@id@") && !script.contains("@name@"), "{shell:?}");
        for (place, flags) in places() {
            for flag in &flags {
                let long = match shell {
                    Shell::Fish => format!("-l {} ", flag.long),
                    _ => format!("--{}", flag.long),
                };
                assert!(script.contains(&long), "{shell:?}: {place} {long}");
                assert!(
                    shell == Shell::Bash || script.contains(flag.doc.split(['\'', ':', '[']).next().unwrap()),
                    "{shell:?}: {place} {}",
                    flag.doc
                );
                if let Takes::OneOf(all) = flag.takes() {
                    assert!(script.contains(&all.replace('|', " ")), "{shell:?}: {place} {all}");
                }
            }
        }
        for (word, summary) in commands() {
            assert!(script.contains(word) && (shell == Shell::Bash || script.contains(&summary[..9])));
        }
        assert!(script.contains("SIGTERM") && script.contains("SIGSYS"));
        // The default state directory has this name whatever the program is called.
        assert!(!script.replace("/orlop", "").contains("orlop"), "{shell:?}: the program has another name");
    }
}

/// The words by which help names a value are what completion goes by: they hold what they promise.
#[test]
fn values_are_what_help_calls_them() {
    for (place, flags) in places() {
        for flag in flags {
            match (&flag.kind, flag.takes()) {
                (Kind::Switch(_), takes) => assert_eq!(takes, Takes::Nothing),
                (Kind::Path(_), _) => {
                    let name = flag.value.split('|').next();
                    assert!(matches!(name, Some("DIR" | "FILE" | "SOCKET")), "{place} --{}", flag.long);
                }
                (_, Takes::OneOf(all)) => {
                    for (value, good) in
                        all.split('|').map(|value| (value, true)).chain([("nonsense", false)])
                    {
                        let mut line = vec!["--".to_owned() + flag.long, value.to_owned()];
                        line.insert(if place.is_empty() { 2 } else { 0 }, place.to_owned());
                        if place.is_empty() {
                            line[2] = "features".to_owned();
                        }
                        let command = COMMANDS.iter().find(|c| c.word == place);
                        line.extend((0..command.map_or(0, |c| c.words.0)).map(|n| format!("word{n}")));
                        let done = parse("orlop", line.iter().map(Into::into), &mut Args::default());
                        assert_eq!(matches!(done, Ok(Request::Command(_))), good, "{line:?}: {done:?}");
                    }
                }
                _ => {}
            }
        }
    }
}

/// A command's usage line names as many words as it takes.
#[test]
fn usage_has_a_name_for_every_word() {
    for command in COMMANDS {
        let (least, most) = command.words;
        let names = command.takes().count();
        assert!(names >= least && names <= most.max(least), "{}: {}", command.word, command.usage);
    }
    let takes = |word: &str| COMMANDS.iter().find(|c| c.word == word).unwrap().takes().collect::<Vec<_>>();
    assert_eq!(takes("kill"), [Takes::Container, Takes::Signal]);
    assert_eq!(takes("run"), [Takes::Anything]);
    assert_eq!(takes("exec")[0], Takes::Container);
    assert_eq!(takes("plan"), [Takes::Directory]);
    assert_eq!(takes("man"), [Takes::Command]);
    assert_eq!(takes("completion"), [Takes::OneOf("bash|zsh|fish")]);
}

#[test]
fn pages_name_everything() {
    let unescape = |page: String| page.replace("\\-", "-").replace("\\e", "\\");
    let own = unescape(page("runc", "1.2.3", None));
    assert!(own.starts_with(".TH \"RUNC\" 8 \"\" \"runc 1.2.3\""));
    for flag in GLOBAL {
        assert!(own.contains(&format!(".TP\n\\fB--{}\\fR", flag.long)) && own.contains(&flag.doc[1..]));
    }
    for command in COMMANDS {
        let word = command.word;
        assert!(own.contains(&format!("\\fBrunc-{word}\\fR(8)")), "{word}");
        let page = unescape(page("runc", "1.2.3", Some(command)));
        assert!(page.contains(&format!(".SH NAME\nrunc-{word} - {}\n", command.summary)), "{page}");
        assert!(!page.contains("{name}") && !page.contains("orlop"), "{page}");
        for flag in command.flags() {
            assert!(page.contains(&format!(".TP\n\\fB--{}\\fR", flag.long)) && page.contains(&flag.doc[1..]));
        }
        for line in command.text.lines().filter(|line| !line.is_empty() && heading_free(line)) {
            let line = line.trim_start().replace("{name}", "runc");
            assert!(page.contains(&line), "{word}: {line}");
        }
        for line in page.lines().filter(|line| line.starts_with(['.', '\''])) {
            let name = line.split(' ').next().unwrap();
            assert!(
                [".TH", ".SH", ".TP", ".PP", ".RS", ".RE", ".EX", ".EE", ".br", ".ad"].contains(&name),
                "{line}"
            );
        }
    }
}

fn heading_free(line: &str) -> bool {
    !line.ends_with(':') || line.chars().any(|c| c.is_ascii_lowercase())
}
