"""The other ways to label with Ray: Ray Data rewriting Parquet files, and the guide's own path."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lance_assets_tests.bench.label_data import PARQUET
from lance_assets_tests.bench.label_plain import SCORE, Rewrite, lance_scores
from lance_assets_tests.bench.label_ray import CORES, join
from lance_assets_tests.bench.label_scorers import FUNCTIONS
from lance_assets_tests.bench.label_task import Task, Variant

#: Rows of a call to Ray Serve: the fastest that was measured.
CALL = 1024


class RayData(Rewrite):
    name, on_ray = "Parquet rewrite, Ray Data", True

    def start(self, task: Task) -> None:
        join(task)
        _rewrite(f"{task.warm}/parquet", f"{task.work}/warm", task)

    def act(self, task: Task) -> None:
        _rewrite(f"{task.source}/parquet", task.target, task)


def _rewrite(source: str, target: str, task: Task) -> None:
    import ray.data

    score = FUNCTIONS[task.scorer]

    def scored(rows: pa.Table) -> pa.Table:
        scores = [pa.array(score(chunk), pa.float32()) for chunk in rows["image"].chunks]
        return rows.append_column(SCORE, pa.chunked_array(scores, pa.float32()))

    rows = ray.data.read_parquet(source).map_batches(scored, batch_format="pyarrow", batch_size=task.rows)
    rows.write_parquet(target, **PARQUET)


class Guide(Variant):
    """lance_ray.add_columns, whose function asks a deployment of Ray Serve by its handle."""

    name, reads, on_ray = "guide: add_columns + Serve", "guide.lance/data", True

    def start(self, task: Task) -> None:
        from ray import serve
        from ray.serve.config import ProxyLocation

        from lance_assets.compute.replica import listen_on_loopback_only

        join(task)
        serve.start(proxy_location=ProxyLocation.Disabled)
        score = FUNCTIONS[task.scorer]

        class Model:
            def __init__(self) -> None:
                listen_on_loopback_only()

            def score(self, images: pa.Array) -> pa.Array:
                return pa.array(score(images), pa.float32())

        deployment = serve.deployment(Model, name="model", ray_actor_options={"num_cpus": 0})
        serve.run(deployment.bind(), name=task.column, route_prefix=None)
        self._add(f"{task.warm}/guide.lance", task)

    def act(self, task: Task) -> None:
        self._add(f"{task.place}/guide.lance", task)

    def _add(self, uri: str, task: Task) -> None:
        import lance_ray

        application = task.column

        def transform(rows: pa.RecordBatch) -> pa.RecordBatch:
            from ray import serve

            scores = serve.get_app_handle(application).score.remote(rows["image"]).result()
            return pa.record_batch([scores], names=[application])

        lance_ray.add_columns(
            uri, transform=transform, read_columns=["image"], batch_size=min(CALL, 4 * task.rows), concurrency=CORES
        )

    def scores(self, task: Task) -> NDArray[np.float32]:
        return lance_scores(f"{task.place}/guide.lance", task.column)

    def stop(self, task: Task) -> None:
        from ray import serve

        serve.shutdown()
