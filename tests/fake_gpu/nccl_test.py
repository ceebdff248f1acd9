"""The fake NCCL, called as the program calls it, by processes that share nothing else. Memory is the host's here.

Usage: nccl_test.py LIBNCCL
"""

import array
import ctypes
import multiprocessing
import os
import sys
import time

FLOAT32, FLOAT64, INT64, INT8, BFLOAT16 = 7, 8, 4, 0, 9
TYPES = {FLOAT32: "f", FLOAT64: "d", INT64: "q", INT8: "b"}
PATH = sys.argv[1]


class Id(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_char * 128)]


class Rank:
    """One rank's communicator."""

    def __init__(self, rank, ranks, name):
        self.nccl = ctypes.CDLL(PATH)
        self.nccl.ncclGetLastError.restype = ctypes.c_char_p
        self.comm = ctypes.c_void_p()
        self.rank, self.ranks = rank, ranks
        assert self.nccl.ncclCommInitRank(ctypes.byref(self.comm), ranks, Id(name), rank) == 0

    def call(self, name, send, receive, count, *rest):
        to_pointer = lambda values: ctypes.c_void_p(values.buffer_info()[0])
        return getattr(self.nccl, name)(to_pointer(send), to_pointer(receive), ctypes.c_size_t(count), *rest, self.comm, None)

    def error(self):
        result = ctypes.c_int()
        assert self.nccl.ncclCommGetAsyncError(self.comm, ctypes.byref(result)) == 0
        return result.value


def sums(rank):
    for kind in (FLOAT32, FLOAT64, INT64):
        for count in (1, 1000, 700001):  # more than a part that is exchanged at once
            mine = array.array(TYPES[kind], [rank.rank + 1]) * count
            mine[-1] = 100 * rank.rank
            assert rank.call("ncclAllReduce", mine, mine, count, kind, 0) == 0
            assert mine[0] == (sum(range(1, rank.ranks + 1)) if count > 1 else mine[-1])
            assert mine[-1] == 100 * sum(range(rank.ranks))


def bfloat16_sums(rank):
    mine = array.array("H", [0x3F80, 0x4000])  # 1 and 2
    assert rank.call("ncclAllReduce", mine, mine, 2, BFLOAT16, 0) == 0
    assert list(mine) == {2: [0x4000, 0x4080], 4: [0x4080, 0x4100]}[rank.ranks]


def parts(rank):
    count = 300001
    everything = array.array("f", [0]) * (count * rank.ranks)
    for owner in range(rank.ranks):
        everything[owner * count] = 10 * owner + rank.rank
    mine = array.array("f", [0]) * count
    assert rank.call("ncclReduceScatter", everything, mine, count, FLOAT32, 0) == 0
    assert mine[0] == rank.ranks * 10 * rank.rank + sum(range(rank.ranks))
    assert rank.call("ncclAllGather", mine, everything, count, FLOAT32) == 0
    assert [everything[owner * count] for owner in range(rank.ranks)] == [
        rank.ranks * 10 * owner + sum(range(rank.ranks)) for owner in range(rank.ranks)]
    mine = array.array("f", [10 + rank.rank] * 3)
    assert rank.call("ncclReduce", mine, mine, 3, FLOAT32, 0, rank.ranks - 1) == 0
    total = 10 * rank.ranks + sum(range(rank.ranks))
    assert all(value == total if rank.rank == rank.ranks - 1 else value != value for value in mine)
    letter = array.array("b", [rank.rank])
    assert rank.call("ncclBroadcast", letter, letter, 1, INT8, rank.ranks - 1) == 0
    assert letter[0] == rank.ranks - 1


def different_calls(rank):
    mine = array.array("f", [1]) * 8
    assert rank.call("ncclAllReduce", mine, mine, 8 if rank.rank == 0 else 7, FLOAT32, 0) == 5
    assert b"rank 0 all_reduce of 8 elements" in rank.nccl.ncclGetLastError(None) or rank.rank == 0


def faulty(how):
    def run(rank):
        mine = array.array("f", [1])
        assert rank.call("ncclAllReduce", mine, mine, 1, FLOAT32, 0) == 0
        if rank.rank != 1 and how in ("hang", "stall"):  # it waits for rank 1 on the GPU, and its host goes on
            assert rank.call("ncclAllReduce", mine, mine, 1, FLOAT32, 0) == 0
            assert rank.nccl.ncclCommAbort(rank.comm) == 0
            return
        if rank.rank != 1:  # it waits for rank 1, and is freed by an abort
            started = time.monotonic()
            waiter = multiprocessing.pool.ThreadPool(1).apply_async(
                lambda: rank.call("ncclAllReduce", mine, mine, 1, FLOAT32, 0))
            time.sleep(0.3)
            assert not waiter.ready()
            assert rank.nccl.ncclCommAbort(rank.comm) == 0
            assert waiter.get(5) == 6 and time.monotonic() - started < 5
            return
        if how == "hang":
            waiter = multiprocessing.pool.ThreadPool(1).apply_async(
                lambda: rank.call("ncclAllReduce", mine, mine, 1, FLOAT32, 0))
            time.sleep(0.6)
            assert not waiter.ready()
            os._exit(0)
        result = rank.call("ncclAllReduce", mine, mine, 1, FLOAT32, 0)
        assert result == (3 if how == "fail" else 0), result
        assert rank.error() == (6 if how == "async" else 0)

    return run


def start(work, rank, ranks, name):
    work(Rank(rank, ranks, name))
    os._exit(0)


def run(title, work, ranks):
    name = f"/pixart-nccl-test-{os.getpid()}-{title}-{ranks}".encode()
    processes = [multiprocessing.Process(target=start, args=(work, rank, ranks, name)) for rank in range(ranks)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert codes == [0] * ranks, f"{title} on {ranks} ranks: {codes}"
    print(f"{title} on {ranks} ranks: ok")


multiprocessing.set_start_method("fork")
import multiprocessing.pool  # noqa: E402

for number in (2, 4):
    run("sums", sums, number)
    run("bfloat16", bfloat16_sums, number)
    run("parts", parts, number)
run("different", different_calls, 2)
for fault in ("hang", "stall", "fail", "async"):
    os.environ["PIXART_FAKE_GPU_NCCL_FAULT"] = f"rank=1,call=1,how={fault}"
    run(fault, faulty(fault), 2)
