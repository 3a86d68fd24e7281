"""Catalog files of a user's own, for the tests of what is loaded and what is refused."""

import pytest

from accel_scaling.families.catalog import load_catalog

HEADER = "instance_type,vcpus,memory_mib,arch,accelerator,count\n"
GOOD = HEADER + "x1.large,2,8192,x86_64,,\nx1.gpu,8,32768,arm64,L4,2\n"
CHIP = "family: npu, resource: NPU, detected_type: null, variant: N9"


@pytest.fixture(name="home")
def home_fixture(tmp_path):
    (tmp_path / "home" / ".accel_scaling" / "refresh").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture(name="load")
def load_fixture(tmp_path, home):
    """Write a file and load the catalog with it."""

    def loading(text, name="mine.csv", **more):
        for each, content in {name: text, **more}.items():
            file = tmp_path / each.replace("__", ".")
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load_catalog([tmp_path / name], home=home)

    return loading
