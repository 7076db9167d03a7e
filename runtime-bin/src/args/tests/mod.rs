//! Both stages against the table, and against the command lines that managers really use.

mod parser;
mod recorded;
mod samples;
mod table;
mod typed;
