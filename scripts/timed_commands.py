"""Commands with a time limit, and what is kept of them: how they ended, and the last lines of their messages."""
import os
import pathlib
import signal
import subprocess
import tempfile
import time


class Failed(Exception):
    """What a part says when something is wrong, and the figures that it has nevertheless."""

    def __init__(self, message, figures=None):
        super().__init__(message)
        self.figures = figures


def last_lines(text, count=10):
    return text.splitlines()[-count:]


def kill_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def content(file):
    with file:
        file.seek(0)
        return file.read()


class Trial:
    """A part that runs: its time, and the commands that it has run."""

    def __init__(self, limit, folder):
        self.folder = folder  # in which the commands run
        self.begin = time.monotonic()
        self.deadline = self.begin + limit
        self.commands = []

    def left(self):
        return self.deadline - time.monotonic()

    def start(self, command, environment):
        """A process of its own group, and the files of its output."""
        files = [tempfile.TemporaryFile("w+", errors="replace") for _ in range(2)]
        process = subprocess.Popen([str(word) for word in command], cwd=self.folder, env=environment, stdin=subprocess.DEVNULL,
                                   stdout=files[0], stderr=files[1], start_new_session=True)
        return process, files

    def note(self, command, code, begin, files):
        """Keeps how the command ended and the end of its messages; returns its standard output and its messages."""
        output, messages = map(content, files)
        self.commands.append({"command": " ".join(str(word) for word in command), "rc": code,
                              "seconds": round(time.monotonic() - begin, 1), "messages": last_lines(messages)})
        return output, messages

    def run(self, command, environment, expected=(0,), limit=None):
        """The standard output. Failed if the exit code is not one of `expected`, or if the time is over."""
        name = pathlib.Path(str(command[0])).name
        seconds = min(self.left(), limit or self.left())
        if seconds < 1:
            raise Failed(f"{name}: no time was left")
        begin = time.monotonic()
        try:
            process, files = self.start(command, environment)
        except OSError as error:
            self.commands.append({"command": " ".join(map(str, command)), "rc": None, "seconds": 0, "messages": [str(error)]})
            raise Failed(f"{name} did not start: {error.strerror}") from error
        code = None
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            kill_group(process)
            output, messages = self.note(command, code, begin, files)
        if code is None:
            raise Failed(f"{name} had not ended after {seconds:.0f} s")
        if code not in expected:
            why = (last_lines(messages, 1) or last_lines(output, 1) or ["without a message"])[0]
            memory = "out of memory: " if "out of memory" in messages else ""
            raise Failed(f"{name} ended with {code}: {memory}{why}")
        return output
