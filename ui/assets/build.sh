#!/usr/bin/env bash
# Makes dist from src, when it was not made from just these files. What was made
# once, and what npm installed for a lock, are kept in the user's cache.
#
#   build.sh             makes dist
#   build.sh modules     prints where the lock's packages are, installed if need be
set -euo pipefail
cd "$(dirname "$0")"
cache=${XDG_CACHE_HOME:-$HOME/.cache}

modules=$cache/ridgeline-npm-$(cat package.json package-lock.json | sha256sum | cut -c1-12)
install() {
	[ ! -e "$modules" ] || return 0
	echo "installing the packages of ui/assets: once, a few seconds" >&2
	mkdir -p "$cache"
	tmp=$(mktemp -d "$cache/.npm-XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	cp package.json package-lock.json "$tmp"
	npm ci --prefix "$tmp" --ignore-scripts --no-audit --no-fund --silent >&2
	mv -T "$tmp" "$modules" 2>/dev/null || [ -e "$modules" ] # else somebody was quicker
}

if [ "${1:-}" = modules ]; then
	install
	echo "$modules/node_modules"
	exit
fi

sources=$(cat package.json package-lock.json build.mjs src/* | sha256sum | cut -c1-12)
[ "$(cat dist/.sources 2>/dev/null)" != "$sources" ] || exit 0
made=$cache/ridgeline-assets-$sources
if [ ! -e "$made" ]; then
	install
	work=$(mktemp -d "$cache/.assets-XXXXXX")
	trap 'rm -rf "$work"' EXIT
	node build.mjs "$modules/node_modules" "$work"
	echo "$sources" >"$work/.sources"
	chmod 755 "$work"
	mv -T "$work" "$made" 2>/dev/null || [ -e "$made" ]
fi
find dist -mindepth 1 ! -name README.md -delete
cp "$made"/*.js "$made"/*.txt dist 2>/dev/null || cp "$made"/*.js dist
cp "$made/.sources" dist/.sources # last: an interrupted copy is made again
