//! Model files on the disk: replaced in one piece or left as they were, with the permissions they should have.

use super::{model, same};
use softreg::{Error, ModelFile, SoftmaxRegression};
use std::fs;
use std::path::Path;

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn saving_replaces_in_one_piece_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    fs::write(&path, vec![b'x'; 1 << 16]).unwrap();
    let before = fs::File::open(&path).unwrap();
    let model = model(4, 3);
    model.save(&path).unwrap();
    same(&SoftmaxRegression::load(&path).unwrap(), &model);
    assert_eq!(before.metadata().unwrap().len(), 1 << 16, "who had the old file open still has all of it");
    assert_eq!(names(directory.path()), ["model.safetensors"]);
}

#[test]
fn a_save_that_fails_leaves_everything_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    fs::write(&path, b"old").unwrap();
    let file = ModelFile::new(model(4, 3));
    assert!(file.clone().with_class_names(["one"]).save(&path).is_err());
    let error = file.clone().with_metadata("format", "x").save(&path).expect_err("taken");
    assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");

    let format = |path: &Path, what: &str| {
        let error = file.save(path).expect_err(what);
        assert!(matches!(&error, Error::Format { found, .. } if found == what), "{error}");
        assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
    };
    let io = |path: &Path, kinds: &[std::io::ErrorKind]| {
        let error = file.save(path).expect_err("no such place");
        assert!(matches!(&error, Error::Io { source, .. } if kinds.contains(&source.kind())), "{error:?}");
        assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
    };
    use std::io::ErrorKind::{InvalidInput, NotADirectory, NotFound, PermissionDenied};
    format(directory.path(), "a directory");
    io(&directory.path().join("missing").join("model"), &[NotFound]);
    io(&path.join("model"), &[NotADirectory, NotFound]);
    io(&directory.path().join("\0"), &[InvalidInput]);
    // The temporary file is written, and cannot be renamed.
    #[cfg(unix)]
    io(&directory.path().join("new/"), &[NotADirectory]);
    #[cfg(unix)]
    {
        format(Path::new("/dev/null"), "a device or a pipe");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("nothing", &link).unwrap();
        format(&link, "a link to nothing");
        fs::remove_file(link).unwrap();
    }
    let writable = fs::metadata(&path).unwrap().permissions();
    let mut permissions = writable.clone();
    permissions.set_readonly(true);
    fs::set_permissions(&path, permissions).unwrap();
    io(&path, &[PermissionDenied]);
    fs::set_permissions(&path, writable).unwrap();

    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names(directory.path()), ["model.safetensors"]);
}

#[cfg(unix)]
#[test]
fn permissions_are_a_new_files_or_the_old_ones() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let mode = |name: &str| fs::metadata(at(name)).unwrap().mode() & 0o7777;
    fs::write(at("ordinary"), b"").unwrap();
    let model = model(2, 2);
    model.save(at("new")).unwrap();
    assert_eq!(mode("new"), mode("ordinary"));
    for bits in [0o600, 0o640, 0o666, 0o777, 0o200] {
        fs::set_permissions(at("ordinary"), PermissionsExt::from_mode(bits)).unwrap();
        model.save(at("ordinary")).unwrap();
        assert_eq!(mode("ordinary"), bits, "{bits:o}");
    }
    // A link stands for its file.
    symlink("new", at("link")).unwrap();
    SoftmaxRegression::zeros(1, 1).save(at("link")).unwrap();
    assert!(at("link").is_symlink());
    assert_eq!(SoftmaxRegression::load(at("new")).unwrap(), SoftmaxRegression::zeros(1, 1));
    assert_eq!(names(directory.path()), ["link", "new", "ordinary"]);
}

#[test]
fn what_is_no_file_is_not_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let found = |path: &Path| {
        let error = SoftmaxRegression::load(path).expect_err("no file");
        assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
        error
    };
    let error = found(&directory.path().join("missing"));
    assert!(matches!(&error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound), "{error:?}");
    assert!(std::error::Error::source(&error).is_some());
    let error = found(directory.path());
    assert!(matches!(&error, Error::Format { found, .. } if found == "a directory"), "{error:?}");
    let empty = directory.path().join("empty");
    fs::write(&empty, b"").unwrap();
    assert!(matches!(found(&empty), Error::Format { found, .. } if found == "an empty file"));
    fs::write(&empty, &model(2, 2).to_bytes().unwrap()[..100]).unwrap();
    assert!(matches!(found(&empty), Error::Format { .. }));
    #[cfg(unix)]
    for device in ["/dev/zero", "/dev/null"] {
        assert!(matches!(found(Path::new(device)), Error::Format { found, .. } if found == "a device or a pipe"));
    }
}
