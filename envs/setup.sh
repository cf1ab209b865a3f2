#!/usr/bin/env bash
# Set up: a virtual environment with torch, every package of requirements.lock, and this clone's library.
#
#     envs/setup.sh [FOLDER]    FOLDER of the environment, .venv by default
#
# Python 3.11 to 3.13. Another build of torch, as for a CPU or an older driver, may be installed into the environment before:
# what is there already is kept. The hashes of the lock cover everything else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=${1:-.venv}
python=$venv/bin/python
[ -e "$python" ] || python=${PYTHON:-python3}
"$python" -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11, 1) <= v < (3, 14) else "expected Python 3.11 to 3.13, found {} in {} (choose another: PYTHON=python3.11 envs/setup.sh; delete a folder .venv of the wrong version first)".format(sys.version.split()[0], sys.executable))'
[ -e "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/pip" install --quiet -r envs/torch.txt
"$venv/bin/pip" install --quiet --no-deps --require-hashes -r requirements.lock
"$venv/bin/pip" install --quiet --no-deps -e .
