#!/usr/bin/env bash
# Builds the test suite of the whole workspace for aarch64 and runs it under QEMU with the level neon required.
# Lints the library for aarch64 too: on x86-64, Clippy does not see the files of another instruction set.
#
#   bash ci/aarch64.sh [arguments for cargo test]
#
# A level that never ran is not tested, and most machines that build this crate are x86-64. Everything that
# cross-compiling needs is set here and nowhere else, so that a plain `cargo test` needs none of it.
# On Debian 12, as root, the script installs what is missing. Where it cannot have what it needs, it says so and fails.
# On an aarch64 machine no QEMU is needed: `SOFTREG_REQUIRE_LEVEL=neon cargo test` tests the same.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=aarch64-unknown-linux-gnu
linker=aarch64-linux-gnu-gcc
runner=qemu-aarch64
# Full paths: where rustup is installed, its proxies come first in PATH, and their toolchain need not have the target.
cargo=/usr/bin/cargo
rustc=/usr/bin/rustc
rustdoc=/usr/bin/rustdoc
clippy=/usr/bin/cargo-clippy
# Debian's newer Rust (the one its browsers are built with), its aarch64 standard library, a cross linker, the emulator.
packages=(
    rustc-web cargo-web rust-web-clippy libstd-rust-web-dev:arm64
    gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
)

fail() {
    echo "aarch64: FAILED: $*" >&2
    exit 1
}

works() {
    "$1" --version >/dev/null 2>&1
}

# Prints one line for each thing that is not there; prints nothing on a machine that is ready.
missing() {
    local tool library
    for tool in "$cargo" "$rustc" "$rustdoc" "$clippy" "$linker" "$runner"; do
        works "$tool" || echo "$tool"
    done
    if works "$rustc"; then
        library=$("$rustc" --print target-libdir --target "$target")
        compgen -G "$library/libstd-*.rlib" >/dev/null || echo "the standard library for $target"
    fi
    # The tests are linked statically, and the cross compiler alone brings no C library.
    if works "$linker"; then
        [[ $("$linker" -print-file-name=libc.a) == */* ]] || echo "a static C library for $linker"
    fi
}

# Runs a command quietly; on failure shows the end of what it said.
quietly() {
    local log
    log=$(mktemp)
    if "$@" >"$log" 2>&1 </dev/null; then
        rm -f "$log"
    else
        tail -n 20 "$log" >&2
        rm -f "$log"
        return 1
    fi
}

install_missing() {
    local wanted=$1 system
    system=$(. /etc/os-release 2>/dev/null && echo "${ID:-unknown} ${VERSION_ID:-}") || system=unknown
    local need="this machine lacks: $wanted"
    [[ $(uname -m) == x86_64 ]] || fail "$need (they can be installed on x86-64 only, and this is $(uname -m))"
    command -v apt-get >/dev/null || fail "$need (there is no apt-get to install them with)"
    [[ $system == "debian 12" ]] || fail "$need (they can be installed on Debian 12 only, and this is: $system)"
    [[ $(id -u) == 0 ]] || fail "$need (run this script once as root, it installs: ${packages[*]})"

    echo "aarch64: installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    quietly dpkg --add-architecture arm64 || fail "dpkg does not accept the architecture arm64"
    quietly apt-get update || fail "apt-get update failed"
    quietly apt-get install --yes --no-install-recommends "${packages[@]}" || fail "apt-get could not install ${packages[*]}"
    wanted=$(missing)
    [[ -z $wanted ]] || fail "still missing after the installation: ${wanted//$'\n'/, }"
}

wanted=$(missing)
[[ -z $wanted ]] || install_missing "${wanted//$'\n'/, }"
echo "aarch64: $("$rustc" --version), $("$runner" --version | head -n 1)"

# `cargo` would otherwise take the first `rustc` in PATH. RUSTFLAGS, if set, would replace the target's own flags.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS RUSTDOCFLAGS CARGO_ENCODED_RUSTDOCFLAGS RUSTUP_TOOLCHAIN
export CARGO=$cargo RUSTC=$rustc RUSTDOC=$rustdoc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=$linker
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=$runner
# Static: a dynamically linked test hangs in thread creation under QEMU 7.2, and would need an aarch64 root besides.
# The flags belong to the target, so that build scripts and procedural macros stay ordinary programs of the host.
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTDOCFLAGS="-C target-feature=+crt-static"
# Two compilers must not share a directory: each would discard what the other built.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/aarch64"

export SOFTREG_REQUIRE_LEVEL=neon
# The tests of the command line start its binary themselves, so they too must be told of the emulator.
export SOFTREG_TEST_RUNNER=$runner
# QEMU emulates every vector instruction by a call, some twenty times slower than the machine. Fewer cases than
# the default 256 keep the run at minutes; the shapes are the same, and so are the laws.
export PROPTEST_CASES="${PROPTEST_CASES:-16}"

# Named by its path, since `cargo clippy` would find rustup's proxy first. What Cargo.toml denies fails; warnings are
# only shown, because this Clippy is newer than the stable one and knows lints that nobody could have seen there.
"$clippy" clippy --package softreg --lib --target "$target" </dev/null || fail "the library breaks lints that Cargo.toml denies"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Of the command line's tests only those that compute: what it says of files and options is no other on another machine,
# and every start of the program takes the emulator a second.
elsewhere=()
for module in bad_input bad_models export finding framing hostile inspect pictures saving sources splits tables words; do
    elsewhere+=(--skip "$module::")
done
status=0
"$cargo" test --config ci/tests.toml --workspace --no-fail-fast --target "$target" "$@" -- "${elsewhere[@]}" </dev/null 2>&1 | tee "$log" || status=$?

# The harness prints "test result: ok. 12 passed; 0 failed; ..." for each binary.
read -r passed failed ignored < <(awk '/^test result: / {
    for (i = 2; i <= NF; i++) {
        if ($i == "passed;") passed += $(i - 1)
        if ($i == "failed;") failed += $(i - 1)
        if ($i == "ignored;") ignored += $(i - 1)
    }
} END { print passed + 0, failed + 0, ignored + 0 }' "$log")
echo "aarch64: $((passed + failed)) tests ran under $runner with SOFTREG_REQUIRE_LEVEL=neon:" \
    "$passed passed, $failed failed, $ignored ignored"
[[ $status == 0 ]] || fail "cargo test ended with status $status"
[[ $((passed + failed)) -gt 0 ]] || fail "no test ran"
