"""Plant faults that real toolboxes shipped, one at a time, in a copy of the project; the suite must catch each.

Usage: python tools/inject_faults.py [--only NAME]. Exit 1 if a fault survives. Nothing here is changed, only the copy.
"""  # noqa: INP001 - a script, not a package

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SUITE = ("tests/ops", "tests/tasks", "tests/attacks", "tests/models/test_guard.py", "tests/contracts/test_evasion.py")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One wrong edit."""

    name: str
    """What is wrong, and where it was seen."""
    path: str
    """File under ``src/aseptic``."""
    right: str
    """Code as it is; must occur exactly once."""
    wrong: str
    """Code as the fault has it."""


FAULTS = (
    Fault(
        name="the l2 projection is the identity (foolbox: norms / norms)",
        path="ops/balls.py",
        right="return delta * per_image((radii / size).clamp(max=1), delta)",
        wrong="return delta * per_image(size / size, delta)",
    ),
    Fault(
        name="the clamp is on the perturbation, not on the factor (adversarial-library)",
        path="ops/balls.py",
        right="return delta * per_image((radii / size).clamp(max=1), delta)",
        wrong="return (delta * per_image(radii / size, delta)).clamp(max=1)",
    ),
    Fault(
        name="the random start is centred at minus the radius (TransferAttack)",
        path="ops/balls.py",
        right="return (unit * self.radius).to(like)",
        wrong="return ((unit - 1) / 2 * self.radius).to(like)",
    ),
    Fault(
        name="the sign of the goal is flipped",
        path="tasks/multiclass.py",
        right="return -task.loss(task.shift(logits), self._wanted(task, targets))",
        wrong="return task.loss(task.shift(logits), self._wanted(task, targets))",
    ),
    Fault(
        name="attacked images are not clipped to the legal range",
        path="ops/balls.py",
        right="return ball.project(delta).add_(images).clamp_(0, 1)",
        wrong="return ball.project(delta).add_(images)",
    ),
    Fault(
        name="the global random generator is used (AutoAttack)",
        path="ops/balls.py",
        right="unit = torch.rand(like.shape, generator=rng, dtype=wide) * 2 - 1",
        wrong="unit = torch.rand(like.shape, dtype=wide) * 2 - 1",
    ),
    Fault(
        name="gradients are left on the model (backward instead of grad)",
        path="ops/gradients.py",
        right="(gradient,) = torch.autograd.grad(total, leaf)",
        wrong="total.backward()\n    gradient = leaf.grad",
    ),
    Fault(
        name="the attack writes into the caller's images (BackdoorBench)",
        path="ops/balls.py",
        right="return ball.project(delta).add_(images).clamp_(0, 1)",
        wrong="return images.add_(ball.project(delta)).clamp_(0, 1)",
    ),
    Fault(
        name="repeated questions about one image count as one",
        path="attacks/base.py",
        right="number = self.asked[rows] + place + 1",
        wrong="number = self.asked[rows] + 1",
    ),
    Fault(
        name="Auto-PGD's momentum pulls back instead of on",
        path="attacks/apgd_core.py",
        right="(1 - momentum) * (state.here - state.before)",
        wrong="(1 - momentum) * (state.before - state.here)",
    ),
    Fault(
        name="FMN's radius shrinks where it should grow, and the other way round",
        path="attacks/fmn.py",
        right="torch.minimum(radii * (1 - factor), best)",
        wrong="torch.minimum(radii * (1 + factor), best)",
    ),
    Fault(
        name="a device that shows its decision shows its logits",
        path="attacks/interfaces.py",
        right="return 2 * decided.to(logits) - 1 + task.point(logits)",
        wrong="return logits",
    ),
)


def say(line: str) -> None:
    """Write one line to standard output, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run_suite(copy: Path) -> subprocess.CompletedProcess[str]:
    """Run the suite of the copy on the code of the copy."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "2", "--tb=line", "-p", "no:cacheprovider", *SUITE]
    environment = os.environ | {"PYTHONPATH": str(copy / "src"), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)  # noqa: S603


def who_caught(output: str) -> str:
    """Return how many tests failed, and in which files."""
    failed = re.findall(r"^(?:FAILED|ERROR) (?:.*/)?(test_\w+)\.py", output, flags=re.MULTILINE)
    return f"{len(failed)} tests in {', '.join(sorted(set(failed)))}"


def plant(fault: Fault, copy: Path) -> str:
    """Write the fault into the copy and return the text that was there.

    Raises:
        SystemExit: The right code is not there exactly once, so that the fault would not be what it says.
    """
    path = copy / "src" / "aseptic" / fault.path
    text = path.read_text()
    if text.count(fault.right) != 1:
        sys.exit(f"{fault.path}: expected once, found {text.count(fault.right)} times: {fault.right}")
    path.write_text(text.replace(fault.right, fault.wrong))
    return text


def main() -> int:
    """Plant, run, restore; return 1 if a fault survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="plant only faults whose name contains this")
    wanted = parser.parse_args().only
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("src", "tests"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        if (clean := run_suite(copy)).returncode != 0:
            say(clean.stdout[-2000:] + clean.stderr[-2000:])
            sys.exit("the suite must pass before faults are planted")
        say(f"without a fault: {clean.stdout.strip().splitlines()[-1]}")
        for fault in (fault for fault in FAULTS if wanted in fault.name):
            text = plant(fault, copy)
            found = run_suite(copy)
            (copy / "src" / "aseptic" / fault.path).write_text(text)
            survivors += found.returncode == 0
            say(f"{'SURVIVES' if found.returncode == 0 else 'caught  '}  {fault.name}: {who_caught(found.stdout)}")
    say(f"{survivors} faults survived")
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
