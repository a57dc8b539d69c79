"""A run on a private cluster leaves nothing behind that would break the next run of the same process."""

import subprocess
import sys

TWICE = """
import tempfile
from pathlib import Path
import dagster as dg
from lance_assets.compute.cluster import RayCluster
from lance_assets.compute.serve import served
from lance_assets.scoring.registry import scorers
import pyarrow as pa
import ray

said = [{"role": "user", "content": "<image>"}, {"role": "assistant", "content": "a cow by a lake"}]
rows = pa.table({"id": ["a"], "messages": [said], "caption_missing": [False]})
chosen = scorers(["caption_quality"])
folder = Path(tempfile.mkdtemp())
for run in ("one", "two"):
    with RayCluster(num_cpus=1).yield_for_execution(dg.build_init_resource_context()):
        with served(chosen, folder, folder) as asks:
            task = ray.remote(num_cpus=1)(lambda ask, rows: ask(rows).result().values.to_pylist())
            print(run, ray.get(task.remote(asks["caption_quality"], rows)))
"""


def test_a_scorer_is_served_on_one_private_cluster_after_the_other():
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (line.partition(" ")[2] for line in done.stdout.splitlines()[-2:])
    assert one == two
