"""Runs every check and test, one after the other, and counts them.

It goes on after a failure, so that one run tells all there is to tell. The
output of what passes is left out, that of what fails is printed, and the last
line is "N passed, N failed", with ", N skipped" when some were. The exit code
is 0 only when nothing failed. `make test` is the way to start it.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from xml.etree import ElementTree

MAKE = [*os.environ.get("MAKE", "make").split(), "--no-print-directory"]
OUTCOMES = {"pass": "passed", "fail": "failed", "skip": "skipped"}


def make(target, *variables):
    """Runs a target and prints what it said if it failed."""
    command = [*MAKE, target, *variables]
    done = subprocess.run(
        command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    if done.returncode != 0:
        print(done.stdout, end="")
    return done.returncode == 0


def plain(target, total):
    """A target that passes or fails as a whole."""
    ok = make(target)
    total["passed" if ok else "failed"] += 1
    return ok


def go(target, total):
    """A target that runs `go test -json`: counts tests, prints a line for each
    package and the output of those that fail."""
    with subprocess.Popen(
        [*MAKE, target, "FLAGS=-json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        counts = tally(process.stdout)
    if process.returncode != 0 and not counts["failed"]:
        counts["failed"] += 1  # go or make itself failed
    total.update(counts)
    return counts["failed"] == 0


def tally(lines):
    """Reads the events of `go test -json` among other lines, and counts."""
    counts = Counter()
    output = defaultdict(list)  # (package, test or None) → lines
    failed_tests = defaultdict(list)  # package → tests
    for line in lines:
        event = parse(line)
        if event is None:  # make's own lines
            print(line, end="", flush=True)
            continue
        package = event.get("Package") or event.get("ImportPath", "")
        test, action = event.get("Test"), event["Action"]
        if action in ("output", "build-output"):
            output[package, test].append(event.get("Output", ""))
        elif action == "build-fail":
            print("".join(output.pop((package, None), [])), end="")
        elif action in OUTCOMES and test:
            counts[OUTCOMES[action]] += 1
            if action == "fail":
                failed_tests[package].append(test)
                continue
            said = output.pop((package, test), [])
            if action == "skip":  # why
                print("".join(s for s in said if s.startswith("    ")), end="")
        elif action in OUTCOMES:
            report(package, action, event.get("Elapsed", 0), failed_tests[package], output)
            if action == "fail" and not failed_tests[package]:
                # it did not compile, or died outside of a test: that is one failure
                counts["failed"] += 1
            for key in [k for k in output if k[0] == package]:
                del output[key]
    return counts


def parse(line):
    if not line.startswith("{"):
        return None
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "Action" in event else None


def report(package, action, seconds, failed_tests, output):
    if action == "skip":
        return  # a package without tests
    print(f"{'ok  ' if action == 'pass' else 'FAIL'} {package} {seconds:.1f}s", flush=True)
    if action == "pass":
        return
    for test in failed_tests:
        print("".join(output[package, test]), end="")
    # a panic, a timeout or a race outside of a test is said to the package,
    # or to the test that ran at the time and never got an end
    for (where, test), lines in output.items():
        if where == package and test not in failed_tests:
            print("".join(lines[-200:]), end="")


def pytest(target, total):
    """A target that runs pytest."""
    with tempfile.TemporaryDirectory() as folder:
        junit = os.path.join(folder, "junit.xml")
        ok = make(target, f"PYTEST_FLAGS=--junitxml={junit}")
        counts = Counter()
        if os.path.exists(junit):
            for suite in ElementTree.parse(junit).iter("testsuite"):
                failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
                skipped = int(suite.get("skipped", 0))
                counts += Counter(failed=failed, skipped=skipped, passed=int(suite.get("tests", 0)) - failed - skipped)
    if not ok and not counts["failed"]:
        counts["failed"] += 1  # pytest did not come to the tests
    total.update(counts)
    return ok


PARTS = [
    ("format", plain),
    ("arch", plain),
    ("vet", plain),
    ("lint", plain),
    ("python-lint", plain),
    ("python-test", pytest),
    ("build", plain),
    ("race", go),
    ("simulation", go),
    ("stories", go),
    ("test-kube", go),
]


def main():
    total = Counter()
    red = []
    for target, run in PARTS:
        print(f"── {target}", flush=True)
        began = time.monotonic()
        ok = run(target, total)
        print(f"── {target}: {'ok' if ok else 'FAILED'}, {time.monotonic() - began:.0f} s", flush=True)
        if not ok:
            red.append(target)
    if red:
        print("failed: " + ", ".join(red) + "; run one again with make NAME")
    closing = f"{total['passed']} passed, {total['failed']} failed"
    if total["skipped"]:
        closing += f", {total['skipped']} skipped"
    print(closing)
    return 1 if red or total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
