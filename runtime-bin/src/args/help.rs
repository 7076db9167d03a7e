//! Help, printed from the table.

use super::table::{COMMANDS, Command, Flag, GLOBAL_FLAGS};
use std::fmt::Write;

pub(super) const INTRODUCTION: &str = "\
{name} runs containers from OCI bundles. A bundle is a directory with a config.json and a root
file system; \"{name} spec\" writes a config.json to start from. To run one:

    # {name} run -b bundle <container-id>

\"{name} plan bundle\" explains what that would do, step by step.";

/// The program's help.
pub(crate) fn program(name: &str, version: &str) -> String {
    let mut out = String::with_capacity(4096);
    let _ = write!(out, "NAME:\n   {name} - Open Container Initiative runtime\n\n");
    let _ = write!(out, "{}\n\n", INTRODUCTION.replace("{name}", name));
    let _ = write!(out, "USAGE:\n   {name} [global options] command [command options] [arguments...]\n\n");
    let _ = write!(out, "VERSION:\n   {}\n\nCOMMANDS:\n", version.trim_end());
    let help = ("help, h".to_owned(), "show the list of commands, or the help of one");
    columns(&mut out, COMMANDS.iter().map(|c| (c.name.to_owned(), c.summary)).chain([help]));
    out.push_str("\nGLOBAL OPTIONS:\n");
    let more = [("--help, -h", "show help"), ("--version, -v", "print the version")];
    columns(&mut out, GLOBAL_FLAGS.iter().map(row).chain(more.map(|(l, r)| (l.to_owned(), r))));
    out
}

/// One command's help.
pub(crate) fn command(program: &str, command: &Command) -> String {
    let mut out = String::with_capacity(2048);
    let name = command.name;
    let _ = write!(out, "NAME:\n   {program} {name} - {}\n\nUSAGE:\n   {program} {name}", command.summary);
    if command.flags().next().is_some() {
        out.push_str(" [command options]");
    }
    if !command.usage.is_empty() {
        let _ = write!(out, " {}", command.usage);
    }
    out.push_str("\n\nDESCRIPTION:\n");
    for line in command.description.replace("{name}", program).lines() {
        let _ = writeln!(out, "{}{line}", if line.is_empty() { "" } else { "   " });
    }
    out.push_str("\nOPTIONS:\n");
    columns(&mut out, command.flags().map(row).chain([("--help, -h".to_owned(), "show help")]));
    out
}

fn row(flag: &Flag) -> (String, &str) {
    let value = if flag.value_name.is_empty() { String::new() } else { format!(" {}", flag.value_name) };
    let mut left = format!("--{}{value}", flag.long);
    if let Some(short) = flag.short {
        let _ = write!(left, ", -{short}{value}");
    }
    if flag.repeats {
        left.push_str(" ...");
    }
    (left, flag.help)
}

fn columns<'a>(out: &mut String, rows: impl Iterator<Item = (String, &'a str)>) {
    let rows: Vec<_> = rows.collect();
    let width = rows.iter().map(|(left, _)| left.len()).max().unwrap_or(0);
    for (left, right) in rows {
        let _ = writeln!(out, "   {left:width$}  {right}");
    }
}
