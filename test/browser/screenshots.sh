#!/usr/bin/env bash
# Takes pictures of sample pages into docs/screenshots: for a desk in the light
# theme, for a phone in the dark one.
set -euo pipefail
cd "$(dirname "$0")/../.."
state=$(mktemp -d)
bin/ridgeline up --dev --dir "$state" --listen 127.0.0.1:0 >"$state/out" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null || true; wait $server 2>/dev/null || true; rm -rf "$state"' EXIT
until grep -q sign-in "$state/out"; do
	kill -0 $server || { cat "$state/out" >&2; exit 1; }
	sleep 0.1
done
pages=(home projects project builds build-failed runs run-running run-failed run-rejected run-metrics logged compare compare-grouped gate-rejected gate-inconclusive
	release-waiting release-failed models version dataset-version endpoint cost settings audit)
rm -f docs/screenshots/*.png
take() { go run ./test/browser/shot -dir docs/screenshots -link "$(bin/ridgeline --dir "$state" sign-in)" "$@" "${pages[@]/#//_gallery/}"; }
take -themes light -widths 1440
take -themes dark -widths 390
