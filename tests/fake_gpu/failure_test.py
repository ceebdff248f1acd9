"""How the program ends when the GPU or NCCL fails: soon, with exit code 76 and a sentence, never by a signal.

Usage: failure_test.py SOURCE_DIR PIXART_FAKE_GPU [TEST...]
"""

from tiny_run import TestCase, main

DEVICE = 76  # ExitCode::kDevice


class Failure(TestCase):
    def check_end(self, result, code, *texts):
        self.assertEqual(result.code, code, result.output[-3000:])
        for text in texts:
            self.assertIn(text, result.output)
        self.assertNotIn("terminate called", result.output)

    def out_of_memory(self):
        return self.program.train("small", environment={"PIXART_FAKE_GPU_BYTES": str(2 << 20)})

    def broken(self, **more):
        return self.program.train("broken", environment={"PIXART_FAKE_GPU_FAULT": "rank=0,launch=3000"}, **more)

    def test_out_of_memory_is_an_error_of_the_device(self):
        self.check_end(self.out_of_memory(), DEVICE, "CUDA out of memory", "micro_batch_size")

    def test_a_broken_gpu_is_an_error_of_the_device(self):
        self.check_end(self.broken(), DEVICE, "illegal memory access")

    def test_a_broken_gpu_ends_all_ranks(self):
        result = self.broken(ranks=2, timeout=10)
        self.check_end(result, DEVICE, "illegal memory access")
        self.assertLess(result.seconds, 40)

    def with_nccl_fault(self, how, rank=1, call=5):
        return self.program.train(how, ranks=2, timeout=5,
                                  environment={"PIXART_FAKE_GPU_NCCL_FAULT": f"rank={rank},call={call},how={how}"})

    def test_a_call_that_hangs_on_the_host(self):
        result = self.with_nccl_fault("hang")
        self.check_end(result, DEVICE, "has not returned from the library after 5 s")
        self.assertLess(result.seconds, 40)

    def test_a_call_that_never_ends_on_the_device(self):
        result = self.with_nccl_fault("stall")
        self.check_end(result, DEVICE, "after 5 s")
        self.assertLess(result.seconds, 40)

    def test_a_call_that_fails(self):
        self.check_end(self.with_nccl_fault("fail"), DEVICE, "NCCL: internal error: this call was asked to fail")

    def test_an_asynchronous_error(self):
        self.check_end(self.with_nccl_fault("async"), DEVICE, "NCCL: remote process exited")


if __name__ == "__main__":
    main()
