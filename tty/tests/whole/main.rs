//! The line discipline, from outside: what a person types, what a program reads, and what Linux makes of the same.

mod common;
mod lines;
mod linux;
mod model;
mod reading;
