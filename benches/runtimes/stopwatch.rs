//! The other end of `benches/floor/stopwatch.c`.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::Result;

/// A sample, or the reason why it was not taken.
pub(crate) type Sample = std::result::Result<f64, String>;

/// A running stopwatch.
pub(crate) struct Stopwatch {
    process: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    complaints: PathBuf,
    complaints_file: File,
}

impl Stopwatch {
    /// Starts it; what the commands print on stderr goes to a file in `work`.
    pub(crate) fn start(program: &Path, work: &Path) -> Result<Self> {
        let complaints = work.join("stderr");
        let complaints_file = OpenOptions::new().create(true).truncate(true).write(true).open(&complaints)?;
        let mut process =
            Command::new(program).arg(&complaints).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let requests = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().ok_or("the stopwatch has no output")?);
        Ok(Self { process, requests, answers, complaints, complaints_file })
    }

    /// Milliseconds from spawn to exit of a command which must exit with `status`.
    pub(crate) fn run(&mut self, status: i32, command: &[String]) -> Result<Sample> {
        self.ask(&format!("run\t{status}"), command)
    }

    /// Milliseconds that `batch` such commands take, `width` at a time.
    pub(crate) fn burst(
        &mut self,
        status: i32,
        width: usize,
        batch: usize,
        command: &[String],
    ) -> Result<Sample> {
        self.ask(&format!("burst\t{status}\t{width}\t{batch}"), command)
    }

    /// Waits for a container's process.
    pub(crate) fn reap(&mut self, status: i32, pid_file: &Path) -> Result<Sample> {
        self.ask(&format!("reap\t{status}"), &[pid_file.display().to_string()])
    }

    fn ask(&mut self, request: &str, arguments: &[String]) -> Result<Sample> {
        self.complaints_file.set_len(0)?;
        let requests = self.requests.as_mut().ok_or("the stopwatch has no input")?;
        requests.write_all(format!("{request}\t{}\n", arguments.join("\t")).as_bytes())?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        match answer.trim_end().split_once('\t') {
            Some(("ok", microseconds)) => Ok(Ok(microseconds.parse::<f64>()? / 1e3)),
            Some(("fail", status)) => Ok(Err(self.reason(status))),
            _ => Err("the stopwatch has exited".into()),
        }
    }

    fn reason(&self, status: &str) -> String {
        let said = fs::read_to_string(&self.complaints).unwrap_or_default();
        let line = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing on stderr");
        let what = match status {
            "-1" => "it did not exit".into(),
            "-2" => "there is no such process".into(),
            status => format!("exit status {status}"),
        };
        format!("{what}: {}", line.chars().take(200).collect::<String>())
    }
}

impl Drop for Stopwatch {
    fn drop(&mut self) {
        drop(self.requests.take());
        let _ = self.process.wait();
    }
}
