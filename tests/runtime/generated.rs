//! Help, version, completions and manual pages, as managers, shells and roff read them.

use kit::{Case, Test};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) fn cases() -> Vec<Case> {
    kit::cases![
        version_as_managers_read_it,
        help_of_every_command,
        usage_errors_say_where_help_is,
        bash_reads_the_script,
        bash_completes,
        zsh_reads_the_script,
        fish_reads_the_script,
        fish_completes,
        completion_of_an_unknown_shell_is_refused,
        man_pages_format_without_warnings,
        man_page_of_an_unknown_command_is_refused,
        man_directory_gets_all_pages,
    ]
}

/// What go-runc and dockerd parse, under any program name.
fn version_as_managers_read_it(t: &Test) {
    t.only_orlop("its name differs");
    let runc = t.dir().join("runc");
    std::os::unix::fs::symlink(t.program(), &runc).unwrap();
    for (program, name) in [(t.program(), "orlop"), (&runc, "runc")] {
        let texts = ["--version", "-v", "-version"].map(|flag| silent(t, program.to_str().unwrap(), &[flag]));
        assert!(texts.iter().all(|text| *text == texts[0]));
        let lines: Vec<&str> = texts[0].lines().collect();
        let version = lines[0].strip_prefix(&format!("{name} version ")).unwrap();
        let is_version = |text: &str| {
            let numbers = text.split(['-', '+']).next().unwrap().split('.');
            numbers.map(|number| number.parse::<u32>().is_ok()).collect::<Vec<_>>() == [true; 3]
        };
        assert!(is_version(version), "{version}");
        assert!(lines[1].strip_prefix("commit: ").is_some_and(|commit| !commit.is_empty()), "{lines:?}");
        assert!(lines[2].strip_prefix("spec: ").is_some_and(is_version), "{lines:?}");
        assert!(lines[1..].iter().all(|line| !line.contains("version")), "dockerd takes the last such line");
    }
}

fn help_of_every_command(t: &Test) {
    t.only_orlop("its help differs");
    for command in commands(t) {
        let help = t.bare([command.as_str(), "--help"]).output().success();
        assert_eq!(help.stderr, "");
        assert!(help.stdout.starts_with(&format!("NAME:\n   orlop {command} - ")), "{help}");
        for words in [["help", &command], ["h", &command], [&command, "-h"], [&command, "-help"]] {
            assert_eq!(t.bare(words).output().success().stdout, help.stdout, "{words:?}");
        }
        // `--help` takes precedence over mistakes after it, as in `checkpoint --help ID`.
        let all = t.bare([command.as_str(), "--help", "--no-such-flag"]).output().success();
        assert_eq!(all.stdout, help.stdout);
    }
    for words in [vec!["help", "sail"], vec!["sail"], vec!["sail", "--help"], vec!["h", "sail"]] {
        t.bare(words).output().refused(&["No help topic for 'sail'"]);
    }
}

fn usage_errors_say_where_help_is(t: &Test) {
    t.only_orlop("its messages differ");
    let output = t.bare(["start"]).output().refused(&["requires exactly 1 argument", "orlop start --help"]);
    assert_eq!(output.stdout, "");
}

/// The completion script, in a file.
fn script(t: &Test, shell: &str) -> PathBuf {
    t.only_orlop("it does not have this command");
    let path = t.dir().join(format!("completion.{shell}"));
    fs::write(&path, t.bare(["completion", shell]).output().success().stdout).unwrap();
    path
}

/// Runs a program, which must succeed and write nothing to stderr; returns what it prints.
fn silent(t: &Test, program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).env("HOME", t.dir()).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.is_empty(), "{program} {words:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn reads(t: &Test, shell: &str) {
    let script = script(t, shell);
    kit::needs(shell, shell);
    silent(t, shell, &["-n", script.to_str().unwrap()]);
}

fn bash_reads_the_script(t: &Test) {
    reads(t, "bash");
}

fn zsh_reads_the_script(t: &Test) {
    reads(t, "zsh");
    let load = "autoload -Uz compinit && compinit -D && source $1 && print -- $_comps[orlop]";
    let script = t.dir().join("completion.zsh");
    assert_eq!(silent(t, "zsh", &["-f", "-c", load, "zsh", script.to_str().unwrap()]), "_orlop\n");
}

fn fish_reads_the_script(t: &Test) {
    reads(t, "fish");
}

/// What bash offers after these words; the last one is incomplete.
fn bash(t: &Test, script: &Path, words: &[&str]) -> Vec<String> {
    // compopt has nothing to set outside of a completion.
    let run = "source $1; shift; compopt() { :; }; COMP_WORDBREAKS=$' \\t\\n\"\\'><=;|&(:'; COMP_WORDS=(\"$@\"); \
               COMP_CWORD=$(($# - 1)); _orlop; printf '%s\\n' \"${COMPREPLY[@]}\"; wait";
    let mut line = vec!["--norc", "-c", run, "bash", script.to_str().unwrap()];
    line.extend(words);
    silent(t, "bash", &line).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn bash_completes(t: &Test) {
    let script = script(t, "bash");
    kit::needs("bash", "bash");
    let offers = |words: &[&str]| bash(t, &script, words);
    let container = t.bundle().probe("sleep").start();
    let program = t.program().to_str().unwrap().to_owned();
    let (program, root) = (program.as_str(), t.root());
    let root = root.to_str().unwrap();
    assert_eq!(offers(&[program, "fe"]), ["features"]);
    assert_eq!(offers(&[program, "--ro"]), ["--root", "--rootless"]);
    assert_eq!(offers(&[program, "--log-format", ""]), ["text", "json"]);
    assert_eq!(offers(&[program, "--log-format", "=", "j"]), ["json"]);
    assert_eq!(offers(&[program, "--log-format", "="]), ["text", "json"]);
    assert_eq!(offers(&[program, "list", "-f", "t"]), ["table"]);
    assert_eq!(offers(&[program, "list", "--f"]), ["--format"]);
    assert_eq!(offers(&[program, "--root", root, "start", ""]), [container.id()]);
    assert_eq!(offers(&[program, "--root", "=", root, "kill", ""]), [container.id()]);
    assert_eq!(
        offers(&[program, "--root", root, "kill", "--all", "id", "SIGT"]),
        ["SIGTRAP", "SIGTERM", "SIGTSTP", "SIGTTIN", "SIGTTOU"]
    );
    assert_eq!(offers(&[program, "--root", root, "exec", "--cwd", "/", ""]), [container.id()]);
    assert!(
        offers(&[program, "--root", root, "create", ""]).is_empty(),
        "the name of a new container is free"
    );
    assert!(offers(&[program, "exec", "id", "sh", "-"]).is_empty(), "flags of the container's program");
    assert_eq!(offers(&[program, "help", "pl"]), ["plan"]);
    assert_eq!(offers(&[program, "completion", ""]), ["bash", "zsh", "fish"]);
    let here = t.dir().join("some-directory");
    fs::create_dir(&here).unwrap();
    fs::write(t.dir().join("some-file"), "").unwrap();
    let typed = t.dir().join("some-");
    let (here, typed) = (here.to_str().unwrap(), typed.to_str().unwrap());
    assert_eq!(offers(&[program, "run", "--bundle", typed]), [here]);
    assert_eq!(offers(&[program, "run", "-b", typed]), [here]);
    assert_eq!(offers(&[program, "run", "--pid-file", typed]).len(), 2);
    assert_eq!(offers(&[program, "plan", typed]), [here]);
    container.command("delete", &["--force"]).output().success();
    assert!(offers(&[program, "--root", root, "start", ""]).is_empty());
}

fn fish_completes(t: &Test) {
    let script = script(t, "fish");
    kit::needs("fish", "fish");
    let container = t.bundle().probe("sleep").start();
    let program = t.program().to_str().unwrap().to_owned();
    let bin = t.dir().join("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(program, bin.join("orlop")).unwrap();
    let offers = |line: &str| -> Vec<String> {
        let run = "set -x PATH $argv[3] $PATH; source $argv[1]; complete -C $argv[2]";
        let words = ["--no-config", "-c", run, script.to_str().unwrap(), line, bin.to_str().unwrap()];
        silent(t, "fish", &words).lines().map(|l| l.split('\t').next().unwrap().to_owned()).collect()
    };
    let root = t.root();
    let root = root.to_str().unwrap();
    assert_eq!(offers("orlop fe"), ["features"]);
    assert_eq!(offers("orlop --log-format "), ["json", "text"]);
    assert_eq!(offers("orlop --log-format=j"), ["--log-format=json"]);
    assert_eq!(offers("orlop list --form"), ["--format"]);
    assert_eq!(offers(&format!("orlop --root {root} start ")), [container.id()]);
    assert_eq!(offers(&format!("orlop --root={root} kill ")), [container.id()]);
    assert_eq!(offers(&format!("orlop --root={root} kill {} SIGTE", container.id())), ["SIGTERM"]);
    assert!(offers("orlop --root /x create ").is_empty());
    assert!(offers("orlop exec id sh --ver").is_empty());
}

fn completion_of_an_unknown_shell_is_refused(t: &Test) {
    t.only_orlop("it does not have this command");
    t.bare(["completion", "csh"]).output().refused(&["csh", "bash, zsh or fish"]);
    t.bare(["completion"]).output().refused(&["completion", "requires exactly 1 argument"]);
}

/// The names in the list of commands in `--help`.
fn commands(t: &Test) -> Vec<String> {
    let help = t.bare(["--help"]).output().success().stdout;
    let list = help.split("COMMANDS:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let first = |line: &str| line.split_whitespace().next().unwrap().trim_end_matches(',').to_owned();
    list.lines().map(first).filter(|word| word != "help").collect()
}

fn man_pages_format_without_warnings(t: &Test) {
    t.only_orlop("it does not have this command");
    kit::needs("groff", "groff-base");
    let mut all = commands(t);
    assert!(all.len() > 10);
    all.push(String::new());
    for command in all {
        let words = ["man".to_owned(), command.clone()];
        let page = t.bare(words.into_iter().filter(|w| !w.is_empty())).output().success().stdout;
        let path = t.dir().join("page.8");
        fs::write(&path, page).unwrap();
        // -z: no output; all warnings are on.
        silent(t, "groff", &["-ww", "-man", "-Tutf8", "-z", path.to_str().unwrap()]);
        let text = silent(t, "groff", &["-man", "-Tutf8", "-P-cbou", path.to_str().unwrap()]);
        assert!(text.contains("OPTIONS") && text.contains("SEE ALSO"), "{command}: {text}");
    }
}

fn man_page_of_an_unknown_command_is_refused(t: &Test) {
    t.only_orlop("it does not have this command");
    t.bare(["man", "foo"]).output().refused(&["foo"]);
    t.bare(["man", "--directory", "/no/such", "run"]).output().refused(&["--directory"]);
    t.bare(["man", "--directory", "/no/such"]).output().refused(&["/no/such/orlop.8"]);
}

fn man_directory_gets_all_pages(t: &Test) {
    t.only_orlop("it does not have this command");
    let dir = t.dir().join("man8");
    fs::create_dir(&dir).unwrap();
    t.bare(["man", "--directory", "man8"]).output().success();
    let count = fs::read_dir(&dir).unwrap().count();
    assert_eq!(count, commands(t).len() + 1);
    let page = t.bare(["man", "run"]).output().success().stdout;
    assert_eq!(fs::read_to_string(dir.join("orlop-run.8")).unwrap(), page);
}
