"""`accel-scaling confirm` as a user and as a node runs it: the promise it reads, its exit codes, its words."""

from __future__ import annotations

import json
import re

import pytest

from accel_scaling import timeouts
from accel_scaling.boot.promise_input import parse_promise, promise_from_environment
from accel_scaling.boot.verdicts import WORDS
from accel_scaling.cli.main import main
from accel_scaling.detect.model import Detection, DriverState
from accel_scaling.errors import AccelScalingError
from accel_scaling.families.inventory import detect

PROMISE = '{"CPU": 96, "GPU": 8, "accelerator_type:A100": 1, "accelerator_type:A100-40G": 1}'


def test_a_promise_that_holds_exits_with_0(boot):
    done = boot("p4d.24xlarge").command("confirm", "--expect", PROMISE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Confirmed: promised 8 x A100-40G; 8 on the PCI bus, 8 seen by the driver")


def test_a_promise_that_does_not_hold_exits_with_3_and_one_line(boot):
    done = boot("p4d.24xlarge", "fewer").command("confirm", "--expect", PROMISE)
    assert done.returncode == 3
    assert done.stdout.startswith("FewerThanPromised: promised 8 x A100-40G; 7 on the PCI bus")
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


def test_on_a_node_the_promise_is_the_one_that_ray_exports(boot):
    machine = boot("p4d.24xlarge")
    assert machine.command("confirm", RAY_OVERRIDE_RESOURCES=PROMISE).returncode == 0
    assert machine.command("confirm", RAY_OVERRIDE_RESOURCES='{"GPU": 16}').returncode == 3
    assert machine.command("confirm", RAY_OVERRIDE_RESOURCES="{}").returncode == 0


def test_an_explicit_promise_wins_over_rays(boot):
    done = boot("p4d.24xlarge").command("confirm", "--expect", PROMISE, RAY_OVERRIDE_RESOURCES='{"GPU": 16}')
    assert done.returncode == 0


def test_without_a_promise_it_says_so_and_exits_with_2(boot, monkeypatch):
    monkeypatch.delenv("RAY_OVERRIDE_RESOURCES", raising=False)
    done = boot("m5.large").command("confirm")
    assert done.returncode == 2
    assert "no --expect was given and RAY_OVERRIDE_RESOURCES is not set" in done.stderr
    assert "Traceback" not in done.stderr


def test_json_has_the_verdict_the_promise_what_was_detected_and_a_message(boot):
    done = boot("p4d.24xlarge", "no-driver").command("confirm", "--json", "--expect", PROMISE)
    data = json.loads(done.stdout)
    assert done.returncode == 3
    assert set(data) == {"verdict", "promised", "detected", "message", "advice", "page"}
    assert data["verdict"] == "DriverMissing"
    assert data["promised"] == json.loads(PROMISE)
    assert data["detected"][0]["bus_count"] == 8


def test_more_than_was_promised_exits_with_0(boot):
    done = boot("p4d.24xlarge").command("confirm", "--expect", '{"GPU": 4}')
    assert done.returncode == 0
    assert done.stdout.startswith("MoreThanPromised: promised 4 x GPU; 8 on the PCI bus")


def test_the_advice_and_the_page_of_the_word_are_data_too(boot):
    done = boot("p4d.24xlarge", "hidden").command("confirm", "--json", "--expect", PROMISE)
    data = json.loads(done.stdout)
    assert data["advice"] == "start the container with --gpus=all"
    assert data["message"].endswith(f"(no /dev/nvidia0, ...); {data['advice']}")
    assert data["page"] == "docs/verdicts.md#notvisibleincontainer"


def test_a_driver_that_comes_up_while_confirm_waits_is_confirmed(boot, monkeypatch, capsys):
    config = boot("p4d.24xlarge", "not-yet").root / "etc/accel-emulated-nvml"
    monkeypatch.setattr(timeouts, "DRIVER_READY_POLL_S", 0.01)
    looks: list[Detection] = []

    def look() -> list[Detection]:
        accelerators = detect()
        looks.extend(accelerators)
        config.write_text("8 40960 NVIDIA A100-SXM4-40GB\n", encoding="utf-8")  # up for the next look
        return accelerators

    monkeypatch.setattr("accel_scaling.cli.confirm.detect", look)
    assert main(["confirm", "--wait", "30", "--expect", PROMISE]) == 0
    assert [accelerator.state for accelerator in looks] == [DriverState.NOT_YET, DriverState.OK]
    assert capsys.readouterr().out.startswith("Confirmed: ")


@pytest.mark.parametrize("text", ["-1", "soon", "inf", "nan"])
def test_a_wait_that_is_no_number_of_seconds_is_bad_usage(text, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["confirm", "--wait", text])
    assert ended.value.code == 2
    assert f"--wait: {text!r} is not a number of seconds" in capsys.readouterr().err


def test_the_help_names_every_verdict_with_its_exit_code(capsys):
    with pytest.raises(SystemExit):
        main(["confirm", "--help"])
    output = re.sub(r"\n {5,}", " ", capsys.readouterr().out)
    for word, meaning in WORDS.items():
        (line,) = [line for line in output.splitlines() if line.startswith(f"  {meaning.exit_code}  ")]
        assert word.value in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{GPU: 8}", "is not JSON"),
        ("", "is not JSON"),
        ("[8]", "is JSON but not an object"),
        ("null", "is JSON but not an object"),
        ('{"GPU": "8"}', 'GPU is "8", not a number'),
        ('{"GPU": true}', "GPU is true, not a number"),
        ('{"GPU": null}', "GPU is null, not a number"),
        ('{"GPU": NaN}', "not a number"),
        ('{"GPU": -1}', "GPU is -1: an amount cannot be negative"),
    ],
)
def test_what_is_no_promise_is_one_clear_error(boot, text, words):
    with pytest.raises(AccelScalingError, match="--expect") as raised:
        parse_promise(text, "--expect")
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_broken_promise_of_rays_names_the_variable():
    with pytest.raises(AccelScalingError, match="RAY_OVERRIDE_RESOURCES is not JSON"):
        promise_from_environment({"RAY_OVERRIDE_RESOURCES": "{"})
    assert promise_from_environment({}) is None


def test_it_imports_neither_ray_nor_a_cloud_sdk(boot):
    code = """
import sys
from accel_scaling import timeouts
from accel_scaling.cli.main import main
main(["confirm", "--expect", '{"GPU": 8, "accelerator_type:A100": 1}'])
print(sorted({"ray", "boto3", "botocore", "moto"} & {name.partition(".")[0] for name in sys.modules}))
"""
    assert boot("p4d.24xlarge").python(code).stdout.splitlines()[-1] == "[]"
