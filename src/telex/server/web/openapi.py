"""The description of the API (OpenAPI 3.1), made from its operations and the types that they take and give."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from telex.server.web import types
from telex.server.web.operations import ROOT, Operation
from telex.server.web.problems import CONTENT_TYPE, Problem

_REF: Final = "#/components/schemas/{name}"
_SECURITY: Final[list[dict[str, list[str]]]] = [{"basic": []}, {"cookie": []}]
_SEGMENTS: Final = {
    "topic": "The topic; its slashes may stand there as they are, or as %2F.",
    "id": "The id; slashes may stand there as they are, or as %2F.",
}


def description(operations: Sequence[Operation], cookie: str, *, is_open: bool) -> dict[str, Any]:
    """The description.

    Args:
        operations: what may be asked.
        cookie: the name of the cookie that a login gives.
        is_open: nobody has to log in.
    """
    wanted = [Problem, types.Credentials, types.Me]
    for each in operations:
        wanted += [found for found in (each.query, each.body, each.answer) if found is not None]
    schemas, components = msgspec.json.schema_components(wanted, ref_template=_REF)
    known = dict(zip(map(repr, wanted), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(f"{ROOT}{each.path}", {})[each.method.lower()] = _described(each, known, components)
    paths[f"{ROOT}/session"] = _session(known)
    paths[f"{ROOT}/openapi.json"] = {
        "get": {
            "operationId": "get_openapi",
            "summary": "This description",
            "security": [],
            "responses": {"200": _answer("The description", {"type": "object"}), "default": _problem(known)},
        }
    }
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Telex",
            "version": "1",  # of the API: strangers may read this, and need not know which Telex it is
            "description": "An MQTT broker. Rights are those of MQTT; some operations are for administrators.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": cookie},
            },
        },
    }
    if not is_open:
        described["security"] = _SECURITY
    return described


def _described(operation: Operation, known: Mapping[str, Any], components: Mapping[str, Any]) -> dict[str, Any]:
    name = operation.path.strip("/").replace("/", "_").replace("{", "").replace("}", "")
    text = "For administrators." if operation.for_administrators else "With the rights that whoever asks has in MQTT."
    answer = None if operation.answer is None else known[repr(operation.answer)]
    described: dict[str, Any] = {
        "operationId": f"{operation.method.lower()}_{name}",
        "summary": operation.title,
        "description": text,
        "parameters": [*_segments(operation.path), *_parameters(known[repr(operation.query)], components)],
        "responses": {str(operation.status): _answer(operation.title, answer), "default": _problem(known)},
    }
    if operation.body is not None:
        described["requestBody"] = _body(known[repr(operation.body)])
    return described


def _segments(path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": text,
            "schema": {"type": "string", "minLength": 1},
        }
        for name, text in _SEGMENTS.items()
        if f"{{{name}}}" in path
    ]


def _parameters(reference: Mapping[str, Any], components: Mapping[str, Any]) -> list[dict[str, Any]]:
    shape = components[str(reference["$ref"]).rpartition("/")[2]]
    return [
        {"name": name, "in": "query", "required": name in shape.get("required", ()), "schema": _in_a_query(schema)}
        for name, schema in shape.get("properties", {}).items()
    ]


def _in_a_query(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A query has no null: what may be that is left out."""
    kinds = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    return dict(kinds[0]) if len(kinds) == 1 else {name: value for name, value in schema.items() if value is not None}


def _body(schema: Any) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _answer(title: str, schema: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"description": title}
    if schema is not None:
        said["content"] = {"application/json": {"schema": schema}}
    return said


def _problem(known: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": "What is wrong", "content": {CONTENT_TYPE: {"schema": known[repr(Problem)]}}}


def _session(known: Mapping[str, Any]) -> dict[str, Any]:
    done = {"description": "Done"}
    return {
        "post": {
            "operationId": "post_session",
            "summary": "Log in: the answer has a cookie",
            "security": [],
            "requestBody": _body(known[repr(types.Credentials)]),
            "responses": {"204": done, "default": _problem(known)},
        },
        "delete": {
            "operationId": "delete_session",
            "summary": "Log out",
            "responses": {"204": done, "default": _problem(known)},
        },
    }
