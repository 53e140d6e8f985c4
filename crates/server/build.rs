//! Puts the shipped rules into the binary.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../../rules");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let mut out = String::from("pub(crate) const SHIPPED: &[(&str, &str)] = &[\n");
    for file in &files {
        println!("cargo:rerun-if-changed={}", file.display());
        let name = file.strip_prefix(&root).expect("it was found below").display();
        let path = file.canonicalize().expect("it was found");
        writeln!(out, "    ({:?}, include_str!({:?})),", format!("rules/{name}"), path.display().to_string())
            .expect("writes to a String");
    }
    out.push_str("];\n");
    let defaults = root.join("defaults.toml").canonicalize().expect("rules/defaults.toml is there");
    writeln!(out, "pub(crate) const DEFAULTS: &str = include_str!({:?});", defaults.display().to_string())
        .expect("writes to a String");
    let target = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it")).join("shipped_rules.rs");
    fs::write(target, out).expect("the folder of the build can be written");
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).expect("the folder `rules` is there");
    for entry in entries.map(|it| it.expect("it can be listed").path()) {
        let name = entry.file_name().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
        if entry.is_dir() {
            collect(&entry, files);
        } else if name.ends_with(".yml") && !name.ends_with(".test.yml") {
            files.push(entry);
        }
    }
}
