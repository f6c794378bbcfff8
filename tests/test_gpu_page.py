"""The calls of docs/gpu.md: short enough, of files, experiments and options that exist."""

import re
from typing import Any

import pytest
from conftest import ROOT

PAGE = (ROOT / "docs" / "gpu.md").read_text()
CALLS = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("call", CALLS)
def test_a_call_is_a_command_of_at_most_2000_characters(call: str) -> None:
    assert len(call) <= 2000
    limits = [float(minutes) for minutes in re.findall(r"max_minutes=([\d.]+)", call)]
    assert all(limit < 10 for limit in limits)


def test_there_are_four_calls_and_what_they_name_is_there(script: Any) -> None:
    assert len(CALLS) == 4
    text = "\n".join(CALLS)
    for name in set(re.findall(r"(?:scripts|benchmarks|tests)/\w+\.py", text)):
        assert (ROOT / name).is_file(), name
    for option in set(re.findall(r"(?:scripts|benchmarks)/(\w+\.py) ([^\n|]+)", text)):
        name, arguments = option
        code, known = script(name, "--help")
        assert code == 0
        for flag in re.findall(r"(--[a-z-]+)", arguments.split(" 2>&1")[0]):
            assert re.search(rf"{flag}\b", known), (name, flag)
    for model in ("fcn", "cnn"):
        assert (ROOT / "conf" / "experiment" / f"table1_{model}_mnist.yaml").is_file()
