//! Sources without the machine they were compiled on: the project's from its own folder, a library's from its name.

use std::collections::BTreeSet;

/// The path of a source file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Source {
    /// As a report shows it.
    pub(crate) path: String,
    /// Whether it is not the project's own.
    pub(crate) library: bool,
}

/// Shortens `path`; `roots` are the folders that the project's own crates were compiled in.
pub(crate) fn shorten(path: &str, roots: &BTreeSet<String>) -> Source {
    if let Some(rest) = symbols::library(path) {
        return library(rest);
    }
    let own = roots.iter().rev().find_map(|root| path.strip_prefix(root.as_str())?.strip_prefix('/'));
    match own {
        Some(rest) => Source { path: rest.to_owned(), library: false },
        None if path.starts_with('/') => library(tail(path)),
        None => Source { path: path.to_owned(), library: false },
    }
}

fn library(path: &str) -> Source {
    Source { path: path.to_owned(), library: true }
}

/// The last three parts of a path of unknown origin.
fn tail(path: &str) -> &str {
    path.rmatch_indices('/').nth(2).map_or(path, |(at, _)| &path[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_tells_of_the_machine() {
        let roots = BTreeSet::from(["/home/a".to_owned(), "/home/a/vitrine".to_owned()]);
        let own = |path: &str| Source { path: path.to_owned(), library: false };
        for (path, want) in [
            ("/home/a/vitrine/kernel/src/main.rs", own("kernel/src/main.rs")),
            ("/home/a/other/src/main.rs", own("other/src/main.rs")),
            ("kernel/src/main.rs", own("kernel/src/main.rs")),
            ("/rustc/0123abcd/library/core/src/fmt/mod.rs", library("core/src/fmt/mod.rs")),
            ("/opt/rust/lib/rustlib/src/rust/library/alloc/src/vec/mod.rs", library("alloc/src/vec/mod.rs")),
            ("/home/a/.cargo/registry/src/index-1949cf8c/elf-0.8.0/src/parse.rs", library("elf-0.8.0/src/parse.rs")),
            ("/usr/src/libelse/deep/src/lib.rs", library("deep/src/lib.rs")),
            ("/lib.rs", library("/lib.rs")),
        ] {
            assert_eq!(shorten(path, &roots), want, "{path}");
        }
    }
}
