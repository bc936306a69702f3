//! A medium whose plug can be pulled.
