//! The floors of the library: every module imports only from the floors below its own, as `floors.txt` lists them. Reads
//! the sources as text; what they do is the other tests' business.

use std::fs;
use std::path::{Path, PathBuf};

/// The floors, from the lowest.
fn floors() -> Vec<Vec<&'static str>> {
    let lines = include_str!("floors.txt").lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split("::").collect()).collect()
}

/// The floor of a module: that of the longest line that it begins with.
fn floor(floors: &[Vec<&str>], module: &[String]) -> Option<usize> {
    let begins = |line: &&Vec<&str>| module.len() >= line.len() && line.iter().zip(module).all(|(a, b)| a == b);
    let longest = floors.iter().filter(begins).max_by_key(|line| line.len())?;
    floors.iter().position(|line| line == longest)
}

/// Every Rust file below a directory, but those of tests, which may use what they like.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("the sources are there");
    let paths = entries.map(|entry| entry.expect("a readable directory").path());
    let paths = paths.filter(|path| !path.ends_with("tests.rs"));
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The module that a file holds, by its path below `src`.
fn module(path: &Path) -> Vec<String> {
    let parts = path.with_extension("");
    let parts = parts.iter().map(|part| part.to_str().expect("ASCII names").to_owned());
    parts.filter(|part| part != "mod" && part != "lib").collect()
}

/// The imports of a file: the line each begins at, and the paths it names, without what they are renamed to.
fn imports(text: &str) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut at = 0;
    for (number, line) in text.lines().enumerate() {
        let start = at;
        at += line.len() + 1;
        let statement = line.trim_start();
        let statement = match statement.strip_prefix("pub") {
            Some(rest) if rest.starts_with('(') => rest.split_once(')').map_or(rest, |(_, rest)| rest).trim_start(),
            Some(rest) => rest.trim_start(),
            None => statement,
        };
        if statement.starts_with("use ") {
            let begin = start + line.find("use ").expect("just found") + 4;
            let end = text[begin..].find(';').map_or(text.len(), |end| begin + end);
            found.push((number + 1, expand(&text[begin..end].split_whitespace().collect::<Vec<_>>().join(" "))));
        }
    }
    found
}

/// The paths of a tree: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn expand(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree).trim();
        return if path.is_empty() { Vec::new() } else { vec![path.to_owned()] };
    };
    let (prefix, rest) = (&tree[..open], &tree[open + 1..]);
    let (mut depth, mut parts, mut part) = (0, Vec::new(), String::new());
    for character in rest.chars() {
        match character {
            '}' if depth == 0 => break,
            ',' if depth == 0 => parts.push(std::mem::take(&mut part)),
            _ => {
                depth += i32::from(character == '{') - i32::from(character == '}');
                part.push(character);
            }
        }
    }
    parts.push(part);
    parts.iter().flat_map(|part| expand(part)).map(|path| format!("{prefix}{path}")).collect()
}

/// The module path that an import of `module` names, from the root; `None` where it is another crate's.
fn resolve(module: &[String], is_module: &dyn Fn(&[String]) -> bool, path: &str) -> Option<Vec<String>> {
    let mut parts: Vec<String> = path.split("::").map(str::to_owned).collect();
    let mut base = match parts[0].as_str() {
        "crate" => Vec::new(),
        "self" => module.to_vec(),
        "super" => module[..module.len().saturating_sub(1)].to_vec(),
        _ => {
            let child = [module, &parts[..1]].concat();
            return is_module(&child).then(|| [module, &parts].concat());
        }
    };
    parts.remove(0);
    while parts.first().is_some_and(|part| part == "super") {
        base.pop();
        parts.remove(0);
    }
    Some([base, parts].concat())
}

/// What climbs in a file: the line and the words for it.
fn climbing(module: &[String], text: &str, is_module: &dyn Fn(&[String]) -> bool) -> Vec<String> {
    let floors = floors();
    // Tests at a file's end may use what they like.
    let text = text.split("\nmod tests {").next().unwrap_or(text);
    let own = floor(&floors, module);
    let mut climbing = Vec::new();
    for (line, paths) in imports(text) {
        for path in paths {
            let Some(target) = resolve(module, is_module, &path) else { continue };
            // The root of the crate re-exports and stands above all.
            let allowed = module.is_empty() || floor(&floors, &target).is_some_and(|target| Some(target) <= own);
            if !allowed {
                climbing.push(format!("{line}: {} imports {path}", module.join("::")));
            }
        }
    }
    climbing
}

#[test]
fn no_module_imports_from_a_floor_above_its_own() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = files(&source);
    let modules: Vec<_> = files.iter().map(|path| module(path.strip_prefix(&source).expect("below src"))).collect();
    let floors = floors();
    let is_module = |path: &[String]| modules.iter().any(|module| module == path);
    let mut found = Vec::new();
    for (path, module) in files.iter().zip(&modules) {
        assert!(module.is_empty() || floor(&floors, module).is_some(), "{} is on no floor", path.display());
        let text = fs::read_to_string(path).expect("a readable file");
        found.extend(climbing(module, &text, &is_module).into_iter().map(|what| format!("{}:{what}", path.display())));
    }
    assert!(found.is_empty(), "imports from above:\n{}", found.join("\n"));
    for line in &floors {
        let module: Vec<String> = line.iter().map(|&part| part.to_owned()).collect();
        assert!(modules.contains(&module), "floors.txt: there is no module {}", line.join("::"));
    }
}

#[test]
fn a_planted_import_is_found() {
    let is_module = |path: &[String]| path == ["kernel", "forward"];
    let found = |module: &str, text: &str| {
        climbing(&module.split("::").map(str::to_owned).collect::<Vec<_>>(), text, &is_module)
    };
    assert_eq!(found("simd::avx2", "use core::arch::x86_64::*;\nuse super::{Kernel, Simd};\n"), [""; 0]);
    assert_eq!(
        found("matrix", "\n    use crate::parameters::Parameters;\n"),
        ["2: matrix imports crate::parameters::Parameters"]
    );
    assert_eq!(found("exec", "pub(crate) use crate::{\n    error::Error,\n    kernel::{self, plan},\n};\n").len(), 2);
    assert_eq!(found("kernel", "use forward::Forward;\nuse super::model::metrics as m;\n").len(), 1);
    assert_eq!(found("kernel::feature_lanes::update", "use super::super::forward::Forward;\n").len(), 1);
    assert_eq!(found("data::idx", "use crate::Error;\n").len(), 1, "the root stands above all");
}
