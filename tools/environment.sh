# Sourced by the other scripts here: goes to the repository's root and puts .venv/bin
# first in PATH. .venv is made once; it is made anew when setup.py or constraints.txt
# changed or when its installation was interrupted. TFMM_VENV names another folder.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
TFMM_VENV="${TFMM_VENV:-$PWD/.venv}"
TFMM_VENV="${TFMM_VENV%/}"
# Empty while installing; afterwards, as the last thing, what was installed.
tfmm_state="$TFMM_VENV.state"

tfmm_installed() {
  cat setup.py constraints.txt | cmp -s - "$tfmm_state" \
    && "$TFMM_VENV/bin/python" -c '' 2>/dev/null
}

# Prints the command that makes a virtual environment with Python 3.11 in $TFMM_VENV.
tfmm_venv_command() {
  local python
  for python in python3.11 python3 python; do
    if "$python" -c 'import sys, ensurepip, venv
sys.exit(sys.version_info[:2] != (3, 11))' >/dev/null 2>&1; then
      echo "$python -m venv"
      return
    fi
  done
  if command -v uv >/dev/null 2>&1; then
    echo 'uv venv --quiet --seed --python 3.11'
    return
  fi
  echo "tfmm needs Python 3.11 (with venv) and found neither that nor uv;" \
    "install one, e.g. 'apt install python3.11 python3.11-venv'" >&2
  return 1
}

# TV-L1 flow is in OpenCV's contrib wheel alone, and tf-models-official asks for the
# plain one. Both write the same files: the plain one goes before contrib comes.
tfmm_install_tvl1() {
  "$TFMM_VENV/bin/python" -m pip uninstall --yes opencv-python-headless \
    && "$TFMM_VENV/bin/python" -m pip install --disable-pip-version-check --no-deps \
      --constraint constraints.txt opencv-contrib-python-headless \
    && "$TFMM_VENV/bin/python" -c 'from tfmm.media import flow; flow.check("tvl1")'
}

tfmm_install() {
  tfmm_installed && return
  local command
  command="$(tfmm_venv_command)" || return
  echo "Installing into $TFMM_VENV: some minutes, once (details: $TFMM_VENV.log)" >&2
  : > "$tfmm_state"
  rm -rf "$TFMM_VENV"
  { $command "$TFMM_VENV" \
      && "$TFMM_VENV/bin/python" -m pip install --disable-pip-version-check \
        --constraint constraints.txt --editable '.[gcp,test]' \
      && tfmm_install_tvl1
  } > "$TFMM_VENV.log" 2>&1 || {
    tail -n 5 "$TFMM_VENV.log" >&2
    echo "Installing into $TFMM_VENV failed; run the same again to retry" >&2
    return 1
  }
  cat setup.py constraints.txt > "$tfmm_state"
}

if [[ -e "$TFMM_VENV" && ! -e "$tfmm_state" ]]; then
  echo "$TFMM_VENV was not made by tools/environment.sh: move it away, or name" \
    "another folder in TFMM_VENV" >&2
  exit 1
fi
# One at a time, where flock exists: test.sh and demo.sh may be started together.
exec 9>> "$tfmm_state" || exit 1
if command -v flock >/dev/null 2>&1; then flock 9; fi
tfmm_install || exit 1
exec 9>&-

export PATH="$TFMM_VENV/bin:$PATH"
