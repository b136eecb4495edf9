"""A Ray cluster that imctrain starts for itself is heard on this machine alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_tools import spawn

LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
"""127.0.0.1, ::1 and ::ffff:127.0.0.1, as /proc writes them."""
SCRIPT = """
import json, os, sys, time
from pathlib import Path
from imctrain.sweep.folder import SweepFolder
from imctrain.sweep.ray_pool import RayPool
pool = RayPool(SweepFolder(Path(sys.argv[1])), jobs=1)
import ray
held = ray.remote(lambda: time.sleep(30)).remote()
time.sleep(3)
parents = {}
for stat in Path("/proc").glob("[0-9]*/stat"):
    try:
        parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:
        pass
mine = {os.getpid()}
while more := {pid for pid, parent in parents.items() if parent in mine} - mine:
    mine |= more
sockets = {}
for family in ("tcp", "tcp6"):
    for line in Path(f"/proc/net/{family}").read_text().splitlines()[1:]:
        field = line.split()
        if field[3] == "0A":
            sockets[f"socket:[{field[9]}]"] = field[1].split(":")
listening = {}
for pid in mine:
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            address = sockets.get(os.readlink(descriptor))
        except OSError:
            continue
        if address:
            listening[f"{pid} {address[1]}"] = address[0]
print(json.dumps([len(mine), listening]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="finds sockets in /proc")
def test_every_port_is_on_the_loopback(tmp_path):
    pytest.importorskip("ray")
    done = spawn(tmp_path, script=SCRIPT, fresh=True, RAY_ADDRESS="")
    assert done.returncode == 0, done.stderr
    processes, listening = json.loads(done.stdout.splitlines()[-1])
    assert processes >= 4
    assert len(listening) >= 5, "the cluster's processes listen somewhere"
    assert set(listening.values()) <= LOOPBACK
