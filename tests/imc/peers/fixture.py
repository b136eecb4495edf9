"""What the two drivers share: operands drawn once, and the JSON file that holds them beside the peer's outputs."""

import datetime
import json
import subprocess
from pathlib import Path

import numpy as np


def operand(rng, shape, low, high):
    """Integers of low..high with the largest magnitude present, so that every simulator's scale of one code is 1."""
    values = rng.integers(low, high + 1, shape)
    values.flat[rng.integers(values.size)] = high
    return values


def commit_of(package_file):
    """The commit that a checkout of the peer is at; "unknown" where it is an unpacked archive."""
    folder = Path(package_file).parent
    shown = subprocess.run(["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True)
    return shown.stdout.strip() if shown.returncode == 0 else "unknown"


def write(path, provenance, operands, cases):
    """One line an operand and a case, so that a diff shows which of them changed.

    Args:
        operands: {name: integer array}. cases: dicts with the settings and `output`, the peer's own floats.
    """
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    lines = ["{", f'"provenance": {json.dumps(provenance | {"date": today}, indent=1)},', '"operands": {']
    lines.append(",\n".join(f"{json.dumps(name)}: {_compact(array.tolist())}" for name, array in operands.items()))
    lines += ["},", '"cases": [']
    lines.append(",\n".join(_compact(case | {"output": _numbers(case["output"])}) for case in cases))
    lines += ["]", "}"]
    text = "\n".join(lines) + "\n"
    json.loads(text)
    Path(path).write_text(text, encoding="utf-8")
    print(f"{path}: {len(cases)} cases, {sum(case['output'].size for case in cases)} outputs, {len(text)} bytes")


def _compact(value):
    return json.dumps(value, separators=(",", ":"))


def _numbers(output):
    """Nested lists of the shortest decimals that read back as the same float32 (all that an output carries here)."""
    return np.vectorize(lambda x: float(str(np.float32(x))), otypes=[object])(output).tolist()
