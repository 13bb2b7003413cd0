//! Memory that cannot be had: one line on standard error and exit code 1, whatever it was wanted for.

use crate::common::*;

/// Whether the program runs at all in so little: what the system cannot load, says nothing of its own.
fn starts(kib: usize) -> bool {
    in_shell(&format!("ulimit -v {kib} && exec \"$@\" info")).code == Some(0)
}

/// Whether the run ended by what the runtime and the C library take for themselves, their threads' stacks and small pieces:
/// they report it in lines of their own.
fn is_the_runtimes(run: &Run) -> bool {
    ["memory allocation of ", "failed to allocate ", "Fatal glibc error"].iter().any(|words| run.stderr.contains(words))
}

/// Runs a line of arguments in so much memory; returns whether it succeeded.
fn succeeds(kib: usize, arguments: &str) -> bool {
    let run = in_shell(&format!("ulimit -v {kib} && exec \"$@\" {arguments}"));
    if run.code == Some(0) {
        return true;
    }
    assert_eq!(run.code, Some(1), "{arguments} in {kib} KiB: {run:?}");
    let ours = run.stderr.starts_with("softreg: ") && run.stderr.lines().count() == 1;
    assert!(ours || is_the_runtimes(&run), "{arguments} in {kib} KiB: {run:?}");
    false
}

#[test]
fn a_run_that_lacks_memory_is_an_error() {
    // An emulator needs memory of its own.
    if is_emulated() {
        return;
    }
    let data = tiny_data();
    let data = data.path().display();
    let least = (1..200).map(|step| step * 1000).find(|&kib| starts(kib)).expect("it starts in 200 MB");
    let mut ended = [0, 0];
    // A little more, since where the system lays things out differs from run to run.
    let least = least + 3_000;
    for kib in (least..least + 12_000).step_by(2_000).chain((least + 12_000..least + 130_000).step_by(20_000)) {
        for arguments in [
            "--steps 2 --validation 1000".to_owned(),
            "--steps 2 --threads 3 --batch 3000 --validation 1000".to_owned(),
            format!("--steps 2 --data {data} --validation 0"),
            format!("--steps 1 --data {data} --validation 0 --batch 1000000"),
        ] {
            ended[usize::from(succeeds(kib, &arguments))] += 1;
        }
    }
    assert!(ended.iter().all(|&count| count > 3), "too little for some and enough for others: {ended:?}");
}

#[test]
fn threads_that_cannot_be_had_are_an_error() {
    // An emulator needs memory of its own.
    if is_emulated() {
        return;
    }
    let run = in_shell("ulimit -v 400000 && exec \"$@\" --threads 4096");
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
    // A thread that got its stack, but no alternative one for its signals, ends the process by itself.
    assert!(run.stderr.contains("try fewer") || is_the_runtimes(&run), "{run:?}");
}
