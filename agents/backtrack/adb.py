"""adb, the program that talks to Android devices: one device, commands with a time limit, failures told apart.

adb fails in two ways: the device is gone, which ends everything, or it is there and a command did not succeed on it.
No shell of the host is involved. The device's own shell does parse what it is handed, so that words are quoted for it.
"""

import shlex
import subprocess
from tempfile import TemporaryFile

from setaria.agents.backtrack.environment import EnvironmentLost


MOST_BYTES = 64_000_000


class CommandFailed(RuntimeError):
    """A command did not succeed on a device that is still there."""


class Adb:
    """One device.

    Args:
        serial: which one, as `adb devices` names it; not needed if there is only one.
        program: adb itself.
        timeout: seconds that one call may take.

    Every method raises `EnvironmentLost` if adb cannot be run or does not answer in time, if it writes more than
    64 MB, or if the device is not there or does not let adb in.
    """

    def __init__(self, serial: str | None = None, program: str = "adb", timeout: float = 30.0):
        self.timeout = timeout
        self._command = [program, "-s", serial] if serial else [program]

    def require_device(self) -> None:
        """Nothing, if the device can be used."""
        _, output = self._call("get-state")
        lines = output.decode(errors="replace").splitlines()
        if "device" not in lines:  # among notices of a server that had to be started first
            raise EnvironmentLost(f"{' '.join(self._command)}: {first_line(*lines)}")

    def shell(self, words: list[str]) -> str:
        """What a command prints on the device, given as the words that it is to receive.

        Raises:
            CommandFailed: for an exit status other than 0.
        """
        status, output = self._call("shell", shlex.join(words))
        text = output.decode(errors="replace")
        if status:
            self.require_device()
            raise CommandFailed(f"{' '.join(words[:2])}: {first_line(*text.splitlines())}")
        return text

    def read(self, command_line: str) -> bytes:
        """The bytes that a command line, written for the device's shell, prints on the device, errors included."""
        status, output = self._call("exec-out", command_line)
        if status:
            self.require_device()
        return output

    def _call(self, *arguments: str) -> tuple[int, bytes]:
        with TemporaryFile() as file:
            try:
                done = subprocess.run(
                    [*self._command, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    timeout=self.timeout,
                )
            except subprocess.TimeoutExpired:
                raise EnvironmentLost(f"adb {arguments[0]} has not answered for {self.timeout:g} s") from None
            except OSError as error:
                raise EnvironmentLost(f"{self._command[0]} cannot be run: {error.strerror}") from None
            file.seek(0)
            output = file.read(MOST_BYTES + 1)
        if len(output) > MOST_BYTES:
            raise EnvironmentLost(f"adb {arguments[0]} wrote more than {MOST_BYTES} bytes")
        return done.returncode, output


def first_line(*lines: str) -> str:
    """The first line that says something and is no notice of adb's server, cut to 200 characters."""
    return next((line.strip()[:200] for line in lines if line.strip() and line[0] != "*"), "no answer")
