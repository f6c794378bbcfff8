"""A W&B server for tests: the part of its HTTP interface that wandb 0.31 uses to upload runs and to read them.

It listens on loopback and keeps runs in memory. GraphQL calls are told apart by the name of their operation. A run's
history arrives over `file_stream` as lines at an offset, and lines at an offset already there replace the old ones,
as W&B's server does it.
"""

import gzip
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENTITY = "stub"
KEY = "0" * 40  # a key of the right length; the stub takes any


@dataclass
class StoredRun:
    """One run as the server has it: what UpsertBucket said last, and the lines of its history."""

    project: str
    fields: dict[str, Any] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)
    summary: str = "{}"
    exit_code: int | None = None

    @property
    def state(self) -> str:
        return {None: "running", 0: "finished"}.get(self.exit_code, "failed")

    def rows(self) -> list[dict[str, Any]]:
        """The history, parsed."""
        return [json.loads(line) for line in self.history]

    def node(self, name: str) -> dict[str, Any]:
        """The run as a GraphQL object."""
        rows = self.rows()
        return {
            "id": f"storage-{name}",
            "projectId": 1,
            "name": name,
            "displayName": self.fields.get("displayName") or name,
            "group": self.fields.get("groupName"),
            "jobType": self.fields.get("jobType"),
            "tags": self.fields.get("tags") or [],
            "config": self.fields.get("config") or "{}",
            "commit": self.fields.get("commit"),
            "summaryMetrics": self.summary,
            "systemMetrics": "{}",
            "state": self.state,
            "historyLineCount": len(rows),
            "historyKeys": {"lastStep": rows[-1]["_step"] if rows else -1, "keys": {}},
            "readOnly": False,
            "createdAt": "2026-01-01T00:00:00Z",
            "heartbeatAt": "2026-01-01T00:00:00Z",
            "user": {"name": ENTITY, "username": ENTITY},
            "project": {"id": "project", "name": self.project, "entity": {"id": "entity", "name": ENTITY}},
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is nothing to report."""


class Stub:
    """The server; use as a context manager.

    Attributes:
        runs: what was uploaded, by run id.
        views: what UpsertView and its kin said of workspaces and reports, in order.
        files: what was uploaded as files of runs and artifacts, by name.
        artifacts: what CreateArtifact said of each, in order.
        calls: names of the GraphQL operations and paths asked for, in order.
        refuse: ids of runs whose uploads are refused (HTTP 403).
    """

    def __init__(self) -> None:
        self.runs: dict[str, StoredRun] = {}
        self.views: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {}
        self.artifacts: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.refuse: set[str] = set()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self._handler())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to take this server for W&B."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": KEY, "WANDB_ERROR_REPORTING": "false"}

    def __enter__(self) -> "Stub":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(stub) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                with stub._lock:
                    status, answer = stub.answer(self.path, json.loads(body or b"{}"))
                self.reply(status, answer)

            def do_PUT(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with stub._lock:
                    stub.files[self.path.removeprefix("/upload/")] = content
                self.reply(200, {})

            def do_GET(self) -> None:
                self.reply(200, {})

            def reply(self, status: int, answer: dict[str, Any]) -> None:
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing on the terminal."""

        return Handler

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and JSON of one POST."""
        if path.endswith("/file_stream"):
            run = path.split("/")[-2]
            self.calls.append("file_stream")
            return self._file_stream(run, body)
        if path != "/graphql":
            self.calls.append(path)
            return 404, {}
        query, variables = body["query"], body.get("variables") or {}
        operation = query.replace("#graphql", "").split("(")[0].split("{")[0].split()[-1]
        self.calls.append(operation)
        if operation == "UpsertBucket" and variables.get("name") in self.refuse:
            return 403, {"errors": [{"message": "permission denied"}]}
        call: Callable[[dict[str, Any]], Any] | None = getattr(self, f"_{operation}", None)
        if call is None:
            return 400, {"errors": [{"message": f"the stub does not know {operation}"}]}
        return 200, {"data": call(variables)}

    def _file_stream(self, name: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        run = self.runs[name]
        for file, chunk in (body.get("files") or {}).items():
            lines = chunk["content"]
            if file == "wandb-history.jsonl":
                run.history[chunk["offset"] : chunk["offset"] + len(lines)] = lines
            elif file == "wandb-summary.json":
                run.summary = lines[-1]
        if body.get("complete"):
            run.exit_code = body.get("exitcode")
        return 200, {}

    def _Viewer(self, _: dict[str, Any]) -> dict[str, Any]:
        viewer = {"id": "1", "entity": ENTITY, "username": ENTITY, "email": "", "flags": "{}", "teams": {"edges": []}}
        return {"viewer": viewer}

    _GetDefaultEntity = _Viewer

    def _ServerFeaturesQuery(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"serverInfo": {"features": []}}

    def _UpsertBucket(self, variables: dict[str, Any]) -> dict[str, Any]:
        inserted = variables["name"] not in self.runs
        run = self.runs.setdefault(variables["name"], StoredRun(variables.get("project") or "uncategorized"))
        run.fields.update({key: value for key, value in variables.items() if value is not None})
        return {"upsertBucket": {"bucket": run.node(variables["name"]), "inserted": inserted}}

    def _RunResumeStatus(self, variables: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.get(variables["name"])
        bucket = None
        if run is not None:
            bucket = run.node(variables["name"]) | {
                "logLineCount": 0,
                "eventsLineCount": 0,
                "historyTail": json.dumps(run.history[-1:]),
                "eventsTail": "[]",
                "wandbConfig": '{"t": 1}',
            }
        project = {"id": "project", "name": variables["project"], "entity": {"id": "entity", "name": ENTITY}}
        return {"model": project | {"bucket": bucket}}

    def _CreateRunFiles(self, variables: dict[str, Any]) -> dict[str, Any]:
        files = [{"name": name, "uploadUrl": f"{self.url}/upload/{name}"} for name in variables["files"]]
        return {"createRunFiles": {"runID": variables["run"], "uploadHeaders": [], "files": files}}

    def _MarkRunFilesUploaded(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"markRunFilesUploaded": {"success": True}}

    def _ArtifactType(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"artifact": None}}

    def _CreateArtifact(self, variables: dict[str, Any]) -> dict[str, Any]:
        self.artifacts.append(variables["input"])
        sequence = {"latestArtifact": None}
        artifact = {"id": f"artifact-{len(self.artifacts)}", "state": "PENDING", "artifactSequence": sequence}
        return {"createArtifact": {"artifact": artifact}}

    def _CreateArtifactManifest(self, variables: dict[str, Any]) -> dict[str, Any]:
        name = variables["artifactID"]
        file = {"id": name, "uploadUrl": f"{self.url}/upload/{name}/manifest.json", "uploadHeaders": []}
        return {"createArtifactManifest": {"artifactManifest": {"id": name, "file": file}}}

    def _CreateArtifactFiles(self, variables: dict[str, Any]) -> dict[str, Any]:
        nodes = [
            {
                "id": file["name"],
                "name": file["name"],
                "displayName": file["name"],
                "uploadUrl": f"{self.url}/upload/{file['artifactID']}/{file['name']}",
                "uploadHeaders": [],
                "uploadMultipartUrls": None,
                "storagePath": file["name"],
                "artifact": {"id": file["artifactID"]},
            }
            for file in variables["input"]["artifactFiles"]
        ]
        return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}

    def _CommitArtifact(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"commitArtifact": {"artifact": {"id": variables["artifactID"], "digest": ""}}}

    def _UpsertView2(self, variables: dict[str, Any]) -> dict[str, Any]:
        """A workspace or a report: `spec` is JSON."""
        self.views.append(variables)
        view = {"description": "", "updatedAt": "2026-01-01T00:00:00Z"} | variables | {"id": f"view-{len(self.views)}"}
        view["project"] = {"id": "project", "name": view.pop("projectName"), "entityName": view.pop("entityName")}
        return {"upsertView": {"view": view, "inserted": True}}

    _upsertView = _UpsertView2

    def _GetProjects(self, _: dict[str, Any]) -> dict[str, Any]:
        node = {"__typename": "Project", "id": "project", "entityName": ENTITY, "isBenchmark": False, "user": None}
        names = sorted({run.project for run in self.runs.values()})
        edges = [{"node": node | {"name": name, "createdAt": "2026-01-01T00:00:00Z"}} for name in names]
        return {
            "models": {"edges": edges, "pageInfo": {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}}
        }

    def _ProjectInternalId(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"id": "project", "internalId": "1"}}

    def _Runs(self, variables: dict[str, Any]) -> dict[str, Any]:
        """The runs of a project that match, two at a time so that paging is used."""
        wanted = json.loads(variables.get("filters") or "{}")
        names = [name for name, run in self.runs.items() if run.project == variables["project"]]
        names = [name for name in names if _matches(self.runs[name].node(name), wanted)]
        first = int(variables.get("cursor") or 0)
        page = names[first : first + 2]
        last = first + len(page)
        edges = [{"node": self.runs[name].node(name), "cursor": str(last)} for name in page]
        more = {"endCursor": str(last), "hasNextPage": last < len(names)}
        runs = {"edges": edges, "pageInfo": more}
        return {"project": {"internalId": "1", "runCount": len(names), "readOnly": False, "runs": runs}}

    def _run(self, name: str, extra: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"run": self.runs[name].node(name) | extra if name in self.runs else None}}

    def _Run(self, variables: dict[str, Any]) -> dict[str, Any]:
        return self._run(variables["name"], {})

    _RunHistoryKeys = _Run

    def _RunParquetHistory(self, variables: dict[str, Any]) -> dict[str, Any]:
        live = [{"_step": row["_step"]} for row in self.runs[variables["runName"]].rows()]
        return self._run(variables["runName"], {"parquetHistory": {"parquetUrls": [], "liveData": live}})

    def _HistoryPage(self, variables: dict[str, Any]) -> dict[str, Any]:
        run = self.runs[variables["run"]]
        steps = range(variables["minStep"], variables["maxStep"])
        lines = [line for line in run.history if json.loads(line)["_step"] in steps]
        return self._run(variables["run"], {"history": lines})


def _matches(node: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether a run meets W&B's filters: equality of a field, or of a part of the config as `config.a.b`."""
    fields = node | {"config": json.loads(node["config"])}
    return all(_at(fields, key.split(".")) == value for key, value in wanted.items())


def _at(values: Any, path: list[str]) -> Any:
    """What lies at a path of names; the level `value` that W&B puts into a config may be left out."""
    for part in path:
        if isinstance(values, dict) and part not in values and isinstance(values.get("value"), dict):
            values = values["value"]
        values = values.get(part) if isinstance(values, dict) else None
    return values["value"] if isinstance(values, dict) and set(values) == {"value"} else values
