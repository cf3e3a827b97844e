"""A saved model behind HTTP: a FastAPI application, its limits and pages, and the server that runs it."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import json
import signal
import socket
import threading
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Any

from tsforecast.errors import (
    MAX_SHOWN,
    Argument,
    ParameterError,
    Part,
    Phrase,
    Problem,
    Reference,
    TsForecastError,
    counted,
    reason,
)
from tsforecast.estimators.persistence import load
from tsforecast.forecasters.base import Forecaster
from tsforecast.provenance import __version__
from tsforecast.serving.model import ServedForecaster, counts_of, written
from tsforecast.serving.reading import RequestError, refuse
from tsforecast.serving.recordings import ServedClassifier
from tsforecast.serving.worker import Limits, Worker

try:
    import uvicorn
    from fastapi import FastAPI, Request
    from fastapi.responses import Response
except ModuleNotFoundError as absent:
    raise ModuleNotFoundError(
        f"a server needs the package {absent.name}, which is not installed: install it with "
        "pip install 'tsforecast-toolkit[serve]'",
        name=absent.name,
    ) from absent

Served = ServedForecaster | ServedClassifier
RETRY = 1  # seconds after which a client may come again
READ_AWAY = 8  # bodies beyond the limit are read up to so many times it, so that their clients see the answer
PAGE_SAFETY = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title>
<style>body{{font:16px/1.5 system-ui;max-width:52rem;margin:2rem auto;padding:0 1rem}}pre{{overflow:auto;padding:1rem;
background:#8882}}td,th{{text-align:left;vertical-align:top;padding:.2rem 1rem .2rem 0}}</style>
<h1>{name}</h1><p>A {kind} of tsforecast {version}. There is no authentication. Limits: {limits}.</p>
<table>{facts}</table>
<h2>Ask</h2><p><code>POST {path}</code> with the fields {fields}; all are described in
<a href="openapi.json">openapi.json</a>, the model in <a href="model">/model</a>, and its state in
<a href="health">/health</a>.</p><pre>{example}</pre></html>"""
DESCRIPTIONS = {
    "context": "Rows to go on from, as an object of columns or a list of records, with the columns and the step of the "
    "data that were fitted; null for what is missing. Of models of arrays a list of numbers, or of such lists.",
    "future": "Rows of the columns that are known ahead, with time and id, for the steps to forecast.",
    "series": "Names of fitted series to forecast, where there is no context; all unless given.",
    "horizon": "Steps to forecast; those of the model unless given.",
    "quantiles": "Levels between 0 and 1: a column for each, such as y_q0.9.",
    "interval": "Shares of outcomes that central intervals hold, such as 0.8: columns such as y_lo80 and y_hi80.",
    "recordings": "A list of recordings, each a list of steps (numbers, or lists of channels); or rows, as "
    "an object of columns or a list of records, with a column that names each row's recording.",
    "id": "Column that names recordings; id unless given.",
}
REFUSALS = {
    400: "The body is no JSON object",
    408: "The body took too long",
    413: "More bytes or rows than the limits",
    415: "Another type than application/json",
    421: "The header Host names another server",
    422: "Data that the model cannot use",
    503: "Too many requests at a time, see Retry-After",
    504: "The answer took too long",
}


class HostCheck:
    """Only requests whose header ``Host`` has one of some names.

    A page of another site can have its name point to this machine (DNS rebinding), and then ask as if from the same
    site; its requests still name that site. Requests without the header come from no browser.
    """

    def __init__(self, app: Any, names: frozenset[str]) -> None:
        self.app, self.names = app, names

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        got = dict(scope.get("headers", ())).get(b"host", b"").decode("latin-1")
        if scope["type"] != "http" or not got or _host_of(got) in self.names:
            await self.app(scope, receive, send)
            return
        names = ", ".join(sorted(self.names))
        remedy = "ask by one of these, or start the server with --allowed-hosts"
        problem = Problem(f"the header Host must be one of {names}", f"got {got[:80]!r}", remedy)
        await _json(written({"error": str(problem)}), 421)(scope, receive, send)


def _host_of(given: str) -> str:
    """Return the name in a header ``Host``, without its port."""
    name = given.partition("]")[0].lstrip("[") if given.startswith("[") else given.partition(":")[0]
    return name.strip().lower().rstrip(".")


def hosts_of(host: str, bound: str, allowed: Iterable[str]) -> frozenset[str] | None:
    """Return the names by which a server that listens on `bound` may be asked; None for any."""
    allowed = [*allowed]
    if "*" in allowed or not (allowed or ipaddress.ip_address(bound.partition("%")[0]).is_loopback):
        return None
    return frozenset({"localhost", "127.0.0.1", "::1", host.lower(), bound, *(_host_of(name) for name in allowed)})


def application(model: Served, worker: Worker, limits: Limits, hosts: frozenset[str] | None = None) -> FastAPI:
    """Return the application; `worker` answers with `model`, to requests for one of `hosts`, or for any."""
    about = model.about()
    facts = json.dumps(about | {"limits": vars(limits)}, default=str).encode()
    app = FastAPI(title=f"tsforecast {about['name']}", version=__version__, docs_url=None, redoc_url=None)
    page = _page(model, about, limits).encode()
    inside = 0  # requests that are read, wait or are computed

    @app.get("/", include_in_schema=False)
    async def home() -> Response:
        return Response(page, media_type="text/html", headers=PAGE_SAFETY)

    @app.get("/health", summary="State of the server")
    async def health() -> Response:
        state = {"status": "ok", "waiting": inside, "answered": worker.answered, "batches": worker.batches}
        return _json(written(state))

    @app.get("/model", summary="The model: roles of columns, frequency, horizon or classes, fingerprint, limits")
    async def describe() -> Response:
        return _json(facts)

    @app.post(
        model.path,
        summary=f"{model.verb.capitalize()} with the model",
        responses={status: {"description": text} for status, text in REFUSALS.items()},
        openapi_extra={"requestBody": _schema(model)},
    )
    async def answer(request: Request) -> Response:
        nonlocal inside
        if inside >= limits.max_waiting:
            busy = Problem(
                "the server must have fewer requests at a time", f"{inside} are being answered", "come again"
            )
            raise RequestError(busy, 503, RETRY)
        inside += 1
        try:
            return _json(await _answered(worker, await _body_of(request, limits), limits))
        finally:
            inside -= 1

    async def refused(request: Request, error: Exception) -> Response:
        status, retry = (error.status, error.retry) if isinstance(error, RequestError) else (422, None)
        headers = {} if retry is None else {"Retry-After": str(retry)}
        return _json(written(in_a_sentence(error)), status, headers)

    async def elsewhere(request: Request, error: Exception) -> Response:
        status, headers = getattr(error, "status_code", 400), getattr(error, "headers", None)
        paths = f"GET /, /health, /model, /openapi.json and POST {model.path}"
        sentence = f"{request.method[:20]} {request.url.path[:80]!r} must be one of {paths}"
        return _json(written({"error": sentence}), status, dict(headers or {}))

    async def failed(request: Request, error: Exception) -> Response:
        return _json(written({"error": f"the model failed on this request: {type(error).__name__}"}), 500)

    app.add_exception_handler(TsForecastError, refused)
    for status in (404, 405):
        app.add_exception_handler(status, elsewhere)
    app.add_exception_handler(Exception, failed)
    if hosts is not None:
        app.add_middleware(HostCheck, names=hosts)
    return app


async def _body_of(request: Request, limits: Limits) -> bytes:
    """Return the body of a request; RequestError for one of another type, or beyond the limits."""
    kind, _, more = request.headers.get("content-type", "").partition(";")
    if kind.strip().lower() != "application/json" or more.strip().lower().replace('"', "") not in ("", "charset=utf-8"):
        got = f"got {kind.strip()[:80] or 'none'}{more and ';'}{more[:80]}"
        refuse("the content type must be application/json in UTF-8", got, "send that header", status=415)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        refuse("the body must not be compressed", f"got {request.headers['content-encoding'][:80]}", "", status=415)
    try:
        async with asyncio.timeout(limits.max_seconds):
            parts, size = list[bytes](), 0
            async for part in request.stream():
                size += len(part)
                if size <= limits.max_bytes:
                    parts.append(part)
                elif size > READ_AWAY * limits.max_bytes:
                    break
    except TimeoutError:
        refuse(f"the body must come within {limits.max_seconds:g} s", f"got {size} bytes", "send it again", status=408)
    except Exception as error:  # the client has gone
        raise RequestError(f"the body must be whole: {reason(error) or 'it ended'}", 400) from error
    if size > limits.max_bytes:
        remedy = "send fewer rows, or start the server with --max-bytes"
        refuse(f"the body must have at most {limits.max_bytes} bytes", f"got {size} or more", remedy, status=413)
    return b"".join(parts)


async def _answered(worker: Worker, body: bytes, limits: Limits) -> bytes:
    """Return the answer to a body, once the worker has come to it."""
    future = worker.submit(body)
    try:
        return await asyncio.wait_for(asyncio.wrap_future(future), limits.max_seconds)
    except TimeoutError as error:
        waited = f"the answer must come within {limits.max_seconds:g} s"
        if future.cancelled():  # its turn never came
            raise RequestError(Problem(waited, "other requests came first", "come again"), 503, RETRY) from error
        remedy = "ask for less, or start the server with --max-seconds"
        raise RequestError(Problem(waited, "it takes longer", remedy), 504, RETRY) from error


def in_a_sentence(error: Exception) -> dict[str, Any]:
    """Return the first problem of an error as ``error``, and all of them as ``problems`` where there are more."""
    problems = [str(problem.map(_as_field)) for problem in getattr(error, "problems", [])] or [str(error)]
    if len(problems) == 1:
        return {"error": problems[0]}
    more = counted(len(problems) - 1, "more problem")
    return {"error": f"{problems[0]} (and {more})", "problems": problems[:MAX_SHOWN]}


def _as_field(part: Reference) -> Part:
    """Name the field of a request, or `fit`, where Python has an argument."""
    if isinstance(part, Phrase) and part.key == "future frame":
        return "send the field 'future', rows"
    if isinstance(part, Argument):
        shown = Argument(part.name, part.value)
        return f"'{part.name}'" if part.name in DESCRIPTIONS else f"fit the model with {shown}" if part.verb else part
    return part


def _schema(model: Served) -> dict[str, Any]:
    """Return what OpenAPI has of the body, with an example that runs."""
    table = {"oneOf": [{"type": "object"}, {"type": "array", "items": {}}]}
    level = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
    kinds: dict[str, dict[str, Any]] = {
        "context": table,
        "future": table,
        "recordings": table,
        "series": {"type": "array", "items": {}},
        "horizon": {"type": "integer", "minimum": 1, "maximum": getattr(model, "furthest", 1)},
        "quantiles": {"type": "array", "items": level},
        "interval": {"oneOf": [level, {"type": "array", "items": level}]},
        "id": {"type": "string"},
    }
    properties = {name: {**kinds[name], "description": DESCRIPTIONS[name]} for name in model.fields}
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {"required": True, "content": {"application/json": {"schema": schema, "example": model.example()}}}


def _page(model: Served, about: dict[str, Any], limits: Limits) -> str:
    """Return the page of a server, which loads nothing."""
    rows = {name: value for name, value in about.items() if name not in ("name", "kind", "tsforecast")}
    shown = "".join(f"<tr><th>{escape(name)}<td>{escape(json.dumps(value))}" for name, value in rows.items())
    return PAGE.format(
        name=escape(about["name"]),
        kind=about["kind"],
        version=__version__,
        limits=counts_of(limits),
        facts=shown,
        path=model.path,
        fields=", ".join(model.fields),
        example=escape(json.dumps(model.example())),
    )


def _json(content: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(content, status, headers, "application/json")


def served(model: Any, limits: Limits) -> Served:
    """Return a fitted forecaster or classifier behind a service; ParameterError for anything else."""
    if isinstance(model, Forecaster):
        model.check_fitted()
        return ServedForecaster(model, limits)
    if hasattr(model, "predict_proba") and hasattr(model, "check_fitted"):
        model.check_fitted()
        return ServedClassifier(model, limits)
    raise ParameterError(f"a server needs a forecaster or a classifier: got a {type(model).__name__}")


class Server:
    """A model that answers on a port of this machine.

    Parameters
    ----------
    model : path, forecaster or classifier
        Folder of a saved model, or a fitted one.
    port : int
        Port to listen on; 0 for a free one.
    host : str
        Address to listen on. There is no authentication: on others than this machine's own, everybody may ask.
    limits : Limits, optional
    allowed_hosts : sequence of str
        Further names by which clients may ask, as their header ``Host`` has them; ``"*"`` for any. A server that
        listens on this machine's own address is asked by ``localhost``, that address, or these; others by any name,
        unless some are given.

    Attributes
    ----------
    url : str
        Where it answers.

    Raises
    ------
    ParameterError
        When the port cannot be listened on, or the model is neither forecaster nor classifier.
    ModelFileError
        When the folder holds no whole model.

    Examples
    --------
    >>> import urllib.request
    >>> from tsforecast import SeasonalNaiveForecaster
    >>> model = SeasonalNaiveForecaster(horizon=2, season_length=3).fit([1.0, 2.0, 3.0] * 4)
    >>> with Server(model, port=0) as server:
    ...     body = urllib.request.Request(f"{server.url}/forecast", b"{}", {"Content-Type": "application/json"})
    ...     urllib.request.urlopen(body).read()
    b'{"forecast": {"y": [1.0, 2.0]}, "notes": []}'
    """

    def __init__(
        self,
        model: Any,
        port: int = 8000,
        host: str = "127.0.0.1",
        limits: Limits | None = None,
        allowed_hosts: Iterable[str] = (),
    ) -> None:
        limits = limits or Limits()
        self._socket = listening(host, port)
        try:
            self.model = served(load(model) if isinstance(model, (str, Path)) else model, limits)
            self.model.warm_up()
            self._worker = Worker(self.model.answer, limits.max_batch)
            hosts = hosts_of(host, self._socket.getsockname()[0], allowed_hosts)
            app = application(self.model, self._worker, limits, hosts)
        except BaseException:
            self._socket.close()
            raise
        shown, port = self._socket.getsockname()[:2]
        self.url = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
        config = uvicorn.Config(
            app, loop="asyncio", http="h11", ws="none", lifespan="off", log_config=None, log_level="critical",
            access_log=False, server_header=False, timeout_graceful_shutdown=int(2 * limits.max_seconds) + 1,
            limit_concurrency=10 * limits.max_waiting,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread: threading.Thread | None = None

    @property
    def answered(self) -> int:
        """Requests that were answered, or refused for their content."""
        return self._worker.answered

    def run(self, started: Callable[[], None] = lambda: None) -> None:
        """Answer until Ctrl-C or SIGTERM; what has begun is finished."""
        before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            started()  # connections wait at the port already
            self._server.run(sockets=[self._socket])
        finally:
            self._worker.close()
            self._socket.close()
            for number, handler in before.items():
                signal.signal(number, handler)

    def __enter__(self) -> Server:
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        if self._thread:
            self._thread.join()
        self._worker.close()
        self._socket.close()


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address; ParameterError where that cannot be."""
    if not 0 <= port < 65536:
        raise ParameterError(Problem("must be a number up to 65535", f"got {port}", parameter="port"))
    made: socket.socket | None = None
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(place)
        made.listen(2048)
    except (OSError, UnicodeError) as error:
        if made is not None:
            made.close()
        must = f"{host}:{port} must be an address of this machine that is free"
        taken = getattr(error, "errno", None) in (errno.EADDRINUSE, errno.EACCES)
        remedy = "name another port, or 0 for a free one" if taken else "name another host, such as 127.0.0.1"
        raise ParameterError(Problem(must, reason(error), remedy)) from error
    return made
