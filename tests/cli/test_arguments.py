"""The command line: where words may stand, what a misspelt one gets, standard input, and one prefix for errors."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from accel_scaling.cli.main import main, parser
from accel_scaling.errors import PlanError
from accel_scaling.plan.live_cluster import check_address
from tests.support.terminals import ROOT

EXAMPLE = str(ROOT / "example_clusters" / "aws-gpu.yaml")


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one sentence with which a command refuses its words."""
    try:
        code = main(words)
    except SystemExit as ended:
        code = int(str(ended.code))
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("accel-scaling: ")
    return err.removeprefix("accel-scaling: ").rstrip("\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fil"], "there is no command 'fil'; nearest: fill; see `accel-scaling --help`"),
        (["pln"], "there is no command 'pln'; nearest: plan; see `accel-scaling --help`"),
        (["catalog", "fnd"], "catalog: there is no command 'fnd'; nearest: find; see `accel-scaling catalog --help`"),
        (["kuberay", "chek", "x"], "kuberay: there is no command 'chek'; nearest: check; "),
        (["catalog", "zzz"], "catalog: there is no command 'zzz'; the commands are show, find, check and refresh; "),
        (["plan", "x.yaml", "--demnad", "A100"], "plan: there is no option --demnad; nearest: --demand; "),
        (["plan", "--adress=1.2.3.4"], "plan: there is no option --adress; nearest: --address; "),
        (["catalog", "find", "--acelerator", "A100"], "catalog find: there is no option --acelerator; nearest: --acc"),
        (["init", "aws", "-spot"], "init: there is no option -spot; nearest: --spot; "),
        (["--verison"], "there is no option --verison; nearest: --version; "),
        (["init", "gpc", "L4"], "init: CLOUD: 'gpc' is not one of aws, gcp; nearest: gcp; "),
        (["rehearse", "x.yaml", "--hosts", "isoated"], "rehearse: --hosts: 'isoated' is not one of isolated, proc"),
        (["completion", "bsh"], "completion: SHELL: 'bsh' is not one of bash, zsh, fish, tcsh; nearest: bash"),
        (["plan", "--demand", "A100"], "plan: CLUSTER.yaml is missing; see `accel-scaling plan --help`"),
        (["catalog"], "catalog: COMMAND (show, find, check, refresh) is missing; "),
        (["detect", "all"], "detect: 'all' is one word too many; "),
        (["kuberay", "check", "no-such-file.yaml"], "no-such-file.yaml does not exist"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_a_misspelt_word_gets_one_sentence_with_the_nearest(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(words, capsys).startswith(sentence)


@pytest.mark.parametrize(
    "words",
    [
        "plan c.yaml --demand A100:8 T4 --gang PACK L4 --json",
        "plan --demand A100:8 T4 --gang PACK L4 --json c.yaml",
        "plan --demand A100:8 T4 c.yaml --gang PACK L4 --json",
        "plan --gang PACK L4 c.yaml --demand A100:8 T4 --json",
        "plan --json --gang PACK L4 --demand A100:8 T4 c.yaml",
        "plan --gang PACK L4 --dem A100:8 T4 --json -- c.yaml",
    ],
)
def test_options_of_several_values_may_be_before_or_after_the_file(words: str) -> None:
    args = parser(None).parse_args(words.split())
    assert (str(args.cluster), args.demand, args.gang, args.json) == (
        "c.yaml", [["A100:8", "T4"]], [["PACK", "L4"]], True,
    )  # fmt: skip


def test_a_file_of_any_name_is_found_behind_an_option_where_it_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("team").write_text("x")
    assert str(parser("plan").parse_args(["plan", "--demand", "A100", "team"]).cluster) == "team"
    assert str(parser("plan").parse_args(["plan", "--demand", "A100", "-"]).cluster) == "-"
    refresh = parser("catalog").parse_args(["catalog", "refresh", "--region", "us-west-2", "eu-west-1", "aws"])
    assert (refresh.cloud, refresh.region) == ("aws", ["us-west-2", "eu-west-1"])


@pytest.mark.parametrize(
    ("plain", "option"),
    [
        ("catalog find A100 --min-count 16", "catalog find --accelerator A100 --min-count 16"),
        ("catalog find --cloud aws A100", "catalog find --cloud aws --accelerator A100"),
        ("init aws A10G:4 T4 --spot", "init aws --accelerator A10G:4 --accelerator T4 --spot"),
        ("init --spot aws T4", "init aws --spot --accelerator T4"),
    ],
)
def test_a_plain_word_is_taken_where_people_write_it(
    plain: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(plain.split()) == 0
    shown = capsys.readouterr().out
    assert main(option.split()) == 0
    assert capsys.readouterr().out == shown


def test_a_plain_word_and_another_value_of_its_option_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(["catalog", "find", "A100", "--accelerator", "T4"], capsys).startswith(
        "'A100' and --accelerator 'T4' are given"
    )


@pytest.mark.parametrize(
    ("words", "begin"),
    [
        (["fill", "-"], "# Two kinds of GPU machine on AWS"),
        (["plan", "--demand", "A10G", "-"], "to launch"),
        (["catalog", "check", "-"], "ok: 1 machine types"),
    ],
)
def test_a_minus_is_standard_input_for_every_file_that_is_read(words: list[str], begin: str) -> None:
    machines = "instance_type,vcpus,memory_mib,arch,accelerator,count\nq9.large,4,16384,x86_64,T4,1\n"
    text = machines if "check" in words else Path(EXAMPLE).read_text(encoding="utf-8")
    # A socket, as some programs start others with: it has no name that can be opened.
    ours, its = socket.socketpair() if words[0] == "fill" else (None, None)
    process = subprocess.Popen(
        [sys.executable, "-m", "accel_scaling", *words], stdin=its or subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, cwd=ROOT,
    )  # fmt: skip
    if ours and its:
        its.close()
        ours.sendall(text.encode())
        ours.close()
        out, _ = process.communicate(timeout=60)
    else:
        out, _ = process.communicate(text, timeout=60)
    assert out.startswith(begin), out
    assert process.returncode == 0


def test_a_minus_as_output_is_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fill", EXAMPLE, "-o", "-"]) == 0
    assert "# Two kinds of GPU machine" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("10.0.0.5", "10.0.0.5", 6379), ("head:6380", "head", 6380), ("::1", "::1", 6379),
        ("[fe80::1]", "fe80::1", 6379), ("[fe80::1]:7000", "fe80::1", 7000),
    ],
)  # fmt: skip
def test_an_address_needs_no_port(address: str, host: str, port: int) -> None:
    assert check_address(address) == (host, port)


@pytest.mark.parametrize(
    "address", ["", ":6379", "a b", "10.0.0.5:", "10.0.0.5:x", "h:99999", "http://h:1", "ray://h:1"]
)
def test_no_address_gets_the_form(address: str) -> None:
    with pytest.raises(PlanError, match="expected HOST or HOST:PORT of the cluster's head, such as 10"):
        check_address(address)


@pytest.mark.parametrize(
    ("demand", "sentence"),
    [
        ("8xA100", "the number comes after the name: A100:8 is one task with 8, A100x8 are 8 tasks with one each"),
        ("8 a100", "the number comes after the name: A100:8 is one task with 8"),
        ("A100=8", "the number comes after the name: A100:8 is one task with 8"),
        ("4*CPU", "the number comes after the name: CPU:4 is one task with 4"),
        (
            "p4d.24xlarge",
            "is a machine, and a demand names what a task needs: A100-40G:8 is all of such a machine; expec",
        ),
        ("a2-highgpu-1g:1", "A100-40G:1 is all of such a machine; expected TYPE[:ACCS][xCOUNT], such as A100:8x16"),
        ("v4-16", "TPU-V4:4 is all of such a machine; expected TYPE"),
        ("A100:8:2", "expected TYPE[:ACCS][xCOUNT], such as A100:8x16"),
    ],
)
def test_a_demand_of_another_form_gets_the_form(demand: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert sentence in refused(["plan", EXAMPLE, "--demand", demand], capsys)


def test_help_is_a_command_too(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["help", "catalog", "find"], ["catalog", "find", "-h"]):
        with pytest.raises(SystemExit):
            main(words)
        assert capsys.readouterr().out.startswith("usage: accel-scaling catalog find [NAME] [options]\n")


def test_ctrl_c_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("accel_scaling.cli.fill.read_cluster", interrupted)
    assert main(["fill", EXAMPLE]) == 130
    assert capsys.readouterr() == ("", "")


def test_what_is_piped_is_json_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    main(["catalog", "find", "A100", "--json"])
    assert len(json.loads(out.getvalue())) > 1
