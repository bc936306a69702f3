//! EL0: a small library, and programs.
#![no_std]
