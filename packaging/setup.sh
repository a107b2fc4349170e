#!/usr/bin/env bash
# Installs what Debian or Ubuntu lacks to build Boxwright and to test its window without a screen or a GPU: a C
# compiler for SQLite, a software Vulkan driver, a virtual screen and the libraries of X. Does nothing where all is there.
set -euo pipefail

packages=(
    make pkg-config
    mesa-vulkan-drivers libvulkan1
    xvfb xdotool imagemagick
    libxkbcommon-x11-0 libxcursor1 libxrandr2 libxi6 libx11-xcb1
)
command -v cc >/dev/null || packages+=(gcc libc6-dev)

if ! command -v cargo >/dev/null; then
    echo "setup: no cargo found; install the Rust toolchain as https://rustup.rs says" >&2
    exit 1
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "setup: no apt-get here; install with your package manager what these are on Debian: ${packages[*]}" >&2
    exit 0
fi

missing=()
for package in "${packages[@]}"; do
    state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [[ $state == installed ]] || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

as_root=()
if [[ $(id -u) -ne 0 ]]; then
    if ! command -v sudo >/dev/null; then
        echo "setup: as root, run: apt-get install ${missing[*]}" >&2
        exit 0
    fi
    as_root=(sudo)
fi
echo "setup: installing ${missing[*]}" >&2
if ! { "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >&2; then
    echo "setup: that failed; what needs it is skipped or says so. By hand: apt-get install ${missing[*]}" >&2
fi
