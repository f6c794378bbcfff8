"""The named readings of conf/protocol, so that results can call a reading by its name."""

from functools import lru_cache

from omegaconf import OmegaConf

from bayes_pruning.config.paths import conf_dir
from bayes_pruning.results.run_records import protocol_text

BASE = "paper"  # the preset that all others start from


@lru_cache(maxsize=1)
def names() -> dict[str, str]:
    """The name of each preset by the text of its protocol (logged.protocol_text)."""
    folder = conf_dir() / "protocol"
    base = OmegaConf.load(folder / f"{BASE}.yaml")
    found: dict[str, str] = {}
    for path in sorted(folder.glob("*.yaml"), key=lambda path: (path.stem != BASE, path.stem)):
        values = OmegaConf.to_container(OmegaConf.merge(base, OmegaConf.load(path)))
        found.setdefault(protocol_text(values), path.stem)  # type: ignore[arg-type]
    return found


def name_of(protocol: str) -> str:
    """The preset that a protocol's text is of, or the text itself if it is of none."""
    return names().get(protocol, protocol)
