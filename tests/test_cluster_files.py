"""Files that start a cluster have the form that their tools read, a token, and no dashboard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

CLUSTER = Path(__file__).parents[1] / "docs" / "how-to" / "cluster"


def closed(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """Return a schema of an object with these properties and no others."""
    properties = required | optional
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def listed(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1}


# The parts that we use of RayCluster of ray.io/v1 (ray-operator/apis/ray/v1/raycluster_types.go of KubeRay 1.2), and of
# the pods of Kubernetes within. Numbers of `ray start` are texts there.
TEXT, COUNT = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": 0}
AMOUNTS = closed({}, cpu={"type": "string", "pattern": r"^\d+$"}, memory={"type": "string", "pattern": r"^\d+[GM]i$"})
SECRET = closed({"secretKeyRef": closed({"name": TEXT, "key": TEXT})})
CONTAINER = closed(
    {"name": {"type": "string", "pattern": "^[a-z0-9-]{1,63}$"}, "image": TEXT},
    env=listed({"oneOf": [closed({"name": TEXT, "value": TEXT}), closed({"name": TEXT, "valueFrom": SECRET})]}),
    ports=listed(closed({"containerPort": {"type": "integer", "maximum": 65535}}, name=TEXT)),
    resources=closed({}, requests=AMOUNTS, limits=AMOUNTS),
)
POD = closed({"spec": closed({"containers": listed(CONTAINER)})})
PARAMETERS = {"type": "object", "additionalProperties": {"type": "string"}}
HEAD = closed(
    {"rayStartParams": PARAMETERS, "template": POD}, serviceType={"enum": ["ClusterIP", "NodePort", "LoadBalancer"]}
)
WORKERS = closed(
    {"groupName": TEXT, "minReplicas": COUNT, "maxReplicas": COUNT, "rayStartParams": PARAMETERS, "template": POD},
    replicas=COUNT,
)
RAY_CLUSTER = closed(
    {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": "RayCluster"},
        "metadata": closed({"name": TEXT}, namespace=TEXT),
        "spec": closed({"headGroupSpec": HEAD}, rayVersion=TEXT, workerGroupSpecs=listed(WORKERS)),
    }
)


def read(name: str) -> Any:
    return yaml.safe_load((CLUSTER / name).read_text(encoding="utf-8"))


def test_the_file_of_ray_up_is_one_of_this_ray_with_token_and_without_dashboard() -> None:
    ray = pytest.importorskip("ray")
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text(encoding="utf-8"))
    file = read("ray-up.yaml")
    jsonschema.validate(file, schema)
    head, worker = (file[f"{kind}_start_ray_commands"][-1] for kind in ("head", "worker"))
    assert "--include-dashboard=false" in head
    assert all(command.startswith("RAY_AUTH_MODE=token ") for command in (head, worker))
    assert f"--node-ip-address={file['provider']['head_ip']}" in head  # no other network of the head
    with pytest.raises(jsonschema.ValidationError, match="head_start_commands"):
        jsonschema.validate(file | {"head_start_commands": []}, schema)


def test_the_file_of_kuberay_has_the_fields_of_its_resource_with_token_and_without_dashboard() -> None:
    file = read("kuberay.yaml")
    jsonschema.validate(file, RAY_CLUSTER)
    groups = [file["spec"]["headGroupSpec"], *file["spec"]["workerGroupSpecs"]]
    for container in (container for group in groups for container in group["template"]["spec"]["containers"]):
        token = {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}
        assert token["RAY_AUTH_MODE"] == "token"
        assert "secretKeyRef" in token["RAY_AUTH_TOKEN"]
        assert [port["containerPort"] for port in container.get("ports", [])] in ([], [6379])
    head = groups[0]
    assert head["rayStartParams"]["include-dashboard"] == "false"
    assert head["serviceType"] == "ClusterIP"
    head["rayStartParams"]["num-cpus"] = 0
    with pytest.raises(jsonschema.ValidationError, match="0 is not of type 'string'"):
        jsonschema.validate(file, RAY_CLUSTER)
