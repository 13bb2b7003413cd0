//! Where results are saved: what a target may be is said before the work, and nothing but a whole file ever takes its
//! place.

use crate::common::*;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Checks that both options refuse this target before any work, and say this. The data directory does not even exist.
#[track_caller]
fn refused(target: &str, expected: &str) {
    for flag in ["--save", "--weights-png"] {
        let run = words(&format!("--data /nowhere {flag} {target}"));
        let line = run.silent_error(1);
        assert!(line.starts_with(flag) && line.contains(expected), "{expected:?} in {line}");
    }
}

/// A run on small data that saves to `target`.
fn save(data: &TempDir, target: &str) -> Run {
    words(&format!("--data {} --validation 0 --steps 1 --save {target}", data.path().display()))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The rename at the end would replace the device.
#[test]
fn devices_are_not_replaced() {
    let run = words("--save /dev/null");
    assert!(run.silent_error(1).contains("neither a file nor a new name"), "{run:?}");
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn links_are_followed_and_new_files_are_ordinary() {
    let (data, dir) = (tiny_data(), scratch());
    let target = put(&dir, "target", b"old");
    symlink(&target, dir.path().join("link")).unwrap();
    for name in ["link", "new"] {
        let data = data.path().display();
        let options = format!("--data {data} --validation 0 --steps 1 --save {}", at(&dir, name));
        in_shell(&format!("umask 027; exec \"$@\" {options}")).plain();
    }
    assert!(dir.path().join("link").is_symlink());
    assert!(fs::read(&target).unwrap().len() > 31_000);
    assert_eq!(mode(&dir.path().join("new")), 0o640);
    assert_eq!(names(dir.path()), ["link", "new", "target"]);
}

/// The system stops the write in the middle, as a full disk would.
#[test]
fn write_that_fails_leaves_the_old_file() {
    let data = tiny_data();
    for flag in ["--save", "--weights-png"] {
        let dir = scratch();
        let old = put(&dir, "result", b"old");
        let shell = format!(
            "trap '' XFSZ; ulimit -f 1; exec \"$@\" --data {} --validation 0 --steps 5 {flag} {} --json",
            data.path().display(),
            old.display()
        );
        let run = in_shell(&shell);
        let line = run.silent_error(1);
        assert!(line.starts_with("cannot write") && line.contains("result"), "{line}");
        assert_eq!(fs::read(&old).unwrap(), b"old");
        assert_eq!(names(dir.path()), ["result"], "no partial file beside it");
    }
}

#[test]
fn names_too_long_are_told_first() {
    let dir = scratch();
    refused(&at(&dir, &"n".repeat(300)), "File name too long");
    refused(&at(&dir, &"n/".repeat(3000)), "File name too long");
    // Short as it is given, and too long from the root.
    let (deep, name) = ("d".repeat(220), "n".repeat(200));
    let run = in_shell(&format!(
        "cd {} && for i in $(seq 1 18); do mkdir {deep} && cd {deep} || exit 9; done; \
         exec \"$@\" --data /nowhere --save {name}",
        dir.path().display()
    ));
    let line = run.silent_error(1);
    assert!(line.starts_with("--save nnn") && line.contains("too long"), "{line}");
}

#[test]
fn links_to_nothing_and_in_circles_are_refused_and_stay() {
    let dir = scratch();
    symlink("nothing", dir.path().join("dangling")).unwrap();
    symlink("b", dir.path().join("a")).unwrap();
    symlink("a", dir.path().join("b")).unwrap();
    refused(&at(&dir, "dangling"), "is a link to nothing");
    refused(&at(&dir, "a"), "symbolic links");
    assert!(["dangling", "a", "b"].iter().all(|name| dir.path().join(name).is_symlink()));
    assert_eq!(names(dir.path()), ["a", "b", "dangling"]);
}

#[test]
fn mode_is_kept() {
    let (data, dir) = (tiny_data(), scratch());
    let target = put(&dir, "model", b"old");
    for kept in [0o600, 0o640, 0o664, 0o755, 0o200] {
        set_mode(&target, kept);
        save(&data, &at(&dir, "model")).plain();
        assert_eq!(mode(&target), kept, "{kept:o}");
        assert!(fs::metadata(&target).unwrap().len() > 31_000);
    }
    assert_eq!(names(dir.path()), ["model"]);
}

#[test]
fn read_only_files_are_refused() {
    let dir = scratch();
    let target = put(&dir, "model", b"old");
    symlink("model", dir.path().join("link")).unwrap();
    for read_only in [0o400, 0o444, 0o000, 0o555, 0o464] {
        set_mode(&target, read_only);
        for name in ["model", "link"] {
            refused(&at(&dir, name), &format!("is read-only (mode {read_only:04o})"));
        }
        assert_eq!(mode(&target), read_only);
    }
    set_mode(&target, 0o644);
    assert_eq!(fs::read(target).unwrap(), b"old");
}

/// What needs another user is tested where the tests may become one.
#[test]
fn files_of_others() {
    const NOBODY: u32 = 65_534;
    let (data, dir) = (tiny_data(), scratch());
    let target = put(&dir, "model", b"old");
    // The emulator may be where no other user reaches it.
    if fs::metadata(&target).unwrap().uid() != 0 || is_emulated() {
        return;
    }
    // The superuser writes another's file, which stays theirs.
    chown(&target, Some(NOBODY), Some(NOBODY)).unwrap();
    set_mode(&target, 0o640);
    save(&data, &at(&dir, "model")).plain();
    let found = fs::metadata(&target).unwrap();
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (NOBODY, NOBODY, 0o640));
    set_mode(&target, 0o444);
    refused(&at(&dir, "model"), "is read-only (mode 0444)");

    // A user in a directory that everybody may write.
    chown(&target, Some(0), Some(0)).unwrap();
    let binary = scratch();
    let copy = binary.path().join("softreg");
    fs::copy(env!("CARGO_BIN_EXE_softreg"), &copy).unwrap();
    set_mode(binary.path(), 0o755);
    let as_nobody = || {
        let mut command = Command::new(&copy);
        finish(command.args(["--data", "/nowhere", "--save"]).arg(&target).uid(NOBODY).gid(NOBODY).current_dir("/"))
    };
    for (directory, file, expected) in [
        (0o777, 0o644, "cannot be written"),
        (0o777, 0o444, "is read-only"),
        (0o1777, 0o666, "is another user's"),
        (0o777, 0o666, "no such directory"), // all is well with the target
        (0o755, 0o666, "cannot write in directory"),
    ] {
        set_mode(dir.path(), directory);
        set_mode(&target, file);
        let run = as_nobody();
        assert!(run.silent_error(1).contains(expected), "{directory:o} {file:o}: {run:?}");
    }
}

/// The rename would cut off the text that is still to come.
#[test]
fn the_programs_own_output_is_not_replaced() {
    let (data, dir) = (tiny_data(), scratch());
    let file = at(&dir, "out");
    let arguments = format!("--data {} --validation 0 --steps 1 --save", data.path().display());
    for (target, redirected) in [
        ("/dev/stdout", format!(">{file}")),
        ("/dev/fd/1", format!(">>{file}")),
        (&file, format!(">{file}")),
        (&file, format!("2>{file}")),
    ] {
        let run = in_shell(&format!("\"$@\" {arguments} {target} {redirected}"));
        let text = run.stderr + &fs::read_to_string(&file).unwrap();
        assert_eq!((run.code, text.lines().count()), (Some(1), 1), "{text}");
        assert!(text.contains("--save") && text.contains("the program's own output"), "{text}");
    }
    let run = words(&format!("{arguments} /dev/stdout"));
    assert!(run.silent_error(1).contains("neither a file nor a new name"), "{run:?}");
}

#[test]
fn a_signal_ends_the_run_and_leaves_the_old_file() {
    let (data, dir) = (tiny_data(), scratch());
    let target = put(&dir, "model", b"old");
    // No shell has these ignored.
    for (signal, code) in [("ALRM", 142), ("TERM", 143)] {
        let mut child = command()
            .args(["--validation", "0", "--steps", "1000000000", "--data"])
            .arg(data.path())
            .arg("--save")
            .arg(&target)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("data "), "{line}");
        assert!(
            Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap().success()
        );
        assert_eq!(child.wait().unwrap().code(), Some(code), "{signal}");
        assert_eq!(names(dir.path()), ["model"]);
        assert_eq!(fs::read(&target).unwrap(), b"old");
    }
}

/// The limit's own signal would end the program in the middle of the write.
#[test]
fn a_file_size_limit_is_an_error() {
    // An emulator ends by the signal before the program sees it.
    if is_emulated() {
        return;
    }
    let (data, dir) = (tiny_data(), scratch());
    let old = put(&dir, "model", b"old");
    let run = in_shell(&format!(
        "ulimit -f 1; exec \"$@\" --data {} --validation 0 --steps 1 --save {} --json",
        data.path().display(),
        old.display()
    ));
    assert!(run.silent_error(1).starts_with("cannot write"), "{run:?}");
    assert_eq!((names(dir.path()), fs::read(&old).unwrap()), (vec!["model".to_owned()], b"old".to_vec()));
}
