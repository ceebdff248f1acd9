"""Counts the test cases of a ctest run that scripts/test.sh has made, and prints "N passed, N failed" last.

The folder has ctest.xml (JUnit, one entry per program) and a <program>.json of each GoogleTest program that finished. A
program without such a file crashed, or is a shell test: it counts as one case.
"""

import json
import pathlib
import sys
import xml.etree.ElementTree


def count_cases(report):
    """Returns ([names of passed cases], [names of failed cases]) of a GoogleTest report."""
    passed, failed = [], []
    for suite in report["testsuites"]:
        for case in suite["testsuite"]:
            if case["status"] != "RUN" or case["result"] == "SKIPPED":
                continue
            (failed if case.get("failures") else passed).append(f"{suite['name']}.{case['name']}")
    return passed, failed


def count_program(name, ended_well, report_path):
    """Returns (number passed, [failures]) of one ctest entry."""
    if not report_path.exists():
        return (1, []) if ended_well else (0, [f"{name} (did not end well)"])
    try:
        passed, failed = count_cases(json.loads(report_path.read_text()))
    except (ValueError, KeyError) as error:
        return 0, [f"{name} (unreadable report: {error})"]
    if not ended_well and not failed:
        failed = ["(ended badly after its last case)"]
    return len(passed), [f"{name}: {case}" for case in failed]


def main():
    folder = pathlib.Path(sys.argv[1])
    passed, failures = 0, []
    try:
        programs = xml.etree.ElementTree.parse(folder / "ctest.xml").getroot().iter("testcase")
    except (OSError, xml.etree.ElementTree.ParseError) as error:
        programs, failures = [], [f"ctest wrote no results: {error}"]
    for program in programs:
        name = program.get("name")
        num_passed, failed = count_program(name, program.get("status") == "run", folder / f"{name}.json")
        passed += num_passed
        failures += failed
    for failure in failures:
        print("failed:", failure)
    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
