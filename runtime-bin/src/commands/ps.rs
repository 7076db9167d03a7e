//! `ps`

use super::open;
use crate::args::{PsArgs, PsOutput};
use crate::failure::{Failure, Outcome};
use crate::log::Log;
use crate::output;
use std::ffi::OsString;
use std::io::Read;
use std::process::{Command, Stdio};

pub(super) fn ps(args: &PsArgs, log: &Log) -> Outcome {
    let pids = open::container(&args.container, log)?.processes()?;
    match &args.output {
        PsOutput::Json => output::json_line(&pids),
        PsOutput::Table { .. } if pids.is_empty() => Ok(0),
        PsOutput::Table { options } => output::print(&table(&run(&mut host_ps(options))?, &pids)?),
    }
}

fn host_ps(options: &[OsString]) -> Command {
    let mut command = Command::new("ps");
    if options.is_empty() {
        command.arg("-ef");
    }
    command.args(options);
    command
}

/// The output of the host's ps. Its stderr is this program's.
fn run(command: &mut Command) -> Result<String, Failure> {
    // Command::output panics if its pipes cannot be read.
    let failed = |what: &'static str| move |e| Failure::io(what, "ps".as_ref(), &e);
    command.stdin(Stdio::null()).stderr(Stdio::inherit()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(failed("run"))?;
    let mut text = Vec::new();
    let read = child.stdout.take().map_or(Ok(0), |mut pipe| pipe.read_to_end(&mut text));
    let status = child.wait().map_err(failed("wait for"))?;
    read.map_err(failed("read the output of"))?;
    if !status.success() {
        return Err(Failure::new(format!("ps: {status}")));
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The header, and the lines of these processes.
fn table(text: &str, pids: &[i32]) -> Result<String, Failure> {
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let column = header
        .split_ascii_whitespace()
        .position(|name| name == "PID")
        .ok_or_else(|| Failure::new("couldn't find PID field in ps output"))?;
    let is_of_container = |line: &&str| {
        let field = line.split_ascii_whitespace().nth(column).and_then(|field| field.parse().ok());
        field.is_some_and(|pid| pids.contains(&pid))
    };
    let mut out = String::with_capacity(text.len());
    for line in std::iter::once(header).chain(lines.filter(is_of_container)) {
        out.push_str(line);
        out.push('\n');
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_and_the_lines_of_the_container_are_printed() {
        let text =
            "UID   PID  PPID CMD\nroot    1     0 init 22\nroot   22     1 sleep 1\n 7    221    22 x\n";
        assert_eq!(
            table(text, &[22, 221]).unwrap(),
            "UID   PID  PPID CMD\nroot   22     1 sleep 1\n 7    221    22 x\n"
        );
        assert_eq!(table("  PID\n    5\n", &[5]).unwrap(), "  PID\n    5\n");
    }

    #[test]
    fn output_without_process_ids_is_rejected() {
        for text in ["", "UID CMD\nroot 22\n"] {
            assert!(table(text, &[22]).unwrap_err().message.contains("PID"));
        }
    }
}
