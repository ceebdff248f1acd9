"""How the program ends when the GPU or NCCL fails: soon, with exit code 76 and a sentence, never by a signal.

Usage: failure_test.py SOURCE_DIR PIXART_FAKE_GPU [TEST...]
"""

import concurrent.futures
import signal
import time

from tiny_run import TestCase, main, output_of

DEVICE = 76  # ExitCode::kDevice
TIMEOUT = 5  # of the ranks, seconds
MOST_AFTER_TIMEOUT = 10
WAITED = r'"[^"]+" (has not returned from the library|is not done) after 5 s on rank \d \(rank \d is in "[^"]+"\)'


class Failure(TestCase):
    def check_end(self, result, code, *texts):
        self.assertEqual(result.code, code, result.output[-3000:])
        for text in texts:
            self.assertIn(text, result.output)
        self.assertNotIn("terminate called", result.output)

    def out_of_memory(self):
        return self.program.train("small", environment={"PIXART_FAKE_GPU_BYTES": str(2 << 20)})

    def broken(self, run="broken", rank=0, **more):
        return self.program.train(run, environment={"PIXART_FAKE_GPU_FAULT": f"rank={rank},launch=3000"}, **more)

    def test_out_of_memory_is_an_error_of_the_device(self):
        self.check_end(self.out_of_memory(), DEVICE, "CUDA out of memory", "micro_batch_size")

    def test_a_broken_gpu_is_an_error_of_the_device(self):
        self.check_end(self.broken(), DEVICE, "illegal memory access")

    def test_a_broken_gpu_ends_all_ranks(self):
        result = self.broken("broken-1", rank=1, ranks=2, timeout=10)
        self.check_end(result, DEVICE, "illegal memory access")
        self.assertRegex(result.output, "rank 1 of 2 (failed|ended with exit code 76)")
        self.assertLess(result.seconds, 40)


def fault(how, rank, call):
    return {"PIXART_FAKE_GPU_NCCL_FAULT": f"rank={rank},call={call},how={how}", "PIXART_DIST_TIMEOUT": str(TIMEOUT)}


class FailureOfNccl(TestCase):
    """A rank hangs, fails or dies in its first call of NCCL, or in a later one: each of the four steps calls it."""

    def check_all(self, check, cases):
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(check, *case) for case in cases]:
                done.result()

    def fault_file(self, run):
        return self.program.folder / f"{run}.report.fault"

    def limit(self, how):
        return MOST_AFTER_TIMEOUT + (TIMEOUT if how in ("hang", "stall", "stuck") else 0)

    def since_fault(self, run):
        return time.time() - self.fault_file(run).stat().st_mtime

    def check_launched(self, how, call, rank, code, pattern, ranks=2):
        run = f"launched-{how}-{call}-{ranks}"
        result = self.program.train(run, ranks=ranks, timeout=TIMEOUT, stage="autoencoder", environment=fault(how, rank, call))
        seconds = self.since_fault(run)
        self.assertEqual(result.code, code, result.output[-3000:])
        self.assertRegex(result.output, pattern)
        self.assertNotIn("terminate called", result.output)
        self.assertLess(seconds, self.limit(how), result.output[-3000:])

    def test_the_launcher_names_the_rank_and_its_phase(self):
        error = "NCCL: internal error: this call was asked to fail in "
        equal = WAITED + r". All ranks are equally far: "
        cases = [("hang", 0, 0, DEVICE, equal + "call 1 of NCCL has not returned"),
                 ("stall", 3, 1, DEVICE, equal + "the GPU has not finished call 4 of NCCL"),
                 ("fail", 0, 1, DEVICE, rf'rank 1 of 2 failed: {error}"[^"]+"\. Its last phase: "[^"]+"'),
                 ("fail", 3, 0, DEVICE, rf'rank 0 of 2 failed: {error}"[^"]+"\. Its last phase: "[^"]+"'),
                 ("async", 1, 1, DEVICE, r'rank 1 of 2 failed: NCCL: remote process exited [^"]*"[^"]+"'),
                 ("die", 3, 1, 128 + signal.SIGKILL, r'rank 1 of 2 was killed by signal 9 \(Killed\)\. Its last phase: "[^"]+"')]
        self.check_all(self.check_launched, cases)

    def test_the_launcher_names_the_rank_that_hangs(self):
        """Whichever rank notices first."""
        places = {"hang": "call {} of NCCL has not returned from the library", "stuck": "the GPU has not finished call {} of NCCL"}
        cases = [(how, call, rank, DEVICE, rf"rank {rank} of {ranks} (failed: {places[how].format(call + 1)}; the other ranks are further|hung)", ranks)
                 for how, call, rank, ranks in (("hang", 2, 1, 2), ("hang", 3, 0, 2), ("hang", 2, 2, 4), ("stuck", 2, 0, 2), ("stuck", 2, 3, 4))]
        self.check_all(self.check_launched, cases)

    def check_ranks(self, how, call, guilty):
        run = f"ranks-{how}-{call}"
        arguments = self.program.train_arguments(run, stage="autoencoder")
        processes = self.program.start_ranks(arguments, run, 4, fault(how, guilty, call))
        outputs = [output_of(process) for process in processes]
        seconds = self.since_fault(run)
        for rank, (process, output) in enumerate(zip(processes, outputs)):
            is_dead = how == "die" and rank == guilty
            self.assertEqual(process.returncode, -signal.SIGKILL if is_dead else DEVICE, output[-3000:])
            if not is_dead:
                self.assertRegex(output, r'error (?=.*rank \d).*"[^"]+"')
                self.assertNotIn("terminate called", output)
        self.assertLess(seconds, self.limit(how), outputs)
        said = {"hang": f"rank {guilty}: call {call + 1} of NCCL has not returned", "stall": WAITED}
        self.assertRegex("".join(outputs), said.get(how, f"rank {guilty}( has ended|: NCCL: )"))
        if how == "hang":
            for output in outputs:
                self.assertRegex(output, said[how])

    def test_every_rank_of_four_ends(self):
        self.check_all(self.check_ranks, [("hang", 3, 2), ("stall", 0, 1), ("fail", 1, 3), ("async", 3, 0), ("die", 0, 1)])

    def test_a_request_to_stop_while_a_rank_hangs(self):
        run = "stopped"
        arguments = self.program.train_arguments(run, ranks=2, timeout=TIMEOUT, stage="autoencoder")
        with self.program.start(arguments, run, fault("hang", 1, 0)) as launcher:
            while not self.fault_file(run).exists() and launcher.poll() is None:
                time.sleep(0.02)
            launcher.terminate()
            output = output_of(launcher)
        self.assertEqual(launcher.returncode, DEVICE, output[-3000:])
        self.assertIn("stop requested: passed on to the ranks", output)
        self.assertRegex(output, WAITED)
        self.assertLess(self.since_fault(run), TIMEOUT + MOST_AFTER_TIMEOUT)


if __name__ == "__main__":
    main()
