//! Files that are written beside their target and renamed onto it, and that no signal leaves behind; and the signals. There
//! is one file at a time; which target it is for is `output_file`'s business.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;

/// The temporary file that there is now. Who holds the lock may create it, rename it or remove it.
static CURRENT: Mutex<Option<PathBuf>> = Mutex::new(None);

fn current() -> MutexGuard<'static, Option<PathBuf>> {
    CURRENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file that disappears unless it is renamed.
pub(crate) struct Temporary {
    /// `None` once it is renamed or removed.
    file: Option<NamedTempFile>,
}

impl Temporary {
    /// A new file in `directory`. A private one is its owner's alone, another one what the umask makes of it.
    pub(crate) fn create(directory: &Path, private: bool) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, if private { 0o600 } else { 0o666 });
        #[cfg(not(unix))]
        let _ = private;
        let create = |path: &Path| {
            let mut current = current();
            let file = options.open(path)?;
            *current = Some(path.to_owned());
            Ok(file)
        };
        let file = tempfile::Builder::new().prefix(".softreg-").suffix(".tmp").make_in(directory, create)?;
        Ok(Self { file: Some(file) })
    }

    /// The open file.
    pub(crate) fn file(&self) -> io::Result<&File> {
        self.file.as_ref().map(NamedTempFile::as_file).ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// Writes all of the file, down to the disk: otherwise a crash just after the rename could leave an empty file under
    /// the final name.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.file()?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Renames the file to `path`, in place of what is there.
    pub(crate) fn rename(mut self, path: &Path) -> io::Result<()> {
        let mut current = current();
        let renamed = match self.file.take() {
            // Where it fails, the file is removed with the error that holds it.
            Some(file) => file.persist(path).map(drop).map_err(|error| error.error),
            None => Err(ErrorKind::NotFound.into()),
        };
        *current = None;
        renamed
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            let mut current = current();
            drop(file);
            *current = None;
        }
    }
}

/// Whether an interrupt ends the work in order, and whether there was one.
static IN_ORDER: AtomicBool = AtomicBool::new(false);
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on the first interrupt, Ctrl-C, is only noted: see [`is_interrupted`]. The second one ends the program.
pub(crate) fn interrupt_in_order() {
    IN_ORDER.store(true, Ordering::Relaxed);
}

/// Whether there was an interrupt since [`interrupt_in_order`].
pub(crate) fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

#[cfg(unix)]
pub(crate) use signals::watch;

/// Nothing to watch for: there are no such signals.
#[cfg(not(unix))]
pub(crate) fn watch() -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
mod signals {
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, OnceLock};
    use std::thread;

    use signal_hook::consts::{
        SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU, SIGXFSZ,
    };
    use signal_hook::iterator::Signals;

    use super::{IN_ORDER, INTERRUPTED, current};

    /// What ends a program unless it is caught, and does not come from a fault of the program itself.
    const DEADLY: [i32; 11] =
        [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGXCPU, SIGIO];

    /// From now on a signal removes the temporary file before it ends the program, with 128 and the signal's number as
    /// the exit code. A signal that the program was started to ignore, as `nohup` does, is still ignored.
    pub(crate) fn watch() -> io::Result<()> {
        static WATCHING: OnceLock<()> = OnceLock::new();
        if WATCHING.get().is_some() {
            return Ok(());
        }
        let ignored = ignored();
        let is_watched = |signal: &i32| ignored >> (signal - 1) & 1 == 0;
        let mut signals = Signals::new(DEADLY.iter().filter(|signal| is_watched(signal)))?;
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                if signal == SIGINT && IN_ORDER.load(Ordering::Relaxed) && !INTERRUPTED.swap(true, Ordering::Relaxed) {
                    continue;
                }
                // Held until the end: no other file comes to be, and none is renamed any more.
                let mut current = current();
                if let Some(path) = current.take() {
                    let _ = std::fs::remove_file(path);
                }
                std::process::exit(128 + signal);
            }
        })?;
        if is_watched(&SIGXFSZ) {
            // Caught, it makes the write fail, which says more than an exit code.
            signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
        }
        let _ = WATCHING.set(());
        Ok(())
    }

    /// The signals that are ignored, a bit each, from the lowest for signal 1.
    pub(super) fn ignored() -> u64 {
        // Only Linux says. Elsewhere it is taken to be what `nohup` ignores.
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(1 << (SIGHUP - 1))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use signal_hook::consts::SIGUSR1;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    /// Tells a copy of this test program to be the one that is ended by a signal, and where it writes.
    const DIRECTORY: &str = "SOFTREG_TEST_TEMPORARY";
    const TARGET: &str = "target";
    /// Tells it to end in order.
    const IN_TURN: &str = "SOFTREG_TEST_IN_ORDER";

    /// Writes half a file and waits for a signal. Not a test of its own: without the variable it does nothing.
    #[test]
    fn writer() {
        let Some(directory) = std::env::var_os(DIRECTORY) else { return };
        let directory = PathBuf::from(directory);
        watch().unwrap();
        if std::env::var_os(IN_TURN).is_some() {
            interrupt_in_order();
        }
        let temporary = Temporary::create(&directory, false).unwrap();
        temporary.write(b"half").unwrap();
        std::fs::write(directory.join("ready"), b"").unwrap();
        std::thread::sleep(Duration::from_secs(30));
        temporary.rename(&directory.join(TARGET)).unwrap();
    }

    /// Starts the writer and waits until it has written.
    fn start(directory: &Path, ignoring: &str) -> Child {
        start_by(&mut Command::new("sh"), directory, ignoring)
    }

    fn start_by(shell: &mut Command, directory: &Path, ignoring: &str) -> Child {
        let runner = std::env::var("SOFTREG_TEST_RUNNER").unwrap_or_default();
        let child = shell
            .args(["-c", &format!("trap '' {ignoring}; exec {runner} \"$0\" --exact temporary::tests::writer")])
            .arg(std::env::current_exe().unwrap())
            .env(DIRECTORY, directory)
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let start = Instant::now();
        while !directory.join("ready").exists() {
            assert!(start.elapsed() < Duration::from_secs(20), "the writer does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        child
    }

    fn send(child: &Child, signal: &str) {
        assert!(
            Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap().success()
        );
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_signal_removes_the_temporary_file_and_leaves_the_target() {
        // A shell that starts the tests in the background has them ignore two of these.
        let ignored = signals::ignored();
        let all = [("HUP", 1), ("INT", 2), ("QUIT", 3), ("USR1", SIGUSR1), ("ALRM", 14), ("TERM", 15)];
        for (signal, number) in all.into_iter().filter(|(_, number)| ignored >> (number - 1) & 1 == 0) {
            let directory = tempfile::tempdir().unwrap();
            std::fs::write(directory.path().join(TARGET), b"old").unwrap();
            let mut child = start(directory.path(), "PIPE");
            assert_eq!(names(directory.path()).len(), 3, "the temporary file is there");
            send(&child, signal);
            assert_eq!(child.wait().unwrap().code(), Some(128 + number), "{signal}");
            assert_eq!(names(directory.path()), ["ready", TARGET], "{signal}");
            assert_eq!(std::fs::read(directory.path().join(TARGET)).unwrap(), b"old", "{signal}");
        }
    }

    #[test]
    fn the_second_interrupt_ends_what_the_first_one_asked_to_end() {
        // A shell that starts the tests in the background has them ignore it.
        if signals::ignored() >> 1 & 1 == 1 {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let mut child = start_by(Command::new("sh").env(IN_TURN, "1"), directory.path(), "PIPE");
        send(&child, "INT");
        std::thread::sleep(Duration::from_millis(200));
        assert!(child.try_wait().unwrap().is_none(), "it goes on");
        send(&child, "INT");
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert_eq!(names(directory.path()), ["ready"]);
    }

    /// As under `nohup`.
    #[test]
    #[cfg(target_os = "linux")]
    fn an_ignored_signal_stays_ignored() {
        // An emulator has the system show its own signals, and not those of the program.
        if std::env::var_os("SOFTREG_TEST_RUNNER").is_some() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let mut child = start(directory.path(), "HUP");
        send(&child, "HUP");
        std::thread::sleep(Duration::from_millis(200));
        assert!(child.try_wait().unwrap().is_none(), "it goes on");
        send(&child, "TERM");
        assert_eq!(child.wait().unwrap().code(), Some(143));
        assert_eq!(names(directory.path()), ["ready"]);
    }

    #[test]
    fn what_is_not_renamed_disappears() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join(TARGET);
        let temporary = Temporary::create(directory.path(), false).unwrap();
        temporary.write(b"whole").unwrap();
        temporary.rename(&target).unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"whole");
        drop(Temporary::create(directory.path(), false).unwrap());
        std::fs::create_dir(directory.path().join("folder")).unwrap();
        let temporary = Temporary::create(directory.path(), true).unwrap();
        temporary.rename(&directory.path().join("folder")).unwrap_err();
        assert_eq!(names(directory.path()), ["folder", TARGET]);
    }
}
