"""The registry of clouds: each is one folder in `providers/`, and one `Cloud` value.

A cloud's folder holds all that is its own. Its ``cloud.py`` has the value ``CLOUD``; other modules of the folder are
its parts, and are imported when a user asks for them: the registry itself imports neither ray nor a cloud SDK.

=====================  ==============================================================================
part                   what it does
=====================  ==============================================================================
``node_config``        reads a node type's ``node_config``: its machine, zones, capacity type and image
``provider``           the node provider class, around Ray's own
``refresh``            asks the cloud's API what it offers, for `catalog refresh`
``init_template``      the text of a first cluster file, for `accel-scaling init`
``stock_differences``  what is not as with Ray's own provider for it, for `accel-scaling migrate`
``local_cloud``        what stands for the cloud in rehearsals
``topology``           on a node: the labels of its place, by the cloud's metadata server
=====================  ==============================================================================
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import accel_scaling.providers

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping

# In a clone it is a link to the folder that people edit: messages name that one.
SHIPPED_FOLDER = (Path(__file__).parent / "catalogs").resolve()


class ImageForm(NamedTuple):
    """How images of one kind are named, as ``node_images.csv`` has it.

    Attributes:
        kind: the word in the column ``kind``.
        form: what a name looks like.
        expected: the same in words, for error messages.
    """

    kind: str
    form: re.Pattern[str]
    expected: str


@dataclass(frozen=True)
class Cloud:
    """What is true of a cloud wherever it is spoken of; a cloud overrides the methods that it differs in.

    Attributes:
        name: ``aws``: in `type: aws`, in the names of its files in catalogs/, in `accel-scaling init aws`.
        title: how people call it: ``AWS``.
        compute: its service for machines: ``EC2``.
        provider_class: the name of its node provider class.
        region_form: how its regions are written; no two clouds write one alike.
        region_example: one of its regions, for error messages.
        zone_example: zones as an offerings file names them, for error messages.
        stock: Ray has a provider of its own for it, as `type: NAME`.
        has_tpus: it sells TPU slices.
        is_default: a user's catalog file is about it where neither its name nor a column names a cloud.
        images: how its images are named in ``node_images.csv``.
        attaches_accelerators: accelerators are attached to some of its machines (``guestAccelerators``).
        has_custom_machine_types: vCPUs and memory may be in the name of a machine type.
        exact_accelerator_names: its names tell accelerators of the same product apart by their memory.
        series_separator: what stands after the series in the name of a machine type: ``g5`` of ``g5.xlarge``.
        sdk_module: what Ray's provider for it imports on the head node.
        sdk_package: the package that brings it.
        sdk_floors: the oldest versions of that package, and of those that it calls, with which the provider works.
        image_path_command: puts the Python of its usual images on the PATH, as Ray's own defaults do; it must succeed
            where there is no such image.
        image_keys: the keys of a node_config that may name an image.
        machine_key: the key of a node_config that names a machine type, or a list of them; empty where it takes none.
        rehearsal_modules: what must be importable to rehearse it.
        defaults_of: the provider of Ray whose defaults.yaml suits it; by default its own.
        lists_places: what ships of its regions is the answer of its own API; else a note is all that comes of it.
        provider_keys: the keys of a provider section that Ray's provider for it, or ours, reads; none where a provider
            may read any.
        network_words: its networks for training, as ``provider.network`` names them.
        network_takes: what such a network needs the names of; empty where the word is enough.
        placement_words: its ways to place machines close to each other, as ``provider.placement`` names them.
        data: the folder of its ``NAME.csv``, ``NAME_places.csv`` and ``NAME_launch_errors.csv``.
    """

    name: str
    title: str
    compute: str
    provider_class: str
    region_form: re.Pattern[str]
    region_example: str
    zone_example: str
    sdk_module: str
    sdk_package: str
    sdk_floors: tuple[tuple[str, str], ...] = ()
    image_path_command: str = "true"
    image_keys: tuple[str, ...] = ()
    machine_key: str = ""
    stock: bool = True
    has_tpus: bool = False
    is_default: bool = False
    images: tuple[ImageForm, ...] = ()
    attaches_accelerators: bool = False
    has_custom_machine_types: bool = False
    exact_accelerator_names: bool = True
    series_separator: str = "-"
    rehearsal_modules: tuple[str, ...] = ()
    defaults_of: str = ""
    lists_places: bool = True
    provider_keys: tuple[str, ...] = ()
    network_words: tuple[str, ...] = ()
    network_takes: str = ""
    placement_words: tuple[str, ...] = ()
    data: Path = SHIPPED_FOLDER

    @property
    def package(self) -> str:
        """The package of the cloud's folder."""
        return f"{accel_scaling.providers.__name__}.{self.name}"

    @property
    def sdk_requirement(self) -> str:
        """What pip is asked for on the head: the package, with its oldest version."""
        floor = dict(self.sdk_floors).get(self.sdk_package)
        return f"{self.sdk_package}>={floor}" if floor else self.sdk_package

    @property
    def ray_defaults(self) -> str:
        """The folder of Ray's autoscaler with the defaults.yaml that suits the cloud."""
        return self.defaults_of or self.name

    @property
    def module(self) -> str:
        """What `provider.module` says in a cluster file."""
        return f"{self.package}.{self.provider_class}"

    def part(self, name: str) -> Any:
        """Return a module of the cloud's folder, imported now.

        Raises:
            ModuleNotFoundError: the cloud has no such part, or what the part imports is not installed.
        """
        # Imported only when it is asked for: a part may need ray or an SDK, and most commands need neither.
        return importlib.import_module(f"{self.package}.{name}")

    def has_part(self, name: str) -> bool:
        """Say whether the cloud's folder has this module; it is not imported."""
        # find_spec looks the file up and runs nothing of it: a part may import ray, or an SDK that is not installed.
        return importlib.util.find_spec(f"{self.package}.{name}") is not None

    def machine_family(self, machine_type: str) -> str | None:
        """Return the family that an offerings row may name instead of a machine type; None where there is none."""
        del machine_type
        return None

    def count_in_name(self, machine_type: str) -> int | None:
        """Return the number of accelerators that the name of a machine type says; None where it says none."""
        del machine_type
        return None

    def names_like(self, machine_type: str) -> bool:
        """Say whether its machine types are written like this one, known or not."""
        return self.machine_family(machine_type) is not None

    def short_zone(self, region: str, zone: str) -> str:
        """Return how an offerings file names a zone of a region."""
        return zone.removeprefix(f"{region}-")


def known_clouds() -> Mapping[str, Cloud]:
    """Return every cloud by its name, in the order of their names: each folder of `providers/` with a ``cloud.py``."""
    # The folders are the key of the cache: a path that is added to the package later is looked at.
    return _found(tuple(accel_scaling.providers.__path__))


def default_cloud() -> str:
    """Return the name of the cloud of a user's file that names none."""
    clouds = known_clouds()
    return next((cloud.name for cloud in clouds.values() if cloud.is_default), next(iter(clouds)))


def cloud_of_region(region: str) -> str | None:
    """Return the name of the cloud whose regions are written like this one; None for no cloud's."""
    return next((cloud.name for cloud in known_clouds().values() if cloud.region_form.fullmatch(region)), None)


@functools.cache
def _found(folders: tuple[str, ...]) -> dict[str, Cloud]:
    # Sorted: a folder's own order is the file system's, and what commands print must not depend on it.
    names = sorted({path.parent.name for folder in folders for path in Path(folder).glob("*/cloud.py")})
    return {name: importlib.import_module(f"{accel_scaling.providers.__name__}.{name}.cloud").CLOUD for name in names}
