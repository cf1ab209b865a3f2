#!/usr/bin/env bash
# What tests/slurm needs, from Debian's packages, as root: munge, SLURM's daemons and commands, and a database for accounting.
set -euo pipefail

# Packages start their services when they are installed; these would be a second cluster, of nobody.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
  munge slurmctld slurmd slurm-client slurmdbd mariadb-server
