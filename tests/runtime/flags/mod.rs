//! No flag is accepted and ignored: one observable effect of every flag of every command.
//!
//! The flags are those in `--help`, which is written from the table; a flag without an effect here fails
//! [`every_flag_has_an_effect`]. The effect of a new flag goes into the file of its command.

mod criu;
mod exec;
mod global;
mod limits;
mod new;
mod others;

use kit::{Case, Test};
use std::collections::BTreeSet;

/// A command ("" before the command), a flag without its dashes, and what it does.
type Effect = (&'static str, &'static str, fn(&Test));

fn effects() -> impl Iterator<Item = &'static Effect> {
    [global::EFFECTS, new::EFFECTS, exec::EFFECTS, limits::EFFECTS, criu::EFFECTS, others::EFFECTS]
        .into_iter()
        .flatten()
}

pub(crate) fn cases() -> Vec<Case> {
    let each = effects().map(|(command, flag, check)| {
        let check = *check;
        Case::new(
            format!("runtime::flags::{command}{}--{flag}", &" "[..usize::from(!command.is_empty())]),
            move |t| {
                t.only_orlop("its flags differ");
                check(t);
            },
        )
    });
    kit::cases![every_flag_has_an_effect].into_iter().chain(each).collect()
}

/// The first words of the lines below that headline of a help text.
fn listed(help: &str, headline: &str) -> Vec<String> {
    let list = help.split(&format!("{headline}:\n")).nth(1).unwrap_or("").split("\n\n").next().unwrap();
    let first = |line: &str| line.split([' ', ',']).find(|word| !word.is_empty()).unwrap_or("").to_owned();
    list.lines().map(first).collect()
}

fn every_flag_has_an_effect(t: &Test) {
    t.only_orlop("its flags differ");
    let help = t.bare(["--help"]).output().success().stdout;
    let own = ["--help", "--version"];
    let mut wanted: BTreeSet<(String, String)> =
        listed(&help, "GLOBAL OPTIONS").into_iter().map(|flag| (String::new(), flag)).collect();
    for command in listed(&help, "COMMANDS").into_iter().filter(|command| command != "help") {
        let help = t.bare([&command, "--help"]).output().success().stdout;
        wanted.extend(listed(&help, "OPTIONS").into_iter().map(|flag| (command.clone(), flag)));
    }
    wanted.retain(|(_, flag)| !own.contains(&flag.as_str()));
    assert!(wanted.len() > 60, "{wanted:?}");
    let found: BTreeSet<_> = effects().map(|(c, flag, _)| ((*c).to_owned(), format!("--{flag}"))).collect();
    assert_eq!(found.len(), effects().count(), "a flag has two entries");
    let difference: Vec<_> = wanted.symmetric_difference(&found).collect();
    assert!(difference.is_empty(), "flags without an effect, or effects without a flag: {difference:?}");
}
