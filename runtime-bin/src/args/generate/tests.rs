//! The generated texts against the table.

use super::super::low::LowArgs;
use super::super::parse::{Request, parse};
use super::super::table::{COMMANDS, FlagSetter, GLOBAL_FLAGS, ValueHint};
use super::index::{commands, scopes};
use super::{Shell, completion, page};

const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

#[test]
fn completions_name_everything() {
    for shell in SHELLS {
        let script = completion(shell, "a-runtime");
        assert!(!script.contains("@id@") && !script.contains("@name@"), "{shell:?}");
        for (scope, flags) in scopes() {
            for flag in &flags {
                let long = match shell {
                    Shell::Fish => format!("-l {} ", flag.long),
                    _ => format!("--{}", flag.long),
                };
                assert!(script.contains(&long), "{shell:?}: {scope} {long}");
                assert!(
                    shell == Shell::Bash
                        || script.contains(flag.help.split(['\'', ':', '[']).next().unwrap()),
                    "{shell:?}: {scope} {}",
                    flag.help
                );
                if let ValueHint::OneOf(all) = ValueHint::of_flag(flag) {
                    assert!(script.contains(&all.replace('|', " ")), "{shell:?}: {scope} {all}");
                }
            }
        }
        for (name, summary) in commands() {
            assert!(script.contains(name) && (shell == Shell::Bash || script.contains(&summary[..9])));
        }
        assert!(script.contains("SIGTERM") && script.contains("SIGSYS"));
        // The default state directory does not depend on the name of the program.
        assert!(!script.replace("/orlop", "").contains("orlop"), "{shell:?}: names orlop");
    }
}

/// Completion relies on the names that help has for values.
#[test]
fn a_value_is_what_its_name_in_help_says() {
    for (scope, flags) in scopes() {
        for flag in flags {
            match (&flag.setter, ValueHint::of_flag(flag)) {
                (FlagSetter::Switch(_), hint) => assert_eq!(hint, ValueHint::NoValue),
                (FlagSetter::Path(_), _) => {
                    let name = flag.value_name.split('|').next();
                    assert!(matches!(name, Some("DIR" | "FILE" | "SOCKET")), "{scope} --{}", flag.long);
                }
                (_, ValueHint::OneOf(all)) => {
                    for (value, good) in
                        all.split('|').map(|value| (value, true)).chain([("nonsense", false)])
                    {
                        let mut line = vec!["--".to_owned() + flag.long, value.to_owned()];
                        line.insert(if scope.is_empty() { 2 } else { 0 }, scope.to_owned());
                        if scope.is_empty() {
                            line[2] = "features".to_owned();
                        }
                        let command = COMMANDS.iter().find(|c| c.name == scope);
                        line.extend((0..command.map_or(0, |c| c.operands.0)).map(|n| format!("word{n}")));
                        let done = parse("orlop", line.iter().map(Into::into), &mut LowArgs::default());
                        assert_eq!(matches!(done, Ok(Request::Run(_))), good, "{line:?}: {done:?}");
                    }
                }
                _ => {}
            }
        }
    }
}

/// A command's usage line names as many operands as it takes.
#[test]
fn usage_names_every_operand() {
    for command in COMMANDS {
        let (least, most) = command.operands;
        let names = ValueHint::of_operands(command).count();
        assert!(names >= least && names <= most.max(least), "{}: {}", command.name, command.usage);
    }
    let hints = |name: &str| {
        ValueHint::of_operands(COMMANDS.iter().find(|c| c.name == name).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(hints("kill"), [ValueHint::Container, ValueHint::Signal]);
    assert_eq!(hints("run"), [ValueHint::Other]);
    assert_eq!(hints("exec")[0], ValueHint::Container);
    assert_eq!(hints("plan"), [ValueHint::Directory]);
    assert_eq!(hints("man"), [ValueHint::Command]);
    assert_eq!(hints("completion"), [ValueHint::OneOf("bash|zsh|fish")]);
}

#[test]
fn pages_name_everything() {
    let unescape = |page: String| page.replace("\\-", "-").replace("\\e", "\\");
    let program_page = unescape(page("runc", "1.2.3", None));
    assert!(program_page.starts_with(".TH \"RUNC\" 8 \"\" \"runc 1.2.3\""));
    for flag in GLOBAL_FLAGS {
        assert!(
            program_page.contains(&format!(".TP\n\\fB--{}\\fR", flag.long))
                && program_page.contains(&flag.help[1..])
        );
    }
    for command in COMMANDS {
        let name = command.name;
        assert!(program_page.contains(&format!("\\fBrunc-{name}\\fR(8)")), "{name}");
        let page = unescape(page("runc", "1.2.3", Some(command)));
        assert!(page.contains(&format!(".SH NAME\nrunc-{name} - {}\n", command.summary)), "{page}");
        assert!(!page.contains("{name}") && !page.contains("orlop"), "{page}");
        for flag in command.flags() {
            assert!(
                page.contains(&format!(".TP\n\\fB--{}\\fR", flag.long)) && page.contains(&flag.help[1..])
            );
        }
        for line in command.description.lines().filter(|line| !line.is_empty() && is_no_heading(line)) {
            let line = line.trim_start().replace("{name}", "runc");
            assert!(page.contains(&line), "{name}: {line}");
        }
        for line in page.lines().filter(|line| line.starts_with(['.', '\''])) {
            let macro_name = line.split(' ').next().unwrap();
            assert!(
                [".TH", ".SH", ".TP", ".PP", ".RS", ".RE", ".EX", ".EE", ".br", ".ad"].contains(&macro_name),
                "{line}"
            );
        }
    }
}

fn is_no_heading(line: &str) -> bool {
    !line.ends_with(':') || line.chars().any(|c| c.is_ascii_lowercase())
}
