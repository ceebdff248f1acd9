"""Which GPU each rank takes, which choices are refused, and what doctor says about the driver.

Usage: devices_test.py SOURCE_DIR PIXART_FAKE_GPU [TEST...]
"""

import concurrent.futures
import socket

from tiny_run import TestCase, main

DEVICE = 76  # ExitCode::kDevice


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Devices(TestCase):
    def visible(self, run, devices, ranks, device="cuda", variables=None):
        environment = {"CUDA_VISIBLE_DEVICES": devices} | (variables or {})
        return self.program.train(run, ranks=ranks, device=device, stage="autoencoder", environment=environment)

    def check_refused(self, result, *texts):
        self.assertEqual(result.code, DEVICE, result.output[-3000:])
        for text in texts:
            self.assertIn(text, result.output)
        self.assertLess(result.seconds, 40)

    def test_numbers_and_uuids(self):
        for name, devices in (("numbers", "5,3"), ("uuids", "GPU-00000005,GPU-00000003"), ("instance", "MIG-00000002")):
            ranks = len(devices.split(","))
            result = self.visible(name, devices, ranks)
            self.assertEqual(result.code, 0, result.output[-3000:])
            self.assertEqual([list(report["contexts"]) for report in result.reports], [[str(rank)] for rank in range(ranks)])

    def test_more_ranks_than_gpus(self):
        result = self.visible("more", "6,7", 3)
        self.check_refused(result, "2 GPUs are visible, numbered from 0 (CUDA_VISIBLE_DEVICES=6,7)")

    def test_a_uuid_that_names_no_gpu(self):
        self.check_refused(self.visible("unknown", "GPU-deadbeef", 1), "no usable GPU (CUDA_VISIBLE_DEVICES=GPU-deadbeef)")

    def test_two_ranks_on_one_gpu(self):
        for name, devices in (("shared", "4"), ("shared_instance", "MIG-00000004")):
            self.check_refused(self.visible(name, devices, 2), "ranks 0, 1 use the same GPU (0000:05:00.0)", "CUDA_VISIBLE_DEVICES")
        self.check_refused(self.visible("named", "4,6", 2, device="cuda:1"), "ranks 0, 1 use the same GPU (0000:07:00.0)")

    def tasks_of_slurm(self, run, devices):
        """srun with --gpus-per-task=1: each task sees its own GPU only."""
        step = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_TASKS_PER_NODE": "2",
                "SLURM_NODEID": "0", "MASTER_PORT": str(free_port())}

        def task(rank):
            return self.visible(run, devices[rank], 1, variables=step | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)})

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            return list(pool.map(task, range(2)))

    def test_each_task_of_slurm_sees_its_own_gpu(self):
        for result in self.tasks_of_slurm("own", ("3", "6")):
            self.assertEqual(result.code, 0, result.output[-3000:])

    def test_two_tasks_of_slurm_see_the_same_gpu(self):
        for result in self.tasks_of_slurm("same", ("3", "3")):
            self.check_refused(result, "ranks 0, 1 use the same GPU (0000:04:00.0)")


class Doctor(TestCase):
    def doctor(self, driver, **environment):
        text = f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {driver}  Thu Oct 19 18:56:32 UTC 2023\n"
        (self.program.folder / "driver").write_text(text)
        result = self.program.call(["doctor"], environment=environment)
        (self.program.folder / "driver").unlink()
        self.assertEqual(result.code, 0, result.output)
        return " ".join(result.output.split())

    def test_a_driver_that_fits(self):
        said = self.doctor("580.82.07")
        self.assertIn("driver 580.82.07: runs CUDA 13 and older", said)
        self.assertIn(" for CUDA 13.0 ", said)
        self.assertIn("GPU usable", said)
        self.assertNotIn("too old", said)

    def test_a_driver_that_is_too_old(self):
        without_gpus = {"PIXART_FAKE_GPU_DEVICES": "0"}
        said = self.doctor("550.54.15", **without_gpus)
        self.assertIn("driver 550.54.15: runs CUDA 12 and older", said)
        self.assertIn("LibTorch finds no usable GPU: the driver 550.54.15 is too old for a LibTorch for CUDA 13.0, which needs 580", said)
        self.assertIn("PIXART_TORCH_INDEX", said)
        self.assertNotIn("too old", self.doctor("550.54.15", PIXART_FAKE_GPU_CUDA="12080", **without_gpus))

    def test_no_driver(self):
        said = self.doctor("580.82.07", PIXART_DRIVER_FILE="/nowhere")
        self.assertIn("driver NVIDIA's driver is not here", said)
        self.assertIn(" for CUDA 13.0 ", said)


if __name__ == "__main__":
    main()
