//! What the tool says to programs. A name is text where it is UTF-8; where it is not, its bytes stand beside it in hex.

use fs::{Attr, Finding, Holder, Hurt, Kind, Report, Severity};
use serde_json::{Map, Value, json};

/// `name` under `key`, and `key_hex` where it is no text.
fn put_name(object: &mut Map<String, Value>, key: &str, name: &[u8]) {
    object.insert(key.to_owned(), String::from_utf8_lossy(name).into());
    if std::str::from_utf8(name).is_err() {
        let hex: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        object.insert(format!("{key}_hex"), hex.into());
    }
}

/// Runs of bad sectors, and whose they are.
pub(crate) fn hurt(hurt: &[Hurt]) -> Value {
    hurt.iter().map(one_hurt).collect()
}

fn one_hurt(hurt: &Hurt) -> Value {
    let mut object = Map::new();
    object.insert("sector".to_owned(), hurt.range.start.get().into());
    object.insert("count".to_owned(), hurt.range.count.into());
    let holder = match &hurt.holder {
        Holder::Metadata => "metadata",
        Holder::Nobody => "free",
        Holder::File { ino, at, path } => {
            object.insert("inode".to_owned(), ino.get().into());
            object.insert("offset".to_owned(), at.get().into());
            if let Some(path) = path {
                put_name(&mut object, "path", path);
            }
            "file"
        }
    };
    object.insert("holder".to_owned(), holder.into());
    object.into()
}

/// What an examination found.
pub(crate) fn report(image: &str, report: &Report, status: u8) -> Map<String, Value> {
    let findings: Vec<Value> = report.findings.iter().map(finding).collect();
    let value = json!({
        "image": image,
        "status": status,
        "refused": report.refused.map(|refused| refused.to_string()),
        "findings": findings,
        "left_out": report.left_out,
        "records": report.records,
        "records_behind_damage": report.behind,
        "files": report.files,
        "directories": report.directories,
        "symlinks": report.symlinks,
        "hurt": hurt(&report.hurt),
    });
    if let Value::Object(object) = value { object } else { Map::new() }
}

fn finding(finding: &Finding) -> Value {
    let severity = match finding.severity {
        Severity::Unfinished => "unfinished",
        Severity::Repairable => "copy",
        Severity::Error => "error",
    };
    json!({
        "what": finding.what.to_string(),
        "severity": severity,
        "byte": finding.at.map(|at| at.get()),
        "inode": finding.ino.map(|ino| ino.get()),
    })
}

/// A file as `ls` shows it.
pub(crate) fn file(path: &[u8], attr: &Attr, target: Option<&[u8]>) -> Value {
    let kind = match attr.kind {
        Kind::File => "file",
        Kind::Directory => "directory",
        Kind::Symlink => "symlink",
    };
    let mut object = Map::new();
    put_name(&mut object, "name", path);
    let value = json!({
        "kind": kind,
        "inode": attr.ino.get(),
        "mode": format!("{:04o}", attr.mode),
        "links": attr.nlink,
        "uid": attr.uid,
        "gid": attr.gid,
        "size": attr.size,
        "mtime": attr.mtime.secs,
        "mtime_nanos": attr.mtime.nanos,
    });
    if let Value::Object(more) = value {
        object.extend(more);
    }
    if let Some(target) = target {
        put_name(&mut object, "target", target);
    }
    object.into()
}
