"""Draws the terminal pictures of the documents from what the commands really print: `python3 docs/pictures/make.py`.

With names (`make.py detect`), only those pictures. Needs `pip install -e '.[dev]'`. A picture is an entry of PICTURES:
its commands run in a terminal of their own, on an emulated machine where it names one, in a folder with
`example_clusters` and the FILES that documents show. A test holds each picture against what its commands
print now; of a rehearsal, which has times and ids of its own, against the words that a rehearsal can say.
"""

from __future__ import annotations

import fcntl
import html
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).resolve().parent
ROWS = 60


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        name: of the file, without `.svg`.
        title: what one sees, for the window's bar and for who cannot see it.
        commands: as typed; each runs in bash.
        columns: the terminal's width.
        machine: an EC2 type whose devices are emulated, and whose promise is set as Ray sets it.
        fault: what is wrong with it, a word of `accel_scaling.testing.devices.device_faults.FAULTS`.
        live: whether the output has times and ids of its own.
    """

    name: str
    title: str
    commands: tuple[str, ...]
    columns: int = 118
    machine: str = ""
    fault: str = ""
    live: bool = False


PICTURES = (
    Picture(
        "catalog-show",
        "One instance type: what it has, what Ray is promised, what a node detects and needs",
        ("accel-scaling catalog show p4de.24xlarge",),
    ),
    Picture(
        "catalog-find",
        "The instance types that have an accelerator, and the nearest names to a misspelt one",
        (
            "accel-scaling catalog find --accelerator A100 --cloud aws",
            "accel-scaling catalog find --accelerator A100-80",
        ),
    ),
    Picture(
        "fill",
        "The fill: what Ray is promised for a node type, and the image with its driver",
        ("accel-scaling fill cluster.yaml | grep -A 13 a10g:",),
    ),
    Picture(
        "plan",
        "What Ray would launch for these demands, which limit is reached, and the nearest miss of what stays pending",
        ("accel-scaling plan example_clusters/aws-gpu.yaml --demand A10G:1x2 T4 A100-80G:8",),
    ),
    Picture(
        "init",
        "A complete cluster file for the accelerators that one wants",
        ("accel-scaling init aws --accelerator A100-80G:8 --spot | grep -A 14 'How workers'",),
    ),
    Picture(
        "kuberay-fill",
        "What is added to a manifest for KubeRay, and nothing else in it changes",
        ("accel-scaling kuberay fill raycluster.yaml -o filled.yaml; diff raycluster.yaml filled.yaml",),
    ),
    Picture(
        "detect",
        "What a machine really has: the bus, the driver, and what Ray would announce",
        ("accel-scaling detect",),
        machine="p4d.24xlarge",
    ),
    Picture(
        "confirm-refused",
        "A p4d.24xlarge that came up with seven of its eight GPUs does not join",
        ('accel-scaling confirm; echo "exit code $?"',),
        machine="p4d.24xlarge",
        fault="fewer:7",
    ),
    Picture(
        "rehearse-fault",
        "A rehearsal: a real Ray cluster, on which machines without a driver are refused and terminated",
        ("accel-scaling rehearse example_clusters/aws-gpu.yaml --fault no-driver:g5.xlarge --timeout 40",),
        columns=130,
        live=True,
    ),
)

CHARACTER = 20 * 0.61  # the width of one, as rich draws them: 20 pixels high, by the form of its font
FONT = "Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"

# As rich's own, without its fonts from a CDN, and with the text for who cannot see the picture.
CODE_FORMAT = f"""\
<svg class="rich-terminal" viewBox="0 0 {{width}} {{height}}" xmlns="http://www.w3.org/2000/svg" role="img"
     aria-labelledby="{{unique_id}}-name {{unique_id}}-text">
<title id="{{unique_id}}-name">TITLE</title>
<desc id="{{unique_id}}-text" xml:space="preserve">TEXT</desc>
<style>
.{{unique_id}}-matrix {{{{ font-family: {FONT}; font-size: {{char_height}}px; line-height: {{line_height}}px }}}}
.{{unique_id}}-title {{{{ font-family: system-ui, 'DejaVu Sans', Arial, sans-serif; font-size: 16px }}}}
{{styles}}
</style>
{{chrome}}
<g transform="translate({{terminal_x}}, {{terminal_y}})">
{{backgrounds}}
<g class="{{unique_id}}-matrix">
{{matrix}}
</g>
</g>
</svg>
"""

FILES = (("quickstart-aws.md", "cluster.yaml"), ("kuberay.md", "raycluster.yaml"))  # the document that shows each


def desk(folder: Path) -> None:
    """Make the folder what the reader of the documents has before them."""
    (folder / "example_clusters").symlink_to(ROOT / "example_clusters")
    for document, name in FILES:
        text = (ROOT / "docs" / document).read_text(encoding="utf-8")
        found = re.search(rf"<!-- file: {name} -->\n```yaml\n(.*?)```", text, re.DOTALL)
        if found is None:
            raise SystemExit(f"docs/{document} has no {name}")
        (folder / name).write_text(found[1], encoding="utf-8")


def environment(picture: Picture, folder: Path) -> dict[str, str]:
    """Return what the commands run with: the emulated machine, no account, a home of their own."""
    from accel_scaling.catalog.load import shipped_catalog
    from accel_scaling.fill.promise import promise_for
    from accel_scaling.testing.devices.device_faults import with_fault
    from accel_scaling.testing.devices.device_files import install
    from accel_scaling.testing.devices.ec2_machines import hardware_of

    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GOOGLE_", "RAY_"))}
    kept.pop("NO_COLOR", None)
    kept |= {
        "HOME": str(folder),
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        "TERM": "xterm-256color",
        "COLUMNS": str(picture.columns),
    }
    if picture.machine:
        hardware = hardware_of(picture.machine)
        (folder / "machine").mkdir()
        kept |= install(folder / "machine", with_fault(hardware, picture.fault) if picture.fault else hardware)
        promised = promise_for(shipped_catalog().machine_type("aws", picture.machine)).resources
        kept["RAY_OVERRIDE_RESOURCES"] = json.dumps(promised)
    return kept


def printed(command: str, picture: Picture, folder: Path, env: dict[str, str]) -> str:
    """Return what a command prints in a terminal, colours included."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, picture.columns, 0, 0))
    process = subprocess.Popen(["bash", "-c", command], stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=env)
    os.close(theirs)
    found = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # so Linux says that nobody has the terminal open any more
            break
        if not part:
            break
        found += part
    os.close(ours)
    process.wait()
    lines = found.decode(errors="replace").replace("\r\n", "\n").rstrip("\n").split("\n")
    # What a status line showed is not on the screen in the end.
    return "\n".join(line.rpartition("\r")[2].removeprefix("\033[K") for line in lines)


def session(picture: Picture) -> list[tuple[str, str]]:
    """Run the picture's commands; return each with what it printed."""
    with tempfile.TemporaryDirectory(prefix="accel-picture-") as name:
        folder = Path(name)
        desk(folder)
        env = environment(picture, folder)
        return [(command, printed(command, picture, folder, env)) for command in picture.commands]


def plain(steps: list[tuple[str, str]]) -> str:
    """Return a session as text."""
    from rich.text import Text

    return "\n".join(f"$ {command}\n{Text.from_ansi(output).plain}" for command, output in steps)


def drawn(picture: Picture, steps: list[tuple[str, str]]) -> str:
    """Return a session as SVG."""
    from rich.console import Console
    from rich.terminal_theme import TerminalTheme
    from rich.text import Text

    normal = [(36, 41, 47), (255, 123, 114), (87, 210, 110), (227, 179, 65), (121, 192, 255), (210, 168, 255)]
    colours = [*normal, (118, 227, 234), (201, 209, 217)]
    theme = TerminalTheme((22, 27, 34), (214, 221, 229), colours, colours)
    console = Console(record=True, width=picture.columns, file=io.StringIO(), force_terminal=True)
    for command, output in steps:
        console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        console.print(Text.from_ansi(output), highlight=False)
    svg = console.export_svg(title=picture.title, theme=theme, code_format=CODE_FORMAT, unique_id=picture.name)
    svg = svg.replace("TITLE", html.escape(picture.title), 1).replace("TEXT", html.escape(plain(steps)), 1)
    svg = re.sub(r' clip-path="[^"]*"', "", svg)  # rich cuts each line off, and the last one's descenders with it
    svg = re.sub(r"<text[^>]*>\n</text>|\n(?=</text>)", "", svg)
    svg = re.sub(r'(<text [^>]*) x="([\d.]+)"([^>]*) textLength="([\d.]+)"([^>]*)>((?:&#160;)+)', _moved, svg)
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)


def _moved(match: re.Match[str]) -> str:
    """Return the beginning of a text without the spaces that it begins with, as far to the right as these took it.

    Some viewers, such as those built on librsvg, drop spaces there, and show YAML without its indentation.
    """
    wide = len(match[6]) // len("&#160;") * CHARACTER
    return f'{match[1]} x="{float(match[2]) + wide:g}"{match[3]} textLength="{float(match[4]) - wide:g}"{match[5]}>'


def shown(picture: Picture) -> str:
    """Return the text of the picture as it is committed."""
    svg = (FOLDER / f"{picture.name}.svg").read_text(encoding="utf-8")
    found = re.search(r"<desc[^>]*>(.*?)</desc>", svg, re.DOTALL)
    return html.unescape(found[1]) if found else ""


def main(names: list[str]) -> int:
    """Draw the pictures of these names, or all of them."""
    unknown = sorted(set(names) - {picture.name for picture in PICTURES})
    if unknown:
        sys.stderr.write(f"there is no picture {', '.join(unknown)}; there are {', '.join(p.name for p in PICTURES)}\n")
        return 2
    for picture in PICTURES:
        if not names or picture.name in names:
            path = FOLDER / f"{picture.name}.svg"
            path.write_text(drawn(picture, session(picture)), encoding="utf-8")
            sys.stdout.write(f"wrote {path.relative_to(ROOT)} ({path.stat().st_size / 1000:.0f} kB)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
