//! Memory that cannot be had: one line on standard error and exit code 1, whatever it was wanted for.

use crate::common::*;

/// Whether the program runs at all in so little: what the system cannot load, says nothing of its own.
fn starts(kib: usize) -> bool {
    in_shell(&format!("ulimit -v {kib} && exec \"$@\" info")).code == Some(0)
}

/// Runs a line of arguments in so much memory; returns whether it succeeded.
fn succeeds(kib: usize, arguments: &str) -> bool {
    let run = in_shell(&format!("ulimit -v {kib} && exec \"$@\" {arguments}"));
    if run.code == Some(0) {
        return true;
    }
    assert_eq!(run.code, Some(1), "{arguments} in {kib} KiB: {run:?}");
    // What the runtime takes for itself, its threads' stacks and small pieces, it reports in lines of its own.
    let runtime = ["memory allocation of ", "failed to allocate "].iter().any(|words| run.stderr.contains(words));
    let ours = run.stderr.starts_with("softreg: ") && run.stderr.lines().count() == 1;
    assert!(ours || runtime, "{arguments} in {kib} KiB: {run:?}");
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
    assert!(run.silent_error(1).contains("try fewer"), "{run:?}");
}
