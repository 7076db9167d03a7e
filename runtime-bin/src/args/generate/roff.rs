//! Man pages of section 8, in man(7)'s macros.

use super::super::help::INTRODUCTION;
use super::{COMMANDS, Command, Flag, GLOBAL, own_flags};
use std::fmt::Write;

/// What only the program's own page says.
const MORE: &str = "\
EXIT STATUS:
0 where the command succeeded, 1 where it failed. The foreground commands run and exec end as the process
did: with its exit code, or 128+n after signal n; an exec which could not run its process ends with 255.
A failure is one record at level error, in the file of --log or on stderr; with --log, stderr has the same text.

ENVIRONMENT:
XDG_RUNTIME_DIR has the state directory of a user who is not really root. LISTEN_FDS and LISTEN_PID say
how many descriptors of socket activation are passed on to a new container.

FILES:
    /run/orlop
    $XDG_RUNTIME_DIR/orlop

The default state directory: a directory for each container. It does not survive a reboot, as nothing it
describes does.
";

/// The page of a command, or the program's own.
pub(crate) fn page(program: &str, version: &str, command: Option<&Command>) -> String {
    let mut out = String::with_capacity(8192);
    match command {
        Some(command) => of_command(&mut out, program, version, command),
        None => of_program(&mut out, program, version),
    }
    out
}

fn title(out: &mut String, program: &str, version: &str, page: &str, summary: &str) {
    let (upper, page) = (escaped(&page.to_uppercase()), escaped(page));
    let (program, version) = (escaped(program), escaped(version));
    let _ = writeln!(out, ".TH \"{upper}\" 8 \"\" \"{program} {version}\" \"System Administration\"");
    let _ = writeln!(out, ".ad l\n.SH NAME\n{page} \\- {}", escaped(summary));
}

fn of_program(out: &mut String, program: &str, version: &str) {
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
        let _ = writeln!(out, ".TP\n\\fB{}\\fR", escaped(command.word));
        let (what, page) = (sentence(command.summary), reference(program, command.word));
        let _ = writeln!(out, "{what}. See {page}.");
    }
    let _ =
        writeln!(out, ".TP\n\\fBhelp\\fR [\\fIcommand\\fR]\nShow the list of commands, or the help of one.");
    options(out, "GLOBAL OPTIONS", GLOBAL.iter(), "");
    text(out, MORE);
    out.push_str(".SH SEE ALSO\n");
    let pages: Vec<String> = COMMANDS.iter().map(|c| reference(program, c.word)).collect();
    let _ = writeln!(out, "{}", pages.join(",\n"));
}

fn of_command(out: &mut String, program: &str, version: &str, command: &Command) {
    let word = command.word;
    title(out, program, version, &format!("{program}-{word}"), command.summary);
    let _ = write!(out, ".SH SYNOPSIS\n\\fB{} {}\\fR", escaped(program), escaped(word));
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
            escaped(word),
            escaped(form)
        );
    }
    out.push_str(".SH DESCRIPTION\n");
    let (description, rest) = split_headings(command.text);
    text(out, &description.replace("{name}", program));
    options(out, "OPTIONS", command.flags(), word);
    text(out, &rest.replace("{name}", program));
    let _ = writeln!(out, ".SH SEE ALSO\n\\fB{}\\fR(8)", escaped(program));
}

/// The text before the first headline, and the text from there: options come between.
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

/// A line in capitals with a colon at its end.
fn heading(line: &str) -> Option<&str> {
    let name = line.trim_end().strip_suffix(':')?;
    let capital = |c: char| c.is_ascii_uppercase() || c == ' ';
    (!name.starts_with(' ') && !name.is_empty() && name.chars().all(capital)).then_some(name)
}

fn options<'a>(out: &mut String, title: &str, flags: impl Iterator<Item = &'a Flag>, place: &str) {
    let _ = writeln!(out, ".SH {title}");
    for flag in flags {
        let value =
            if flag.value.is_empty() { String::new() } else { format!(" \\fI{}\\fR", escaped(flag.value)) };
        let _ = write!(out, ".TP\n\\fB\\-\\-{}\\fR{value}", escaped(flag.long));
        if let Some(short) = flag.short {
            let _ = write!(out, ", \\fB\\-{short}\\fR{value}");
        }
        let _ = writeln!(out, "{}\n{}.", if flag.repeats { " ..." } else { "" }, sentence(flag.doc));
    }
    for (long, short, doc) in own_flags(place) {
        let _ = writeln!(out, ".TP\n\\fB\\-\\-{long}\\fR, \\fB\\-{short}\\fR\n{}.", sentence(doc));
    }
}

/// Paragraphs, with headlines and, where they are indented, examples.
fn text(out: &mut String, text: &str) {
    // Whether a paragraph begins: not right behind a headline, which begins one itself.
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

/// The line, with a capital at its beginning unless that is a name.
fn sentence(doc: &str) -> String {
    let mut chars = doc.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    escaped(&first.chain(chars).collect::<String>())
}

/// How another page is named: in one piece.
fn reference(program: &str, word: &str) -> String {
    format!("\\%\\fB{}\\-{}\\fR(8)", escaped(program), escaped(word))
}

/// A text which roff prints as it is.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
