"""Let the measurements beside this file find the checkout's package, installed or not: imported before the package."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
