//! The table, and the help that is generated from it.

use super::super::help;
use super::super::parse::Request;
use super::super::table::{COMMANDS, CommandId, FlagSetter, GLOBAL_FLAGS};
use super::samples::parsed;

#[test]
fn names_are_sorted_and_unique() {
    let names: Vec<&str> = COMMANDS.iter().map(|c| c.name).collect();
    assert!(names.is_sorted(), "help lists the commands in this order: {names:?}");
    for command in COMMANDS {
        let mut names: Vec<&str> = command.flags().map(|f| f.long).collect();
        let mut letters: Vec<char> = command.flags().filter_map(|f| f.short).collect();
        let count = (names.len(), letters.len());
        names.sort_unstable();
        names.dedup();
        letters.sort_unstable();
        letters.dedup();
        assert_eq!((names.len(), letters.len()), count, "{}: a name twice", command.name);
        assert!(!letters.contains(&'h'), "{}: -h is help", command.name);
        for flag in command.flags() {
            assert_eq!(
                flag.value_name.is_empty(),
                matches!(flag.setter, FlagSetter::Switch(_)),
                "--{}",
                flag.long
            );
            assert!(flag.long.len() > 1, "one letter is a short flag");
        }
    }
}

#[test]
fn help_names_every_command_and_flag() {
    let all = help::program("runc", "1.2.3\n");
    assert!(all.starts_with("NAME:\n   runc - Open Container Initiative runtime\n"));
    for flag in GLOBAL_FLAGS {
        assert!(all.contains(&format!("   --{}", flag.long)) && all.contains(flag.help));
    }
    for command in COMMANDS {
        assert!(all.contains(&format!("\n   {} ", command.name)), "{}", command.name);
        let own = help::command("runc", command);
        assert!(own.starts_with(&format!("NAME:\n   runc {} - ", command.name)));
        assert!(!own.contains("{name}") && !own.contains("orlop "), "{own}");
        for flag in command.flags() {
            assert!(own.contains(&format!("   --{}", flag.long)) && own.contains(flag.help));
        }
        let mut lines =
            vec![vec![command.name, "--help"], vec!["help", command.name], vec![command.name, "x", "-h"]];
        // After the id come options of ps(1).
        lines.truncate(if command.id == CommandId::Ps { 2 } else { 3 });
        for line in lines {
            match parsed(&line).0 {
                Ok(Request::Help(Some(c))) => assert_eq!(c.name, command.name),
                other => panic!("{line:?}: {other:?}"),
            }
        }
    }
    for line in [&[][..], &["--help"], &["-h"], &["help"], &["h"], &["--debug", "-help"]] {
        assert!(matches!(parsed(line).0, Ok(Request::Help(None))), "{line:?}");
    }
    for line in [["--version"], ["-v"], ["-version"]] {
        assert!(matches!(parsed(&line).0, Ok(Request::Version)));
    }
}
