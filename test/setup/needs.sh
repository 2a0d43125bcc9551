#!/usr/bin/env bash
# Sees to what Ridgeline needs from the operating system.
#
#   needs.sh build    to build it
#   needs.sh test     to build it and run every test
#
# As root on a machine with apt it installs what is missing, and only that.
# Otherwise it lists what is missing: missing build tools are an error; missing
# test tools too when CI=true, else the tests that want them are skipped.
#
# No service is started: the tests run a PostgreSQL cluster of their own.
set -euo pipefail

what=${1:-test}
case $what in
build | test) ;;
*)
	echo "usage: needs.sh build|test" >&2
	exit 2
	;;
esac

have() { command -v "$1" >/dev/null 2>&1; }
have_postgres() { have initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }
have_runc() { have runc || [ -x /usr/sbin/runc ]; }
have_venv() { ! have python3 || python3 -c 'import ensurepip, venv' 2>/dev/null; }

missing=()  # Debian's package names
why=()      # what each is for, same order
need() {
	missing+=("$1")
	why+=("$2")
}

have git || need git "the version, and the tests' repositories"
have gcc || need gcc "DuckDB is C++ behind cgo"
have g++ || need g++ "DuckDB is C++ behind cgo"
have npm || need npm "the scripts of the pages, which it bundles"
if [ "$what" = test ]; then
	have_venv || need python3-venv "uv, where it is not installed"
	have_postgres || need postgresql "the store and flow tests on PostgreSQL"
	have_runc || need runc "the test that runs an image"
	have chromium || need chromium "the tests of the pages in a browser"
	have groovyc || need groovy "the test of the Jenkinsfile that ridgeline ci init writes; Jenkins has this version, too"
fi

# These are not apt's to choose: a wrong version would be worse than none.
fatal=0
if ! have go; then
	echo "missing: Go, the version that go.mod names; see https://go.dev/doc/install" >&2
	fatal=1
fi
if ! have python3 || ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
	echo "missing: Python 3.11 or newer, as python3 on PATH" >&2
	fatal=1
fi
[ "$fatal" = 0 ] || exit 1
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ] && have apt-get; then
	echo "installing by apt: ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	# Debian starts a service when it installs one, unless this file says no.
	policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod 755 $policy
		trap 'rm -f $policy' EXIT
	fi
	apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -qq update
	apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -qq install --yes --no-install-recommends "${missing[@]}" >/dev/null
	exit 0
fi

echo "missing, by the names of Debian's packages:" >&2
for i in "${!missing[@]}"; do
	printf '  %-14s %s\n' "${missing[$i]}" "${why[$i]}" >&2
done
echo "install with: sudo apt-get install ${missing[*]}" >&2
for package in "${missing[@]}"; do
	case $package in
	git | gcc | g++ | npm) exit 1 ;;
	esac
done
if [ "${CI:-}" = true ]; then
	exit 1
fi
echo "going on without: tests that need them are skipped" >&2
