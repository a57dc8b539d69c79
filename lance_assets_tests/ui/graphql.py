"""What the web UI asks of the webserver, asked without the browser."""

import json
import time
import urllib.request

FINISHED = ("SUCCESS", "FAILURE", "CANCELED")
LOCATION = {"repositoryLocationName": "lance_assets", "repositoryName": "__repository__"}

LAUNCHED = "{__typename ...on LaunchRunSuccess{run{id}} ...on PythonError{message}}"
LAUNCH = f"mutation($params:ExecutionParams!){{launchPipelineExecution(executionParams:$params){LAUNCHED}}}"
RELAUNCH = f"mutation($params:ReexecutionParams!){{launchPipelineReexecution(reexecutionParams:$params){LAUNCHED}}}"
KEYS = "{repositoriesOrError{...on RepositoryConnection{nodes{assetNodes{assetKey{path}}}}}}"
CHECKS = """{repositoriesOrError{...on RepositoryConnection{nodes{assetNodes{assetKey{path}
    assetChecksOrError{...on AssetChecks{checks{name}}}}}}}}"""
PARTITIONS = '{assetNodeOrError(assetKey:{path:["raw_captions"]}){...on AssetNode{partitionKeys}}}'
RUN = "query($id:ID!){runOrError(runId:$id){...on Run{status tags{key value} assetSelection{path}}}}"
RUNS = "{runsOrError{...on Runs{results{id status}}}}"
LOG = """query($id:ID!){logsForRun(runId:$id){...on EventConnection{
    events{__typename ...on MessageEvent{message level stepKey} ...on ErrorEvent{error{message}}}}}}"""
MATERIALIZED = """query($id:ID!){logsForRun(runId:$id){...on EventConnection{events{
    ...on MaterializationEvent{assetKey{path} partition metadataEntries{label}}}}}}"""
CHECKED = """query($id:ID!){logsForRun(runId:$id){...on EventConnection{events{
    ...on AssetCheckEvaluationEvent{evaluation{assetKey{path} checkName success partition}}}}}}"""

Events = list[dict]


class GraphQL:
    """The webserver on a port of loopback."""

    def __init__(self, port: int):
        self.port = port
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, query: str, **variables) -> dict:
        """The data of an answer; an answer with errors fails the test."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", body, {"Content-Type": "application/json"}
        )
        with self.opener.open(request, timeout=60) as reply:
            answer = json.load(reply)
        assert not answer.get("errors"), answer["errors"]
        return answer["data"]

    def asset_keys(self) -> list[list[str]]:
        nodes = self.ask(KEYS)["repositoriesOrError"].get("nodes", [])
        return [node["assetKey"]["path"] for found in nodes for node in found["assetNodes"]]

    def asset_checks(self) -> list[dict]:
        """What the Materialize dialog asks for beside the assets that it names."""
        nodes = [node for found in self.ask(CHECKS)["repositoriesOrError"]["nodes"] for node in found["assetNodes"]]
        return [
            {"assetKey": node["assetKey"], "name": check["name"]}
            for node in nodes
            for check in node["assetChecksOrError"]["checks"]
        ]

    def partitions(self) -> list[str]:
        return self.ask(PARTITIONS)["assetNodeOrError"]["partitionKeys"]

    def launch(self, job: str, assets: list[list[str]] | None = None, tags: dict[str, str] | None = None) -> str:
        """The mutation that the launchpad and the Materialize dialog send; returns the id of the run."""
        selector = {**LOCATION, "pipelineName": job}
        if assets is not None:
            selector |= {"assetSelection": [{"path": path} for path in assets]}
            selector |= {
                "assetCheckSelection": [check for check in self.asset_checks() if check["assetKey"]["path"] in assets]
            }
        said = [{"key": key, "value": value} for key, value in (tags or {}).items()]
        params = {"mode": "default", "runConfigData": "{}", "selector": selector, "executionMetadata": {"tags": said}}
        return _run_id(self.ask(LAUNCH, params=params)["launchPipelineExecution"])

    def materialize(self, assets: list[list[str]], partition: str) -> str:
        return self.launch("__ASSET_JOB", assets, {"dagster/partition": partition, "dagster/from_ui": "true"})

    def reexecute(self, run: str) -> str:
        """What "Re-execute all" sends."""
        params = {"parentRunId": run, "strategy": "ALL_STEPS"}
        return _run_id(self.ask(RELAUNCH, params=params)["launchPipelineReexecution"])

    def runs(self) -> list[str]:
        return [run["id"] for run in self.ask(RUNS)["runsOrError"]["results"]]

    def run(self, run: str) -> dict:
        return self.ask(RUN, id=run)["runOrError"]

    def reached(self, run: str, wanted: tuple[str, ...] = FINISHED, seconds: float = 180) -> str:
        """The status of a run, once it is one of those wanted."""
        deadline = time.monotonic() + seconds
        while (status := self.run(run)["status"]) not in wanted:
            assert time.monotonic() < deadline, f"run {run} is still {status} after {seconds} s: {self.log(run)[-5:]}"
            time.sleep(0.5)  # between two looks
        return status

    def succeeded(self, run: str, seconds: float = 180) -> None:
        status = self.reached(run, seconds=seconds)
        assert status == "SUCCESS", [event for event in self.log(run) if event.get("error")] or self.log(run)[-5:]

    def log(self, run: str) -> Events:
        return self.ask(LOG, id=run)["logsForRun"]["events"]

    def lines(self, run: str) -> list[str]:
        """What the bodies said, as the run's page shows it."""
        return [event["message"] for event in self.log(run) if event["__typename"] == "LogMessageEvent"]

    def materializations(self, run: str) -> dict[str, dict]:
        """By asset: its partition and the names of its metadata."""
        found = [event for event in self.ask(MATERIALIZED, id=run)["logsForRun"]["events"] if event]
        return {
            "/".join(event["assetKey"]["path"]): {
                "partition": event["partition"],
                "metadata": {entry["label"] for entry in event["metadataEntries"]},
            }
            for event in found
        }

    def checks(self, run: str) -> dict[tuple[str, str], dict]:
        """The evaluations of a run, by asset and check."""
        events = [event["evaluation"] for event in self.ask(CHECKED, id=run)["logsForRun"]["events"] if event]
        return {("/".join(one["assetKey"]["path"]), one["checkName"]): one for one in events}


def _run_id(answer: dict) -> str:
    assert answer["__typename"] == "LaunchRunSuccess", answer
    return answer["run"]["id"]
