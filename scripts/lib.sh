# What the scripts share; sourced by bash with the project's root as the working directory.

venv=.venv
python=$venv/bin/python
PATH=$PATH:/usr/sbin:/sbin
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 DEBIAN_FRONTEND=noninteractive

say() { if [ -t 2 ]; then printf '\033[1m%s\033[0m\n' "$*" >&2; else printf '%s\n' "$*" >&2; fi; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# as_root COMMAND…: run it as root, by sudo where need be; fails where that is not possible.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then sudo "$@"
    else return 1
    fi
}

# apt_install PACKAGE…: install Debian packages; one update of the lists a run.
apt_updated=
apt_install() {
    command -v apt-get >/dev/null || fail "this system has no apt-get; install by hand: $*"
    if [ -z "$apt_updated" ]; then
        say "Updating the package lists"
        as_root apt-get update -qq </dev/null >/dev/null || fail "cannot run apt-get update as root; install by hand: $*"
        apt_updated=yes
    fi
    say "Installing $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null ||
        fail "could not install: $*; install them by hand and try again"
}

# find_python: the newest interpreter of 3.11 or later, the plain python3 first.
find_python() {
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11 python3.14; do
        if command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "Anbar needs Python 3.11 or newer (Debian 12, Ubuntu 24.04); python3 here is $(python3 -V 2>/dev/null || echo missing)"
}

# make_venv: .venv with pip in it, from a Python that may come without the venv module.
make_venv() {
    local base version
    if [ -x "$python" ] && "$python" -m pip --version >/dev/null 2>&1; then return; fi
    base=$(find_python) || exit 1
    say "Making $venv with $("$base" -V)"
    rm -rf "$venv"
    if ! "$base" -c 'import ensurepip, venv' 2>/dev/null; then
        version=$("$base" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        if apt-cache show "python$version-venv" >/dev/null 2>&1; then apt_install "python$version-venv"
        else apt_install python3-venv
        fi
    fi
    "$base" -m venv "$venv" || fail "python3 -m venv does not work; install the package python3-venv"
}

# stamped NAME FILE…: run the function install_NAME unless nothing it depends on has changed since it last succeeded.
stamped() {
    local name=$1 stamp now
    shift
    stamp=$venv/.stamp-$name
    now=$(cat "$@" | sha256sum)
    if [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$now" ]; then return; fi
    "install_$name" || exit 1
    printf '%s\n' "$now" >"$stamp"
}

install_run() {
    say "Installing the pinned requirements"
    "$python" -m pip install -q --require-hashes -r requirements.txt || fail "pip could not install requirements.txt"
    "$python" -m pip install -q --no-deps --no-build-isolation -e . || fail "pip could not install the project"
}

install_test() {
    say "Installing the pinned test requirements"
    "$python" -m pip install -q --require-hashes -r requirements-test.txt || fail "pip could not install requirements-test.txt"
}

install_packages() {
    local package command missing=()
    while read -r package command; do
        case $package in '' | '#'*) continue ;; esac
        command -v "$command" >/dev/null || missing+=("$package")
    done <scripts/apt-packages.txt
    if [ ${#missing[@]} -gt 0 ]; then apt_install "${missing[@]}"; fi
}

install_node() {
    say "Installing the pinned npm packages"
    (cd tests/wire/node && PATH=$OLDPWD/$venv/bin:$PATH npm ci --no-audit --no-fund --loglevel=error >&2) ||
        fail "npm ci failed in tests/wire/node"
}

setup_run() {
    make_venv
    stamped run requirements.txt pyproject.toml
}

setup_test() {
    setup_run
    stamped test requirements-test.txt
    install_packages
    if [ -e tests/wire/node/package-lock.json ]; then
        [ -d tests/wire/node/node_modules ] || rm -f "$venv/.stamp-node"
        stamped node tests/wire/node/package-lock.json
    fi
}
