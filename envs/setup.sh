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
[ -e "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11, 1) <= v < (3, 14) else f"expected Python 3.11 to 3.13, found {sys.version.split()[0]} (choose one by PYTHON=python3.11)")'
"$venv/bin/pip" install --quiet -r envs/torch.txt
"$venv/bin/pip" install --quiet --no-deps --require-hashes -r requirements.lock
"$venv/bin/pip" install --quiet --no-deps -e .
