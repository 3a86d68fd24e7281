"""The registry of clouds: every list of clouds comes from it, and it imports neither ray nor a cloud SDK."""

from __future__ import annotations

import io
import subprocess
import sys
import tokenize
from pathlib import Path

from accel_scaling.clouds import cloud_of_region, known_clouds
from tests.conftest import ROOT

# Files outside of a cloud's folder that may name a cloud in code.
MOST = 2


def names_a_cloud(path: Path) -> bool:
    """Whether a file has the name of a cloud as a string of its own; words within sentences do not count."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    return any(token.type == tokenize.STRING and token.string[1:-1] in known_clouds() for token in tokens)


def test_hardly_any_shared_file_names_a_cloud() -> None:
    folders = [ROOT / "accel_scaling", ROOT / "providers" / "base"]
    files = [path for folder in folders for path in folder.rglob("*.py") if not path.is_relative_to(folder / "testing")]
    naming = sorted(str(path.relative_to(ROOT)) for path in files if names_a_cloud(path))
    assert len(naming) <= MOST, naming


def test_each_cloud_has_the_parts_that_the_commands_ask_for() -> None:
    for cloud in known_clouds().values():
        for part in ("node_config", "provider", "refresh", "init_template", "local_cloud"):
            assert cloud.has_part(part), f"providers/{cloud.name}/{part}.py"


def test_reading_a_node_config_imports_neither_ray_nor_a_cloud_sdk() -> None:
    code = """
import sys
from accel_scaling.cluster.cluster import node_config_reader
from accel_scaling.clouds import known_clouds
for cloud in known_clouds().values():
    node_config_reader(cloud)
    __import__(cloud.package)
print([name for name in ("ray", "boto3", "botocore", "googleapiclient", "google") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_region_tells_its_cloud() -> None:
    for cloud in known_clouds().values():
        assert cloud_of_region(cloud.region_example) == cloud.name
    assert cloud_of_region("no region") is None
