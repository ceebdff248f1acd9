"""Tests of scripts/count_tests.py. Usage: count_tests_test.py SCRIPTS_DIR"""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(sys.argv.pop(1)) / "count_tests.py"


def report(*cases):
    """A GoogleTest report; cases are (name, result, failed)."""
    entries = [{"name": name, "status": "NOTRUN" if result == "SUPPRESSED" else "RUN", "result": result,
                **({"failures": [{"failure": "x"}]} if failed else {})} for name, result, failed in cases]
    return json.dumps({"testsuites": [{"name": "Suite", "testsuite": entries}]})


class CountTests(unittest.TestCase):
    def count(self, programs, reports):
        """programs: {name: ctest status}; reports: {name: text}. Returns (exit code, output lines)."""
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            if programs is not None:
                entries = "".join(f'<testcase name="{program}" status="{status}"/>' for program, status in programs.items())
                (folder / "ctest.xml").write_text(f"<testsuite>{entries}</testsuite>")
            for program, text in reports.items():
                (folder / f"{program}.json").write_text(text)
            done = subprocess.run([sys.executable, SCRIPT, folder], capture_output=True, text=True, check=False)
            return done.returncode, done.stdout.splitlines()

    def test_cases_are_counted_and_not_programs(self):
        code, lines = self.count({"a": "run", "b": "run"}, {"a": report(("x", "COMPLETED", False), ("y", "COMPLETED", False)),
                                                            "b": report(("z", "COMPLETED", False))})
        self.assertEqual((code, lines), (0, ["3 passed, 0 failed"]))

    def test_a_failed_case_is_named(self):
        code, lines = self.count({"a": "fail"}, {"a": report(("x", "COMPLETED", True), ("y", "COMPLETED", False))})
        self.assertEqual((code, lines), (1, ["failed: a: Suite.x", "1 passed, 1 failed"]))

    def test_disabled_and_skipped_cases_do_not_count(self):
        _, lines = self.count({"a": "run"}, {"a": report(("x", "SUPPRESSED", False), ("y", "SKIPPED", False), ("z", "COMPLETED", False))})
        self.assertEqual(lines, ["1 passed, 0 failed"])

    def test_a_crash_is_a_failure(self):
        code, lines = self.count({"a": "fail", "b": "run"}, {"b": report(("z", "COMPLETED", False))})
        self.assertEqual((code, lines[-1]), (1, "1 passed, 1 failed"))

    def test_a_crash_after_the_last_case_is_a_failure(self):
        code, lines = self.count({"a": "fail"}, {"a": report(("x", "COMPLETED", False))})
        self.assertEqual((code, lines[-1]), (1, "1 passed, 1 failed"))

    def test_a_truncated_report_is_a_failure(self):
        code, lines = self.count({"a": "fail"}, {"a": report(("x", "COMPLETED", False))[:40]})
        self.assertEqual((code, lines[-1]), (1, "0 passed, 1 failed"))

    def test_a_shell_test_is_one_case(self):
        self.assertEqual(self.count({"shell": "run"}, {}), (0, ["1 passed, 0 failed"]))

    def test_a_program_that_could_not_start_is_a_failure(self):
        self.assertEqual(self.count({"a": "notrun"}, {})[1][-1], "0 passed, 1 failed")

    def test_nothing_run_is_no_success(self):
        self.assertEqual(self.count({}, {}), (1, ["0 passed, 0 failed"]))

    def test_no_results_are_a_failure(self):
        self.assertEqual(self.count(None, {})[1][-1], "0 passed, 1 failed")


if __name__ == "__main__":
    unittest.main()
