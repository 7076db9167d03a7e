//! The cost of creating a container with the library, for a program with much memory and one with little.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use orlop::bundle::Bundle;
use orlop::container::{CreateOptions, Runtime};

use crate::Result;
use crate::stopwatch::Sample;

/// The argument with which the bench runs itself as such a program.
pub(crate) const MODE: &str = "--creator";
const PAGE: usize = 4096;

/// Such a program, seen from the bench.
pub(crate) struct Creator {
    process: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Creator {
    /// Starts one that holds that much memory.
    pub(crate) fn start(megabytes: usize, root: &Path, bundle: &Path) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(MODE)
            .arg(megabytes.to_string())
            .args([root, bundle])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let requests = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().ok_or("the creator has no output")?);
        Ok(Self { process, requests, answers })
    }

    /// Milliseconds that creating a container takes; it is then started, waited for and deleted.
    pub(crate) fn create(&mut self, id: &str) -> Result<Sample> {
        let requests = self.requests.as_mut().ok_or("the creator has no input")?;
        writeln!(requests, "{id}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        Ok(answer.trim_end().parse::<f64>().map_err(|_| answer.trim_end().to_owned()))
    }
}

impl Drop for Creator {
    fn drop(&mut self) {
        drop(self.requests.take());
        let _ = self.process.wait();
    }
}

/// The program itself: `MEGABYTES ROOT BUNDLE`; for each line, an ID, it answers with milliseconds or a reason.
pub(crate) fn serve(arguments: &[String]) -> Result<()> {
    let [megabytes, root, bundle] = arguments else { return Err("MEGABYTES ROOT BUNDLE are wanted".into()) };
    let mut memory = vec![0_u8; megabytes.parse::<usize>()? << 20];
    memory.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
    let runtime = Runtime::new(root)?;
    let bundle = Bundle::load(bundle)?;
    let mut output = std::io::stdout();
    for id in std::io::stdin().lock().lines() {
        match life(&runtime, &bundle, &id?) {
            Ok(milliseconds) => writeln!(output, "{milliseconds}")?,
            Err(error) => writeln!(output, "{}", error.to_string().replace('\n', " "))?,
        }
        output.flush()?;
    }
    black_box(memory);
    Ok(())
}

fn life(runtime: &Runtime, bundle: &Bundle, id: &str) -> orlop::Result<f64> {
    let begin = Instant::now();
    let container = runtime.create(id, bundle, &CreateOptions::default())?;
    let taken = begin.elapsed();
    container.start()?;
    container.wait()?;
    container.delete(false)?;
    Ok(taken.as_secs_f64() * 1e3)
}
