"""Run the short form of the fault campaign; benchmarks/fault_campaign.py is the long one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ONE_THREAD, ROOT

KILLS = 20


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_twenty_kills_in_all_phases_leave_no_trace(tmp_path: Path) -> None:
    """Kill forked attempts only; tests/test_runs.py kills the real command."""
    result = tmp_path / "result.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "fault_campaign.py"), "--kills", str(KILLS)]
    done = subprocess.run(
        [*command, "--real-every", "0", "--json", str(result)], env=ONE_THREAD, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(result.read_text())
    assert report["kills"] == KILLS
    where = {phase for phase, *_ in report["by"]}
    assert where == {"training", "evaluation", "start", "checkpoint", "rows", "weights", "summary", "any time"}
    assert {signal for *_, signal, _ in report["by"]} == {"SIGKILL", "SIGTERM"}
    assert {command for _, command, *_ in report["by"]} == {"single", "stacks", "workers"}
