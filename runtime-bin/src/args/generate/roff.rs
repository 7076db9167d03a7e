//! Man pages of section 8, in the macros of man(7).

use super::super::help::INTRODUCTION;
use super::super::table::{COMMANDS, Command, Flag, GLOBAL_FLAGS};
use super::index::built_in_flags;
use std::fmt::Write;

/// What only the program's page says.
const MORE: &str = "\
EXIT STATUS:
0 if the command succeeded, 1 if it failed. The foreground commands run and exec exit as the process did:
with its exit code, or 128+n after signal n. An exec that could not run its process exits with 255.
A failure is one record at level error, in the file of --log or on stderr; with --log, stderr has the same text.

ENVIRONMENT:
XDG_RUNTIME_DIR is the base of the state directory when not running as real root. LISTEN_FDS and LISTEN_PID say
how many descriptors of socket activation are passed on to a new container.

FILES:
    /run/orlop
    $XDG_RUNTIME_DIR/orlop

The default state directory: one directory for each container. It is on tmpfs and does not survive a reboot;
neither do the containers.
";

/// The page of a command, or the program's page.
pub(crate) fn page(program: &str, version: &str, command: Option<&Command>) -> String {
    let mut out = String::with_capacity(8192);
    match command {
        Some(command) => command_page(&mut out, program, version, command),
        None => program_page(&mut out, program, version),
    }
    out
}

fn title(out: &mut String, program: &str, version: &str, page: &str, summary: &str) {
    let (upper, page) = (escaped(&page.to_uppercase()), escaped(page));
    let (program, version) = (escaped(program), escaped(version));
    let _ = writeln!(out, ".TH \"{upper}\" 8 \"\" \"{program} {version}\" \"System Administration\"");
    let _ = writeln!(out, ".ad l\n.SH NAME\n{page} \\- {}", escaped(summary));
}

fn program_page(out: &mut String, program: &str, version: &str) {
    title(out, program, version, program, "Open Container Initiative runtime");
    let _ = writeln!(
        out,
        ".SH SYNOPSIS\n\\fB{}\\fR [global options] \\fIcommand\\fR [command options] [arguments...]",
        escaped(program)
    );
    out.push_str(".SH DESCRIPTION\n");
    text(out, &INTRODUCTION.replace("{name}", program));
    out.push_str(".SH COMMANDS\n");
    for command in COMMANDS {
        let _ = writeln!(out, ".TP\n\\fB{}\\fR", escaped(command.name));
        let (what, page) = (sentence(command.summary), reference(program, command.name));
        let _ = writeln!(out, "{what}. See {page}.");
    }
    let _ =
        writeln!(out, ".TP\n\\fBhelp\\fR [\\fIcommand\\fR]\nShow the list of commands, or the help of one.");
    options(out, "GLOBAL OPTIONS", GLOBAL_FLAGS.iter(), "");
    text(out, MORE);
    out.push_str(".SH SEE ALSO\n");
    let pages: Vec<String> = COMMANDS.iter().map(|c| reference(program, c.name)).collect();
    let _ = writeln!(out, "{}", pages.join(",\n"));
}

fn command_page(out: &mut String, program: &str, version: &str, command: &Command) {
    let name = command.name;
    title(out, program, version, &format!("{program}-{name}"), command.summary);
    let _ = write!(out, ".SH SYNOPSIS\n\\fB{} {}\\fR", escaped(program), escaped(name));
    if command.flags().next().is_some() {
        out.push_str(" [command options]");
    }
    let mut forms = command.usage.split("  ||  ");
    let _ = writeln!(out, " {}", escaped(forms.next().unwrap_or_default()));
    for form in forms {
        let _ = writeln!(
            out,
            ".br\n\\fB{} {}\\fR [command options] {}",
            escaped(program),
            escaped(name),
            escaped(form)
        );
    }
    out.push_str(".SH DESCRIPTION\n");
    let (description, rest) = split_headings(command.description);
    text(out, &description.replace("{name}", program));
    options(out, "OPTIONS", command.flags(), name);
    text(out, &rest.replace("{name}", program));
    let _ = writeln!(out, ".SH SEE ALSO\n\\fB{}\\fR(8)", escaped(program));
}

/// The text before the first heading, and the rest: the options come between them.
fn split_headings(text: &str) -> (&str, &str) {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if heading(line).is_some() {
            return text.split_at(at);
        }
        at += line.len();
    }
    (text, "")
}

/// The text of a line in capitals that ends with a colon.
fn heading(line: &str) -> Option<&str> {
    let name = line.trim_end().strip_suffix(':')?;
    let capital = |c: char| c.is_ascii_uppercase() || c == ' ';
    (!name.starts_with(' ') && !name.is_empty() && name.chars().all(capital)).then_some(name)
}

fn options<'a>(out: &mut String, title: &str, flags: impl Iterator<Item = &'a Flag>, scope: &str) {
    let _ = writeln!(out, ".SH {title}");
    for flag in flags {
        let value = if flag.value_name.is_empty() {
            String::new()
        } else {
            format!(" \\fI{}\\fR", escaped(flag.value_name))
        };
        let _ = write!(out, ".TP\n\\fB\\-\\-{}\\fR{value}", escaped(flag.long));
        if let Some(short) = flag.short {
            let _ = write!(out, ", \\fB\\-{short}\\fR{value}");
        }
        let _ = writeln!(out, "{}\n{}.", if flag.repeats { " ..." } else { "" }, sentence(flag.help));
    }
    for (long, short, help) in built_in_flags(scope) {
        let _ = writeln!(out, ".TP\n\\fB\\-\\-{long}\\fR, \\fB\\-{short}\\fR\n{}.", sentence(help));
    }
}

/// Paragraphs, headings, and examples, which are indented.
fn text(out: &mut String, text: &str) {
    // Whether a paragraph begins here. A heading begins one itself.
    let (mut example, mut begins) = (false, false);
    for line in text.lines() {
        let indented = line.starts_with("    ");
        if example && !indented {
            out.push_str(".EE\n.RE\n");
        }
        if line.is_empty() {
            begins = true;
        } else if let Some(name) = heading(line) {
            let _ = writeln!(out, ".SH {name}");
            begins = false;
        } else {
            if std::mem::take(&mut begins) {
                out.push_str(".PP\n");
            }
            if indented && !example {
                out.push_str(".RS 4\n.EX\n");
            }
            let _ = writeln!(out, "{}", escaped(line.strip_prefix("    ").unwrap_or(line)));
        }
        example = indented;
    }
    if example {
        out.push_str(".EE\n.RE\n");
    }
}

/// The text with its first letter in upper case.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    escaped(&first.chain(chars).collect::<String>())
}

/// A reference to another page, which is not hyphenated.
fn reference(program: &str, name: &str) -> String {
    format!("\\%\\fB{}\\-{}\\fR(8)", escaped(program), escaped(name))
}

/// A text that roff prints as it is.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
