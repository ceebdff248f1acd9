"""The presets of configs/paper on the fake GPU: cli_presets with another program, and the operations of its steps.

Usage: presets_test.py SOURCE_DIR PIXART_FAKE_GPU CLI_PRESETS [TEST...]     (PIXART_DRIVER_FILE as in README.md)
"""

import os
import subprocess
import sys

from tiny_run import TestCase, main


class Presets(TestCase):
    def test_presets_of_the_paper(self):
        variables = os.environ | {"PIXART_BIN": str(self.program.binary), "PIXART_PRESETS_DEVICE": "cuda",
                                  "PIXART_FAKE_GPU_REPORT": str(self.program.folder / "presets.report")}
        result = subprocess.run([sys.argv[3]], env=variables)
        self.assertEqual(result.returncode, 0)
        reports = self.program.reports("presets")
        self.assertGreater(len(reports), 1, "the preset of all stages, and those of one")
        for report in reports:
            self.assertGreater(len(report["operations_in_step"]), 0, "the fake GPU knows which operations a step makes")


if __name__ == "__main__":
    main(more_arguments=1)
